"""Where a dog's parts are: from a breed's looks and a pose to capsules in dog units.

The dog looks along +x, stands on y = 0, and one unit is about the length of its trunk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pipeline.scraping.gallery.breeds import Look
from pipeline.scraping.gallery.field import Capsule, disc


@dataclass(frozen=True)
class Pose:
    """How one dog holds itself. Angles in degrees."""

    kind: str = "stand"  # stand, walk, sit
    stride: float = 0.0  # -1..1: how far the legs swing, and which pair leads
    neck: float = 0.0  # added to the neck's angle
    head: float = 0.0  # added to the muzzle's angle
    tail: float = 0.0  # added to the tail's angle
    sway: float = 0.0  # -1..1: small shift of the ears and the weight


@dataclass
class Skeleton:
    """The parts of one dog, grouped as they are painted, and the points markings hang on."""

    hip: tuple[float, float]
    shoulder: tuple[float, float]
    crown: tuple[float, float]  # centre of the skull
    aim: tuple[float, float]  # unit vector along the muzzle
    trunk: list[Capsule] = field(default_factory=list)
    near_legs: list[list[Capsule]] = field(default_factory=list)
    far_legs: list[list[Capsule]] = field(default_factory=list)
    neck: list[Capsule] = field(default_factory=list)
    head: list[Capsule] = field(default_factory=list)
    muzzle: list[Capsule] = field(default_factory=list)
    near_ear: list[Capsule] = field(default_factory=list)
    far_ear: list[Capsule] = field(default_factory=list)
    tail: list[Capsule] = field(default_factory=list)

    def bounds(self) -> tuple[float, float, float, float]:
        """Smallest x, smallest y, largest x, largest y of all parts."""
        legs = [part for leg in self.near_legs + self.far_legs for part in leg]
        parts = self.trunk + legs + self.neck + self.head + self.muzzle + self.near_ear + self.tail
        return (
            min(min(p.ax - p.ra, p.bx - p.rb) for p in parts),
            min(min(p.ay - p.ra, p.by - p.rb) for p in parts),
            max(max(p.ax + p.ra, p.bx + p.rb) for p in parts),
            max(max(p.ay + p.ra, p.by + p.rb) for p in parts),
        )


def build(look: Look, pose: Pose) -> Skeleton:
    """The skeleton of a dog of ``look`` in ``pose``."""
    hip, shoulder = _sitting(look) if pose.kind == "sit" else _standing(look)
    turn = math.radians(look.carriage + pose.neck + (14 if pose.kind == "sit" else 0))
    base = (shoulder[0] + 0.22 * look.chest, shoulder[1] + 0.38 * look.chest)
    crown = (
        base[0] + look.neck * math.cos(turn) + 0.04,
        base[1] + look.neck * math.sin(turn) + 0.04,
    )
    tilt = math.radians(-13 + pose.head)
    bones = Skeleton(hip, shoulder, crown, (math.cos(tilt), math.sin(tilt)))
    _trunk(bones, look)
    if pose.kind == "sit":
        _sitting_legs(bones, look)
    else:
        _standing_legs(bones, look, pose)
    low = (base[0] - 0.18 * look.chest, base[1] - 0.15 * look.chest)
    bones.neck = [Capsule(*low, *crown, look.neck_width * 1.28, look.neck_width * 0.92)]
    _head(bones, look)
    _ears(bones, look, pose)
    _tail(bones, look, pose)
    return bones


def _standing(look: Look) -> tuple[tuple[float, float], tuple[float, float]]:
    shoulder = (look.body / 2, look.leg + look.chest)
    hip_y = shoulder[1] + 0.62 * (look.chest - look.hip) - look.slope
    return (-look.body / 2, hip_y), shoulder


def _sitting(look: Look) -> tuple[tuple[float, float], tuple[float, float]]:
    hip = (-0.30 * look.body, look.hip * 0.98)
    # The front legs keep their length, so they decide how steeply the trunk rises.
    rise = (look.leg + look.chest * 1.12 - hip[1]) / (look.body * 0.94)
    angle = math.asin(min(max(rise, 0.42), 0.88))
    reach = look.body * 0.94
    return hip, (hip[0] + reach * math.cos(angle), hip[1] + reach * math.sin(angle))


def _trunk(bones: Skeleton, look: Look) -> None:
    (hx, hy), (sx, sy) = bones.hip, bones.shoulder
    bones.trunk = [Capsule(hx, hy, sx, sy, look.hip, look.chest)]
    bones.trunk.append(disc(sx + 0.10 * look.chest, sy - 0.10 * look.chest, look.chest * 0.95))
    if look.skirt:
        drop = look.skirt * look.leg * 0.62
        lower = Capsule(hx, hy - drop, sx, sy - drop, look.hip * 0.92, look.chest * 0.92)
        bones.trunk.append(lower)


def _leg(points: list[tuple[float, float]], radii: list[float]) -> list[Capsule]:
    """Capsules along ``points``, and a paw at the end."""
    limb = [
        Capsule(*start, *end, r0, r1)
        for start, end, r0, r1 in zip(points, points[1:], radii, radii[1:], strict=False)
    ]
    (x, y), r = points[-1], radii[-1]
    limb.append(Capsule(x, y, x + 0.75 * r, y - 0.02 * r, r * 0.98, r * 0.92))
    return limb


def _front(look: Look, sx: float, sy: float, swing: float, floor: float) -> list[Capsule]:
    bone = look.bone
    lift = max(swing, 0) * 0.16 * look.leg
    paw = (sx + 0.42 * swing * look.leg, floor + bone * 0.9 + lift)
    wrist = (sx + 0.30 * swing * look.leg, floor + max(look.leg * 0.36, bone) + lift)
    return _leg([(sx, sy - 0.35 * look.chest), wrist, paw], [bone * 1.5, bone * 0.98, bone * 0.9])


def _rear(look: Look, hx: float, hy: float, swing: float, floor: float) -> list[Capsule]:
    bone = look.bone
    knee = (hx + 0.12 + 0.22 * swing * look.leg, floor + max(look.leg * 0.74, bone * 1.4))
    hock = (hx - 0.12 + 0.36 * swing * look.leg, floor + max(look.leg * 0.36, bone * 1.1))
    paw = (hx - 0.06 + 0.44 * swing * look.leg, floor + bone * 0.9)
    return _leg(
        [(hx, hy - 0.18 * look.hip), knee, hock, paw],
        [look.hip * 0.74, bone * 1.55, bone * 0.92, bone * 0.9],
    )


def _standing_legs(bones: Skeleton, look: Look, pose: Pose) -> None:
    (hx, hy), (sx, sy) = bones.hip, bones.shoulder
    swing = pose.stride * (1.0 if pose.kind == "walk" else 0.22)
    bones.near_legs = [
        _front(look, sx - 0.02, sy, swing, 0.0),
        _rear(look, hx - 0.02, hy, -swing, 0.0),
    ]
    bones.far_legs = [
        _front(look, sx + 0.10, sy, -swing, 0.035),
        _rear(look, hx + 0.12, hy, swing, 0.035),
    ]


def _sitting_legs(bones: Skeleton, look: Look) -> None:
    (hx, hy), (sx, sy) = bones.hip, bones.shoulder
    bone = look.bone
    foot = hx + 0.30 + 0.25 * look.leg
    top = (sx - 0.02, sy - 0.35 * look.chest)
    for legs, shift, floor in ((bones.near_legs, 0.0, 0.0), (bones.far_legs, 0.11, 0.03)):
        wrist = (sx + 0.03 + shift, floor + max(0.36 * sy, bone))
        paw = (sx + 0.05 + shift, floor + bone * 0.9)
        legs.append(_leg([(top[0] + shift, top[1]), wrist, paw], [bone * 1.5, bone, bone * 0.9]))
        knee = (hx + 0.18 + 0.12 * look.leg + shift, hy * 0.95 + floor)
        thigh = Capsule(hx + shift, hy, *knee, look.hip * 0.86, look.hip * 0.62)
        sole = Capsule(hx + shift, floor + bone, foot + shift, floor + bone * 0.9, bone, bone * 0.9)
        legs.append([thigh, sole])


def _head(bones: Skeleton, look: Look) -> None:
    (cx, cy), (ux, uy), skull = bones.crown, bones.aim, look.skull
    bones.head = [disc(cx, cy, skull)]
    start = (cx + 0.45 * skull * ux, cy + 0.45 * skull * uy - 0.20 * skull)
    reach = 0.72 * skull + look.muzzle
    end = (cx + reach * ux, cy + reach * uy - 0.22 * skull)
    bones.muzzle = [Capsule(*start, *end, look.snout * 1.28, look.snout * 0.86)]
    if "jowls" in look.extras:
        chop = look.snout * 0.62
        bones.muzzle.append(disc(end[0] - 0.35 * look.snout, end[1] - 0.55 * look.snout, chop))
    if "beard" in look.extras:
        tip = (end[0] - 0.02, end[1] - look.snout * 1.6)
        bones.muzzle.append(
            Capsule(end[0] - 0.03, end[1], *tip, look.snout * 0.95, look.snout * 0.5)
        )
    if "brows" in look.extras:
        brow = (cx + 0.62 * skull, cy + 0.42 * skull)
        bones.muzzle.append(
            Capsule(*brow, brow[0] + 0.30 * skull, brow[1] - 0.05, 0.22 * skull, 0.10 * skull)
        )
    if "topknot" in look.extras:
        puff = 0.86 if look.coat == "curly" and look.tail == "pompom" else 0.52
        bones.head.append(disc(cx - 0.12 * skull, cy + 0.75 * skull, puff * skull))


def _ears(bones: Skeleton, look: Look, pose: Pose) -> None:
    (cx, cy), skull, ear, wide = bones.crown, look.skull, look.ear, look.ear_width
    lean = 0.10 * pose.sway
    if look.ears in ("erect", "bat"):
        root = (cx - 0.30 * skull, cy + 0.62 * skull)
        tip = (root[0] - ear * (0.20 + lean), root[1] + ear)
        end = 0.014 if look.ears == "erect" else wide * 0.55
        far = 0.62 * skull
    elif look.ears == "button":
        root = (cx - 0.22 * skull, cy + 0.74 * skull)
        tip = (root[0] + ear * (0.55 + lean), root[1] - ear * 0.62)
        end = wide * 0.42
        far = 0.55 * skull
    else:
        root = (cx - 0.40 * skull, cy + 0.42 * skull)
        tip = (root[0] - ear * (0.16 + lean), root[1] - ear)
        end = wide * 1.06
        wide *= 0.74
        far = 0.95 * skull
    bones.near_ear = [Capsule(*root, *tip, wide, end)]
    shift = far if look.ears != "drop" else far * 0.9
    bones.far_ear = [
        Capsule(root[0] + shift, root[1] - 0.02, tip[0] + shift * 1.1, tip[1] - 0.02, wide, end)
    ]


def _tail(bones: Skeleton, look: Look, pose: Pose) -> None:
    hx, hy = bones.hip
    sit = pose.kind == "sit"
    x, y = hx - 0.74 * look.hip, hy + (-0.35 if sit else 0.52) * look.hip
    length, width = look.tail_length, look.tail_width
    if look.tail == "docked":
        angles, length = [140.0], min(length, 0.10)
        widths = [0.070, 0.050]
    elif look.tail == "curl":
        angles, widths = [118.0, 78.0, 28.0, -25.0], [width * w for w in (0.8, 1, 1.1, 1, 0.7)]
    elif look.tail == "plume":
        angles, widths = [196.0, 178.0, 150.0], [width * w for w in (0.7, 1.1, 1.15, 0.55)]
    elif look.tail == "pompom":
        angles, widths = [112.0, 104.0], [width, width, width * 0.8]
    elif look.tail == "saber":
        angles, widths = [158.0, 132.0, 104.0], [width * w for w in (1.2, 1, 0.85, 0.55)]
    else:
        angles, widths = [168.0, 160.0], [width * w for w in (1.2, 0.95, 0.6)]
    if sit and look.tail != "curl":
        angles = [170.0 - 6 * i for i in range(len(angles))]
        y = max(y, widths[0] * 1.3)
    for index, angle in enumerate(angles):
        turn = math.radians(angle - pose.tail * (0.4 if sit else 1.0))
        step = length / len(angles)
        nx, ny = x + step * math.cos(turn), max(y + step * math.sin(turn), widths[index + 1])
        bones.tail.append(Capsule(x, y, nx, ny, widths[index], widths[index + 1]))
        x, y = nx, ny
    if look.tail == "pompom":
        bones.tail.append(disc(x, y, 0.125))
