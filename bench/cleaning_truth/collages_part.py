"""Collages among single photos: about one file in ten."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cleaning_truth import collages
from cleaning_truth.compose import batches
from cleaning_truth.intervals import Share, found_at, nested, share, threshold_at
from cleaning_truth.parts import Goal, Part, Run
from cleaning_truth.score import area
from cleaning_truth.sheet import Strip
from pipeline.cleaning.collage_model import LINE

ALARMS = 0.01
_STRAIGHT, _LAYOUT, _LOOSE = 0.95, 0.85, 0.60


def measure_collages(run: Run) -> Part:
    scores = collage_scores(run)
    singles, again = (scores[scores["kind"] == kind] for kind in ("single", "again"))
    made = scores[scores["kind"].isin(collages.ALL)].copy()
    made["layout"] = made["kind"].str.partition(", ")[0]
    loose = made["layout"].isin(collages.LOOSE)
    gap = made["kind"].str.contains("gutter")
    groups = {name: made[made["layout"] == name] for name in [*collages.STRAIGHT, "captioned"]}
    groups |= {
        "**straight joins, all**": made[~loose],
        "of these without a gutter": made[~loose & ~gap],
        "of these with a gutter": made[~loose & gap],
    }
    groups |= {name: made[made["layout"] == name] for name in collages.LOOSE}
    groups["**scattered and inset**"] = made[loose]
    strict = threshold_at(singles["collage"], ALARMS)
    lines = [
        f"## Collages: {len(made)} in {scores['folder'].nunique()} folders, about one file in ten",
        "",
        f"Found in %, at the line each folder draws for itself (dedupe.collage_alarms "
        f"{run.params.collage_alarms:g})",
        f"and at the one that 1 % of these single photos reach ({strict:.4f}; the line itself is",
        f"{LINE:g}). Bootstrap over photos for false alarms, over folders and files for the rest.",
        "Area under the curve: straight joins "
        f"{area(singles['collage'], made.loc[~loose, 'collage']):.4f}, scattered and inset "
        f"{area(singles['collage'], made.loc[loose, 'collage']):.4f}.",
        "",
        "| layout | files | as it runs | at 1 % false alarms |",
        "|---|---|---|---|",
        *(layout_row(name, some, singles) for name, some in groups.items()),
        alarm_row("single photos", singles, strict),
        alarm_row("saved again", again, strict),
        "",
    ]
    fails, strips = failures(made, singles, strict)
    return Part(goals(made, loose, singles), lines, fails, strips)


def collage_scores(run: Run) -> pd.DataFrame:
    """Every file of every folder with its truth and the evidence against it."""
    tables = []
    for folder, truth in batches(run.photos, run.fresh("collages"), run.seed):
        table = truth.merge(run.clean(folder), on="path", validate="one_to_one")
        table["path"] = [str(folder / name) for name in table["path"]]
        tables.append(table.assign(folder=folder.name))
    scores = pd.concat(tables, ignore_index=True)
    scores.to_csv(run.work / "collages.csv", index=False)
    return scores


def layout_row(name: str, some: pd.DataFrame, singles: pd.DataFrame) -> str:
    usual, strict = usually(some), found_at(singles, some, ALARMS)
    return f"| {name} | {len(some)} | {usual} | {strict} |"


def usually(some: pd.DataFrame) -> Share:
    return nested(some["collage"] >= LINE, some["folder"])


def alarm_row(name: str, some: pd.DataFrame, strict: float) -> str:
    at = [str(share(some["collage"] >= line, some["photo"])) for line in (LINE, strict)]
    return f"| *false alarms:* {name} | {len(some)} | {' | '.join(at)} |"


def goals(made: pd.DataFrame, loose: pd.Series, singles: pd.DataFrame) -> list[Goal]:
    straight, other = made[~loose], made[loose]
    strict = threshold_at(singles["collage"], ALARMS)
    by = (straight["collage"] >= strict).groupby(straight["layout"]).mean()
    weakest = straight[straight["layout"] == by.idxmin()]
    none = "0.0"  # no hash looks for collages
    alarms = share(singles["collage"] >= LINE, singles["photo"])
    as_runs = f"as it runs ({100 * alarms.value:.1f} % false alarms)"

    def at(some: pd.DataFrame) -> Share:
        return found_at(singles, some, ALARMS)

    return [
        Goal("straight joins found at 1 % false alarms, %", none, at(straight), _STRAIGHT),
        Goal(f"the weakest layout ({by.idxmin()}), %", none, at(weakest), _LAYOUT),
        Goal("scattered and inset found at 1 % false alarms, %", none, at(other), _LOOSE),
        Goal(f"straight joins found {as_runs}, %", none, usually(straight), _STRAIGHT),
        Goal(f"scattered and inset found {as_runs}, %", none, usually(other), _LOOSE),
        Goal("false alarms among single photos as it runs, %", none, alarms, most=ALARMS),
    ]


def failures(
    made: pd.DataFrame, singles: pd.DataFrame, limit: float
) -> tuple[list[str], list[Strip]]:
    """The least suspected collages of the weakest layouts, the most suspected single photos."""
    missed = made[made["collage"] < limit].sort_values("collage")
    lines, strips = [], []
    for kind, count in missed["kind"].value_counts().items():
        some, all_of = missed[missed["kind"] == kind], int((made["kind"] == kind).sum())
        told = ", ".join(f"{value:.3f}" for value in some["collage"].head(5))
        lines.append(f"- {kind}: {count} of {all_of} below {limit:.3f}, the lowest {told}")
    for layout, count in missed["layout"].value_counts().head(5).items():
        some = missed[missed["layout"] == layout].head(10)
        pictures = [(Path(row.path), f"{row.collage:.3f}") for row in some.itertuples()]
        strips.append(Strip(f"{layout}: {count} not found", pictures))
    worst = singles.groupby("photo")["collage"].max().sort_values(ascending=False).head(10)
    told = ", ".join(f"{photo} {score:.3f}" for photo, score in worst.items())
    lines.append(f"- single photos with the highest evidence: {told}")
    first = singles.sort_values("collage", ascending=False).drop_duplicates("photo").head(10)
    alarms = [(Path(row.path), f"{row.collage:.3f}") for row in first.itertuples()]
    return lines, [*strips, Strip("single photos with the highest evidence", alarms)]
