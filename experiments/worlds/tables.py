"""Write the tables of README.md from results.jsonl: means over seeds and paired differences, newest line of each case.

python -m experiments.worlds.tables
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from experiments.summary import difference, markdown, spread, write_tables
from experiments.worlds.run import RESULTS

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
    rows = []
    for world, one, other in GAINS:
        found = [
            difference(_by_seed(newest, world, one, *column), _by_seed(newest, world, other, *column))
            for column in COLUMNS
        ]
        seeds = found[0][2] if found[0] else 0
        cells = [f"{each[0]:+.3f} ± {each[1]:.3f}" if each else "-" for each in found]
        rows.append([f"{world}: {one} − {other}", str(seeds), *cells])
    return markdown(["mean difference ± half its 95 % interval", "seeds", *_heads()], rows)


def table() -> str:
    """Return the table as Markdown: a row for each world and variant, then the floors of the related world."""
    newest = newest_evaluations()
    with_floors = dict(newest)
    for (world, variant, seed), evaluation in newest.items():
        if (world, variant) == ("related", "v2ht"):
            floors = {(world, f"{name} (floor)", seed): floor for name, floor in evaluation["floors"].items()}
            with_floors |= floors
    systems = sorted(dict.fromkeys((world, variant) for world, variant, _ in with_floors), key=_order)
    rows = []
    for world, variant in systems:
        found = [_by_seed(with_floors, world, variant, *column) for column in COLUMNS]
        rows.append([f"{world}: {variant}", str(len(found[0])), *(spread(values) for values in found)])
    return markdown(["mean ± standard deviation over seeds", "seeds", *_heads()], rows)


def _by_seed(
    evaluations: dict[tuple[str, str, int], dict[str, Any]], world: str, variant: str, subset: str, metric: str
) -> dict[int, float]:
    return {
        seed: evaluation[subset][metric]
        for (where, name, seed), evaluation in sorted(evaluations.items())
        if (where, name) == (world, variant)
    }


def _heads() -> list[str]:
    return [f"{subset.replace('_', ' ')} {metric}" for subset, metric in COLUMNS]


def _order(system: tuple[str, str]) -> tuple[bool, bool]:
    return "floor" in system[1], system[0] == "control"


def main() -> None:
    """Replace the table in README.md, or check it."""
    write_tables([(README, "table", table()), (README, "gains", gains())], check="--check" in sys.argv)


if __name__ == "__main__":
    main()
