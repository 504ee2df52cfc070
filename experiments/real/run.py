"""All systems on real tables: import, graph, tune on valid, rank test once; append a JSON line each to results.jsonl.

Peers are tuned on the first split of a table and protocol; the other splits and seeds take the settings that won there.

python -m experiments.real.run --data FOLDER --out RUNS [--only youtube/random ...] [--workers 2]
python -m experiments.real.compare --out RUNS     # paired differences of v2ht_memory and the best peers
python -m experiments.real.tables                 # writes the tables of the READMEs

A line that results.jsonl has, with the same settings to try, is not measured again, but for the systems of --again;
with --keep-settings these rank test with the settings that won when they were tuned, and are not tuned anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.run import asked, one_thread, run_system
from data.dataset import SPLITS, Dataset
from data.files import InputError
from data.importing import ImportSettings, import_table
from data.presets import parse_columns
from graph_builders.build import GRAPH_FILE, GraphSettings, build_dataset_graph

RESULTS = Path(__file__).parent / "results.jsonl"
FIRST_SEED = 10  # the settings of our models were chosen on seeds 0 to 2
FEW_TEST_VIDEOS = 1_000  # below, a split is too small to trust: five of them instead of three
OURS = "v2ht_memory"
SYSTEMS = (OURS, "v2ht", *PEERS)
ONE_SEED = ("v2ht",)  # takes a quarter of an hour on the large tables
Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A source file, how to read it, and the settings that v2ht and v2ht_memory get there."""

    file: str
    format: str = "table"
    columns: str = ""
    settings: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()  # chosen on validation (LOG.md); else v2ht_memory has the same on all tables
    protocols: tuple[str, ...] = ("random", "time", "random-low", "time-low")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A split and the fewest videos of hashtags and users; `cold` deals users, not videos, to train, valid and test."""

    split: str
    min_hashtag_videos: int = 10
    min_user_videos: int = 5


TABLES = {
    "tiktok_vn": Table(file="tiktok_vn_2025.parquet", format="tiktok", settings=("batch_size=128", "patience=3")),
    "youtube": Table(file="youtube_trending_2017_us_gb_ca.parquet", format="youtube"),
    "lastfm": Table(
        file="lastfm_hetrec2011_taggings.parquet",
        format="lastfm",
        settings=("batch_size=256", "epochs=15", "patience=3"),
        memory=("batch_size=128", "learning_rate=0.004", "tail_weight=0.4"),
    ),
    "pyvideo": Table(file="pyvideo_talks.parquet", columns="text=title+description"),
    "tiktok_trending": Table(file="tiktok_trending_2025.parquet", format="tiktok", protocols=("cold",)),
}
for _name in ("youtube", "pyvideo", "tiktok_vn"):
    TABLES[_name] = replace(TABLES[_name], protocols=(*TABLES[_name].protocols, "cold"))
PROTOCOLS = {
    "random": Protocol(split="random"),
    "time": Protocol(split="time"),
    "random-low": Protocol(split="random", min_hashtag_videos=5, min_user_videos=1),
    "time-low": Protocol(split="time", min_hashtag_videos=5, min_user_videos=1),
    "cold": Protocol(split="cold", min_user_videos=1),
}


def prepare(name: str, protocol: str, folder: Path, *, data: Path, seed: int) -> Dataset:
    """Import a table and build its graph in `folder`, unless both are there."""
    if not (folder / GRAPH_FILE).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        table, chosen = TABLES[name], PROTOCOLS[protocol]
        settings = ImportSettings(
            format=table.format,
            columns=parse_columns(table.columns) if table.columns else {},
            min_hashtag_videos=chosen.min_hashtag_videos,
            min_user_videos=chosen.min_user_videos,
            split="random" if chosen.split == "cold" else chosen.split,
            seed=seed,
        )
        dataset = import_table(data / table.file, settings, out=folder)
        if chosen.split == "cold":
            path = folder.with_name(f"{folder.name}-split.parquet")
            split_by_user(dataset, seed=seed).write_parquet(path)
            dataset = import_table(data / table.file, replace(settings, split=path), out=folder, overwrite=True)
        build_dataset_graph(dataset, GraphSettings()).save(folder / GRAPH_FILE)
    return Dataset.load(folder)


def split_by_user(dataset: Dataset, *, seed: int) -> pl.DataFrame:
    """Return `video_id, split`: users in random order, about 80, 10 and 10 % of the videos, no user in two splits."""
    users = dataset.videos["user_id"].to_numpy()
    order_U = np.random.default_rng([seed, 0]).permutation(dataset.num_users)
    videos_U = np.bincount(users, minlength=dataset.num_users)[order_U]
    before_U = np.empty(dataset.num_users)
    before_U[order_U] = np.cumsum(videos_U) - videos_U
    place = np.searchsorted([0.8, 0.9], before_U[users] / len(users), side="right")
    return dataset.videos.select("video_id", split=pl.Series(np.array(SPLITS, dtype=object)[place], dtype=pl.String))


def measure(
    name: str,
    protocol: str,
    systems: Sequence[str],
    *,
    data: Path,
    out: Path,
    workers: int,
    again: Sequence[str],
    keep_settings: bool,
    seeds: int,
) -> None:
    """Append the lines of one table and protocol that results.jsonl lacks."""
    by_time = PROTOCOLS[protocol].split == "time"  # one split: seeds draw the systems' first weights only
    seed, limit = FIRST_SEED, FIRST_SEED + 1
    while seed < limit:
        place = f"{name}-{protocol}-{FIRST_SEED if by_time else seed}"
        dataset = prepare(name, protocol, out / "datasets" / place, data=data, seed=FIRST_SEED if by_time else seed)
        videos = len(dataset.rows("test"))
        limit = FIRST_SEED + (seeds or (5 if videos < FEW_TEST_VIDEOS and not by_time else 3))
        facts = {"table": name, "protocol": protocol, "counts": dataset.manifest["counts"]}
        todo = [system for system in systems if seed == FIRST_SEED or _has_seeds(system, by_time=by_time)]
        jobs = _missing(name, protocol, seed, todo, again=again)  # of another seed: when the first one's are written
        with ThreadPoolExecutor(workers) as pool:
            waiting = [
                pool.submit(
                    run_system,
                    out / "datasets" / place,
                    system,
                    out / "lines" / f"{name}-{protocol}-{seed}",
                    seed=seed,
                    settings=settings,
                    again=system in again,
                    tuned=read().get((name, protocol, seed, system)) if keep_settings else None,
                )
                for system, settings in jobs
            ]
            for done in waiting:
                _append({**facts, **done.result()})
        seed += 1


def settings_of(name: str, protocol: str, seed: int, system: str) -> Any:
    """Return the settings to run a system with; None for a peer that is to be tuned, which it is on the first seed.

    Raises KeyError when the first seed of a peer failed.
    """
    if system not in PEERS:
        return ["text_length=30", *TABLES[name].settings] if system == "v2ht" else list(TABLES[name].memory)
    return None if seed == FIRST_SEED else read()[name, protocol, FIRST_SEED, system]["settings"]


def _has_seeds(system: str, *, by_time: bool) -> bool:
    """Whether another seed gives another result, and is worth its time."""
    if system in ONE_SEED:
        return False
    return not by_time or system not in PEERS or PEERS[system].seeded


def _missing(
    name: str, protocol: str, seed: int, systems: Sequence[str], *, again: Sequence[str]
) -> list[tuple[str, Any]]:
    """Return the systems without a line, with their settings; a peer that failed on the first seed is left out."""
    known = {key: line["asked"] for key, line in read().items() if "failed" not in line}
    jobs = []
    for system in systems:
        if system in PEERS and seed != FIRST_SEED and (name, protocol, FIRST_SEED, system) not in known:
            continue
        settings = settings_of(name, protocol, seed, system)
        if system in again or known.get((name, protocol, seed, system)) != asked(system, settings):
            jobs.append((system, settings))
    return jobs


def _append(line: Line) -> None:
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line, ensure_ascii=False) + "\n")
        results.flush()
        os.fsync(results.fileno())
    overall = line.get("evaluation", {}).get("overall", {})
    said = line.get("failed") or f"recall@10 {overall['recall@10']:.3f}, {line['train_seconds']} s"
    print(line["table"], line["protocol"], line["seed"], line["system"], said, flush=True)


def read(path: Path = RESULTS) -> dict[tuple[str, str, int, str], Line]:
    """Return the newest line of each table, protocol, seed and system."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    return {(line["table"], line["protocol"], line["seed"], line["system"]): line for line in lines}


def cases() -> Iterable[tuple[str, str]]:
    """Return all tables with their protocols, protocol by protocol."""
    return [(name, protocol) for protocol in PROTOCOLS for name in TABLES if protocol in TABLES[name].protocols]


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the Parquet tables")
    parser.add_argument("--out", type=Path, required=True, help="folder for datasets and every video's numbers")
    parser.add_argument("--only", nargs="*", help="TABLE/PROTOCOL, for instance youtube/time; else all")
    parser.add_argument("--systems", nargs="*", default=SYSTEMS)
    parser.add_argument("--again", nargs="*", default=(), help="systems to measure though they have their lines")
    parser.add_argument(
        "--keep-settings",
        action="store_true",
        help="do not tune the systems of --again anew, unless their grid has changed",
    )
    parser.add_argument("--seeds", type=int, default=0, help="how many; else as the test split's size asks")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    one_thread()
    wanted = [tuple(word.split("/")) for word in given.only] if given.only else cases()
    for name, protocol in wanted:
        if (name, protocol) not in cases():
            raise InputError(f"{name}/{protocol} is unknown; choose among {', '.join(map('/'.join, cases()))}")
        measure(
            name,
            protocol,
            given.systems,
            data=given.data,
            out=given.out,
            workers=given.workers,
            again=given.again,
            keep_settings=given.keep_settings,
            seeds=given.seeds,
        )


if __name__ == "__main__":
    main()
