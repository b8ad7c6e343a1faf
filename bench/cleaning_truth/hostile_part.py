"""Files that stop other cleaners, and odd ones that are pictures all the same."""

from __future__ import annotations

import dataclasses

import pandas as pd
from hostile_pictures.folder import Case, make_hostile
from hostile_pictures.kinds import TWIN

from cleaning_truth.intervals import share
from cleaning_truth.parts import Goal, Part, Run
from pipeline.cleaning.decide import decide_folder


def measure_hostile(run: Run) -> Part:
    folder = run.fresh("hostile")
    cases = make_hostile(run.photos, folder, each=3)
    # The command's own function: it must end, and count every file.
    numbers = decide_folder(folder, run.work / "hostile.csv", run.params)
    # Whether a file is read rightly does not hang on what is made of its picture.
    table = run.clean(folder, dataclasses.replace(run.params, collage="keep")).set_index("path")
    assert numbers["files"] == len(table) == len(list(folder.iterdir()))
    right = pd.Series([named(case, table) for case in cases])
    kind = pd.Series([case.kind for case in cases])
    twin = pd.Series([case.expect == TWIN for case in cases])
    broken, odd = (share(right[which], kind[which]) for which in (~twin, twin))
    wrong = [case for case, ok in zip(cases, right, strict=True) if not ok]
    lines = [
        f"## Hostile and odd files: {len(cases)} of {kind.nunique()} kinds",
        "",
        f"- broken or hostile, named as such: {broken} % of {int((~twin).sum())}; the run ended",
        f"- odd but whole (CMYK, 16 bit, palette, EXIF, animated, …), read as the picture they "
        f"show: {odd} % of {int(twin.sum())}",
        "",
    ]
    fails = [f"- {case.path}: {describe(table.loc[case.path])}" for case in wrong]
    goal = Goal("corrupt or hostile files named as such, %", "stops", broken, least=1.0)
    return Part([goal], lines, fails)


def named(case: Case, table: pd.DataFrame) -> bool:
    """Whether a file got the verdict it deserves, and in words that say why."""
    row = table.loc[case.path]
    if case.expect == TWIN:
        return bool(row["cluster"] >= 0 and row["cluster"] == table.loc[case.twin, "cluster"])
    said = any(words in row["detail"].lower() for words in case.words.split("|"))
    return bool(row["reason"] in case.expect.split("|") and said)


def describe(row: pd.Series) -> str:
    return f"{row['reason']} ({row['detail']})" if row["detail"] else str(row["reason"])
