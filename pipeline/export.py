"""The trained net for use elsewhere: safetensors, ONNX, a ``torch.export`` program.

Each file takes its place only after it was loaded again and answered random inputs as the source
net does. What is exported is the net alone, ``net(x, t, labels)``: its schedule and what its output
means stand in model.json beside it, the solvers are this project's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.errors import ParamsError, PipelineError
from pipeline.model import GUIDE, WEIGHTS, Model, load_model

FORMATS = ("safetensors", "onnx", "torch")
NEEDS = {"onnx": ("onnx", "onnxscript", "onnxruntime")}
INSTALL = "pip install '.[export]'"
INPUTS = ("x", "t", "labels")
# Of the largest value that the source net answers; kernels add in other orders.
TOLERANCE = {"safetensors": 0.0, "onnx": 1e-4, "torch": 1e-5}
_EXTERNAL = 1_500_000_000  # bytes of weights; ONNX files end at 2 GB, then a second file holds them

Inputs = tuple[Tensor, Tensor, Tensor]
Net = Callable[[Inputs], Tensor]


@dataclass(frozen=True)
class Exported:
    """A format that was written and checked.

    Attributes:
        files: their names in the folder.
        difference: the largest absolute difference of outputs from the source net's.
        inputs: how many inputs were compared.
    """

    format: str
    files: list[str]
    difference: float
    inputs: int

    def __str__(self) -> str:
        return (
            f"{', '.join(self.files)}: equal to the source net on {self.inputs} random inputs, "
            f"largest difference {self.difference:.2g}"
        )


def check_formats(formats: Sequence[str]) -> None:
    """Raises what a user can mend: ParamsError for an unknown format, PipelineError for a missing
    package."""
    for name in formats:
        if name not in FORMATS:
            raise ParamsError(f"--format {name}: expected some of {', '.join(FORMATS)}")
        if missing(name):
            raise PipelineError(f"--format {name} needs {', '.join(missing(name))}: {INSTALL}")


def missing(name: str) -> list[str]:
    """Packages that the format ``name`` needs and that are not installed."""
    return [part for part in NEEDS.get(name, ()) if importlib.util.find_spec(part) is None]


def export(folder: Path, target: Path, formats: Sequence[str]) -> Iterator[Exported]:
    """Write the model in ``folder`` to ``target`` in each of ``formats``, one after the other.

    Raises:
        ParamsError, PipelineError: see ``check_formats``; before anything is written.
        PipelineError: a format does not answer as the source does; its files are not kept.
    """
    check_formats(formats)
    if target.resolve() == folder.resolve():
        raise ParamsError(f"--to {target}: the model itself is there")
    model = load_model(folder, "cpu")
    target.mkdir(parents=True, exist_ok=True)
    for name in formats:
        with tempfile.TemporaryDirectory(dir=target, prefix=".export") as scratch:
            part = Path(scratch)
            again = _WRITERS[name](model, folder, part)
            difference, count = compare(model, again, TOLERANCE[name], name)
            files = sorted(path.name for path in part.iterdir())
            for file in files:
                (part / file).replace(target / file)
        yield Exported(name, files, difference, count)


def compare(model: Model, again: Net, tolerance: float, name: str) -> tuple[float, int]:
    """Largest absolute difference from the source net, and how many inputs were compared.

    Raises:
        PipelineError: it is more than ``tolerance`` times the source's largest answer.
    """
    worst, count = 0.0, 0
    # Another number of pictures than was traced with, too.
    for seed, batch in enumerate((1, 2, 5)):
        inputs = random_inputs(model, batch, seed)
        with torch.inference_mode():
            expected = model.denoiser.net(*inputs)
            found = again(inputs)
        difference = float((found - expected).abs().max())
        allowed = tolerance * max(1.0, float(expected.abs().max()))
        if found.shape != expected.shape or not difference <= allowed:
            raise PipelineError(
                f"{name}: differs from the source net by {difference:.3g} (allowed {allowed:.3g}); "
                "not written"
            )
        worst, count = max(worst, difference), count + batch
    return worst, count


def random_inputs(model: Model, batch: int, seed: int) -> Inputs:
    """x (B, 3, S, S) of unit variance, t (B,) in 0..1000, labels (B,) from -1 (none) on."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 3, model.size, model.size, generator=generator)
    t = torch.rand(batch, generator=generator) * 1000
    labels = torch.randint(-1, len(model.classes), (batch,), generator=generator)
    return x, t, labels


# --------------------------------------------------------------------------- formats


def _write_safetensors(model: Model, folder: Path, part: Path) -> Net:
    for name in ("model.json", WEIGHTS, GUIDE):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, part / name)
    net = load_model(part, "cpu").denoiser.net
    return lambda inputs: net(*inputs)


def _write_torch(model: Model, folder: Path, part: Path) -> Net:
    path = part / "net.pt2"
    with quietly():
        torch.export.save(program_of(model), path)
        net = torch.export.load(path).module()
    return lambda inputs: net(*inputs)


def _write_onnx(model: Model, folder: Path, part: Path) -> Net:
    import onnxruntime

    path = part / "net.onnx"
    size = sum(value.nbytes for value in model.denoiser.net.state_dict().values())
    with quietly():
        torch.onnx.export(
            program_of(model),
            f=path,
            input_names=list(INPUTS),
            output_names=["output"],
            external_data=size > _EXTERNAL,
            dynamo=True,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    used = {item.name for item in session.get_inputs()}  # a net of no condition has no labels

    def run(inputs: Inputs) -> Tensor:
        named = zip(INPUTS, inputs, strict=True)
        values = {name: value.numpy() for name, value in named if name in used}
        [output] = session.run(None, values)
        return torch.from_numpy(np.asarray(output))

    return run


_WRITERS: dict[str, Callable[[Model, Path, Path], Net]] = {
    "safetensors": _write_safetensors,
    "onnx": _write_onnx,
    "torch": _write_torch,
}


def program_of(model: Model) -> torch.export.ExportedProgram:
    """The net as a graph of any number of pictures."""
    net: nn.Module = model.denoiser.net
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(
        net, random_inputs(model, 3, 0), dynamic_shapes=({0: batch}, {0: batch}, {0: batch})
    )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without what the exporters say of their own inside."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
