"""Write the table of README.md from results.jsonl: mean and spread over seeds, newest line of each case.

python -m experiments.worlds.tables
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from experiments.real.tables import write_tables
from experiments.worlds.run import RESULTS
from v2ht.evaluation.report import number

README = Path(__file__).parent / "README.md"
COLUMNS = [(subset, metric) for subset in ("overall", "longtail", "new_to_user") for metric in ("recall@10", "ndcg@10")]


def table() -> str:
    """Return the table as Markdown: a row for each world and variant, then the floors of the related world."""
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    newest = {(line["world"], line["variant"], line["seed"]): line["evaluation"] for line in lines}
    rows: dict[str, list[dict[str, Any]]] = {}
    for (world, variant, _), evaluation in newest.items():
        rows.setdefault(f"{world}: {variant}", []).append(evaluation)
        if (world, variant) == ("related", "v2ht"):
            for name, floor in evaluation["floors"].items():
                rows.setdefault(f"{world}: {name} (floor)", []).append(floor)
    seeds = sorted({seed for _, _, seed in newest})
    head = f"| mean ± standard deviation over seeds {', '.join(map(str, seeds))} | "
    head += " | ".join(f"{subset.replace('_', ' ')} {metric}" for subset, metric in COLUMNS) + " |"
    body = [
        "| " + " | ".join([name, *(_cell(found, *column) for column in COLUMNS)]) + " |" for name, found in rows.items()
    ]
    return "\n".join([head, "| --- " * (len(COLUMNS) + 1) + "|", *sorted(body, key=_order)])


def _cell(evaluations: list[dict[str, Any]], subset: str, metric: str) -> str:
    values = np.array([evaluation[subset][metric] for evaluation in evaluations])
    return f"{number(float(values.mean()))} ± {number(float(values.std(ddof=1)) if len(values) > 1 else None)}"


def _order(row: str) -> tuple[bool, bool]:
    return "floor" in row, "control" in row


def main() -> None:
    """Replace the table in README.md, or check it."""
    write_tables([(README, "table", table())], check="--check" in sys.argv)


if __name__ == "__main__":
    main()
