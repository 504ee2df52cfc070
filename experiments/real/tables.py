"""Write the tables of README.md (here and at the top of the repository) from results.jsonl; nothing is typed by hand.

    python -m experiments.real.tables [--check]

The newest line of each (table, protocol, seed) counts. `--check` only says whether the files are up to date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from experiments.real.run import PROTOCOLS, RESULTS, TABLES
from experiments.summary import write_tables
from v2ht.evaluation.report import number

ROOT = Path(__file__).parents[2]
SUBSETS = ("overall", "longtail", "new_to_user", "cold_user")
Line = dict[str, Any]


def newest() -> dict[tuple[str, str, int], Line]:
    """Return the newest result of each table, protocol and seed."""
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    return {(line["table"], line["protocol"], line["seed"]): line for line in lines}


def full_tables(results: dict[tuple[str, str, int], Line]) -> str:
    """Return a section for each protocol and table: counts, then all systems on all subsets."""
    parts = []
    for protocol in PROTOCOLS:
        for name in TABLES:
            lines = [line for key, line in results.items() if key[:2] == (name, protocol)]
            parts += [f"### {name}, {protocol}, seed {x['seed']}\n\n{_facts(x)}\n\n{_table(x)}" for x in lines]
    return "\n\n".join(parts)


def _facts(line: Line) -> str:
    counts, graph, seconds = line["counts"], line["graph"], line["seconds"]
    edges = ", ".join(f"{count:,} {relation}" for relation, count in graph.items())
    return (
        f"{counts['videos']:,} videos ({counts['train']:,} / {counts['valid']:,} / {counts['test']:,}), "
        f"{counts['users']:,} users, {counts['hashtags']:,} hashtags; edges: {edges}. "
        f"Seconds: import {seconds['import']}, graph {seconds['graph']}, train {seconds['train']} "
        f"({line['epochs']['run']} epochs), rank test {seconds['rank']}; {line['hardware']['cores']} cores, "
        f"{line['date'][:10]}. Settings: `{' '.join(line['settings'])}`, the rest default."
    )


def _table(line: Line) -> str:
    evaluation = line["evaluation"]
    heads = [f"{subset.replace('_', ' ')} ({_videos(evaluation, subset)})" for subset in SUBSETS]
    rows = ["| recall@5 / recall@10 / NDCG@10 | " + " | ".join([*heads, "pair hit@10"]) + " |", "| --- " * 6 + "|"]
    systems = {evaluation["model"]: evaluation, **evaluation["floors"]}
    for name, numbers in systems.items():
        cells = [_three(numbers[subset]) for subset in SUBSETS]
        rows.append("| " + " | ".join([name, *cells, number(numbers["pair"]["hit_rate@10"])]) + " |")
    return "\n".join(rows)


def _videos(evaluation: dict[str, Any], subset: str) -> str:
    return f"{evaluation[subset]['videos']:,}" if evaluation[subset] else "none"


def _three(numbers: dict[str, Any] | None) -> str:
    return " / ".join(number(numbers[key]) for key in ("recall@5", "recall@10", "ndcg@10")) if numbers else "-"


def short_table(results: dict[tuple[str, str, int], Line]) -> str:
    """Return the table of the repository's README: recall@10 of all systems, a row for each table and protocol."""
    lines = [results[name, protocol, 0] for protocol in PROTOCOLS for name in TABLES if (name, protocol, 0) in results]
    systems = ["v2ht", *lines[0]["evaluation"]["floors"]]
    rows = [f"| {' / '.join(systems)} | overall | long tail | new to user | cold user |", "| --- " * 5 + "|"]
    for line in lines:
        evaluation = line["evaluation"]
        numbers = [evaluation, *evaluation["floors"].values()]
        cells = [_all(numbers, subset) for subset in SUBSETS]
        rows.append("| " + " | ".join([f"{line['table']}, {line['protocol']}", *cells]) + " |")
    return "\n".join(rows)


def _all(systems: list[dict[str, Any]], subset: str) -> str:
    """Return recall@10 of all systems, the largest in bold."""
    if systems[0][subset] is None:
        return "-"
    texts = [number(numbers[subset]["recall@10"]) for numbers in systems]
    return " / ".join(f"**{text}**" if text == max(texts, key=float) else text for text in texts)


def main() -> None:
    """Write both files, or check them."""
    results = newest()
    tables = [
        (Path(__file__).parent / "README.md", "tables", full_tables(results)),
        (ROOT / "README.md", "results", short_table(results)),
    ]
    write_tables(tables, check="--check" in sys.argv)


if __name__ == "__main__":
    main()
