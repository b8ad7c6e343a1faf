"""``pipeline generate``: pictures from a trained model, one file each, at their true size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import params as schema
from pipeline.commands.common import example, given
from pipeline.errors import ParamsError, PipelineError
from pipeline.model_names import find_model
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np

    from pipeline.diffusion.samplers import Seed
    from pipeline.diffusion.sampling import Sampling
    from pipeline.model import Model

STRIP = 8  # frames of a strip of timesteps
FILM = 48  # frames of a film at most
STRENGTH = 0.6  # of a start from a picture
COLUMNS = 16  # pictures a line of a sheet
SEED = click.IntRange(0, 2**63 - 1)  # the generator's own limit lies above, by more than a count


@click.command(
    epilog=example(
        "pipeline generate -n 3 --fname plots/sample",
        "pipeline generate --breed beagle --seed 7 --guidance 3",
        "pipeline generate --breed beagle --between 7 12 -n 9 --sheet",
        "pipeline generate --breed pug --from my-dog.jpg --strength 0.6",
        "pipeline generate --model models:/dogs@champion",
    )
)
@click.option("-n", "count", type=click.IntRange(1, 100_000), default=3, help="How many pictures.")
@click.option("--fname", default="plots/sample", help="Start of the file names: <fname>0.png ...")
@click.option(
    "--breed", "breeds", multiple=True, metavar="NAME", help="Only this breed (repeat). [all]"
)
@click.option("--seed", type=SEED, default=0, help="Picture i has seed+i.")
@click.option(
    "--between",
    type=(SEED, SEED),
    metavar="A B",
    help="The pictures from seed A to seed B, in even steps.",
)
@click.option(
    "--from",
    "original",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Start from this picture in place of noise.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1, min_open=True),
    help="With --from: how far it is taken back into noise. [0.6]",
)
@click.option("--steps", type=int, help="Steps of the solver. [params.yaml]")
@click.option("--sampler", type=click.Choice(schema.SAMPLERS), help="Solver. [params.yaml]")
@click.option("--guidance", type=float, help="1: none. [params.yaml]")
@click.option(
    "--guide",
    type=click.Choice(schema.GUIDES),
    help="What guides: the model without labels, or its early snapshot. [params.yaml]",
)
@click.option("--eta", type=float, help="Noise in ddim's steps. [params.yaml]")
@click.option(
    "--variance", type=click.Choice(schema.VARIANCES), help="Of ddpm's steps. [params.yaml]"
)
@click.option("--batch-size", type=int, help="Pictures drawn at once. [params.yaml]")
@click.option(
    "--strip/--no-strip",
    default=True,
    help="Also write the way from noise of each: <fname>0_timesteps.png.",
)
@click.option("--sheet", is_flag=True, help="Also write one sheet of all: <fname>_sheet.png.")
@click.option("--film", is_flag=True, help="Also write the sheet's way from noise: <fname>.webp.")
@click.option(
    "--model",
    "name",
    metavar="MODEL",
    help="A folder, a run's id or name, runs:/ID, models:/dogs@champion, models:/dogs/3. [models/]",
)
@click.option("--device", default="auto", help="auto, cpu, cuda or mps.")
def generate(
    count: int,
    fname: str,
    breeds: tuple[str, ...],
    seed: int,
    between: tuple[int, int] | None,
    original: Path | None,
    strength: float | None,
    strip: bool,
    sheet: bool,
    film: bool,
    name: str | None,
    device: str,
    **settings: Any,
) -> None:
    """Draw pictures with a trained model, one PNG each.

    The files are <fname>0.png, <fname>1.png ... Without --breed the breeds take turns. The same
    seed gives the same picture, whatever is drawn beside it.
    """
    workspace = Workspace.find()
    folder = find_model(workspace, name)
    if strength is not None and original is None:
        raise ParamsError("--strength: says how much of --from is kept, which was not given")
    # As knobs, so that the bounds and the words are those of params.yaml.
    overrides = given({f"evaluate.{name}": value for name, value in settings.items()})
    chosen = schema.load(workspace.params, overrides).evaluate

    import torch

    from pipeline import progress
    from pipeline.model import load_model
    from pipeline.stamp import trained_by

    how = sampling(chosen, (strength or STRENGTH) if original else 1.0)
    model = load_model(folder, device)
    start = None if original is None else read_start(original, model.size)
    labels = choose(model.classes, breeds, count, turns=between is None)
    seeds = seeds_of(seed, between, count)
    notes = notes_of(model, trained_by(folder), labels, seeds, how)
    size = chosen.batch_size
    files: list[Path] = []
    together: list[list[np.ndarray]] = []
    with progress.bar(count, "generate", "pictures") as shown:
        for first in range(0, count, size):
            some = slice(first, first + size)
            frames = draw(
                model,
                torch.tensor(labels[some]),
                seeds[some],
                how,
                start,
                strip,
                film,
                shown.update,
            )
            files += write(frames, first, fname, strip, notes[some])
            together += frames if sheet or film else []
    for path, label in zip(files, labels, strict=True):
        click.echo(f"{path}  {model.classes[label]}")
    write_together(together, labels, model.classes, fname, sheet, film)


def sampling(chosen: schema.EvaluateParams, strength: float) -> Sampling:
    from pipeline.diffusion.sampling import Sampling

    names = ("sampler", "steps", "guidance", "guide", "eta", "variance")
    return Sampling(**{name: getattr(chosen, name) for name in names}, strength=strength)


def read_start(path: Path, size: int) -> np.ndarray:
    """The centre square of a picture, uint8 S x S x 3."""
    from pipeline.images import PictureError, open_picture, shrink_and_crop

    try:
        return shrink_and_crop(open_picture(path), size)
    except PictureError as error:
        raise PipelineError(f"--from {path}: {error}") from None


def seeds_of(seed: int, between: tuple[int, int] | None, count: int) -> list[Seed]:
    from pipeline.diffusion.samplers import Between

    if between is None:
        return [seed + i for i in range(count)]
    return [Between(*between, i / max(count - 1, 1)) for i in range(count)]


def draw(
    model: Model,
    labels: Any,
    seeds: list[Seed],
    how: Sampling,
    start: np.ndarray | None,
    strip: bool,
    film: bool,
    advance: Callable[[int], Any],
) -> list[list[np.ndarray]]:
    """For each picture of a batch its frames, uint8 S x S x 3; the last is the picture."""
    from pipeline.diffusion.sampling import frame_places
    from pipeline.model import as_pixels, unit

    steps = len(how.levels(model.denoiser.schedule)) - 1
    wanted = {steps - 1, *frame_places(steps, FILM if film else STRIP if strip else 1)}
    taken = [
        as_pixels(unit(step))
        for place, step in enumerate(model.walk(labels, seeds, how, start))
        if place in wanted
    ]
    advance(len(labels))
    return [list(frames) for frames in zip(*taken, strict=True)]


def notes_of(
    model: Model, run_id: str, labels: list[int], seeds: list[Seed], how: Sampling
) -> list[dict[str, Any]]:
    """What each picture's file says of itself, see ``pipeline.stamp``."""
    from pipeline.stamp import note_of

    return [
        note_of(
            model.info,
            run_id,
            model.classes[label],
            seed if isinstance(seed, int) else f"{seed.first} to {seed.second}, {seed.share:.4g}",
            how,
        )
        for label, seed in zip(labels, seeds, strict=True)
    ]


def write(
    frames: list[list[np.ndarray]],
    first: int,
    fname: str,
    strip: bool,
    notes: list[dict[str, Any]],
) -> list[Path]:
    """A file for each picture, numbered from ``first``, and one for its way from noise."""
    from pipeline.diffusion.sampling import frame_places
    from pipeline.evaluation.montage import filmstrip, write_png

    paths = [Path(f"{fname}{first + i}.png") for i in range(len(frames))]
    with writing(fname):
        for path, taken, note in zip(paths, frames, notes, strict=True):
            write_png(path, taken[-1], note)
            if strip:
                shown = [taken[place] for place in frame_places(len(taken), STRIP)]
                write_png(path.with_name(f"{path.stem}_timesteps.png"), filmstrip(shown))
    return paths


@contextmanager
def writing(fname: str) -> Iterator[None]:
    """A place that cannot be written to, or a film beyond its format, is one line."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise PipelineError(f"--fname {fname}: cannot be written: {error}") from None


def write_together(
    frames: list[list[np.ndarray]],
    labels: list[int],
    classes: list[str],
    fname: str,
    sheet: bool,
    film: bool,
) -> None:
    """All pictures on one sheet, still or in motion."""
    import numpy as np

    from pipeline.evaluation.montage import sample_grid, write_film, write_png

    def grid(place: int) -> np.ndarray:
        images = np.stack([taken[place] for taken in frames])
        return sample_grid(images, np.array(labels), classes, wrap=COLUMNS)

    with writing(fname):
        if sheet:
            write_png(Path(f"{fname}_sheet.png"), grid(-1))
            click.echo(f"{fname}_sheet.png")
        if film:
            write_film(Path(f"{fname}.webp"), [grid(place) for place in range(len(frames[0]))])
            click.echo(f"{fname}.webp")


def choose(
    classes: list[str], breeds: tuple[str, ...], count: int, turns: bool = True
) -> list[int]:
    """``count`` labels, the wanted breeds (all, if none is named) taking turns.

    Not ``turns``: the first alone, as a way between two seeds is one breed's.
    """
    for breed in breeds:
        if breed not in classes:
            raise ParamsError(
                f"--breed {breed}: the model does not know it; it knows {', '.join(classes)}"
            )
    wanted = [classes.index(breed) for breed in breeds] or list(range(len(classes)))
    return [wanted[i % len(wanted) if turns else 0] for i in range(count)]
