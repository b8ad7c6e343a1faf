"""The report: what was measured, in words and tables, with what was wanted beside it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from training_parts.quality import FLAGSHIP
from training_parts.race import number, ratio, spread
from training_parts.sizes import CLOSE
from training_parts.speed import LEVERS, OURS, SAME_NET, SEED, SHAPES
from training_parts.use import KINDS


@dataclass(frozen=True)
class Part:
    """A section, and what it says about the demands: (what, how much, met; None: not asked of
    this machine)."""

    lines: list[str]
    demands: list[tuple[str, str, bool | None]]


def table(titles: list[str], rows: list[list[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines] + [""]


def speeds(result: dict[str, Any]) -> list[str]:
    """A race as a table: median, least and most of the turns."""
    titles = [
        "contender",
        "images/s",
        "CPU ms a picture",
        "parameters",
        "GFLOP a picture",
        "TFLOP/s",
        "batch",
        "in",
    ]
    rows = []
    for name, one in sorted(result.items(), key=lambda item: item[1]["place"]):
        middle = statistics.median(one["speeds"])
        rows.append(
            [
                name,
                spread(one["speeds"]),
                number(statistics.median(one["cpu"])),
                f"{one['parameters'] / 1e6:.2f} M",
                f"{one['forward'] / 1e9:.2f}",
                f"{middle * one['training'] / 1e12:.3g}",
                str(one["batch"]),
                one["arithmetic"],
            ]
        )
    return table(titles, rows)


def times(result: dict[str, Any], ours: str, theirs: str) -> float:
    return ratio(result[ours]["speeds"], result[theirs]["speeds"])


def seed_part(result: dict[str, Any], gpu: bool) -> Part:
    lines = [
        "## Seed 004's net: its own loop and ours",
        "",
        "Its loop: fp32, pictures from files by a DataLoader without workers, a loop over the "
        "parameters for the average, `.item()` at every step. Its files here are 64 pixels already "
        "and its attention is fused, which both favour it.",
        "",
        *speeds(result),
    ]
    demands = []
    for name in result:
        if name.startswith(OURS):
            many = times(result, name, name.replace(OURS, SEED))
            batch = result[name]["batch"]
            wanted = f"seed 004's net, batch {batch}: 8 times its own loop, on a GPU"
            demands.append((wanted, f"{many:.2f} times", many >= 8 if gpu else None))
    return Part(lines, demands)


def peers_part(result: dict[str, Any], absent: list[str], gpu: bool) -> Part:
    title = "## Peers, with nets of equal cost"
    if not result:
        return Part([title, "", *absent, ""], [])
    wanted = 1.5 if gpu else 1.1
    lines = [
        title,
        "",
        f"`{SAME_NET}` is the peer's very net in our Trainer: what differs is the loop alone.",
        *absent,
        "",
    ]
    demands, rows = [], []
    against = [*SHAPES, SAME_NET]
    for one in result.values():
        race = one["race"]
        lines += [equal(one["sizes"]), "", *speeds(race)]
        for peer in (name for name in race if name not in against):
            rows.append([peer, *(f"{times(race, name, peer):.2f}" for name in against)])
            many = times(race, OURS, peer)
            demands.append((f"{wanted} times {peer}", f"{many:.2f} times", many >= wanted))
            if not gpu:
                cpu = [ratio(race[peer]["cpu"], race[name]["cpu"]) for name in against]
                rows.append([f"{peer}, by CPU time", *(f"{value:.2f}" for value in cpu)])
    lines += ["Times as fast, medians of the rounds:", ""]
    return Part([*lines, *table(["", *against], rows)], demands)


def equal(sizes: dict[str, Any]) -> str:
    """How near our nets came to the cost of a peer's."""
    far = [
        f"{name} costs {sizes[name]['times']:.3f} times that."
        for name in SHAPES
        if name in sizes and abs(sizes[name]["times"] - 1) > CLOSE
    ]
    said = f"Every net costs {sizes['target'] / 1e9:.2f} GFLOP a picture within 5 %."
    return " ".join([said.replace(" within", ", most within") if far else said, *far])


def use_part(results: dict[str, dict[str, Any]], gpu: bool) -> Part:
    kind = "bf16" if gpu else "fp32"
    lines = [f"## Share of the measured {kind} matmul peak", ""]
    rows, demands = [], []
    for name, one in results.items():
        speed = statistics.median(one["speeds"])
        share = speed * one["training"] / one["peak"]
        rows.append([name, spread(one["speeds"]), f"{one['training'] / 1e9:.1f}"])
        rows[-1] += [f"{one['peak'] / 1e12:.3g}", f"{share:.1%}"]
        rows[-1] += [f"{one['kinds'][kind]:.0%}" for kind in KINDS]
        demands.append((f"{name}: 40 % of the peak", f"{share:.1%}", share >= 0.4 if gpu else None))
    titles = ["preset", "images/s", "GFLOP to train on one", "peak TFLOP/s", "share"]
    lines += table([*titles, *KINDS], rows)
    lines += ["The last columns are shares of the wall time of a few profiled steps.", ""]
    for name, one in results.items():
        top = [f"`{key[:70]}` {seconds / one['wall']:.1%}" for key, seconds in one["top"]]
        lines += [f"- {name}: {'; '.join(top)}"]
    return Part([*lines, ""], demands)


def levers_part(results: dict[str, dict[str, Any]], gpu: bool) -> Part:
    lines = ["## Each lever alone", "", "How much faster the flagship is as it is:", ""]
    rows, demands = [], []
    for name, one in results.items():
        gain = times(one, "as it is", "changed")
        rows.append([f"`{LEVERS[name]}`", f"{gain:.3f}", spread(one["changed"]["speeds"])])
        if name == "resident":
            said = "streamed within 10 % of resident"
            demands.append((said, f"{1 / gain:.3f} of its speed", 1 / gain >= 0.9))
    return Part([*lines, *table(["changed", "times", "images/s, changed"], rows)], demands)


def quality_part(result: dict[str, Any], picture: str) -> Part:
    figures = result["figures"]
    names = list(figures[FLAGSHIP])
    rows = []
    for who, values in figures.items():
        done = result["trained"].get(who)
        seen = [f"{done['images']:,}", f"{done['seconds'] / 60:.1f}"] if done else ["", ""]
        rows.append([who, *seen, *(f"{values[name]:.4g}" for name in names)])
    lines = [
        "## Quality after equal minutes of training",
        "",
        f"Distances of {result['samples']:,} samples of each to {result['held_out']:,} held-out "
        "pictures; lower is better. Each is sampled from its average, in its own way.",
        "",
        *table(["", "images seen", "minutes", *names], rows),
        f"![samples]({picture})",
        "",
    ]
    demands = []
    for peer in (who for who in result["trained"] if who != FLAGSHIP):
        parts = [figures[peer][name] / max(figures[FLAGSHIP][name], 1e-9) for name in names]
        said = ", ".join(f"{number(p)} in {name}" for p, name in zip(parts, names, strict=True))
        best = f"flagship nearer than {peer} in every distance"
        demands.append((best, f"times as far: {said}", min(parts) > 1))
    return Part(lines, demands)


def wanted(demands: list[tuple[str, str, bool | None]]) -> list[str]:
    said = {True: "yes", False: "no", None: "asked on a GPU only"}
    rows = [[what, much, said[met]] for what, much, met in demands]
    return ["## Wanted", "", *table(["what", "measured", "met"], rows)]
