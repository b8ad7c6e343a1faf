"""``pipeline export``: the trained net for use elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.common import example
from pipeline.errors import PipelineError
from pipeline.workspace import Workspace


@click.command(
    epilog=example(
        "pipeline export --to exported",
        "pipeline export --to exported --format safetensors,torch --model models:/dogs@champion",
    )
)
@click.option(
    "--to", "target", required=True, type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to.",
)  # fmt: skip
@click.option(
    "--format", "formats", help="Of these, with commas: safetensors, onnx, torch. [what can be]"
)
@click.option("--model", "name", metavar="MODEL", help="As of `pipeline generate`. [models/]")
def export(target: Path, formats: str | None, name: str | None) -> None:
    """Write a model as safetensors and config, as ONNX and as a torch.export program.

    Each is loaded again and compared with the source net on random inputs before it is kept. ONNX
    needs more packages: pip install '.[export]'.
    """
    from pipeline.export import FORMATS, INSTALL, check_formats, export, missing
    from pipeline.model_names import find_model

    if formats is None:
        wanted = [form for form in FORMATS if not missing(form)]
    else:
        wanted = list(dict.fromkeys(part.strip() for part in formats.split(",")))
    check_formats(wanted)
    folder = find_model(Workspace.find(), name)
    try:
        for done in export(folder, target, wanted):
            click.echo(f"{target}: {done}")
    except OSError as error:
        raise PipelineError(f"--to {target}: cannot be written: {error}") from None
    for form in FORMATS:
        if formats is None and form not in wanted:
            click.echo(f"no {form}, which needs {', '.join(missing(form))}: {INSTALL}", err=True)
