"""Equal minutes of training, then the same number of samples, held against held-out pictures."""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flagship import Candidate, Loaded

from pipeline.diffusion.samplers import to_uint8
from pipeline.diffusion.sampling import Sampling
from pipeline.evaluation.distances import distances
from pipeline.evaluation.montage import sample_grid, write_png
from pipeline.evaluation.plan import plan_samples
from pipeline.model import Architecture, Model
from pipeline.workspace import atomic_write, write_json
from training_parts.ours import Trained, load
from training_parts.peers import Lucidrains, quiet
from training_parts.pieces import Pieces
from training_parts.race import Contender, allow
from training_parts.seed004 import Seed004

FLAGSHIP, LUCID, SEED = "flagship", "lucidrains", "seed 004"
DRAWN = 64  # samples a batch of the peers
SHOWN = 12


class Long:
    """A peer's long training: it goes on where it stopped, and its seconds are counted.

    Only training counts: not the start, not the saving.

    Args:
        make: the contender, fresh. keep, take: save to and load from a file, its own way.
    """

    def __init__(
        self,
        folder: Path,
        make: Callable[[], Any],
        keep: Callable[[Any, Path], None],
        take: Callable[[Any, Path], None],
    ) -> None:
        self.folder, self.make, self.keep, self.take = folder, make, keep, take
        self.done: dict[str, Any] = {"seconds": 0.0, "images": 0, "state": None}
        if self.record.is_file():
            self.done = json.loads(self.record.read_text())

    @property
    def record(self) -> Path:
        return self.folder / "trained.json"

    def contender(self) -> Any:
        """As it stood when it was last saved."""
        one = self.make()
        allow(one.tf32)
        if self.done["state"] is not None:
            self.take(one, self.folder / self.done["state"])
            torch.manual_seed(self.done["images"])  # not the first piece's order and noise again
        return one

    def train(self, seconds: float, left: float) -> bool:
        """Train up to ``seconds`` in all, for at most ``left`` now. Whether that is reached."""
        if self.done["seconds"] >= seconds:
            return True
        one = self.contender()
        spent, images = self.done["seconds"], self.done["images"]
        until = min(seconds, spent + max(left, 0.0))
        while spent < until:
            started = time.perf_counter()
            images += one.advance()
            spent += time.perf_counter() - started
        state = f"state-{images}"  # a new name each time: a save that dies harms nothing
        self.keep(one, self.folder / state)
        before = self.done["state"]
        self.done = {"seconds": spent, "images": images, "state": state}
        write_json(self.record, self.done)
        if before is not None and before != state:
            (self.folder / before).unlink(missing_ok=True)
        return spent >= seconds


# --------------------------------------------------------------------------- each one's way


def keep_seed(one: Seed004, path: Path) -> None:
    with atomic_write(path) as file:
        torch.save(one.state(), file)


def take_seed(one: Seed004, path: Path) -> None:
    one.restore(torch.load(path, one.device, weights_only=True))


def keep_lucidrains(one: Lucidrains, path: Path) -> None:
    """By its own ``save``, which names its file after a milestone."""
    with quiet():
        one.trainer.save("bench")
    (one.trainer.results_folder / "model-bench.pt").replace(path)


def take_lucidrains(one: Lucidrains, path: Path) -> None:
    here = one.trainer.results_folder / "model-bench.pt"
    here.unlink(missing_ok=True)
    here.symlink_to(path.resolve())
    with quiet():
        one.trainer.load("bench")
    here.unlink()


def draw_lucidrains(one: Lucidrains, count: int, seed: int) -> np.ndarray:
    """By its own sampler, from its average: DDIM in its README's number of steps."""
    torch.manual_seed(seed)
    mixed = one.facts["arithmetic"] != "fp32"
    autocast = torch.autocast("cuda", torch.float16) if mixed else contextlib.nullcontext()
    with quiet(), autocast, torch.inference_mode():
        images = one.trainer.ema.ema_model.eval().sample(batch_size=count)
    return to_uint8(images.float() * 2 - 1).permute(0, 2, 3, 1).cpu().numpy()


def draw_seed(data: Trained, one: Seed004, count: int, seed: int, steps: int) -> np.ndarray:
    """By ancestral sampling as it does (variance beta), from its average; mended as our preset
    says: independent noise, and the clean estimate clipped in place of the noisy picture."""
    params = load("seed-004", data, [])
    denoiser = Architecture.of(params, data.size, data.classes).build().to(data.device)
    denoiser.net = one.average
    model = Model(denoiser, data.classes, data.size, {}, data.device)
    labels = torch.zeros(count, dtype=torch.int64)
    how = Sampling("ddpm", steps, variance="beta")
    return model.sample(labels, range(seed, seed + count), how, batch_size=count)


# --------------------------------------------------------------------------- the comparison


class Quality:
    """(5) Flagship, lucidrains' Trainer and seed 004's own loop, each for equal minutes.

    Args:
        options: of the bench; ``minutes``, ``samples``, ``peer_steps``, ``small``.
        pictures: training and held-out pictures.
    """

    def __init__(
        self, options: argparse.Namespace, pictures: Loaded, data: Trained, found: dict[str, Any]
    ) -> None:
        self.options, self.data, self.pictures = options, data, pictures
        asked = f"{options.preset}-{options.minutes:g}-{options.samples}-{options.peer_steps}"
        self.folder = data.work / f"quality-{asked}"
        ways = {"labels": (options.guidance, "labels")}
        its = argparse.Namespace(**{**vars(options), "work": self.folder, "ways": ways})
        self.flagship = Candidate(options.preset, pictures, its, data.device)
        small, steps = options.small, 16 if data.device.type == "cuda" else 1

        def seed() -> Contender:
            return Seed004(SEED, data, 16, 8 if small else 64, steps)

        self.peers = {SEED: Long(self._folder(SEED), seed, keep_seed, take_seed)}
        module = found.get("denoising_diffusion_pytorch")
        if module is not None:
            width, batch, parts = (8, 16, 1) if small else (64, 32, 2)

            def lucid() -> Contender:
                return Lucidrains(
                    LUCID, module, data, batch, width, steps, parts, options.peer_steps
                )

            own = Long(self._folder(LUCID), lucid, keep_lucidrains, take_lucidrains)
            self.peers[LUCID] = own

    def _folder(self, name: str) -> Path:
        folder = self.folder / name.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def run(self, pieces: Pieces) -> dict[str, Any]:
        """All of it, as far as the time goes (``MoreToDo``)."""
        pieces = pieces.within(self.folder)
        pieces.do(FLAGSHIP, lambda: self._train_flagship(pieces.rest))
        for name, peer in self.peers.items():
            pieces.do(name, lambda peer=peer: self._train(peer, pieces.rest))
        names = [FLAGSHIP, *self.peers]
        for name in names:
            self._draw(name, pieces)
        return pieces.do("figures", lambda: self._measure(names))

    def _train_flagship(self, left: float) -> dict[str, Any] | None:
        return {"trained": True} if self.flagship.train(left) else None

    def _train(self, peer: Long, left: float) -> dict[str, Any] | None:
        return peer.done if peer.train(self.options.minutes * 60, left) else None

    def _draw(self, name: str, pieces: Pieces) -> None:
        """The samples of one contender, a batch a piece."""
        drawer = cache(lambda: self._drawer(name))  # built once something is to be drawn

        def work(start: int) -> dict[str, Any]:
            count = min(DRAWN, self.options.samples - start)
            with atomic_write(self._samples(name, start)) as file:
                np.save(file, drawer()(start, count))
            return {"drawn": count}

        for start in range(0, self.options.samples, DRAWN):
            pieces.do(f"{name} {start}", lambda start=start: work(start))

    def _samples(self, name: str, start: int) -> Path:
        return self._folder(name) / f"samples-{self.options.samples}-{start}.npy"

    def _drawer(self, name: str) -> Callable[[int, int], np.ndarray]:
        if name == FLAGSHIP:
            return self._flagship_drawer()
        one = self.peers[name].contender()
        if name == LUCID:
            return lambda start, count: draw_lucidrains(one, count, start)
        return lambda start, count: draw_seed(self.data, one, count, start, self.options.peer_steps)

    def _flagship_drawer(self) -> Callable[[int, int], np.ndarray]:
        model = self.flagship.model()
        chosen = self.flagship.params.evaluate
        how = Sampling(chosen.sampler, chosen.steps, self.options.guidance)
        counts = np.bincount(self.data.labels, minlength=len(self.data.classes))
        plan = plan_samples(counts, self.options.samples, 0, 0)
        # In another order, so that a batch and the pictures shown are of all breeds.
        order = np.random.default_rng(0).permutation(len(plan.labels))

        def draw(start: int, count: int) -> np.ndarray:
            some = order[start : start + count]
            seeds = [plan.seeds[k] for k in some]
            return model.sample(torch.from_numpy(plan.labels[some]), seeds, how, count)

        return draw

    def _measure(self, names: list[str]) -> dict[str, Any]:
        held = self.pictures.part(True).images
        train = np.random.default_rng(0).permutation(self.data.images)[: self.options.samples]
        drawn = {name: self._all(name) for name in names}
        figures = {name: distances(images, held) for name, images in drawn.items()}
        figures["training pictures"] = distances(train, held)
        shown = np.concatenate([images[:SHOWN] for images in [*drawn.values(), train]])
        titles = [*names, "training pictures"]
        rows = np.repeat(np.arange(len(titles)), min(SHOWN, self.options.samples))
        path = self.folder / "grid.png"
        write_png(path, sample_grid(shown, rows, titles, scale=1))
        return {
            "grid": str(path),
            "figures": figures,
            "samples": self.options.samples,
            "held_out": len(held),
            "trained": {name: self._trained(name) for name in names},
        }

    def _all(self, name: str) -> np.ndarray:
        starts = range(0, self.options.samples, DRAWN)
        return np.concatenate([np.load(self._samples(name, start)) for start in starts])

    def _trained(self, name: str) -> dict[str, Any]:
        if name == FLAGSHIP:
            plan = self.flagship.plan()
            return {"seconds": plan["seconds"], "images": plan["images"]}
        done = self.peers[name].done
        return {"seconds": done["seconds"], "images": done["images"]}
