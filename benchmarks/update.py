"""Folding posts into a run beside training it anew: `python -m benchmarks.update FOLDER`, where tiktok_vn's table is.

The newest `--posts` posts are left out of training and folded in. One thread; processor time stands beside the clock's,
which other work on the machine makes longer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import torch

from benchmarks.machine import machine, peak_memory_gib
from data.importing import ImportSettings, import_table
from experiments.real.run import TABLES
from graph_builders.build import GRAPH_FILE, GraphSettings, build_dataset_graph
from v2ht.training.train import Plan, train
from v2ht.training.update import update


def timed(what: str, action: Callable[[], Any]) -> tuple[Any, float]:
    """Run `action`, print its seconds, return its result and its processor seconds."""
    clock, processor = time.perf_counter(), time.process_time()
    result = action()
    spent = time.process_time() - processor
    print(f"{what}: processor {spent:.1f} s, clock {time.perf_counter() - clock:.1f} s", flush=True)
    return result, spent


def main() -> None:
    """Train without the newest posts, fold them in, print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the Parquet tables")
    parser.add_argument("--table", default="tiktok_vn", choices=["tiktok_vn", "youtube"])
    parser.add_argument("--posts", type=int, default=1_000)
    parser.add_argument("--model", default="v2ht_memory")
    parser.add_argument("--set", nargs="*", default=[], help="KEY=VALUE of training, for instance epochs=1")
    options = parser.parse_args()
    print(machine())
    torch.set_num_threads(1)
    table = TABLES[options.table]
    posts = pl.read_parquet(options.data / table.file).sort("created_at")
    plan = Plan.of(options.model, [*table.settings, *options.set], seed=0)
    with TemporaryDirectory() as name:
        folder = Path(name)
        posts[: -options.posts].write_parquet(folder / "old.parquet")
        posts[-options.posts :].write_parquet(folder / "new.parquet")

        def prepared() -> None:
            settings = ImportSettings(format=table.format, split="time")
            dataset = import_table(folder / "old.parquet", settings, out=folder / "dataset")
            build_dataset_graph(dataset, GraphSettings()).save(folder / "dataset" / GRAPH_FILE)

        timed("import and graph", prepared)
        _, training = timed("training", lambda: train(folder / "dataset", folder / "run", plan))
        done, updating = timed("update", lambda: update(folder / "run", folder / "new.parquet", folder / "updated"))
    print(
        f"{done['posts']:,} posts folded in, {done['new_users']:,} new users, {len(done['new_hashtags']):,} new "
        f"hashtags; training takes {training / updating:.0f} times as long; peak {peak_memory_gib():.2f} GiB"
    )


if __name__ == "__main__":
    main()
