"""How fast and how well our Trainer trains, beside seed 004's loop, lucidrains' and diffusers'.

    python bench/training.py --data PICTURES [--peers FOLDER] [--quick]

PICTURES is what bench/flagship.py takes: a folder of class folders, a packed data set, or an .npz
that its ``--pack`` made. Measured are (1) seed 004's net in its own loop and in ours, (2) ours
against lucidrains' Trainer and the loop of diffusers' unconditional example, nets of equal cost,
(3) the share of the measured matmul peak and where the time goes, (4) each lever of the engine
alone, streamed data among them, (5) quality after equal minutes. On a CPU everything is smaller,
with ``--quick`` tiny. It works in pieces of under ten minutes: while there is more to do it says so
and ends with code 3, and the same command goes on. Only a whole run that is not quick is added,
dated, to bench/results/; any other report stays in --work.

The peers are the extra ``bench``; where nothing can be installed they are found in a folder made by
``pip install --no-deps --target FOLDER denoising-diffusion-pytorch ema-pytorch einops accelerate
diffusers huggingface-hub``. A missing one takes no part, and the report says so.
Ours needs torch, torchvision, numpy, pillow, pandas, safetensors and tqdm, and no installation.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import sys
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

import torch  # noqa: E402
from flagship import CANDIDATES, Loaded, load_pictures, machine_name  # noqa: E402
from training_parts import peers, report, speed, use  # noqa: E402
from training_parts.ours import Trained  # noqa: E402
from training_parts.pieces import MoreToDo, Pieces  # noqa: E402
from training_parts.quality import Quality  # noqa: E402

from pipeline.devices import resolve_device  # noqa: E402
from pipeline.errors import run_cleanly  # noqa: E402
from pipeline.progress import progress  # noqa: E402
from pipeline.workspace import write_json, write_text  # noqa: E402

MORE = 3  # exit code while there is more to do
SECTIONS = ("seed", "peers", "use", "levers", "quality")
PACKAGES = ("torch", "torchvision", "denoising-diffusion-pytorch", "accelerate", "diffusers")


def main() -> None:
    options = arguments()
    if options.data is None:
        print("training: give --data, as --data data/dataset; on a GPU it means most")
        return
    torch.set_num_threads(options.threads or torch.get_num_threads())
    device = resolve_device(options.device, "--device")
    pictures = load_pictures(options.data, options.size, options.work)
    data = prepare(pictures, device, options)
    pieces = Pieces(data.work, options.piece, options.longest)
    found, absent = peers.find(options.peers)
    results: dict[str, Any] = {"absent": absent}
    try:
        for section in options.only or SECTIONS:
            results[section] = measure(section, pieces, pictures, data, found, options)
    except MoreToDo:
        print("more to do: run the same command again")
        sys.exit(MORE)
    finish(results, pictures, data, options)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, help="the pictures, see above; without them nothing is done")
    add("--peers", type=Path, help="a folder that holds the peers, where they are not installed")
    add("--quick", action="store_true", help="little of everything, to try it out")
    add("--only", nargs="+", choices=SECTIONS, help="these sections")
    add("--minutes", type=float, help="training time of each in quality (25; quick 0.1)")
    add("--samples", type=int, help="drawn of each in quality (2048; quick 16)")
    add("--peer-steps", type=int, help="steps of the peers' samples (250; quick 5)")
    add("--guidance", type=float, default=1.5, help="strength of the flagship's")
    add("--preset", choices=CANDIDATES, default="dogs", help="the flagship")
    add("--size", type=int, default=64, help="side of the pictures")
    add("--piece", type=float, default=180, help="seconds after which no new work is begun")
    add("--longest", type=float, default=480, help="seconds after which a training is interrupted")
    add("--work", type=Path, default=ROOT / ".cache" / "training-bench", help="what is remembered")
    add("--output", type=Path, default=ROOT / "bench" / "results")
    add("--device", default="auto")
    add("--threads", type=int, default=0, help="of the CPU; 0: as torch chooses")
    options = parser.parse_args()
    little = options.quick
    options.small = little  # flagship.py's name for it
    options.minutes = options.minutes or (0.1 if little else 25)
    options.samples = options.samples or (16 if little else 2048)
    options.peer_steps = options.peer_steps or (5 if little else 250)
    return options


def prepare(pictures: Loaded, device: torch.device, options: argparse.Namespace) -> Trained:
    """The training pictures, in memory and as files; results of other pictures lie elsewhere."""
    train = pictures.part(False)
    digest = hashlib.sha256(np.ascontiguousarray(train.images).data).hexdigest()
    about = [digest, device.type, torch.__version__, torch.get_num_threads(), options.quick]
    key = hashlib.sha256(repr(about).encode()).hexdigest()[:12]
    folder = options.work / f"pictures-{digest[:12]}"
    write_files(train.images, train.labels, pictures.classes, folder)
    work = options.work / f"{device.type}-{key}"
    return Trained(train.images, train.labels, pictures.classes, folder / "all", device, work)


def write_files(images: np.ndarray, labels: np.ndarray, classes: list[str], folder: Path) -> None:
    """The pictures as PNG in class folders, for those that read files. Written once."""
    done = folder / "written"
    if done.is_file():
        return
    for name in classes:
        (folder / "all" / name).mkdir(parents=True, exist_ok=True)
    pairs = zip(images, labels.tolist(), strict=True)
    for k, (image, label) in enumerate(progress(list(pairs), "write", "pictures")):
        Image.fromarray(image).save(folder / "all" / classes[label] / f"{k:06d}.png")
    done.touch()


def scale_of(device: torch.device, options: argparse.Namespace) -> speed.Scale:
    if options.quick:
        return speed.QUICK
    return speed.GPU if device.type == "cuda" else speed.CPU


def measure(
    section: str,
    pieces: Pieces,
    pictures: Loaded,
    data: Trained,
    found: dict[str, Any],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """One section, piece by piece."""
    scale = scale_of(data.device, options)
    if section == "seed":
        return pieces.do("seed", lambda: speed.against_seed(scale, data))
    if section == "peers":
        return {peer: against(peer, pieces, scale, data, found) for peer in found}
    if section == "use":
        return {
            name: pieces.do(f"use {name}", lambda name=name: use.use_of(scale, data, name))
            for name in scale.presets
        }
    if section == "levers":
        return {
            name: pieces.do(f"lever {name}", lambda name=name: speed.lever(scale, data, name))
            for name in speed.LEVERS
        }
    return Quality(options, pictures, data, found).run(pieces)


def against(
    peer: str, pieces: Pieces, scale: speed.Scale, data: Trained, found: dict[str, Any]
) -> dict[str, Any]:
    sizes = pieces.do(f"sizes {peer}", lambda: speed.equal_sizes(scale, data, peer, found))
    race = pieces.do(f"peer {peer}", lambda: speed.against_peer(scale, data, peer, found, sizes))
    return {"sizes": sizes, "race": race}


# --------------------------------------------------------------------------- report


def finish(
    results: dict[str, Any], pictures: Loaded, data: Trained, options: argparse.Namespace
) -> None:
    """Report, figures and grid: dated in --output after a whole run, else in --work."""
    slug = re.sub(r"[^a-z0-9]+", "-", machine_name(data.device).lower()).strip("-")
    whole = not options.quick and options.only is None
    folder = options.output if whole else data.work / "report"
    stem = folder / f"{date.today()}-training-{slug}"
    grid = Path(f"{stem}.png")
    sections = parts(results, data.device.type == "cuda", grid.name)
    lines = [*heading(pictures, data, options)]
    lines += report.wanted([one for part in sections for one in part.demands])
    for part in sections:
        lines += part.lines
    text = "\n".join(lines)
    write_text(Path(f"{stem}.md"), text)
    write_json(Path(f"{stem}.json"), results)
    if "quality" in results:
        shutil.copy(results["quality"]["grid"], grid)
    print(text)
    print(f"{stem}.md")


def parts(results: dict[str, Any], gpu: bool, grid: str) -> list[report.Part]:
    made = {
        "seed": lambda one: report.seed_part(one, gpu),
        "peers": lambda one: report.peers_part(one, results["absent"], gpu),
        "use": lambda one: report.use_part(one, gpu),
        "levers": lambda one: report.levers_part(one, gpu),
        "quality": lambda one: report.quality_part(one, grid),
    }
    return [make(results[name]) for name, make in made.items() if name in results]


def heading(pictures: Loaded, data: Trained, options: argparse.Namespace) -> list[str]:
    versions = [f"{name} {version(name)}" for name in PACKAGES]
    return [
        f"# Training, {date.today()}",
        "",
        f"{machine_name(data.device)}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, {', '.join(versions)}. "
        f"{len(data.images):,} pictures of {len(data.classes)} classes to train on, "
        f"{int(pictures.held.sum()):,} held out {pictures.how_split}, {data.size} pixels. "
        "Contenders take turns in one run; images a second are medians (least to most), ratios are "
        "medians of the rounds. "
        f"Load at the end: {os.getloadavg()[0]:.1f}."
        + (" **Tiny: this shows that the bench works, nothing else.**" * options.quick),
        "",
    ]


def version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


if __name__ == "__main__":
    run_cleanly(main)
