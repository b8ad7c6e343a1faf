"""Near-duplicates: what the web does to one photo. Sizes are drawn anew for every photo."""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from cleaning_truth.photos import encode

Edit = Callable[[Image.Image, random.Random], Image.Image]
_LEAST = 90  # shorter side: a copy must not be dropped merely for being small
_METHODS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def resize(image: Image.Image, rng: random.Random) -> Image.Image:
    """To 30 to 75 % of the side, or up to twice it."""
    shrink = rng.random() < 0.7
    scale = rng.uniform(0.3, 0.75) if shrink else rng.uniform(1.25, 2)
    scale = max(scale, min(1.0, _LEAST / min(image.size)))
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, rng.choice(_METHODS))


def crop(share: float, centred: bool) -> Edit:
    """Both sides lose ``share``; what is left lies in the centre, or anywhere."""

    def edit(image: Image.Image, rng: random.Random) -> Image.Image:
        width, height = round(image.width * (1 - share)), round(image.height * (1 - share))
        x, y = (0.5, 0.5) if centred else (rng.random(), rng.random())
        left, top = round(x * (image.width - width)), round(y * (image.height - height))
        return image.crop((left, top, left + width, top + height))

    return edit


def brightness(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(rng.choice((0.7, 1.3)))


def contrast(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(rng.choice((0.7, 1.4)))


def blur(image: Image.Image, rng: random.Random) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(1, 2)))


def border(image: Image.Image, rng: random.Random) -> Image.Image:
    """A plain frame, 2 to 6 % of the shorter side: white, black or any colour."""
    colour = rng.choice(((255, 255, 255), (0, 0, 0), tuple(rng.randrange(256) for _ in range(3))))
    return ImageOps.expand(image, round(rng.uniform(0.02, 0.06) * min(image.size)), colour)


def watermark(image: Image.Image, rng: random.Random) -> Image.Image:
    """Translucent text all over, or a filled label near the lower right corner."""
    layer = Image.new("RGBA", image.size, (255, 255, 255, 0))
    draw = ImageDraw.Draw(layer)
    if rng.random() < 0.5:
        font = ImageFont.load_default(size=max(10, image.height // 16))
        for y in range(0, image.height, max(image.height // 5, 1)):
            for x in range(-y % 60, image.width, max(image.width // 3, 1)):
                draw.text((x, y), "photo stock", fill=(255, 255, 255, 110), font=font)
    else:
        wide, high = rng.uniform(0.14, 0.2) * image.width, rng.uniform(0.07, 0.11) * image.height
        right, bottom = 0.97 * image.width, 0.97 * image.height
        draw.rectangle((right - wide, bottom - high, right, bottom), fill=(20, 60, 160, 255))
        font = ImageFont.load_default(size=max(8, round(high * 0.6)))
        draw.text((right - wide + 4, bottom - high + 1), "LOGO", fill="white", font=font)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def same(image: Image.Image, rng: random.Random) -> Image.Image:
    return image


def mirror(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageOps.mirror(image)


def grey(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageOps.grayscale(image).convert("RGB")


# The kinds of the issue: name -> edit, Pillow format, range of qualities.
KINDS: dict[str, tuple[Edit, str, tuple[int, int]]] = {
    "resize": (resize, "JPEG", (75, 92)),
    "JPEG 30": (same, "JPEG", (30, 30)),
    "crop 4 %": (crop(0.04, centred=False), "JPEG", (75, 92)),
    "crop 10 %": (crop(0.10, centred=False), "JPEG", (75, 92)),
    "mirror": (mirror, "JPEG", (75, 92)),
    "brightness": (brightness, "JPEG", (75, 92)),
    "contrast": (contrast, "JPEG", (75, 92)),
    "grey": (grey, "JPEG", (75, 92)),
    "blur": (blur, "JPEG", (75, 92)),
    "border": (border, "JPEG", (75, 92)),
    "watermark": (watermark, "JPEG", (75, 92)),
    "WebP": (same, "WEBP", (50, 80)),
    "PNG": (same, "PNG", (0, 0)),
}
# Not in the total: centred crops are the easy ones.
BESIDE: dict[str, tuple[Edit, str, tuple[int, int]]] = {
    "crop 4 %, centred": (crop(0.04, centred=True), "JPEG", (75, 92)),
    "crop 10 %, centred": (crop(0.10, centred=True), "JPEG", (75, 92)),
}
TWO = "two edits at once"
ALL = [*KINDS, *BESIDE, TWO]


def make_copy(image: Image.Image, kind: str, rng: random.Random) -> tuple[bytes, str]:
    """The file of a copy and its suffix."""
    if kind == TWO:
        changes = [name for name, (edit, _, _) in KINDS.items() if edit is not same]
        for name in rng.sample(changes, 2):
            image = KINDS[name][0](image, rng)
        return encode(image, "JPEG", rng.randint(60, 90)), "jpg"
    edit, form, (low, high) = (KINDS | BESIDE)[kind]
    suffix = {"JPEG": "jpg", "WEBP": "webp", "PNG": "png"}[form]
    return encode(edit(image, rng), form, rng.randint(low, high)), suffix


def saved_again(image: Image.Image, rng: random.Random) -> bytes:
    """A single photo as a page passes it on: another size, another JPEG."""
    scale = max(rng.uniform(0.6, 1.8), _LEAST / min(image.size))
    size = (round(image.width * scale), round(image.height * scale))
    return encode(image.resize(size, rng.choice(_METHODS)), "JPEG", rng.randint(40, 92))
