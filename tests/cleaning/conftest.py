"""Pictures with the statistics of photos: soft light, shapes, texture; every seed another one."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter


def photo(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    rng = np.random.default_rng(seed)
    width, height = size
    light = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(light).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        a, b = rng.uniform(0.03, 0.25, 2) * min(size)
        draw.ellipse((x - a, y - b, x + a, y + b), fill=tuple(rng.integers(0, 256, 3).tolist()))
    image = image.filter(ImageFilter.GaussianBlur(1.2))
    grain = rng.normal(0, 6, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


class Pictures:
    """What tests need: ``photo`` draws, ``jpeg`` encodes, ``save`` writes into a folder."""

    photo = staticmethod(photo)
    jpeg = staticmethod(jpeg)

    @staticmethod
    def save(path: Path, image: Image.Image, quality: int = 90) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(image, quality))
        return path

    @staticmethod
    def collage(first: int, layout: str, gutter: int = 0) -> Image.Image:
        columns, rows = {"2-up": (2, 1), "stack": (1, 2), "2x2": (2, 2), "3x3": (3, 3)}[layout]
        width, height = 600 // columns, 480 // rows
        canvas = Image.new("RGB", (columns * width, rows * height), "white")
        for k in range(columns * rows):
            cell = photo(first + k, (width - gutter, height - gutter))
            canvas.paste(cell, (k % columns * width, k // columns * height))
        return canvas


@pytest.fixture(scope="session")
def pictures() -> type[Pictures]:
    return Pictures
