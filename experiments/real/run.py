"""Import, graph, train and evaluate real tables; append one JSON line a run to results.jsonl.

python -m experiments.real.run --data FOLDER --out RUNS [--only youtube/random ...] [--seed 0]
python -m experiments.real.tables            # writes the tables of README.md from results.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.importing import ImportSettings, import_table
from data.presets import parse_columns
from graph_builders.build import GraphSettings, build_dataset_graph
from v2ht.training.evaluate import evaluate_run
from v2ht.training.train import Plan, train

RESULTS = Path(__file__).parent / "results.jsonl"
SETTINGS = ["text_length=30"]  # of all tables; what a table adds only makes its epochs shorter


@dataclass(frozen=True, kw_only=True)
class Table:
    """A source file and how to read it."""

    file: str
    format: str
    columns: str = ""
    settings: tuple[str, ...] = ()


TABLES = {
    "tiktok_vn": Table(file="tiktok_vn_2025.parquet", format="tiktok", settings=("batch_size=128", "patience=3")),
    "youtube": Table(file="youtube_trending_2017_us_gb_ca.parquet", format="youtube"),
    "lastfm": Table(
        file="lastfm_hetrec2011_taggings.parquet",
        format="lastfm",
        settings=("batch_size=256", "epochs=15", "patience=3"),
    ),
    "pyvideo": Table(file="pyvideo_talks.parquet", format="table", columns="text=title+description"),
}
PROTOCOLS = {  # split, fewest videos of a user
    "random": ("random", 5),
    "time": ("time", 5),
    "random-all-users": ("random", 1),
}


def run(name: str, protocol: str, *, data: Path, out: Path, seed: int) -> dict[str, object]:
    """Take one table through the chain; return its result line."""
    table, (split, min_user_videos) = TABLES[name], PROTOCOLS[protocol]
    folder = out / f"{name}-{protocol}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    settings = ImportSettings(
        format=table.format,
        columns=parse_columns(table.columns) if table.columns else {},
        min_user_videos=min_user_videos,
        split=split,
        seed=seed,
    )
    dataset = import_table(data / table.file, settings, out=folder / "dataset")
    imported = time.monotonic()
    graph = build_dataset_graph(dataset, GraphSettings())
    graph.save(folder / "dataset" / "graph.parquet")
    built = time.monotonic()
    words = [*SETTINGS, *table.settings]
    progress = train(folder / "dataset", folder / "run", Plan.of("v2ht", words, seed=seed), report=_say)
    assert progress is not None  # there is one process
    evaluation = evaluate_run(folder / "run", split="test")
    evaluation["dataset"] = table.file
    return {
        "table": name,
        "protocol": protocol,
        "seed": seed,
        "settings": words,
        "import": settings.as_json(),
        "counts": dataset.manifest["counts"],
        "graph": graph.counts(),
        "seconds": {
            "import": round(imported - started, 1),
            "graph": round(built - imported, 1),
            "train": round(progress.seconds, 1),
            "rank": evaluation["seconds"],
        },
        "epochs": {"run": progress.epoch, "best": progress.best_epoch},
        "hardware": {"cores": os.cpu_count(), "processor": evaluation["made"]["processor"]},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "evaluation": evaluation,
    }


def _say(what: str, done: int, total: int) -> None:
    if not total:
        print(what, flush=True)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the Parquet tables")
    parser.add_argument("--out", type=Path, required=True, help="folder for datasets and runs")
    parser.add_argument("--only", nargs="*", help="TABLE/PROTOCOL, for instance youtube/time")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    wanted = given.only or [f"{name}/{protocol}" for protocol in PROTOCOLS for name in TABLES]
    for word in wanted:
        name, protocol = word.split("/")
        print(f"== {word}", flush=True)
        line = run(name, protocol, data=given.data, out=given.out, seed=given.seed)
        with RESULTS.open("a", encoding="utf-8") as results:
            results.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
