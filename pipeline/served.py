"""The final model as MLflow serves it: rows of breed and seed in, PNG pictures out.

MLflow keeps this file as the model's code and runs it when the model is loaded ("models from
code"): nothing is pickled. The packages it needs of this project lie beside it, see
``pipeline.registry``.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

if TYPE_CHECKING:
    from pipeline.diffusion.sampling import Sampling

MODEL = "model"  # the artifact: a folder with model.json and weights.safetensors
MOST = 256  # pictures a request
MOST_STEPS = 10_000


class Generator(PythonModel):
    """Draws a picture a row. Input: ``breed`` (text) and ``seed`` (an integer, 0 or more); params
    ``steps``, ``guidance``, ``sampler``. Output: a column ``png`` of base64 texts."""

    def load_context(self, context: Any) -> None:
        from pipeline.model import load_model
        from pipeline.stamp import trained_by

        folder = Path(context.artifacts[MODEL])
        self.model = load_model(folder)
        self.run_id = trained_by(folder)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        import torch

        how = sampling(params or {})
        breeds = [str(name) for name in model_input["breed"]]
        seeds = [int(seed) for seed in model_input["seed"]]
        labels = self.labels(breeds, seeds)
        images = self.model.sample(torch.tensor(labels), seeds, how)
        return pd.DataFrame(
            {
                "png": [
                    self.png(image, breed, seed, how)
                    for image, breed, seed in zip(images, breeds, seeds, strict=True)
                ]
            }
        )

    def labels(self, breeds: list[str], seeds: list[int]) -> list[int]:
        """Raises MlflowException, which the server answers with, for what cannot be drawn."""
        known = self.model.classes
        if not 0 < len(breeds) <= MOST:
            raise refused(f"{len(breeds)} rows: expected 1 to {MOST}")
        for breed, seed in zip(breeds, seeds, strict=True):
            if breed not in known:
                raise refused(f"breed {breed!r}: the model knows {', '.join(known)}")
            if seed < 0:
                raise refused(f"seed {seed}: expected 0 or more")
        return [known.index(breed) for breed in breeds]

    def png(self, image: Any, breed: str, seed: int, how: Sampling) -> str:
        from PIL import Image

        from pipeline.stamp import chunk, note_of

        note = note_of(self.model.info, self.run_id, breed, seed, how)
        with io.BytesIO() as file:
            Image.fromarray(image).save(file, "PNG", pnginfo=chunk(note))
            return base64.b64encode(file.getvalue()).decode("ascii")


def sampling(params: dict[str, Any]) -> Sampling:
    """How the request wants pictures drawn; what it leaves out is the signature's default."""
    from pipeline.diffusion.samplers import GRIDS
    from pipeline.diffusion.sampling import Sampling

    steps, guidance = int(params.get("steps", 18)), float(params.get("guidance", 1.0))
    sampler = str(params.get("sampler", "heun"))
    if sampler not in GRIDS:
        raise refused(f"sampler {sampler!r}: expected one of {', '.join(GRIDS)}")
    if not 1 <= steps <= MOST_STEPS:
        raise refused(f"steps {steps}: expected 1 to {MOST_STEPS}")
    if not 0 <= guidance <= 50:
        raise refused(f"guidance {guidance}: expected 0 to 50")
    return Sampling(sampler, steps, guidance)


def refused(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


set_model(Generator())
