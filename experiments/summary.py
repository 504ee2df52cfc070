"""From result lines to the tables of a README: means over seeds, paired differences, Markdown between marks."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from data.files import new_file
from v2ht.evaluation.report import number

Line = dict[str, Any]
Read = Callable[[Line], float | None]
"""Takes one number out of a result line; None where its subset has no videos."""


def metric(subset: str, name: str) -> Read:
    """Return the reader of a metric; a subset "pair.longtail" is the long tail of the pair protocol."""

    def read(line: Line) -> float | None:
        numbers = line["evaluation"]
        for part in subset.split("."):
            numbers = numbers and numbers[part]
        return float(numbers[name]) if numbers else None

    return read


def floor_lines(lines: Iterable[Line]) -> list[Line]:
    """Return the floors of lines as lines of their own, each dataset and seed once, under the floor's name."""
    found = {}
    for line in lines:
        for name, floor in line["floors"].items():
            found[line["dataset"], name, line["seed"]] = {**line, "system": f"{name} (floor)", "evaluation": floor}
    return list(found.values())


def values(lines: Iterable[Line], *, dataset: str, system: str, read: Read) -> dict[int, float]:
    """Return seed -> number of a system on a dataset."""
    own = {line["seed"]: read(line) for line in lines if (line["dataset"], line["system"]) == (dataset, system)}
    return {seed: value for seed, value in own.items() if value is not None}


def spread(found: dict[int, float]) -> str:
    """Return "mean ± standard deviation" over seeds, the mean alone where there is one, "-" where there is none."""
    if not found:
        return "-"
    numbers = np.array(list(found.values()))
    return number(float(numbers.mean())) + (f" ± {number(float(numbers.std(ddof=1)))}" if len(numbers) > 1 else "")


def difference(one: dict[int, float], other: dict[int, float]) -> tuple[float, float, int] | None:
    """Return the mean paired difference over shared seeds, half its 95 % t interval (nan of one), and their count."""
    seeds = sorted(set(one) & set(other))
    if not seeds:
        return None
    deltas = np.array([one[seed] - other[seed] for seed in seeds])
    if len(seeds) == 1:
        return float(deltas[0]), float("nan"), 1
    half = stats.t.ppf(0.975, len(seeds) - 1) * deltas.std(ddof=1) / len(seeds) ** 0.5
    return float(deltas.mean()), float(half), len(seeds)


def verdict(found: tuple[float, float, int] | None) -> str:
    """Say in words what a paired difference shows: the interval beside zero or not."""
    if found is None:
        return "-"
    mean, half, count = found
    said = "holds" if mean > half else "reversed" if mean < -half else "open"
    return f"{mean:+.3f} ± {half:.3f}, {said}" if count > 1 else f"{mean:+.3f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_tables(tables: list[tuple[Path, str, str]], *, check: bool) -> None:
    """Put contents between the comments `mark` and `end mark` of files; with `check`, exit 1 where one differs."""
    stale = []
    for path, mark, content in tables:
        old = path.read_text(encoding="utf-8")
        between = re.compile(rf"(?<=<!-- {mark} -->\n).*?(?=<!-- end {mark} -->)", re.DOTALL)
        new = between.sub(lambda _, text=content: f"\n{text}\n\n", old)  # type: ignore[misc]  # no escapes in a function
        if new != old and check:
            stale.append(path.name)
        elif new != old:
            with new_file(path) as temporary:
                temporary.write_text(new, encoding="utf-8")
    if stale:
        sys.exit(f"not up to date: {', '.join(stale)}; run this module without --check")
