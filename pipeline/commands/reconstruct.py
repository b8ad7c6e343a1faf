"""``pipeline reconstruct``: a model with another average of the weights, made afterwards."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.common import example
from pipeline.errors import ParamsError, PipelineError
from pipeline.workspace import Workspace

ROUGH = 0.05  # share of the wanted profile that may be missed without a word


@click.command(
    epilog=example(
        "pipeline reconstruct --length 0.07 --output models-0.07",
        "pipeline generate --model models-0.07",
    )
)
@click.option(
    "--length",
    type=click.FloatRange(0.01, 0.25),
    required=True,
    help="Length of the average, as a share of the run.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder to write the model to.",
)
@click.option(
    "--model",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the trained model. [models/]",
)
def reconstruct(length: float, output: Path, folder: Path | None) -> None:
    """Make an average of another length out of the snapshots of a training.

    A training with train.ema_lengths and train.ema_snapshots keeps them. The result is a model
    like any other.
    """
    folder = folder or Workspace.find().models
    if output.resolve() == folder.resolve():
        raise ParamsError(f"--output {output}: is the trained model itself; name another folder")

    from safetensors import SafetensorError

    from pipeline.model import architecture_of, load_model, read_info, save_model
    from pipeline.training import posthoc

    info = read_info(folder)
    snapshots = posthoc.read_snapshots(folder / posthoc.FOLDER)
    model = load_model(folder, "cpu")
    net = model.denoiser.net
    try:
        weights, missed = posthoc.reconstruct(snapshots, length)
        net.load_state_dict(weights)
    except (RuntimeError, ValueError, TypeError, OverflowError, SafetensorError) as error:
        raise PipelineError(
            f"{folder / posthoc.FOLDER}: the snapshots are not of this model: {error}"
        ) from None
    guide = None if model.guide is None else model.guide.net.state_dict()
    training = {**info.get("training", {}), "ema_length": length}
    save_model(output, architecture_of(info["architecture"]), net, training, guide)
    kept = sorted({one.length for one in snapshots})
    click.echo(
        f"{output}: average of length {length:g} from {len(snapshots)} snapshots of "
        f"{', '.join(f'{one:g}' for one in kept)}; {missed:.1%} of its profile missed"
    )
    if missed > ROUGH:
        click.echo(
            "warning: these snapshots cannot make that average well; keep more of them "
            "(train.ema_snapshots), or lengths nearer to it",
            err=True,
        )
