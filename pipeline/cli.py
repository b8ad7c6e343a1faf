"""``pipeline``: the commands put together. What they do lies in ``pipeline/commands``."""

from __future__ import annotations

import os
import sys

import click

from pipeline.commands.check import doctor
from pipeline.commands.common import SETTINGS, Group, example
from pipeline.commands.compare import compare
from pipeline.commands.deliver import deliver
from pipeline.commands.export import export
from pipeline.commands.files import import_, list_params, preset
from pipeline.commands.generate import generate
from pipeline.commands.lineage import lineage
from pipeline.commands.model import model
from pipeline.commands.reconstruct import reconstruct
from pipeline.commands.runs import ui
from pipeline.commands.site import gallery
from pipeline.commands.sources import sources
from pipeline.commands.stages import dedupe, evaluate, resize, scrape, train
from pipeline.errors import fail, run_cleanly


@click.group(
    cls=Group,
    context_settings=SETTINGS,
    epilog=example("dvc repro", "pipeline generate -n 3", "pipeline train -h"),
)
def cli() -> None:
    """From a list of breeds to an audited, conditional image generator.

    `dvc repro` runs all five stages and records them; these commands run one thing at a time.
    """


STAGES = (scrape, dedupe, resize, train, evaluate)
TOOLS = (
    generate,
    reconstruct,
    model,
    import_,
    preset,
    list_params,
    sources,
    ui,
    compare,
    lineage,
    export,
    deliver,
    gallery,
    doctor,
)
for command in (*STAGES, *TOOLS):
    cli.add_command(command)


def main() -> None:
    """Entry point: every failure a user can mend is one line and an exit code."""
    run_cleanly(_main)


def _main() -> None:
    try:
        # Not click's standalone mode: it would print usage errors over three lines.
        code = cli.main(prog_name="pipeline", standalone_mode=False)
    except click.UsageError as error:
        where = f"{error.ctx.command_path} -h" if error.ctx else "pipeline -h"
        fail(f"{error.format_message().rstrip('.')}; see `{where}`", 2)
    except click.ClickException as error:
        fail(error.format_message(), error.exit_code)
    except click.Abort:
        fail("stopped by Ctrl-C", 130)
    except BrokenPipeError:  # `pipeline params | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    if isinstance(code, int):
        sys.exit(code)


if __name__ == "__main__":
    main()
