"""One drawn picture: its description, settled by (seed, breed, index), and its rendering."""

from __future__ import annotations

import io
import math
import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from pipeline.scraping.gallery.breeds import Look, look_of
from pipeline.scraping.gallery.draw import draw_dog
from pipeline.scraping.gallery.field import Canvas, rgb
from pipeline.scraping.gallery.scene import Scene, describe_scene, paint_scene, small_size
from pipeline.scraping.gallery.skeleton import Pose, build

SHARPEST = 560  # the shorter side up to which shapes are drawn at full resolution


@dataclass(frozen=True)
class Picture:
    """Everything that decides how one picture looks, at any resolution."""

    breed: str
    look: Look
    pose: Pose
    scene: Scene
    facing: int
    fill: float  # share of the shorter side the dog takes
    centre: tuple[float, float]  # of the dog, in frame units (see scene.py)
    phase: float
    width: int
    height: int
    format: str  # jpg, png, webp
    cutout: bool  # a PNG whose background fades to transparent
    quality: int


def describe(seed: int, breed: str, index: int) -> Picture:
    """Picture ``index`` of ``breed``: the same for the same arguments, in every process."""
    rng = random.Random(f"picture {seed} {breed} {index}")
    look = look_of(breed)
    pose = _pose(rng)
    facing = rng.choice((-1, 1))
    x0, y0, x1, y1 = build(look, pose).bounds()
    fill = min(max(look.size * rng.uniform(0.85, 1.08), 0.64), 0.97)
    unit = fill / max(x1 - x0, y1 - y0)
    slack_x, slack_y = (1 - unit * (x1 - x0)) / 2, (1 - unit * (y1 - y0)) / 2
    centre = (rng.uniform(-0.55, 0.55) * slack_x, rng.uniform(-0.40, 0.60) * slack_y)
    ground = centre[1] + unit * (y1 - y0) / 2
    width, height = _size(rng)
    kind = rng.choices(("jpg", "png", "webp"), (0.70, 0.15, 0.15))[0]
    return Picture(
        breed=breed,
        look=look,
        pose=pose,
        scene=describe_scene(rng, ground, _brightness(look.base)),
        facing=facing,
        fill=fill,
        centre=centre,
        phase=rng.uniform(0, 6.28),
        width=width,
        height=height,
        format=kind,
        cutout=kind == "png" and rng.random() < 0.5,
        quality=rng.randint(82, 94),
    )


def _pose(rng: random.Random) -> Pose:
    return Pose(
        kind=rng.choices(("stand", "walk", "sit"), (0.50, 0.34, 0.16))[0],
        stride=rng.uniform(0.45, 1.0) * rng.choice((-1, 1)),
        neck=rng.uniform(-14, 9),
        head=rng.uniform(-14, 14),
        tail=rng.uniform(-16, 20),
        sway=rng.uniform(-1, 1),
    )


def _size(rng: random.Random) -> tuple[int, int]:
    """Longer side 400..1600 with a mean near 800, aspect 3:4 to 4:3."""
    long = round(400 * 4 ** rng.betavariate(2.0, 2.2))
    short = round(long * rng.choice((0.75, 0.8, 1.0, rng.uniform(0.75, 1.0))))
    return (long, short) if rng.random() < 0.6 else (short, long)


def _brightness(colour: str) -> float:
    return float(rgb(colour) @ np.array([0.30, 0.59, 0.11], np.float32))


def render(picture: Picture, width: int, height: int) -> Image.Image:
    """``picture`` drawn at ``width`` x ``height``: RGB, or RGBA for a cut-out.

    Above ``SHARPEST`` it is drawn at that size and enlarged, so that the cost stays flat.
    """
    shrink = min(1.0, SHARPEST / min(width, height))
    w, h = max(2, round(width * shrink)), max(2, round(height * shrink))
    canvas, shadow = _dog(picture, w, h)
    back = _enlarged(paint_scene(picture.scene, *small_size(w, h), shadow), w, h)
    lamp = 0.55 + 0.45 * min(picture.scene.exposure, 1.15)
    tint = np.array([1 + picture.scene.warmth, 1, 1 - picture.scene.warmth], np.float32)
    canvas.rgb *= (tint * np.float32(lamp))[:, None, None]
    np.minimum(canvas.rgb, canvas.alpha, out=canvas.rgb)
    keep = 1 - canvas.alpha
    back *= keep
    back += canvas.rgb
    planes = [back]
    if picture.cutout:
        planes.append(np.maximum(canvas.alpha, _vignette(picture, w, h))[None])
    pixels = np.concatenate(planes) if len(planes) > 1 else back
    pixels = np.ascontiguousarray(np.moveaxis(pixels * np.float32(255) + np.float32(0.5), 0, -1))
    image = Image.fromarray(pixels.astype(np.uint8))
    if (w, h) != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return image


def _dog(picture: Picture, w: int, h: int) -> tuple[Canvas, tuple[float, float, float]]:
    bones = build(picture.look, picture.pose)
    x0, y0, x1, y1 = bones.bounds()
    short = min(w, h)
    scale = picture.fill * short / max(x1 - x0, y1 - y0)
    cx, cy = picture.centre
    ground = h / 2 + cy * short + scale * (y0 + y1) / 2
    left = w / 2 + cx * short - picture.facing * scale * (x0 + x1) / 2
    canvas = Canvas(w, h, scale, left, ground, picture.facing)
    draw_dog(canvas, picture.look, bones, picture.phase)
    half = 0.46 * (x1 - x0) * scale / short
    return canvas, (cx, (ground - h / 2) / short, half)


def _enlarged(small: np.ndarray, width: int, height: int) -> np.ndarray:
    if small.shape[1:] == (height, width):
        return small
    planes = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))
        for plane in small
    ]
    return np.clip(np.stack(planes), 0, 1)


def _vignette(picture: Picture, w: int, h: int) -> np.ndarray:
    """How opaque the background of a cut-out stays: a soft, off-centre disc round the dog."""
    short = min(w, h)
    x = ((np.arange(w, dtype=np.float32) + 0.5 - w / 2) / short)[None, :]
    y = ((np.arange(h, dtype=np.float32) + 0.5 - h / 2) / short)[:, None]
    gx, gy, strength = picture.scene.glow
    wide = 0.46 + 0.5 * abs(gy)
    radius = np.sqrt(((x - 0.6 * gx) / wide) ** 2 + ((y - 0.5 * gy) / (0.40 + strength)) ** 2)
    cover = np.clip((1 - radius) / 0.35 + 0.5, 0, 1)
    return (cover * cover * (3 - 2 * cover)).astype(np.float32)


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    return np.random.default_rng(20).integers(-3, 4, (400, 400, 1), dtype=np.int8)


def with_grain(image: Image.Image, phase: float) -> Image.Image:
    """``image`` with the slight noise of a sensor, as a photograph has (alpha untouched)."""
    pixels = np.asarray(image).astype(np.int16)
    height, width = pixels.shape[:2]
    tile = np.roll(_grain(), (int(phase * 50), int(phase * 31)), (0, 1))
    repeats = (math.ceil(height / 400), math.ceil(width / 400), 1)
    pixels[..., :3] += np.tile(tile, repeats)[:height, :width]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def original(picture: Picture) -> Image.Image:
    """The full-size picture."""
    return with_grain(render(picture, picture.width, picture.height), picture.phase)


def encode(image: Image.Image, kind: str, quality: int) -> bytes:
    """``image`` as the bytes of a ``kind`` (jpg, png, webp) file."""
    out = io.BytesIO()
    if kind == "png":
        image.save(out, "PNG", compress_level=1)
    elif kind == "webp":
        image.save(out, "WEBP", quality=quality, method=0)
    else:
        image.convert("RGB").save(out, "JPEG", quality=quality)
    return out.getvalue()


def fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    """The size with the same aspect whose longer side is at most ``longest``."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def on_white(image: Image.Image) -> Image.Image:
    """``image`` as RGB, with white behind what is transparent."""
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
