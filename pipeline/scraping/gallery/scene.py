"""Backgrounds and light: soft, low-frequency places for a dog to stand in.

A scene is described in frame units: the centre of the picture is (0, 0), its shorter side is 1, x
runs right and y down. It is painted small and enlarged, which is what a wide-open lens does to a
background anyway. Horizons are wavy and soft: a straight edge from side to side would look like the
seam of a collage.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.scraping.gallery.field import rgb

PAINTED = 88  # shorter side of the small painting
DAPPLE = 0.12  # mean height of each ripple of light and shade


class Blob(NamedTuple):
    """A soft ellipse of one colour; ``soft`` is the width of its edge in radii."""

    x: float
    y: float
    rx: float
    ry: float
    colour: str
    soft: float
    strength: float


@dataclass(frozen=True)
class Scene:
    """One place and its light."""

    kind: str
    upper: tuple[str, str]  # colours of the sky or wall: at the top, at the horizon
    lower: tuple[str, str]  # colours of the ground: at the horizon, at the bottom
    horizon: float  # y of the horizon
    waves: tuple[float, float, float]  # tilt, height and phase of its waves
    softness: float
    far: tuple[Blob, ...]  # clouds, hills, bushes, furniture: the ground hides their feet
    props: tuple[Blob, ...]  # small things on the ground
    slant: tuple[float, float]  # how much brighter it gets to the right, to the bottom
    glow: tuple[float, float, float]  # a pool of light: x, y, strength
    dapple: tuple[tuple[float, float, float, float], ...]  # light and shade: fx, fy, phase, height
    exposure: float
    warmth: float


class _Place(NamedTuple):
    upper: tuple[tuple[str, str], ...]
    lower: tuple[tuple[str, str], ...]
    behind: tuple[str, ...]  # colours of large things at the horizon
    above: tuple[str, ...]  # colours of large things over it
    props: tuple[str, ...]  # colours of small things on the ground


PLACES: dict[str, _Place] = {
    "meadow": _Place(
        (("#8fc3ea", "#dcecf2"), ("#a9cfe6", "#f1ead2"), ("#7fa9d6", "#cfe2ee")),
        (("#a8c77a", "#6f9f4e"), ("#b9c877", "#7f9c48"), ("#93bb74", "#527f40")),
        ("#4f7a3e", "#6d9152", "#38603a", "#8aa763"),
        ("#ffffff", "#fff3cf", "#c3d9ea"),
        ("#d4503f", "#f0c23c", "#3f6f38", "#e9e4d2"),
    ),
    "beach": _Place(
        (("#7fbde0", "#d6ecee"), ("#9fcbe0", "#fbe6c8"), ("#6fa6cf", "#c4dfe8")),
        (("#efd9ab", "#d7b57c"), ("#e6cda0", "#c59f68"), ("#f3e3c1", "#dcc090")),
        ("#4f9fb5", "#3f86a8", "#7fbfc4", "#c9a774"),
        ("#ffffff", "#fff0c4", "#b5d7e6"),
        ("#e2574c", "#2f8fb0", "#f2c14e", "#a98256"),
    ),
    "snow": _Place(
        (("#b6cfe4", "#e6edf3"), ("#8fb1d0", "#d9e4ee"), ("#c5c9da", "#f0e6e2")),
        (("#e9f0f6", "#cfdde9"), ("#f3f5f8", "#b9cbdd"), ("#dfe8f1", "#c4d3e4")),
        ("#4d6a70", "#6f8c95", "#37545c", "#9db4c4"),
        ("#ffffff", "#ffe9d2", "#9fbcd6"),
        ("#c0453c", "#7d95a8", "#ffffff", "#5a7a86"),
    ),
    "studio": _Place(
        (("#8ea7a0", "#c2d0c8"), ("#c99a83", "#ecd0bd"), ("#7f8ba6", "#bcc5d6"),
         ("#b5a06f", "#e2d3a8"), ("#a58aa0", "#dcc8d4")),
        (("#c2d0c8", "#9db1aa"), ("#e6c6b2", "#c29079"), ("#b3bccf", "#78839d"),
         ("#dccb9d", "#a8945f"), ("#d3bccb", "#957b92")),
        ("#ffffff", "#5f6a74", "#e8ddd0"),
        ("#ffffff", "#f5e6d0", "#4f5a66"),
        ("#d9d2c7", "#6b6f78", "#c9745c"),
    ),
    "room": _Place(
        (("#e3d7c4", "#efe6d8"), ("#a9b8b1", "#c8d2cb"), ("#d8b9a4", "#ead6c6"),
         ("#93a3b8", "#bcc8d6")),
        (("#b98a5c", "#8f6440"), ("#c9a27a", "#a27a52"), ("#9c7a5e", "#735641")),
        ("#5f7f6a", "#8a5a48", "#48607a", "#c7a25a"),
        ("#fff6dc", "#7e8f86", "#f9efe2", "#6d6258"),
        ("#b6483c", "#3e6d8c", "#e0c48a", "#7c9a6a"),
    ),
    "autumn": _Place(
        (("#c9d3d6", "#f3e3c4"), ("#e0b98a", "#f6e3bd"), ("#a9bfc9", "#ecd9b8")),
        (("#cc9a52", "#99652f"), ("#b9944f", "#7d6a38"), ("#d6a860", "#a8743c")),
        ("#b5562a", "#8a6a34", "#d08a36", "#6d4f34"),
        ("#fff2d0", "#e8a850", "#f7e8d0"),
        ("#a63f26", "#e2b13f", "#5d4330", "#c96f2e"),
    ),
    "dusk": _Place(
        (("#7d88b8", "#f3b79a"), ("#9a86b4", "#f6cf9c"), ("#6f97b8", "#f2c8b4")),
        (("#a3937f", "#6f6a70"), ("#8d9a86", "#5f7168"), ("#b39a8c", "#7a6a70")),
        ("#545a78", "#6f6488", "#4a6068", "#8a6f7f"),
        ("#ffe2b8", "#f7a98a", "#c9b4d6"),
        ("#4f4a5c", "#e2a15c", "#6d8a80"),
    ),
}  # fmt: skip


def describe_scene(rng: random.Random, ground: float, subject_light: float) -> Scene:
    """A scene for a dog whose paws are at y = ``ground`` and whose coat is as bright as given.

    ``subject_light`` (0..1) steers the exposure away from a dog that melts into its background.
    """
    kind = rng.choice(sorted(PLACES))
    if kind == "snow" and subject_light > 0.75:
        kind = "meadow"
    place = PLACES[kind]
    horizon = ground - rng.uniform(0.06, 0.50)
    waves = (rng.uniform(-0.14, 0.14), rng.uniform(0.015, 0.055), rng.uniform(0, 6.28))
    side = rng.choice((-1, 1))
    slant = side * rng.uniform(0.10, 0.55)
    low, high = (0.66, 0.98) if subject_light > 0.7 else (0.82, 1.12)
    dapple = DAPPLE
    if subject_light < 0.25:
        # A black dog is most of what a hash sees; its surroundings must say more.
        low, high, dapple = 0.80, 1.14, 2.3 * DAPPLE
    return Scene(
        kind=kind,
        upper=rng.choice(place.upper),
        lower=rng.choice(place.lower),
        horizon=horizon,
        waves=waves,
        softness=rng.uniform(0.02, 0.07) if kind != "studio" else rng.uniform(0.12, 0.3),
        far=_far(rng, place, horizon, side),
        props=_props(rng, place, ground),
        slant=(slant, rng.uniform(-0.35, 0.30)),
        glow=(rng.uniform(-0.6, 0.6), rng.uniform(-0.5, 0.5), rng.uniform(0.0, 0.42)),
        dapple=tuple(_ripple(rng, dapple) for _ in range(6)),
        exposure=rng.uniform(low, high),
        warmth=rng.uniform(-0.06, 0.08),
    )


def _far(rng: random.Random, place: _Place, horizon: float, side: int) -> tuple[Blob, ...]:
    blobs = []
    for _ in range(rng.randint(0, 2)):  # clouds, the sun, a window's light
        wide = rng.uniform(0.12, 0.34)
        y = horizon - rng.uniform(0.15, 0.55)
        blobs.append(
            Blob(rng.uniform(-0.62, 0.62), y, wide, wide * rng.uniform(0.4, 1.0),
                 rng.choice(place.above), rng.uniform(0.7, 1.6), rng.uniform(0.5, 0.95))
        )  # fmt: skip
    for turn in range(rng.randint(1, 3)):  # bushes, hills, furniture
        where = side if turn == 0 else rng.choice((-1, 1))
        wide = rng.uniform(0.16, 0.46)
        blobs.append(
            Blob(where * rng.uniform(0.12, 0.66), horizon + rng.uniform(-0.10, 0.08), wide,
                 wide * rng.uniform(0.5, 1.3), rng.choice(place.behind), rng.uniform(0.3, 0.7),
                 rng.uniform(0.6, 0.95))
        )  # fmt: skip
    return tuple(blobs)


def _props(rng: random.Random, place: _Place, ground: float) -> tuple[Blob, ...]:
    blobs = []
    for _ in range(rng.randint(0, 2)):  # a ball, a rug, a stone
        small = rng.uniform(0.04, 0.10)
        blobs.append(
            Blob(rng.choice((-1, 1)) * rng.uniform(0.25, 0.5), ground + rng.uniform(-0.10, 0.06),
                 small, small * rng.uniform(0.6, 1.0), rng.choice(place.props),
                 rng.uniform(0.2, 0.4), rng.uniform(0.7, 1.0))
        )  # fmt: skip
    return tuple(blobs)


def _ripple(rng: random.Random, height: float) -> tuple[float, float, float, float]:
    # One to three waves across the frame: the frequencies a perceptual hash looks at,
    # so that two pictures of one breed in one pose are still told apart.
    turn, frequency = rng.uniform(0, 6.28), rng.uniform(0.8, 2.8)
    return (
        6.28 * frequency * math.cos(turn),
        6.28 * frequency * math.sin(turn),
        rng.uniform(0, 6.28),
        height * rng.uniform(0.6, 1.4),
    )


def small_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the small painting for a picture of ``width`` x ``height``."""
    scale = min(1.0, PAINTED / min(width, height))
    return max(2, round(width * scale)), max(2, round(height * scale))


def paint_scene(
    scene: Scene, width: int, height: int, shadow: tuple[float, float, float]
) -> np.ndarray:
    """The background as float32 (3, height, width) in 0..1.

    ``shadow`` is where the dog stands: centre x, y, and half its width, in frame units.
    """
    short = min(width, height)
    x = ((np.arange(width, dtype=np.float32) + 0.5 - width / 2) / short)[None, :]
    y = ((np.arange(height, dtype=np.float32) + 0.5 - height / 2) / short)[:, None]
    tilt, wave, phase = scene.waves
    line = scene.horizon + tilt * x + wave * np.sin(5.1 * x + phase)
    line = line + 0.5 * wave * np.sin(11.3 * x + 2 * phase)
    below = np.clip((y - line) / scene.softness + 0.5, 0, 1)
    below = below * below * (3 - 2 * below)

    top, rim = (rgb(text)[:, None, None] for text in scene.upper)
    near, front = (rgb(text)[:, None, None] for text in scene.lower)
    rise = np.clip((scene.horizon - y) / 0.8, 0, 1)
    fall = np.clip((y - scene.horizon) / 0.7, 0, 1)
    picture = rim + (top - rim) * rise
    ground = near + (front - near) * fall
    picture = np.broadcast_to(picture, (3, height, width)).copy()
    for blob in scene.far:
        _put(picture, blob, x, y)
    picture += (ground - picture) * below
    for blob in scene.props:
        _put(picture, blob, x, y)
    sx, sy, half = shadow
    cover = np.exp(-(((x - sx) / half) ** 2) - ((y - sy - 0.005) / (0.16 * half + 0.015)) ** 2)
    picture *= 1 - np.float32(0.50) * cover.astype(np.float32)
    return _lit(picture, scene, x, y)


def _put(picture: np.ndarray, blob: Blob, x: np.ndarray, y: np.ndarray) -> None:
    radius = np.sqrt(((x - blob.x) / blob.rx) ** 2 + ((y - blob.y) / blob.ry) ** 2)
    cover = np.clip((1 - radius) / blob.soft + 0.5, 0, 1)
    cover = (cover * cover * (3 - 2 * cover) * blob.strength).astype(np.float32)
    picture += cover * (rgb(blob.colour)[:, None, None] - picture)


def _lit(picture: np.ndarray, scene: Scene, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    light = scene.exposure * (1 + scene.slant[0] * x + scene.slant[1] * y)
    gx, gy, strength = scene.glow
    light = light * (1 + strength * np.exp(-6 * ((x - gx) ** 2 + (y - gy) ** 2)))
    for fx, fy, phase, height in scene.dapple:
        light = light * (1 + height * np.sin(fx * x + fy * y + phase))
    tint = np.array([1 + scene.warmth, 1, 1 - scene.warmth], np.float32)[:, None, None]
    lit = picture * tint * light.astype(np.float32)
    # A soft shoulder in place of clipping: bright skies keep their colour.
    lit /= np.sqrt(np.sqrt(1 + lit**4 * np.float32(0.55)))
    return np.clip(lit, 0, 1).astype(np.float32)
