"""Write the tables of README.md from results.jsonl: means over seeds and paired differences, newest line of each case.

python -m experiments.worlds.tables
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from experiments.real.tables import write_tables
from experiments.worlds.run import RESULTS
from v2ht.evaluation.report import number

README = Path(__file__).parent / "README.md"
GAINS = [  # of the first over the second, seed by seed
    ("related", "v2ht", "without_graph"),
    ("related", "v2ht", "without_user"),
    ("related", "v2ht", "without_both"),
    ("related", "knowledge_only", "without_graph"),
    ("control", "knowledge_only", "without_graph"),
]
COLUMNS = [(subset, metric) for subset in ("overall", "longtail", "new_to_user") for metric in ("recall@10", "ndcg@10")]


def newest_evaluations() -> dict[tuple[str, str, int], dict[str, Any]]:
    """Return the newest evaluation of each world, variant and seed."""
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    return {(line["world"], line["variant"], line["seed"]): line["evaluation"] for line in lines}


def gains() -> str:
    """Return the paired differences as Markdown: mean over seeds and half the 95 % t interval of that mean."""
    newest = newest_evaluations()
    head = "| mean difference ± half its 95 % interval | seeds | "
    head += " | ".join(f"{subset.replace('_', ' ')} {metric}" for subset, metric in COLUMNS) + " |"
    rows = []
    for world, one, other in GAINS:
        seeds = sorted(
            seed for case, name, seed in newest if (case, name) == (world, one) and (world, other, seed) in newest
        )
        cells = [str(len(seeds))]
        for subset, metric in COLUMNS:
            values = [
                newest[world, one, seed][subset][metric] - newest[world, other, seed][subset][metric] for seed in seeds
            ]
            half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
            cells.append(f"{np.mean(values):+.3f} ± {half:.3f}")
        rows.append("| " + " | ".join([f"{world}: {one} − {other}", *cells]) + " |")
    return "\n".join([head, "| --- " * (len(COLUMNS) + 2) + "|", *rows])


def table() -> str:
    """Return the table as Markdown: a row for each world and variant, then the floors of the related world."""
    newest = newest_evaluations()
    rows: dict[str, list[dict[str, Any]]] = {}
    for (world, variant, _), evaluation in newest.items():
        rows.setdefault(f"{world}: {variant}", []).append(evaluation)
        if (world, variant) == ("related", "v2ht"):
            for name, floor in evaluation["floors"].items():
                rows.setdefault(f"{world}: {name} (floor)", []).append(floor)
    head = "| mean ± standard deviation over seeds | seeds | "
    head += " | ".join(f"{subset.replace('_', ' ')} {metric}" for subset, metric in COLUMNS) + " |"
    body = [
        "| " + " | ".join([name, str(len(found)), *(_cell(found, *column) for column in COLUMNS)]) + " |"
        for name, found in rows.items()
    ]
    return "\n".join([head, "| --- " * (len(COLUMNS) + 2) + "|", *sorted(body, key=_order)])


def _cell(evaluations: list[dict[str, Any]], subset: str, metric: str) -> str:
    values = np.array([evaluation[subset][metric] for evaluation in evaluations])
    return f"{number(float(values.mean()))} ± {number(float(values.std(ddof=1)) if len(values) > 1 else None)}"


def _order(row: str) -> tuple[bool, bool]:
    return "floor" in row, "control" in row


def main() -> None:
    """Replace the table in README.md, or check it."""
    write_tables([(README, "table", table()), (README, "gains", gains())], check="--check" in sys.argv)


if __name__ == "__main__":
    main()
