"""The drawing of a dog: coat, markings and face on a skeleton, part by part, back to front."""

from __future__ import annotations

import math

import numpy as np

from pipeline.scraping.gallery.breeds import Look
from pipeline.scraping.gallery.field import (
    Canvas,
    Capsule,
    Shape,
    Stroke,
    disc,
    lay,
    noise,
    paint,
    rgb,
    roundness,
    union,
)
from pipeline.scraping.gallery.skeleton import Skeleton

SHADE_LOW, SHADE_HIGH = 0.50, 1.12  # a coat in full shade and in full light, times its colour
# How much the hair changes the light, by coat.
TEXTURE = {"smooth": 0.05, "fluffy": 0.14, "long": 0.16, "curly": 0.22, "wiry": 0.18}


def draw_dog(canvas: Canvas, look: Look, bones: Skeleton, phase: float) -> None:
    """Paint a dog onto ``canvas``. ``phase`` shifts the texture of the coat and its patches."""
    marks = {zone: rgb(colour) for zone, colour in look.marks.items()}
    base = rgb(look.base)
    coat = _Coat(canvas, look, phase)
    trunk_strokes = _trunk_strokes(look, bones, marks, phase)
    leg_strokes = _leg_strokes(bones.near_legs, marks)
    far_strokes = _leg_strokes(bones.far_legs, marks)

    far_legs = [part for leg in bones.far_legs for part in leg]
    coat.part(far_legs + _puffs(look, bones.far_legs), base, far_strokes, 0.12, dim=0.66)
    tail = marks.get("tail", base)
    tip = [Stroke(bones.tail[-1], marks["tip"], 0.08)] if "tip" in marks else []
    coat.part(bones.tail, tail, tip, 0.10, shaggy=2.2 if look.tail in ("plume", "curl") else 1.0)
    near_legs = [part for leg in bones.near_legs for part in leg]
    body = bones.trunk + bones.neck + near_legs + _puffs(look, bones.near_legs)
    coat.part(body, base, trunk_strokes + leg_strokes, look.chest, mottle=marks.get("mottle"))

    ear = marks.get("ears", base)
    coat.part(bones.far_ear, ear, [], 0.07, dim=0.72)
    if look.ears == "drop":
        _draw_head(coat, look, bones, base, marks)
        coat.part(bones.near_ear, ear, [], 0.10, dim=0.94)
    else:
        coat.part(bones.near_ear, ear, _inner_ear(look, bones), 0.07)
        _draw_head(coat, look, bones, base, marks)
        if look.ears == "button":
            coat.part(bones.near_ear, ear, [], 0.07, dim=0.92)
    _draw_face(canvas, look, bones)


class _Coat:
    """Paints parts of one dog with its own kind of hair."""

    def __init__(self, canvas: Canvas, look: Look, phase: float) -> None:
        self.canvas, self.look, self.phase = canvas, look, phase

    def part(
        self,
        parts: list[Capsule],
        base: np.ndarray,
        strokes: list[Stroke],
        radius: float,
        dim: float = 1.0,
        shaggy: float = 1.0,
        mottle: np.ndarray | None = None,
        blend: float = 0.07,
    ) -> None:
        """Paint the union of ``parts``: base colour, strokes on it, light, hair."""
        canvas, look = self.canvas, self.look
        shag = look.shag * shaggy
        shape = union(canvas, parts, blend, margin=shag * 1.5 + 1.5 / canvas.scale)
        if not shape.distance.size:
            return
        light = roundness(shape, canvas.scale, radius, canvas.facing)
        hair = noise(shape.x, shape.y, look.coat, self.phase)
        if shag:
            shape.distance += hair * np.float32(shag)
        colours = np.empty((3, *shape.distance.shape), np.float32)
        colours[:] = base[:, None, None]
        if mottle is not None:
            _mottle(colours, shape, mottle, self.phase)
        for stroke in strokes:
            lay(colours, canvas, shape, stroke, wobble=0.012 + 0.4 * shag)
        light += hair * np.float32(TEXTURE[look.coat])
        light *= np.float32((SHADE_HIGH - SHADE_LOW) * dim)
        light += np.float32(SHADE_LOW * dim)
        colours *= light
        # Black coats still show their form: a little light is added, not only multiplied.
        light -= np.float32(0.62 * dim)
        np.maximum(light, 0, out=light)
        light *= np.float32(0.16)
        colours += light
        np.clip(colours, 0, 1, out=colours)
        paint(canvas, shape, colours, fuzz=0.9 * shag)


def _mottle(colours: np.ndarray, shape: Shape, colour: np.ndarray, phase: float) -> None:
    blotches = noise(shape.x, shape.y, "blotch", phase)
    blotches += noise(shape.x, shape.y, "fleck", phase) * np.float32(0.35)
    cover = np.clip(blotches * np.float32(3.2) - np.float32(0.45), 0, 0.92)
    colours += cover * (colour[:, None, None] - colours)


def _trunk_strokes(
    look: Look, bones: Skeleton, marks: dict[str, np.ndarray], phase: float
) -> list[Stroke]:
    (hx, hy), (sx, sy), (cx, cy) = bones.hip, bones.shoulder, bones.crown
    hip, chest = look.hip, look.chest
    # The trunk's own "up": markings keep to the back when the dog sits.
    length = math.hypot(sx - hx, sy - hy)
    nx, ny = -(sy - hy) / length, (sx - hx) / length
    front = (sx + 0.80 * chest * ny, sy - 0.80 * chest * nx)
    zones = {
        "flank": [Capsule(hx - 0.1 * hip, hy + 0.1 * hip, sx - 0.4 * chest, sy + 0.15 * chest,
                          0.95 * hip, 0.72 * chest)],
        "saddle": [Capsule(hx + 0.60 * hip * nx, hy + 0.60 * hip * ny,
                           sx + 0.62 * chest * nx - 0.2 * chest, sy + 0.62 * chest * ny,
                           0.66 * hip, 0.60 * chest)],
        "rump": [disc(hx - 0.15 * hip, hy + 0.1 * hip, 1.05 * hip)],
        "belly": [Capsule(hx - 0.85 * hip * nx, hy - 0.85 * hip * ny,
                          sx - 0.85 * chest * nx, sy - 0.85 * chest * ny,
                          0.30 * hip, 0.50 * chest)],
        "chest": [Capsule(front[0], front[1] + 0.2 * chest, front[0] - 0.2 * chest,
                          front[1] - 0.5 * chest, 0.46 * chest, 0.46 * chest),
                  Capsule(front[0], front[1] + 0.2 * chest, cx + 0.5 * look.neck_width,
                          cy - 0.6 * look.skull, 0.40 * chest, 0.5 * look.neck_width)],
        "bib": [Capsule(front[0] + 0.12 * chest, front[1] + 0.25 * chest, front[0],
                        front[1] - 0.35 * chest, 0.34 * chest, 0.36 * chest)],
        "ruff": [Capsule(sx + 0.05 * chest, sy + 0.75 * chest, sx + 0.75 * chest,
                         sy + 0.15 * chest, 0.42 * chest, 0.5 * chest),
                 Capsule(sx + 0.6 * chest, sy + 0.3 * chest, cx + 0.5 * look.neck_width,
                         cy - 0.8 * look.skull, 0.5 * chest, 0.6 * look.neck_width)],
        "patches": _patches(look, bones, phase),
    }  # fmt: skip
    soft = 0.05 if look.coat == "smooth" else 0.09
    strokes = [
        Stroke(part, marks[zone], soft) for zone in marks if zone in zones for part in zones[zone]
    ]
    return strokes


def _patches(look: Look, bones: Skeleton, phase: float) -> list[Capsule]:
    (hx, hy), (sx, sy) = bones.hip, bones.shoulder
    shift = 0.10 * math.sin(3 * phase)
    middle = 0.45 + shift
    return [
        disc(hx - 0.1 * look.hip, hy + (0.35 + shift) * look.hip, 0.80 * look.hip),
        disc(
            hx + middle * (sx - hx),
            hy + middle * (sy - hy) + (0.30 - shift) * look.chest,
            (0.55 + shift) * look.chest,
        ),
    ]


def _leg_strokes(legs: list[list[Capsule]], marks: dict[str, np.ndarray]) -> list[Stroke]:
    strokes = []
    for zone, segments in (("legs", 3), ("feet", 2)):
        if zone not in marks:
            continue
        for leg in legs:
            # The upper leg is trunk; a folded hind leg (thigh and sole) shows only its sole.
            for part in leg[max(1, len(leg) - segments) :]:
                if zone == "feet" and part is not leg[-1]:
                    middle = ((part.ax + part.bx) / 2, (part.ay + part.by) / 2)
                    part = Capsule(*middle, part.bx, part.by, part.rb, part.rb)
                wide = part._replace(ra=part.ra * 1.45, rb=part.rb * 1.45)
                strokes.append(Stroke(wide, marks[zone], 0.06))
    return strokes


def _puffs(look: Look, legs: list[list[Capsule]]) -> list[Capsule]:
    """A poodle's pompoms, one round each leg."""
    if "pompoms" not in look.extras:
        return []
    return [disc(leg[-1].ax - 0.01, leg[-1].ay + 0.13, 0.105) for leg in legs]


def _inner_ear(look: Look, bones: Skeleton) -> list[Stroke]:
    ear = bones.near_ear[0]
    inner = ear._replace(
        ax=ear.ax + 0.02, bx=ear.bx + 0.01, by=ear.ay + 0.72 * (ear.by - ear.ay),
        ra=ear.ra * 0.52, rb=ear.rb * 0.45,
    )  # fmt: skip
    return [Stroke(inner, rgb("#d9a496"), 0.04)]


def _draw_head(
    coat: _Coat, look: Look, bones: Skeleton, base: np.ndarray, marks: dict[str, np.ndarray]
) -> None:
    (cx, cy), (ux, uy), skull = bones.crown, bones.aim, look.skull
    snout = bones.muzzle[0]
    reach = (snout.bx, snout.by)
    zones = {
        "cap": [Capsule(cx - 0.65 * skull, cy + 0.25 * skull, cx + 0.25 * skull,
                        cy + 0.55 * skull, 0.72 * skull, 0.55 * skull)],
        "cheek": [Capsule(cx - 0.15 * skull, cy - 0.45 * skull, cx + 0.55 * skull,
                          cy - 0.25 * skull, 0.52 * skull, 0.45 * skull)],
        "muzzle": [Capsule(snout.ax + 0.30 * skull * ux, snout.ay + 0.30 * skull * uy, *reach,
                           look.snout * 1.25, look.snout * 1.35)]
        + [part._replace(ra=part.ra * 1.2, rb=part.rb * 1.2) for part in bones.muzzle[1:]],
        "blaze": [Capsule(cx + 0.55 * skull, cy + 0.95 * skull, cx + 0.92 * skull,
                          cy + 0.15 * skull, 0.17 * skull, 0.15 * skull)],
        "brow": [disc(cx + 0.62 * skull, cy + 0.50 * skull, 0.17 * skull)],
    }  # fmt: skip
    strokes = [
        Stroke(part, marks[zone], 0.045) for zone in marks if zone in zones for part in zones[zone]
    ]
    coat.part(bones.head + bones.muzzle, base, strokes, skull, shaggy=0.7)


def _draw_face(canvas: Canvas, look: Look, bones: Skeleton) -> None:
    (cx, cy), (ux, uy), skull = bones.crown, bones.aim, look.skull
    snout = bones.muzzle[0]
    x, y = snout.bx, snout.by
    nose = 0.042 + 0.12 * look.snout
    tip = (x + 0.62 * look.snout * ux, y + 0.62 * look.snout * uy + 0.30 * look.snout)
    _dot(canvas, [Capsule(*tip, tip[0] - 0.03, tip[1], nose, nose)], look.nose, 0.03)
    _dot(canvas, [disc(tip[0] - 0.01, tip[1] + 0.35 * nose, nose * 0.28)], "#8d8683", 0.02)
    mouth = Capsule(
        x + 0.45 * look.snout, y - 0.42 * look.snout, x - 0.9 * look.snout - 0.3 * look.muzzle,
        y - 0.50 * look.snout + 0.02, 0.010, 0.006,
    )  # fmt: skip
    if "beard" not in look.extras:
        _dot(canvas, [mouth], "#2b2020", 0.01)
    eye = (cx + 0.50 * skull, cy + 0.20 * skull)
    size = 0.040 + 0.045 * skull
    _dot(canvas, [disc(*eye, size * 1.25)], "#1b1413", 0.03)
    _dot(canvas, [disc(*eye, size)], look.eye, 0.03)
    _dot(canvas, [disc(*eye, size * 0.62)], "#120c0b", 0.02)
    _dot(canvas, [disc(eye[0] - 0.3 * size * canvas.facing, eye[1] + 0.35 * size, size * 0.34)],
         "#ffffff", 0.02)  # fmt: skip
    if "bow" in look.extras:
        top = (cx - 0.05, cy + 1.20 * skull)
        bow = [Capsule(top[0], top[1], top[0] - 0.09, top[1] + 0.04, 0.018, 0.055),
               Capsule(top[0], top[1], top[0] + 0.09, top[1] + 0.04, 0.018, 0.055)]  # fmt: skip
        _dot(canvas, bow, "#d0343f", 0.05)


def _dot(canvas: Canvas, parts: list[Capsule], colour: str, blend: float) -> None:
    paint(canvas, union(canvas, parts, blend, margin=1.5 / canvas.scale), rgb(colour))
