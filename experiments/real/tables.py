"""Write the tables of README.md (here and at the top of the repository) from results.jsonl and comparisons.json.

    python -m experiments.real.tables [--check]

The newest line of each table, protocol, seed and system counts. `--check` only says whether the files are up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.catalogue import PEERS
from data.files import read_json
from experiments.real.compare import COMPARISONS, by_system, mean_over_seeds
from experiments.real.run import OURS, SYSTEMS, Line, cases, read
from experiments.summary import markdown, write_tables
from v2ht.evaluation.report import number

ROOT = Path(__file__).parents[2]
COLUMNS = (
    ("overall", "recall@5"),
    ("overall", "recall@10"),
    ("overall", "ndcg@10"),
    ("longtail", "recall@10"),
    ("longtail", "ndcg@10"),
    ("new_to_user", "recall@10"),
    ("new_to_user", "ndcg@10"),
    ("cold_user", "recall@10"),
    ("cold_user", "ndcg@10"),
)
COSTS = (("train_seconds", "train s"), ("ms_per_post", "ms/post"), ("peak_gib", "peak GiB"))
SHORT = ("random", "time")  # protocols of the table at the top of the repository
FEW_VIDEOS = 100  # a subset of fewer is shown with their number
Case = tuple[str, str]


def cases_with_lines(lines: Sequence[Line]) -> dict[Case, list[Line]]:
    """Return the lines of each table and protocol that has some, in the order of the study."""
    found = {case: [line for line in lines if (line["table"], line["protocol"]) == case] for case in cases()}
    return {case: own for case, own in found.items() if own}


def bold_best(columns: Sequence[Sequence[float | None]]) -> list[list[str]]:
    """Return the numbers as text, "-" for none, the largest of each column in bold as they are shown."""
    shown = []
    for column in columns:
        texts = ["-" if value is None else number(value) for value in column]
        largest = max((text for text in texts if text != "-"), key=float, default="-")
        shown.append([f"**{text}**" if text == largest != "-" else text for text in texts])
    return shown


def full_tables(lines: Sequence[Line], comparisons: Sequence[dict[str, Any]]) -> str:
    """Return a section for each table and protocol: counts, all systems on all subsets, differences, settings."""
    parts = []
    for (name, protocol), own in cases_with_lines(lines).items():
        rows = [row for row in comparisons if (row["table"], row["protocol"]) == (name, protocol)]
        sections = [f"### {name}, {protocol}", _facts(own), _systems(own), _differences(rows), _settings(own)]
        parts += [section for section in sections if section]
    return "\n\n".join(parts)


def _facts(lines: Sequence[Line]) -> str:
    counts, dates = lines[0]["counts"], sorted({line["machine"].split(" | ")[0] for line in lines})
    machines = sorted({line["machine"].split(" | ")[1] for line in lines})
    seeds = sorted({line["seed"] for line in lines})
    return (
        f"{counts['videos']:,} videos ({counts['train']:,} / {counts['valid']:,} / {counts['test']:,}), "
        f"{counts['users']:,} users, {counts['hashtags']:,} hashtags; seeds {', '.join(map(str, seeds))}; "
        f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))}; {' and '.join(machines)}."
    )


def _systems(lines: Sequence[Line]) -> str:
    systems = by_system(lines)
    names = [name for name in SYSTEMS if name in systems]
    columns = [[mean_over_seeds(systems[name], *column) for name in names] for column in COLUMNS]
    quality = zip(*bold_best(columns), strict=True)
    costs = [[f"{np.mean([line[key] for line in systems[name]]):.3g}" for key, _ in COSTS] for name in names]
    seeds = [str(len(systems[name])) for name in names]
    rows = [[name, count, *cells, *own] for name, count, cells, own in zip(names, seeds, quality, costs, strict=True)]
    failed = [[line["system"], line["failed"], *["-"] * 12] for line in lines if "failed" in line]
    titles = [f"{subset} {metric}".replace("overall", "all").replace("_user", "") for subset, metric in COLUMNS]
    return markdown(["mean over seeds", "seeds", *titles, *(title for _, title in COSTS)], [*rows, *failed])


def _differences(rows: Sequence[dict[str, Any]]) -> str:
    cells = [
        [row["subset"], row["metric"], row["peer"], _signed(row["difference"]), _interval(row), f"{row['p']:.2g}"]
        for row in rows
    ]
    head = ["subset", "metric", "best peer", f"{OURS} − it", "95 % interval", "p"]
    return markdown(head, cells) if cells else ""


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _interval(row: dict[str, Any]) -> str:
    return f"{_signed(row['interval'][0])} to {_signed(row['interval'][1])}"


def _settings(lines: Sequence[Line]) -> str:
    """Return what validation chose for each system, seed by seed where seeds differ."""
    parts = []
    for name, own in by_system(lines).items():
        chosen = dict.fromkeys(words for line in own if (words := _chosen(line)))
        parts += [f"{name}: {' | '.join(f'`{words}`' for words in chosen)}"] if chosen else []
    return f"Chosen on validation: {'; '.join(parts)}." if parts else ""


def _chosen(line: Line) -> str:
    """Return a peer's settings, or the lift of v2ht_memory, which its older lines do not hold."""
    chosen = line["settings"] if line["system"] in PEERS else {key: line[key] for key in ("lift",) if key in line}
    return " ".join(f"{key}={value}" for key, value in chosen.items())


def short_table(lines: Sequence[Line]) -> str:
    """Return overall recall@10 and NDCG@10 of all systems, a column for each table and protocol."""
    found = {case: by_system(own) for case, own in cases_with_lines(lines).items() if case[1] in SHORT}
    names = [name for name in SYSTEMS if any(name in systems for systems in found.values())]
    columns = [
        [mean_over_seeds(systems.get(name, []), "overall", metric) for name in names]
        for systems in found.values()
        for metric in ("recall@10", "ndcg@10")
    ]
    shown = bold_best(columns)
    cells = [
        [f"{recall[row]} / {ndcg[row]}" for recall, ndcg in zip(shown[::2], shown[1::2], strict=True)]
        for row in range(len(names))
    ]
    head = ["recall@10 / NDCG@10", *(f"{name}, {protocol}" for name, protocol in found)]
    return markdown(head, [[name, *own] for name, own in zip(names, cells, strict=True)])


def best_peers_table(lines: Sequence[Line], comparisons: Sequence[dict[str, Any]]) -> str:
    """Return recall@10 of v2ht_memory beside the best peer of each subset, a row for each table and protocol."""
    subsets = ("overall", "longtail", "new_to_user", "cold_user")
    rows = []
    for case, own in cases_with_lines(lines).items():
        row = [", ".join(case)]
        for subset in subsets:
            known = (*case, subset, "recall@10")
            match = [c for c in comparisons if (c["table"], c["protocol"], c["subset"], c["metric"]) == known]
            row.append(_against(by_system(own), match[0]) if match else "-")
        rows.append(row)
    return markdown([f"{OURS} / best peer, recall@10", *(subset.replace("_", " ") for subset in subsets)], rows)


def _against(systems: dict[str, list[Line]], row: dict[str, Any]) -> str:
    """Bold is the larger one, unless the interval of the difference holds 0."""
    ours, peer = (mean_over_seeds(systems[name], row["subset"], row["metric"]) for name in (OURS, row["peer"]))
    assert ours is not None  # a comparison needs both
    assert peer is not None
    low, high = row["interval"]
    texts = [f"**{number(ours)}**" if low > 0 else number(ours), f"**{number(peer)}**" if high < 0 else number(peer)]
    few = f" ({row['videos']} videos)" if row["videos"] < FEW_VIDEOS else ""
    return f"{' / '.join(texts)} {row['peer']}{few}"


def main() -> None:
    """Write both files, or check them."""
    lines = list(read().values())
    comparisons = read_json(COMPARISONS)["rows"] if COMPARISONS.is_file() else []
    tables = [
        (Path(__file__).parent / "README.md", "tables", full_tables(lines, comparisons)),
        (ROOT / "README.md", "results", f"{short_table(lines)}\n\n{best_peers_table(lines, comparisons)}"),
    ]
    write_tables(tables, check="--check" in sys.argv)


if __name__ == "__main__":
    main()
