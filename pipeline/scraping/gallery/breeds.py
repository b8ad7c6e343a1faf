"""How the breeds look: proportions, ears, tail, coat and markings, as plain data.

Lengths are in units of about one dog's trunk; colours are sRGB hex. A breed that is not in the
table gets a look derived from its name, so any breed list can be served.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Look:
    """One breed's looks.

    ``marks`` paints zones of the coat in the order given (a later one lies on top). Zones: saddle,
    flank, belly, chest, bib, ruff, legs, feet, rump, cap, cheek, muzzle, blaze, brow, ears, tail,
    tip, patches (large), mottle (small, all over).
    """

    size: float = 0.88  # share of the frame the dog fills, before a picture's own variation
    body: float = 0.63  # hip to shoulder
    chest: float = 0.29  # radius at the shoulder
    hip: float = 0.25  # radius at the hip
    slope: float = 0.0  # how much the hip lies below its usual height
    leg: float = 0.46  # ground to chest
    bone: float = 0.075  # radius of a leg
    neck: float = 0.34
    neck_width: float = 0.155
    carriage: float = 52.0  # angle of the neck above the horizontal, degrees
    skull: float = 0.205
    muzzle: float = 0.24
    snout: float = 0.105  # radius of the muzzle
    ears: str = "drop"  # erect, bat, button, drop
    ear: float = 0.26  # length of an ear
    ear_width: float = 0.085
    tail: str = "straight"  # straight, saber, plume, curl, docked, pompom
    tail_length: float = 0.60
    tail_width: float = 0.055
    coat: str = "smooth"  # smooth, fluffy, long, curly, wiry
    shag: float = 0.0  # how far the hair stands off the outline
    skirt: float = 0.0  # hair hanging from the trunk, as a share of the leg's length
    extras: tuple[str, ...] = ()  # beard, topknot, pompoms, bow, jowls
    base: str = "#b08050"
    marks: dict[str, str] = field(default_factory=dict)
    nose: str = "#241d1c"
    eye: str = "#2a1a12"


BLACK, INK, TAN, RUST = "#2b2a2e", "#222126", "#c07a3a", "#a85a28"
WHITE, CREAM, FAWN, LIVER = "#f6f2ea", "#ecd9b4", "#c9925a", "#5a3322"

LOOKS: dict[str, Look] = {
    "siberian_husky": Look(
        size=0.89, chest=0.30, leg=0.48, coat="fluffy", shag=0.013, ears="erect", ear=0.20,
        ear_width=0.075, tail="curl", tail_length=0.85, tail_width=0.10, muzzle=0.21,
        neck_width=0.19, base="#747b88", eye="#7fc0e8",
        marks={"saddle": "#4a505c", "belly": WHITE, "chest": WHITE, "legs": WHITE,
               "cap": "#4a505c", "cheek": WHITE, "muzzle": WHITE, "ears": "#434852",
               "tip": WHITE},
    ),
    "golden_retriever": Look(
        size=0.91, body=0.69, chest=0.31, leg=0.44, coat="long", shag=0.018, ears="drop",
        ear=0.25, ear_width=0.10, tail="plume", tail_length=0.72, tail_width=0.085,
        neck_width=0.18, skull=0.215, base="#d99a3e",
        marks={"belly": "#efc67c", "chest": "#eec377", "saddle": "#cf8d35", "ears": "#b8752a",
               "tail": "#ebbd70"},
    ),
    "rottweiler": Look(
        size=0.93, body=0.66, chest=0.36, hip=0.30, leg=0.42, bone=0.105, neck=0.30,
        neck_width=0.23, skull=0.25, muzzle=0.20, snout=0.135, ears="drop", ear=0.18,
        ear_width=0.085, tail="docked", base=INK,
        marks={"bib": RUST, "legs": RUST, "muzzle": RUST, "brow": RUST},
    ),
    "dachshund": Look(
        size=0.97, body=0.99, chest=0.245, hip=0.215, leg=0.15, bone=0.075, neck=0.34,
        neck_width=0.14, skull=0.185, muzzle=0.33, snout=0.085, ears="drop", ear=0.32,
        ear_width=0.095, tail="saber", tail_length=0.70, tail_width=0.04, base="#8a3d1c",
        marks={"saddle": "#6d2c14", "ears": "#5a2412", "belly": "#b0602e"},
    ),
    "poodle": Look(
        size=0.91, body=0.50, chest=0.24, hip=0.19, leg=0.60, bone=0.055, neck=0.40,
        carriage=64, skull=0.165, muzzle=0.27, snout=0.065, ears="drop", ear=0.30,
        ear_width=0.115, tail="pompom", tail_length=0.46, tail_width=0.045, coat="curly",
        shag=0.016, extras=("topknot", "pompoms"), base="#f3ebe6", marks={"ears": "#e0d2cb"},
    ),
    "beagle": Look(
        size=0.87, body=0.64, chest=0.285, leg=0.38, ears="drop", ear=0.32, ear_width=0.105,
        tail="saber", tail_length=0.58, tail_width=0.05, muzzle=0.23, base=WHITE,
        marks={"flank": "#b5662c", "saddle": "#2d2725", "rump": "#b5662c", "belly": WHITE,
               "chest": WHITE, "legs": WHITE, "cap": "#b5662c", "ears": "#9c5222",
               "muzzle": WHITE, "tail": "#2d2725", "tip": WHITE},
    ),
    "pomeranian": Look(
        size=0.78, body=0.31, chest=0.37, hip=0.32, leg=0.20, bone=0.055, neck=0.16,
        neck_width=0.30, skull=0.20, muzzle=0.12, snout=0.065, ears="erect", ear=0.13,
        ear_width=0.06, tail="curl", tail_length=0.66, tail_width=0.17, coat="fluffy",
        shag=0.030, base="#e8862e",
        marks={"chest": "#f7bd77", "tail": "#f6b468", "belly": "#f3ad60", "muzzle": "#d4762a"},
    ),
    "german_shepherd": Look(
        size=0.95, body=0.74, chest=0.30, hip=0.25, slope=0.10, leg=0.47, coat="fluffy",
        shag=0.008, ears="erect", ear=0.29, ear_width=0.085, tail="plume", tail_length=0.70,
        tail_width=0.085, muzzle=0.28, neck_width=0.185, base="#bd7a38",
        marks={"saddle": "#29252a", "flank": "#29252a", "belly": "#c98c48", "legs": "#c98c48",
               "muzzle": "#29252a", "tail": "#3a302c", "ears": "#332a28"},
    ),
    "great_dane": Look(
        size=0.97, body=0.64, chest=0.275, hip=0.215, leg=0.74, bone=0.07, neck=0.50,
        neck_width=0.14, carriage=58, skull=0.18, muzzle=0.29, snout=0.11, ears="button",
        ear=0.17, tail="saber", tail_length=0.66, tail_width=0.042, base="#6d7a8c",
        marks={"muzzle": "#4b5564", "ears": "#505b6b"}, extras=("jowls",),
    ),
    "pembroke_welsh_corgi": Look(
        size=0.91, body=0.81, chest=0.285, hip=0.26, leg=0.16, bone=0.075, neck=0.28,
        neck_width=0.19, skull=0.215, muzzle=0.23, snout=0.085, ears="erect", ear=0.28,
        ear_width=0.105, tail="docked", coat="fluffy", shag=0.010, base="#dd8433",
        marks={"belly": WHITE, "chest": WHITE, "ruff": WHITE, "legs": WHITE, "muzzle": WHITE,
               "blaze": WHITE, "cheek": "#f3d3a4"},
    ),
    "bernese_mountain_dog": Look(
        size=0.97, body=0.69, chest=0.35, hip=0.31, leg=0.42, bone=0.095, neck_width=0.22,
        skull=0.235, muzzle=0.21, snout=0.12, ears="drop", ear=0.25, ear_width=0.11,
        tail="plume", tail_length=0.72, tail_width=0.10, coat="long", shag=0.020, base=INK,
        marks={"legs": RUST, "feet": WHITE, "cheek": RUST, "muzzle": WHITE, "blaze": WHITE,
               "bib": WHITE, "brow": RUST, "tip": WHITE},
    ),
    "french_bulldog": Look(
        size=0.81, body=0.46, chest=0.33, hip=0.255, leg=0.24, bone=0.085, neck=0.22,
        neck_width=0.24, skull=0.265, muzzle=0.085, snout=0.135, ears="bat", ear=0.25,
        ear_width=0.095, tail="docked", base="#d8b48a", extras=("jowls",),
        marks={"belly": "#efdcc0", "muzzle": "#4d403a", "chest": "#eedcc2", "ears": "#b48f68"},
    ),
    "yorkshire_terrier": Look(
        size=0.76, body=0.46, chest=0.25, hip=0.24, leg=0.26, bone=0.06, neck=0.28,
        neck_width=0.16, carriage=62, skull=0.185, muzzle=0.13, snout=0.075, ears="erect",
        ear=0.17, ear_width=0.07, tail="plume", tail_length=0.34, tail_width=0.07, coat="long",
        shag=0.018, skirt=0.95, extras=("topknot", "beard", "bow"), base="#56647a",
        marks={"cap": "#cf9450", "cheek": "#cf9450", "muzzle": "#dba460", "ears": "#b87c3c",
               "chest": "#c88d4c", "legs": "#c88d4c"},
    ),
    "labrador_retriever": Look(
        size=0.92, body=0.69, chest=0.32, hip=0.28, leg=0.43, bone=0.088, neck_width=0.19,
        skull=0.225, muzzle=0.22, snout=0.12, ears="drop", ear=0.20, ear_width=0.09,
        tail="straight", tail_length=0.66, tail_width=0.085, base="#5c3a26",
        marks={"belly": "#74492f", "ears": "#472b1b"}, nose="#3d2418",
    ),
    "boxer": Look(
        size=0.92, body=0.59, chest=0.32, hip=0.235, leg=0.51, bone=0.082, neck=0.36,
        neck_width=0.18, skull=0.215, muzzle=0.13, snout=0.145, ears="button", ear=0.17,
        tail="docked", extras=("jowls",), base="#c4803f",
        marks={"bib": WHITE, "feet": WHITE, "muzzle": "#2c2523", "blaze": WHITE},
    ),
    "jack_russell_terrier": Look(
        size=0.78, body=0.56, chest=0.245, hip=0.215, leg=0.33, bone=0.06, neck=0.28,
        neck_width=0.14, skull=0.18, muzzle=0.22, snout=0.082, ears="button", ear=0.15,
        ear_width=0.08, tail="docked", tail_length=0.26, base=WHITE,
        marks={"rump": "#a5602c", "cap": "#a5602c", "ears": "#7d451f", "tail": "#a5602c",
               "blaze": WHITE},
    ),
    "doberman_pinscher": Look(
        size=0.97, body=0.60, chest=0.29, hip=0.195, leg=0.60, bone=0.065, neck=0.46,
        neck_width=0.135, carriage=62, skull=0.165, muzzle=0.32, snout=0.085, ears="erect",
        ear=0.29, ear_width=0.055, tail="docked", base="#242128",
        marks={"bib": "#b4622a", "feet": "#b4622a", "muzzle": "#b4622a", "brow": "#b4622a"},
    ),
    "shih_tzu": Look(
        size=0.81, body=0.49, chest=0.29, hip=0.28, leg=0.20, bone=0.07, neck=0.22,
        neck_width=0.22, skull=0.245, muzzle=0.07, snout=0.11, ears="drop", ear=0.32,
        ear_width=0.12, tail="curl", tail_length=0.66, tail_width=0.12, coat="long",
        shag=0.024, skirt=1.0, extras=("topknot", "beard"), base=WHITE,
        marks={"saddle": "#9a6a3f", "cap": "#9a6a3f", "ears": "#6d4526", "muzzle": WHITE,
               "blaze": WHITE},
    ),
    "australian_shepherd": Look(
        size=0.91, body=0.66, chest=0.30, hip=0.27, leg=0.43, coat="long", shag=0.020,
        neck_width=0.19, ears="button", ear=0.19, ear_width=0.095, tail="docked",
        tail_length=0.16, base="#8f9bb0", eye="#6fb0dc",
        marks={"mottle": "#333844", "legs": "#b9733a", "feet": WHITE, "chest": WHITE,
               "ruff": WHITE, "cheek": "#b9733a", "muzzle": WHITE, "blaze": WHITE,
               "ears": "#3c414d"},
    ),
    "boston_terrier": Look(
        size=0.81, body=0.48, chest=0.26, hip=0.215, leg=0.37, bone=0.065, neck=0.30,
        neck_width=0.155, carriage=60, skull=0.235, muzzle=0.09, snout=0.105, ears="bat",
        ear=0.22, ear_width=0.075, tail="docked", base="#252227",
        marks={"bib": WHITE, "feet": WHITE, "blaze": WHITE, "muzzle": WHITE},
    ),
    "german_shorthaired_pointer": Look(
        size=0.95, body=0.69, chest=0.30, hip=0.225, leg=0.55, bone=0.07, neck=0.40,
        neck_width=0.15, skull=0.19, muzzle=0.28, snout=0.10, ears="drop", ear=0.26,
        ear_width=0.095, tail="straight", tail_length=0.36, tail_width=0.04, base="#d6cbbd",
        marks={"mottle": "#8d6f5b", "saddle": LIVER, "cap": LIVER, "cheek": LIVER,
               "muzzle": LIVER, "ears": "#4a2819", "tail": LIVER}, nose="#3d2418",
    ),
    "cavalier_king_charles_spaniel": Look(
        size=0.83, body=0.56, chest=0.27, hip=0.24, leg=0.32, bone=0.065, neck=0.28,
        neck_width=0.165, skull=0.215, muzzle=0.14, snout=0.09, ears="drop", ear=0.40,
        ear_width=0.135, tail="plume", tail_length=0.56, tail_width=0.085, coat="long",
        shag=0.018, base="#fbf4ec",
        marks={"patches": "#9c3f16", "cap": "#9c3f16", "ears": "#7f2f0e", "blaze": WHITE,
               "muzzle": WHITE, "tail": "#f4e3d2"},
    ),
    "miniature_schnauzer": Look(
        size=0.82, body=0.50, chest=0.26, hip=0.235, leg=0.40, bone=0.08, neck=0.32,
        neck_width=0.15, carriage=64, skull=0.18, muzzle=0.22, snout=0.10, ears="button",
        ear=0.16, ear_width=0.085, tail="docked", tail_length=0.20, coat="wiry", shag=0.012,
        extras=("beard", "brows"), base="#5f6166",
        marks={"legs": "#d9d8d4", "chest": "#cfcecb", "muzzle": "#e3e2de", "belly": "#c4c3c1"},
    ),
    "cane_corso": Look(
        size=0.97, body=0.67, chest=0.35, hip=0.275, leg=0.50, bone=0.10, neck=0.36,
        neck_width=0.225, skull=0.25, muzzle=0.17, snout=0.15, ears="erect", ear=0.13,
        ear_width=0.075, tail="saber", tail_length=0.44, tail_width=0.055,
        extras=("jowls",), base="#33363e", marks={"bib": "#4a4e57"},
    ),
    "havanese": Look(
        size=0.83, body=0.53, chest=0.28, hip=0.27, leg=0.28, bone=0.08, neck=0.26,
        neck_width=0.20, skull=0.225, muzzle=0.14, snout=0.09, ears="drop", ear=0.30,
        ear_width=0.115, tail="curl", tail_length=0.78, tail_width=0.12, coat="curly",
        shag=0.030, skirt=0.55, extras=("topknot", "beard"), base="#e6c99a",
        marks={"ears": "#a97c4a", "saddle": "#d8b27c", "cap": "#d2a76c"},
    ),
    "bulldog": Look(
        size=0.91, body=0.52, chest=0.38, hip=0.28, leg=0.19, bone=0.105, neck=0.20,
        neck_width=0.31, carriage=34, skull=0.30, muzzle=0.06, snout=0.185, ears="button",
        ear=0.12, ear_width=0.075, tail="docked", extras=("jowls",), base=WHITE,
        marks={"patches": "#b3632c", "saddle": "#b3632c", "cap": "#b3632c", "ears": "#9a5324",
               "muzzle": WHITE, "blaze": WHITE},
    ),
}  # fmt: skip

_COATS = (
    ("#2b2a2e", "#a85a28"), ("#f3eee4", "#8a4a22"), ("#c98a3c", "#f3dcae"), ("#6b4128", "#a9754a"),
    ("#7b8696", "#e8e6e2"), ("#e6cfa2", "#9c6c3c"), ("#3c4350", "#c9ccd2"), ("#a34a20", "#f4e6d4"),
)  # fmt: skip


def look_of(breed: str) -> Look:
    """The look of ``breed``; an unknown name gets one derived from the name alone."""
    if breed in LOOKS:
        return LOOKS[breed]
    rng = random.Random(f"look of {breed}")
    like = LOOKS[rng.choice(sorted(LOOKS))]
    base, second = rng.choice(_COATS)
    zones = rng.sample(["saddle", "belly", "chest", "legs", "cap", "muzzle", "bib", "tip"], 3)
    if rng.random() < 0.4:
        zones.append(rng.choice(["patches", "mottle"]))
    return replace(
        like,
        body=like.body * rng.uniform(0.88, 1.15),
        leg=like.leg * rng.uniform(0.8, 1.25),
        ears=rng.choice(["erect", "bat", "button", "drop"]),
        ear=rng.uniform(0.15, 0.34),
        tail=rng.choice(["straight", "saber", "plume", "curl", "docked"]),
        tail_length=rng.uniform(0.35, 0.8),
        base=base,
        marks=dict.fromkeys(zones, second) | {"ears": rng.choice([base, second])},
    )
