"""Peers and our models on one dataset: tune on valid, rank test once, print one table.

    python -m benchmarks.peers.run DATASET --out FOLDER [--systems "text kNN" v2ht_memory ...] [--seed 10]
    python -m benchmarks.peers.run --world --out FOLDER        # a small made-up world, to see that all of them run

FOLDER gets SYSTEM.json and SYSTEM.parquet. A system that is there with the same settings to try is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.measure import Line, process
from data.dataset import Dataset
from data.files import InputError, read_json, write_json
from data.synthetic import WorldSettings, make_world
from graph_builders.build import GRAPH_FILE, GraphSettings, build_dataset_graph
from v2ht.evaluation.report import number
from v2ht.models import MODELS

OURS = ("v2ht_memory", "v2ht")


def asked(system: str, settings: Any = None) -> Any:
    """Return what is to be tried of a system, as JSON: its settings, words for one of our models; None: its grid."""
    if system in PEERS:
        grid = {name: list(values) for name, values in PEERS[system].grid.items()}
        return grid if settings is None else settings
    if system in MODELS:
        return list(settings or ())
    raise InputError(f"system {system!r} is unknown; choose among {', '.join([*OURS, *PEERS])}")


def run_system(
    dataset: Path,
    system: str,
    out: Path,
    *,
    seed: int,
    settings: Any = None,
    again: bool = False,
    tuned: Line | None = None,
) -> Line:
    """Rank test with a system; return its line, the one in `out` where it was run before.

    A peer without `settings` is tuned first, unless `tuned`, an earlier line of the same grid, has the `settings` that
    won and what was `tried`. A system that fails gives a line with `failed`, which says why.
    """
    path = out / f"{slug(system)}.json"
    identity = {"system": system, "seed": seed, "asked": asked(system, settings)}
    if path.is_file() and not again:
        line: Line = read_json(path)
        if "failed" not in line and all(line.get(key) == value for key, value in identity.items()):
            return line
    out.mkdir(parents=True, exist_ok=True)
    chosen: Line = {"settings": identity["asked"], "tried": []}
    if system in PEERS and settings is None:
        known = tuned is not None and "failed" not in tuned and tuned["asked"] == identity["asked"]
        chosen = {key: tuned[key] for key in chosen} if known else process(dataset, system, None, seed=seed, out=path)
    ranked = {}
    if "failed" not in chosen:
        ranked = process(dataset, system, chosen["settings"], seed=seed, out=path)
    line = {**identity, "machine": machine(), **chosen, **ranked}
    write_json(path, line)
    return line


def slug(system: str) -> str:
    """Return a name for files."""
    return "".join(letter if letter.isalnum() else "_" for letter in system)


def one_thread() -> None:
    """Let the libraries of the processes to come use one thread each, so that times can be compared."""
    for library in ("OMP", "OPENBLAS", "MKL", "RAYON"):
        os.environ[f"{library}_NUM_THREADS"] = "1"


def run_systems(dataset: Path, systems: Sequence[str], out: Path, *, seed: int, workers: int = 1) -> list[Line]:
    """Run several systems on a dataset with a graph."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda system: run_system(dataset, system, out, seed=seed), systems))


def table(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table."""
    subsets = ("overall", "longtail", "new_to_user", "cold_user")
    head = ["recall@5 / recall@10 / NDCG@10", *subsets, "train s", "ms/post", "peak GiB", "settings"]
    rows = [head, ["---"] * len(head)]
    for line in lines:
        if "failed" in line:
            rows.append([line["system"], f"failed: {line['failed']}", *["-"] * 7])
            continue
        cells = [three(line["evaluation"][subset]) for subset in subsets]
        costs = [f"{line[key]:.3g}" for key in ("train_seconds", "ms_per_post", "peak_gib")]
        rows.append([line["system"], *cells, *costs, json.dumps(line["settings"])])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def three(numbers: dict[str, Any] | None) -> str:
    """Return recall@5, recall@10 and NDCG@10 of a subset."""
    return " / ".join(number(numbers[key]) for key in ("recall@5", "recall@10", "ndcg@10")) if numbers else "-"


def small_world(folder: Path) -> None:
    """Make a made-up world with its graph, unless it is there."""
    if not (folder / GRAPH_FILE).is_file():
        made = make_world(WorldSettings(num_videos=300, num_users=30), seed=0)
        saved = Dataset(videos=made.videos, hashtags=made.hashtags, users=made.users, manifest=made.manifest).save(
            folder, overwrite=folder.exists()
        )
        build_dataset_graph(saved, GraphSettings()).save(folder / GRAPH_FILE)


def main() -> None:
    """Run what the command line names; exit 1 where a system failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, nargs="?", help="dataset folder with its graph (v2ht import, v2ht graph)")
    parser.add_argument("--world", action="store_true", help="a small made-up world instead of a dataset")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--systems", nargs="*", default=[OURS[0], *PEERS])
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    one_thread()
    if given.world == (given.dataset is not None):
        parser.error("give either a dataset folder or --world")
    dataset = given.dataset or given.out / "world"
    if given.world:
        small_world(dataset)
    lines = run_systems(dataset, given.systems, given.out, seed=given.seed, workers=given.workers)
    print(machine(), table(lines), sep="\n")
    sys.exit(any("failed" in line for line in lines))


if __name__ == "__main__":
    main()
