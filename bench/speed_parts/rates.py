"""CPU time of each way to look at the pictures of a folder: python rates.py FOLDER ROUNDS

One process, one thread. The ways take turns on blocks of pictures, so that whatever else the
machine does slows all of them alike. Prints JSON: way -> CPU milliseconds a picture, one for each
round; a way that is not installed is left out.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from PIL import Image

from pipeline.cleaning import hashing, measure, seams
from pipeline.cleaning.glance import NO_FRAME, glance
from pipeline.images import DRAFT, MAX_PIXELS, read_picture, shrink_and_crop

BLOCK = 20
Way = Callable[[list[Path]], None]


def hashes(greys: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    """Of the wholes and of every window, mirrored too: 32 for a picture."""
    low = hashing.coefficients(np.stack([whole for whole, _, _ in greys]))
    hashing.codes(low), hashing.codes(hashing.mirrored(low))
    middles = np.stack([middle for _, _, middle in greys])
    for window in hashing.WINDOWS:
        low = hashing.part_coefficients(middles, window)
        hashing.codes(low), hashing.codes(hashing.mirrored(low))


def ours(paths: list[Path], evidence: str = "none") -> None:
    """One decode; all hashes and the 64x64; on demand the evidence of joins: of what a first look
    does not clear ("asked for"), or of all."""
    greys = []
    for path in paths:
        image = read_picture(path, draft=DRAFT).image
        grey = image.convert("L")
        if evidence == "none":
            small, frame = grey.resize((256, 256), Image.Resampling.BOX), NO_FRAME
        else:
            look = glance(image)
            small, frame = measure._small(grey, look.squashed), look.frame
            if look.suspect or evidence == "all":
                seams.evidence(image)
        greys.append(measure._greys(grey, small, frame))
        shrink_and_crop(image, measure.SQUARE)
    hashes(greys)


def ours_with_evidence(paths: list[Path]) -> None:
    ours(paths, "asked for")


def ours_with_all_evidence(paths: list[Path]) -> None:
    ours(paths, "all")


def ours_everything(paths: list[Path]) -> None:
    """The row of the cache (quality, thumbnail, ...) and the hashes."""
    rows = [measure.measure((str(path), MAX_PIXELS)) for path in paths]
    looks = measure.unpack_greys([row["greys"] for row in rows])
    hashes(list(zip(looks.whole, looks.trim, looks.middle, strict=True)))


def imagehash_loop(paths: list[Path]) -> None:
    for path in paths:
        with Image.open(path) as image:
            imagehash.phash(image)


def imagehash_and_square(paths: list[Path]) -> None:
    """The same work as ours by hand: a hash, its mirrored one, and the 64x64, from one decode."""
    for path in paths:
        with Image.open(path) as image:
            whole = image.convert("RGB")
        imagehash.phash(whole)
        imagehash.phash(whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        shrink_and_crop(whole, measure.SQUARE)


def floor(paths: list[Path]) -> None:
    """What any pHash that equals imagehash's needs from Pillow: decode, grey, 32x32."""
    for path in paths:
        with Image.open(path) as image:
            image.convert("L").resize((32, 32), Image.Resampling.LANCZOS)


def imagededup_encode() -> Way:
    from imagededup.methods import PHash

    hasher = PHash(verbose=False)

    def run(paths: list[Path]) -> None:
        for path in paths:
            hasher.encode_image(image_file=str(path))

    return run


def cleanvision(issues: dict[str, Any] | None) -> Way:
    from cleanvision import Imagelab

    def run(paths: list[Path]) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            lab = Imagelab(filepaths=[str(path) for path in paths])
            lab.find_issues(issues, n_jobs=1, verbose=False)

    return run


def ways() -> dict[str, Way]:
    found: dict[str, Way] = {
        "ours": ours,
        "ours with evidence": ours_with_evidence,
        "ours with evidence of every picture": ours_with_all_evidence,
        "ours, all that is measured": ours_everything,
        "imagehash": imagehash_loop,
        "imagehash, mirrored, 64x64": imagehash_and_square,
        "floor": floor,
    }
    if importlib.util.find_spec("imagededup"):
        import torch  # imagededup brings it; its threads would count as CPU time

        torch.set_num_threads(1)
        found["imagededup"] = imagededup_encode()
    if importlib.util.find_spec("cleanvision"):
        found["CleanVision, copies only"] = cleanvision(
            {"exact_duplicates": {}, "near_duplicates": {}}
        )
        found["CleanVision, all checks"] = cleanvision(None)
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    paths, rounds = sorted(Path(sys.argv[1]).glob("*.jpg")), int(sys.argv[2])
    found = ways()
    for way in found.values():
        way(paths[:BLOCK])  # imports, caches
    spent: dict[str, list[float]] = {name: [0.0] * rounds for name in found}
    for turn in range(rounds):
        for start in range(0, len(paths), BLOCK):
            for name, way in found.items():
                before = time.process_time()
                way(paths[start : start + BLOCK])
                spent[name][turn] += time.process_time() - before
    print(json.dumps({n: [1000 * s / len(paths) for s in each] for n, each in spent.items()}))


if __name__ == "__main__":
    main()
