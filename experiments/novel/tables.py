"""Write the tables of README.md from results.jsonl: means over seeds, newest line of each dataset, variant and seed.

python -m experiments.novel.tables [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from experiments.novel.run import RESULTS, TABLES, VARIANTS
from experiments.summary import difference, markdown, spread, write_tables

README = Path(__file__).parent / "README.md"
Line = dict[str, Any]
COLUMNS = [
    ("unseen", "recall@10"),
    ("unseen", "recall@50"),
    ("among unseen", "recall@1"),
    ("among unseen", "recall@5"),
    ("among unseen", "area"),
    ("known", "recall@10"),
]
FULL = "words and edges"


def newest() -> list[Line]:
    """Return the newest line of each dataset, variant and seed, by dataset and seed."""
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    found = {(line["dataset"], line["variant"], line["seed"]): line for line in lines}
    names = list(TABLES)
    return sorted(found.values(), key=lambda line: (names.index(line["dataset"]), line["seed"]))


def table(lines: list[Line]) -> str:
    """Return a row for each dataset, variant of V2HT and system."""
    rows = []
    for dataset in dict.fromkeys(line["dataset"] for line in lines):
        for variant in VARIANTS:
            own = [line for line in lines if (line["dataset"], line["variant"]) == (dataset, variant)]
            if not own:
                continue
            for system in own[0]["systems"]:
                cells = [spread(_by_seed(own, system, *column)) for column in COLUMNS]
                rows.append([f"{dataset}, {variant}: {system}", str(len(own)), *cells])
            before = {line["seed"]: line["known_before"]["recall@10"] for line in own}
            rows.append([f"{dataset}, {variant}: nothing inserted", str(len(own)), *["-"] * 5, spread(before)])
    return markdown(["mean ± standard deviation over seeds", "seeds", *map(" ".join, COLUMNS)], rows)


def gains(lines: list[Line]) -> str:
    """Return by how much the edges beat each other system, seed by seed."""
    rows = []
    for dataset in dict.fromkeys(line["dataset"] for line in lines):
        for variant in VARIANTS:
            own = [line for line in lines if (line["dataset"], line["variant"]) == (dataset, variant)]
            for system in ("words only", "words and random relatives") if own else ():
                cells = [_gain(own, system, *column) for column in COLUMNS[:5]]
                rows.append([f"{dataset}, {variant}: {FULL} − {system}", str(len(own)), *cells])
    return markdown(["mean difference ± half its 95 % interval", "seeds", *map(" ".join, COLUMNS[:5])], rows)


def counts(lines: list[Line]) -> str:
    """Return what there was to insert, from the first seed of each dataset."""
    first = {line["dataset"]: line for line in reversed(lines)}
    keys = ("known", "unseen", "unseen_with_edges", "unseen_with_word_vector")
    rows = [
        [
            f"{dataset}, seed {line['seed']}",
            *(f"{line['counts'][key]:,}" for key in keys),
            ", ".join(f"{count} {relation}" for relation, count in line["counts"]["edges"].items() if count),
            f"{line['systems'][FULL]['unseen']['videos']:,}",
        ]
        for dataset, line in reversed(first.items())
    ]
    head = ["dataset", "known hashtags", "unseen", "with edges", "with word vector", "edges", "test videos with unseen"]
    return markdown(head, rows)


def _gain(lines: list[Line], system: str, subset: str, metric: str) -> str:
    found = difference(_by_seed(lines, FULL, subset, metric), _by_seed(lines, system, subset, metric))
    if found is None:
        return "-"
    return f"{found[0]:+.3f} ± {found[1]:.3f}" if found[2] > 1 else f"{found[0]:+.3f}"


def _by_seed(lines: list[Line], system: str, subset: str, metric: str) -> dict[int, float]:
    """Return seed -> number; nothing where a system has none (popularity has no order among the unseen)."""
    found = {line["seed"]: line["systems"][system].get(subset, {}).get(metric) for line in lines}
    return {seed: value for seed, value in found.items() if value is not None}


def main() -> None:
    """Replace the tables in README.md, or check them."""
    lines = newest()
    tables = [(README, "counts", counts(lines)), (README, "table", table(lines)), (README, "gains", gains(lines))]
    write_tables(tables, check="--check" in sys.argv)


if __name__ == "__main__":
    main()
