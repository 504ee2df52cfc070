"""Paired differences between v2ht_memory and the best peer of each subset; writes comparisons.json.

    python -m experiments.real.compare --out RUNS

A video's number is the mean over the seeds in whose test split it is. The best peer is the one with the highest mean
over seeds on test, chosen for each subset and metric by itself: this favours the peers. Interval and p are of the mean
difference over videos, by v2ht/evaluation/significance.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.measure import SUBSETS
from benchmarks.peers.run import slug
from data.files import InputError, read_json, write_json
from experiments.real.run import OURS, Line, read
from v2ht.evaluation.significance import bootstrap_interval, sign_flip_test

COMPARISONS = Path(__file__).parent / "comparisons.json"
METRICS = ("recall@10", "ndcg@10")


def mean_over_seeds(lines: Sequence[Line], subset: str, metric: str) -> float | None:
    """Return the mean of a metric, None where the subset has no videos."""
    found = [line["evaluation"][subset][metric] for line in lines if line["evaluation"][subset]]
    return float(np.mean(found)) if found else None


def by_system(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Return the lines of each system that did not fail."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        if "failed" not in line:
            found.setdefault(line["system"], []).append(line)
    return found


def best_peer(systems: dict[str, list[Line]], subset: str, metric: str) -> str | None:
    """Return the peer with the highest mean, the first of equals."""
    means = {name: mean_over_seeds(own, subset, metric) for name, own in systems.items() if name in PEERS}
    present = {name: mean for name, mean in means.items() if mean is not None}
    return max(present, key=lambda name: present[name]) if present else None


def videos_of(lines: Sequence[Line], subset: str, metric: str, out: Path) -> pl.DataFrame:
    """Return `video`, `value`: each video's mean over seeds. Raises `InputError` where a file is gone."""
    tables = []
    for line in lines:
        folder = out / "lines" / f"{line['table']}-{line['protocol']}-{line['seed']}"
        path = folder / f"{slug(line['system'])}.parquet"
        if not path.is_file():
            raise InputError(f"{path} is gone; measure it again with --again {line['system']!r}")
        tables.append(pl.read_parquet(path).filter(pl.col("subset") == subset).select("video", value=metric))
    return pl.concat(tables).group_by("video").mean().sort("video")


def difference(ours: pl.DataFrame, peer: pl.DataFrame) -> dict[str, Any]:
    """Return the mean paired difference, its interval and p. Raises ValueError unless the videos are the same."""
    if ours["video"].to_list() != peer["video"].to_list():
        raise ValueError("the two systems were measured on different videos; measure both on the same seeds")
    deltas = (ours["value"] - peer["value"]).to_numpy()
    low, high = bootstrap_interval(deltas, seed=0)
    return {
        "videos": len(deltas),
        "difference": round(float(deltas.mean()), 5),
        "interval": [round(float(low), 5), round(float(high), 5)],
        "p": round(float(sign_flip_test(deltas, seed=0)), 5),
    }


def compare(name: str, protocol: str, lines: Sequence[Line], out: Path) -> list[dict[str, Any]]:
    """Return a row for each subset and metric that both have."""
    systems = by_system(lines)
    rows = []
    for subset in SUBSETS:
        for metric in METRICS:
            peer = best_peer(systems, subset, metric)
            if peer is None or OURS not in systems:
                continue
            found = difference(*(videos_of(systems[one], subset, metric, out) for one in (OURS, peer)))
            rows.append(
                {"table": name, "protocol": protocol, "subset": subset, "metric": metric, "peer": peer, **found}
            )
    return rows


def kept(name: str, protocol: str) -> list[dict[str, Any]]:
    """Return the rows that comparisons.json has of a table and protocol."""
    rows: list[dict[str, Any]] = read_json(COMPARISONS)["rows"] if COMPARISONS.is_file() else []
    return [row for row in rows if (row["table"], row["protocol"]) == (name, protocol)]


def main() -> None:
    """Compare all tables and protocols that have lines; where a file of single videos is gone, the old rows stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder that `run` was given")
    given = parser.parse_args()
    lines = list(read().values())
    rows = []
    for name, protocol in dict.fromkeys((line["table"], line["protocol"]) for line in lines):
        own = [line for line in lines if (line["table"], line["protocol"]) == (name, protocol)]
        try:
            rows += compare(name, protocol, own, given.out)
        except InputError as error:
            print(f"{name}, {protocol}: the old rows stay; {error}", file=sys.stderr)
            rows += kept(name, protocol)
    write_json(COMPARISONS, {"rows": rows})


if __name__ == "__main__":
    main()
