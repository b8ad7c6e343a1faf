"""``pipeline generate``: pictures from a trained model, one file each, at their true size."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline import params as schema
from pipeline.commands.common import COUNT, example
from pipeline.errors import ParamsError, PipelineError
from pipeline.workspace import Workspace


@click.command(
    epilog=example(
        "pipeline generate -n 3 --fname plots/sample", "pipeline generate --breed beagle --seed 7"
    )
)
@click.option("-n", "count", type=COUNT, default=3, help="How many pictures.")
@click.option("--fname", default="plots/sample", help="Start of the file names: <fname>0.png ...")
@click.option(
    "--breed", "breeds", multiple=True, metavar="NAME", help="Only this breed (repeat). [all]"
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Picture i has seed+i.")
@click.option("--steps", type=COUNT, help="Steps of the solver. [params.yaml]")
@click.option(
    "--sampler",
    type=click.Choice(schema.SAMPLERS),
    help="Solver. [params.yaml]",
)
@click.option("--guidance", type=click.FloatRange(min=0), help="1: none. [params.yaml]")
@click.option(
    "--model",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of a saved model. [models/]",
)
@click.option("--device", default="auto", help="auto, cpu, cuda or mps.")
def generate(
    count: int,
    fname: str,
    breeds: tuple[str, ...],
    seed: int,
    steps: int | None,
    sampler: str | None,
    guidance: float | None,
    folder: Path | None,
    device: str,
) -> None:
    """Draw pictures with a trained model, one PNG each.

    The files are <fname>0.png, <fname>1.png ... Without --breed the breeds take turns. The same
    seed gives the same picture.
    """
    workspace = Workspace.find()
    folder = folder or workspace.models
    if not (folder / "model.json").is_file():
        raise PipelineError(f"{folder}: no trained model here; `dvc repro` makes one")
    defaults = schema.load(workspace.params).evaluate

    import torch

    from pipeline import progress
    from pipeline.evaluation.montage import write_png
    from pipeline.model import load_model

    model = load_model(folder, device)
    labels = torch.tensor(choose(model.classes, breeds, count), dtype=torch.int64)
    with progress.bar(count, "generate", "pictures") as shown:
        pictures = model.sample(
            labels,
            [seed + i for i in range(count)],
            sampler or defaults.sampler,
            steps or defaults.steps,
            defaults.guidance if guidance is None else guidance,
            defaults.batch_size,
            on_step=lambda done, _: shown.update(done - shown.n),
        )
    for i, picture in enumerate(pictures):
        path = Path(f"{fname}{i}.png")
        write_png(path, picture)
        click.echo(f"{path}  {model.classes[labels[i]]}")


def choose(classes: list[str], breeds: tuple[str, ...], count: int) -> list[int]:
    """``count`` labels, the wanted breeds (all, if none is named) taking turns."""
    for breed in breeds:
        if breed not in classes:
            raise ParamsError(
                f"--breed {breed}: the model does not know it; it knows {', '.join(classes)}"
            )
    wanted = [classes.index(breed) for breed in breeds] or list(range(len(classes)))
    return [wanted[i % len(wanted)] for i in range(count)]
