"""``pipeline scrape``, ``dedupe``, ``resize``, ``train``, ``evaluate``: one stage each."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline import params as schema
from pipeline.commands.common import assign, example, given, run_stage, set_option, show_metrics
from pipeline.errors import ParamsError
from pipeline.params import LICENSES
from pipeline.workspace import Workspace


@click.command(
    epilog=example(
        "pipeline scrape --breeds 26",
        "pipeline scrape --breed beagle --images 20",
        "pipeline scrape --source commons=200 --source bing=300 --license cc",
    )
)
@click.option("--breeds", type=int, metavar="N", help="Take N breeds from the top of breeds.yaml.")
@click.option("--breed", "named", multiple=True, metavar="NAME", help="Take this breed (repeat).")
@click.option("--images", type=int, metavar="N", help="Pictures wanted per breed and source.")
@click.option(
    "--source",
    "quotas",
    multiple=True,
    metavar="NAME[=N]",
    help="Take N pictures a breed from this source (repeat); see `pipeline sources`.",
)
@click.option(
    "--license",
    "licence",
    type=click.Choice(LICENSES),
    help="cc: only pictures said to be under a Creative Commons licence or in the public domain.",
)
@click.option("--refresh", is_flag=True, help="Search again where results are still remembered.")
@click.option("--gallery-url", metavar="URL", help="Scrape a gallery that is already running.")
@click.option(
    "--gallery-images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Let the embedded gallery serve this folder of pictures.",
)
@set_option
def scrape(
    breeds: int | None,
    named: tuple[str, ...],
    images: int | None,
    quotas: tuple[str, ...],
    licence: str | None,
    refresh: bool,
    gallery_url: str | None,
    gallery_images: Path | None,
    assignments: tuple[str, ...],
) -> None:
    """Find and download pictures of breeds into data/raw.

    Stopped and started again, it goes on where it was.
    """
    if breeds is not None and named:
        raise ParamsError("--breeds counts from the list, --breed names: give one of the two")
    overrides = given(
        {
            "scrape.breeds": list(named) or breeds,
            "scrape.license": licence,
            "scrape.gallery.url": gallery_url,
            "scrape.gallery.images": str(gallery_images.resolve()) if gallery_images else None,
        }
    )
    overrides += assignments
    if quotas or images is not None:
        known = schema.load(Workspace.find().params, overrides).scrape.sources
        overrides.append(assign("scrape.sources", mix(quotas, images, known)))
    run_stage("scrape", overrides, **({"refresh": True} if refresh else {}))


def mix(quotas: tuple[str, ...], images: int | None, known: dict[str, int]) -> dict[str, int]:
    """How many pictures from which source: ``--source`` names them, ``--images`` fills in."""
    if not quotas:
        return {name: count if images is None else images for name, count in known.items()}
    sources = {}
    for text in quotas:
        name, equals, number = text.partition("=")
        if equals and not number.isdecimal():
            raise ParamsError(f"--source {text}: expected NAME or NAME=N, as commons=200")
        usual = max(known.values(), default=100)
        sources[name] = (
            int(number) if equals else known.get(name, usual) if images is None else images
        )
    return sources


@click.command(
    epilog=example("pipeline dedupe", "pipeline dedupe --input ~/Pictures --output decisions.csv")
)
@click.option(
    "--input",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Judge the pictures of this folder in place of data/raw.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the decisions about --input to this CSV file.",
)
@set_option
def dedupe(folder: Path | None, output: Path | None, assignments: tuple[str, ...]) -> None:
    """Decide about every picture in data/raw: keep, or drop and why.

    Nothing is deleted; data/clean/review.html shows the decisions. With --input and --output it
    works on any folder and touches nothing else.
    """
    if (folder is None) != (output is None):
        raise ParamsError("--input and --output belong together: give both or none")
    if folder is None or output is None:
        run_stage("dedupe", assignments)
    else:
        judge_folder(folder, output, assignments)


def judge_folder(folder: Path, output: Path, assignments: tuple[str, ...]) -> None:
    from pipeline.cleaning.decide import decide_folder

    space = Workspace.find()
    params = schema.load(space.params, assignments)
    if params.dedupe.collage == "split":
        click.echo("only the CSV is written: collages are dropped, not split", err=True)
    show_metrics(str(folder), decide_folder(folder, output, params.dedupe, cache=space.cache))
    click.echo(f"wrote {output}", err=True)


@click.command(epilog=example("pipeline resize", "pipeline resize -S resize.held_out=0.2"))
@set_option
def resize(assignments: tuple[str, ...]) -> None:
    """Pack the kept pictures into one array of squares: data/dataset."""
    run_stage("resize", assignments)


@click.command(
    epilog=example("pipeline train -S scheduler=cosine", "pipeline train -S train.lr=1e-4 --fresh")
)
@click.option("--fresh", is_flag=True, help="Forget the checkpoints of an interrupted training.")
@set_option
def train(fresh: bool, assignments: tuple[str, ...]) -> None:
    """Train the generator on data/dataset, into models/.

    Interrupted (Ctrl-C, kill, power), the same command goes on from the last checkpoint.
    """
    run_stage("train", assignments, fresh=fresh)


@click.command(epilog=example("pipeline evaluate", "pipeline evaluate -S evaluate.steps=50"))
@set_option
def evaluate(assignments: tuple[str, ...]) -> None:
    """Sample from models/ and measure the samples, into reports/."""
    run_stage("evaluate", assignments)
