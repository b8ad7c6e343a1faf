"""Every picture is opened one way, and what is none is named as such."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.images import PictureError, open_picture, read_picture, shrink_and_crop, sniff


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def scene() -> Image.Image:
    """A picture whose four quarters differ, so that no turn of it equals another."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30], pixels[:20, 30:] = (250, 20, 20), (20, 250, 20)
    pixels[20:, :30], pixels[20:, 30:] = (20, 20, 250), (240, 240, 20)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif"), ("BMP", "bmp")],
)
def test_the_format_comes_from_the_content(scene, tmp_path, kind, name):
    path = tmp_path / "picture.tiff"
    path.write_bytes(encoded(scene, kind))
    assert sniff(path.read_bytes()[:16]) == name
    picture = read_picture(path)
    assert (picture.format, picture.width, picture.height) == (name, 60, 40)
    assert picture.image.mode == "RGB"


def test_all_eight_camera_orientations_give_the_same_picture(scene):
    turns = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    for orientation, turn in turns.items():
        stored = scene if turn is None else scene.transpose(turn)
        exif = stored.getexif()
        exif[0x0112] = orientation
        picture = read_picture(encoded(stored, "PNG", exif=exif))
        assert (picture.width, picture.height) == (60, 40), orientation
        assert np.array_equal(picture.image, scene), orientation


def test_a_broken_orientation_tag_changes_nothing(scene):
    exif = scene.getexif()
    exif[0x0112] = 77
    assert np.array_equal(open_picture(encoded(scene, "PNG", exif=exif)), scene)


def test_transparency_is_laid_on_white():
    hidden = np.zeros((8, 8, 4), np.uint8)
    hidden[..., 0] = 200  # red that nobody was meant to see
    hidden[4:, :, 3] = 255
    pixels = np.asarray(open_picture(encoded(Image.fromarray(hidden))))
    assert (pixels[:4] == 255).all()
    assert (pixels[4:] == (200, 0, 0)).all()


def test_transparent_palettes_and_grey_with_alpha_are_laid_on_white():
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    assert (np.asarray(open_picture(encoded(palette, "GIF", transparency=0))) == 255).all()
    grey = Image.new("LA", (8, 8), (0, 0))
    assert (np.asarray(open_picture(encoded(grey))) == 255).all()


def test_sixteen_bit_grey_is_scaled_not_clipped():
    wide = np.array([[0, 257, 32896, 65535]], np.uint16).repeat(4, axis=0)
    pixels = np.asarray(open_picture(encoded(Image.fromarray(wide))))
    assert pixels[0, :, 0].tolist() == [0, 1, 128, 255]


def test_cmyk_becomes_rgb():
    picture = open_picture(encoded(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG"))
    red, green, blue = np.asarray(picture)[16, 16].tolist()
    assert red > 200 > 60 > max(green, blue)


def test_a_draft_tells_the_full_size():
    photo = Image.effect_noise((1600, 1200), 60).convert("RGB")
    picture = read_picture(encoded(photo, "JPEG"), draft=200)
    assert picture.image.size == (400, 300)
    assert (picture.width, picture.height) == (1600, 1200)


def test_a_half_must_keep_half_as_many_pixels_again():
    photo = encoded(Image.effect_noise((800, 600), 60).convert("RGB"), "JPEG")
    sizes = [read_picture(photo, draft=draft).image.size for draft in (150, 151, 200, 201)]
    assert sizes == [(200, 150), (400, 300), (400, 300), (800, 600)]


def bomb(width: int, height: int) -> bytes:
    """A PNG header that promises many pixels, and nothing after it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 64))


JPEG = encoded(Image.effect_noise((64, 64), 50).convert("RGB"), "JPEG")


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (b"", "not_a_picture", "empty file"),
        (b"<!DOCTYPE html><html>404</html>", "not_a_picture", "html"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "not_a_picture", "svg"),
        (b'{"error": 404}', "not_a_picture", "json"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not_a_picture", "postscript"),
        (b"II*\0rest of a tiff", "not_a_picture", "tiff"),
        (b"\0" * 100, "not_a_picture", "zero bytes"),
        (JPEG[: len(JPEG) // 2], "corrupt", "truncated jpg"),
        (JPEG[:-2], "corrupt", "truncated jpg"),
        (JPEG[:3], "corrupt", "jpg"),
        (bomb(100_000, 100_000), "too_large", "memory"),
        (bomb(9_000, 9_000), "too_large", "9000x9000"),
        (bomb(64, 64), "corrupt", "png"),
    ],
)
def test_what_is_no_whole_picture_is_named(data, reason, words):
    with pytest.raises(PictureError, match=words) as caught:
        read_picture(data)
    assert caught.value.reason == reason


def test_pipes_folders_and_missing_files_do_not_stop_anyone(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("pipe.jpg", ".", "missing.jpg"):
        with pytest.raises(PictureError) as caught:
            read_picture(tmp_path / name)
        assert caught.value.reason == "not_a_file"


def test_the_error_crosses_process_borders():
    error = pickle.loads(pickle.dumps(PictureError("corrupt", "truncated jpg")))
    assert (error.reason, str(error)) == ("corrupt", "truncated jpg")


def test_the_centre_is_cut_and_nothing_is_squashed():
    stripes = np.zeros((100, 300, 3), np.uint8)
    stripes[:, :100, 0], stripes[:, 100:200, 1], stripes[:, 200:, 2] = 255, 255, 255
    square = shrink_and_crop(Image.fromarray(stripes), 50)
    assert square.shape == (50, 50, 3) and square.dtype == np.uint8
    # At the rim the filter also sees what lies beyond the cut, as a shrink before the cut would.
    assert (square[:, 3:-3] == (0, 255, 0)).all()


def test_shrinking_averages():
    board = np.indices((512, 512)).sum(axis=0) % 2 * 255
    square = shrink_and_crop(Image.fromarray(board.astype(np.uint8)).convert("RGB"), 64)
    assert abs(square.astype(int) - 127).max() <= 2


def test_a_square_of_the_right_size_is_left_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(shrink_and_crop(Image.fromarray(pixels), 64), pixels)


def test_links_to_pictures_are_pictures(scene, tmp_path: Path):
    (tmp_path / "a.png").write_bytes(encoded(scene))
    (tmp_path / "b.png").symlink_to("a.png")
    assert np.array_equal(open_picture(tmp_path / "b.png"), scene)
