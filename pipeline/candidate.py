"""What is handed over of a final model, to be a version and perhaps the champion.

Plain values, so that a stage can write them down before anything imports MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """The figure by which models of one name are ranked.

    Attributes:
        metric: its name, as in metrics.json.
        value: NaN where it could not be measured.
        noise: the standard error of ``value``; 0 where it is not known.
        better: "lower", "higher" or "near 1".
        data: digest of the data it was measured against.
    """

    metric: str
    value: float
    noise: float
    better: str
    data: str = ""

    def gain(self, before: float) -> float:
        """By how much ``value`` is better than ``before``; negative if it is worse."""
        if self.better == "higher":
            return self.value - before
        if self.better == "lower":
            return before - self.value
        return abs(before - 1) - abs(self.value - 1)

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.4g} ± {self.noise:.2g}"


@dataclass(frozen=True)
class Candidate:
    """A model beside the figures it is kept with.

    Attributes:
        name: of the registered model.
        metrics: recorded for the run and linked to the model.
        result: what decides whether it becomes the champion.
        how: ``sampler``, ``steps`` and ``guidance`` of a request that names none.
    """

    name: str
    metrics: Mapping[str, float]
    result: Result
    how: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "metrics": {k: float(v) for k, v in self.metrics.items()}}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Candidate:
        """Raises KeyError or TypeError where a field is missing or unknown."""
        result = Result(**found["result"])
        return cls(found["name"], found["metrics"], result, found["how"])
