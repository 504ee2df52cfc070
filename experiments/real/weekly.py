"""What `v2ht update` buys as time goes on: a run judged on later and later posts, as it was, updated, and trained anew.

python -m experiments.real.weekly --data FOLDER --out RUNS [--only youtube] [--seeds 0 1 2]   # appends to weekly.jsonl
python -m experiments.real.weekly --tables [--check]                                          # writes WEEKLY.md

The newest tenth of a table is cut into slices of equally many posts. Each is ranked by three systems, which know of

- frozen: the oldest eight tenths, by training; nothing since
- updated: the same run, with all later posts before the slice folded in
- retrained: all posts before the slice; the newest ninth of them, which decided when to stop, folded in after training

A system's vocabulary comes from its own posts; what is true does not: all hashtags in at least 10 posts of the table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from data.dataset import Dataset, Ragged
from data.importing import ImportSettings, import_table
from data.presets import parse_columns
from data.splits import parse_split
from experiments.real.run import TABLES
from experiments.summary import Line, markdown, number, write_tables
from graph_builders.build import GRAPH_FILE, GraphSettings, build_dataset_graph
from v2ht.bundle import Bundle
from v2ht.evaluation.evaluate import EvaluationInput, evaluate
from v2ht.evaluation.metrics import PADDING
from v2ht.evaluation.pair import ranking_depth
from v2ht.inputs import Post
from v2ht.nn.top_k import top_k
from v2ht.training.train import Plan, train
from v2ht.training.update import update

RESULTS = Path(__file__).parent / "weekly.jsonl"
REPORT = Path(__file__).parent / "WEEKLY.md"
MODEL = "v2ht_memory"
SLICES = 4
RETRAINED = ("youtube",)  # tables small enough to train anew for every slice
SYSTEMS = ("frozen", "updated", "retrained")
SUBSETS = {
    "overall": "all",
    "new_to_user": "new to user",
    "cold_user": "users without a post before",
    "joined": "users without a post in training",
    "unseen": "hashtags without a post in training",
}
BATCH = 128


@dataclass(frozen=True, kw_only=True)
class World:
    """A table by time, and where its slices begin."""

    name: str
    data: Path
    out: Path
    full: Dataset
    starts: list[int]  # row of each slice's first post; then the step of posts

    @staticmethod
    def of(name: str, *, data: Path, out: Path) -> World:
        """Import a table with a split by time."""
        full = import_table(data / TABLES[name].file, _settings(name, "time"), out=out / "full", overwrite=True)
        parts = np.array_split(full.rows("test"), SLICES)
        return World(
            name=name, data=data, out=out, full=full, starts=[*(int(part[0]) for part in parts), full.videos.height]
        )

    def ids(self, rows: slice) -> pl.Series:
        """Return the ids of the posts in some rows, which are in order of time."""
        return self.full.videos["video_id"][rows]

    def trained(self, step: int, *, seed: int) -> tuple[Path, dict[str, float]]:
        """Train on all posts before a slice, but the newest ninth of them, which decides when to stop."""
        folder = self.out / f"before-{step}"
        if not folder.exists():
            folder.mkdir(parents=True)
            ids = self.ids(slice(self.starts[step]))
            split = np.where(np.arange(len(ids)) < len(ids) * 8 // 9, "train", "valid")
            pl.DataFrame({"video_id": ids, "split": split}).write_csv(folder / "split.csv")
            settings = _settings(self.name, str(folder / "split.csv"))
            dataset = import_table(self.data / TABLES[self.name].file, settings, out=folder / "dataset")
            build_dataset_graph(dataset, GraphSettings()).save(folder / "dataset" / GRAPH_FILE)
        run = folder / f"run-{seed}"
        shutil.rmtree(run, ignore_errors=True)
        started = _moment()
        train(folder / "dataset", run, Plan.of(MODEL, TABLES[self.name].memory, seed=seed), report=_say)
        return run, _since(started)

    def updated(self, run: Path, step: int) -> tuple[Path, dict[str, float]]:
        """Fold all posts before a slice into a run that has not seen them."""
        known = Dataset.load(run.parent / "dataset")
        ids = self.ids(slice(self.starts[step]))
        later = ids.filter(~ids.is_in(known.videos["video_id"].gather(known.rows("train")).implode()))
        source, column = pl.read_parquet(self.data / TABLES[self.name].file), "item_id"
        table = run.with_name(f"{run.name}-later-{step}.parquet")
        source.filter(pl.col(column).cast(pl.String).is_in(later.implode())).write_parquet(table)
        out = run.with_name(f"{run.name}-updated-{step}")
        shutil.rmtree(out, ignore_errors=True)
        started = _moment()
        done = update(run, table, out)
        return out, {**_since(started), "posts": done["posts"], "new_hashtags": len(done["new_hashtags"])}


def _settings(name: str, split: str) -> ImportSettings:
    table = TABLES[name]
    columns = parse_columns(table.columns) if table.columns else {}
    return ImportSettings(format=table.format, columns=columns, split=parse_split(split))


def judged(run: Path, world: World, step: int, *, frozen: Path) -> dict[str, Any]:
    """Rank a slice's posts with a run; return recall@10 and NDCG@10 of each subset with its step of videos."""
    full, rows = world.full, np.arange(world.starts[step], world.starts[step + 1])
    users, truth = full.videos["user_id"].to_numpy(), full.hashtag_ids()
    before = slice(0, world.starts[step])
    known = [np.unique(truth.take(np.flatnonzero(users[before] == users[row])).values) for row in rows]
    bundle = Bundle.load(run)
    place = {name: place for place, name in enumerate(full.hashtags["hashtag"].to_list())}
    names = bundle.inputs.hashtags["hashtag"].to_list()
    extra = [name for name in names if name not in place]  # of fewer than 10 posts: never true
    place |= {name: len(place) + number for number, name in enumerate(extra)}
    numbers_R = np.array([place[name] for name in names])
    scores_NR = _scores(bundle, full.videos[rows].with_columns(user=full.users["user"].gather(users[rows])))
    new_NR = scores_NR.clone()
    for row, used in enumerate(known):
        new_NR[row, np.isin(numbers_R, used)] = float("-inf")
    own = truth.take(rows)
    depth = ranking_depth(own, ks=[10], num_hashtags=len(place))
    trained = Dataset.load(frozen.parent / "dataset")
    frequency = np.zeros(len(place), np.int64)
    frequency[[place[name] for name in trained.hashtags["hashtag"]]] = trained.hashtags["train_videos"].to_numpy()
    given = EvaluationInput(
        rows=rows,
        truth=own,
        ranked=_named(scores_NR, numbers_R, depth),
        ranked_new=_named(new_NR, numbers_R, 10),
        known=Ragged.from_lists(known),
        cold=~np.isin(users[rows], users[before]),
        train_frequency=frequency,
    )
    summary = evaluate(given, ks=[10]).summary
    in_training = trained.users["user"].gather(trained.videos["user_id"].gather(trained.rows("train")))
    joined = np.flatnonzero(~full.users["user"].gather(users[rows]).is_in(in_training.implode()).to_numpy())
    summary["joined"] = evaluate(_only(given, joined), ks=[10]).summary["overall"] if len(joined) else None
    return {name: summary[name] and _kept(summary[name]) for name in SUBSETS}


def _kept(numbers: dict[str, Any]) -> dict[str, Any]:
    return {key: numbers[key] for key in ("videos", "recall@10", "ndcg@10")}


def _only(given: EvaluationInput, kept: np.ndarray) -> EvaluationInput:
    return EvaluationInput(
        rows=given.rows[kept],
        truth=given.truth.take(kept),
        ranked=given.ranked[kept],
        ranked_new=given.ranked_new[kept],
        known=given.known.take(kept),
        cold=given.cold[kept],
        train_frequency=given.train_frequency,
    )


@torch.inference_mode()
def _scores(bundle: Bundle, videos: pl.DataFrame) -> torch.Tensor:
    """Return the run's scores of posts as it would meet them, [N, R]; their users by name."""
    hashtags_RD = bundle.model.hashtag_embeddings()
    sounds = videos["sound"].to_list() if "sound" in videos.columns else [None] * videos.height
    names = videos["user"].to_list()
    posts = [
        Post(text=text, user=user, sound=sound)
        for text, user, sound in zip(videos["text"].to_list(), names, sounds, strict=True)
    ]
    parts = [posts[start : start + BATCH] for start in range(0, len(posts), BATCH)]
    return torch.cat([bundle.model.scores(bundle.inputs.batch(part), hashtags_RD) for part in parts])


def _named(scores_NR: torch.Tensor, numbers_R: np.ndarray, depth: int) -> np.ndarray:
    ids_NK = top_k(scores_NR, depth)[0].numpy()
    return np.where(ids_NK >= 0, numbers_R[ids_NK], PADDING)


def lines_of(world: World, *, seed: int) -> list[Line]:
    """Return a line for each slice and system."""
    frozen, seconds = world.trained(0, seed=seed)
    lines = []
    for step in range(SLICES):
        runs = {"frozen": (frozen, {"train": seconds})}
        run, of_update = world.updated(frozen, step)
        runs["updated"] = (run, {"update": of_update})
        if world.name in RETRAINED and step:
            anew, of_training = world.trained(step, seed=seed)
            run, of_update = world.updated(anew, step)
            runs["retrained"] = (run, {"train": of_training, "update": of_update})
        elif world.name in RETRAINED:
            runs["retrained"] = (run, {"train": seconds, "update": of_update})  # the same posts, the same run
        times = world.full.videos["time"][world.starts[step] : world.starts[step + 1]]
        for system, (run, spent) in runs.items():
            lines.append(
                {
                    "table": world.name,
                    "seed": seed,
                    "slice": step,
                    "from": str(times[0])[:16],
                    "to": str(times[-1])[:16],
                    "system": system,
                    "model": MODEL,
                    "settings": list(TABLES[world.name].memory),
                    "spent": spent,
                    "evaluation": judged(run, world, step, frozen=frozen),
                }
            )
            print(json.dumps(lines[-1]), flush=True)
    return lines


def _moment() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _since(started: tuple[float, float]) -> dict[str, float]:
    return {
        name: round(now - then, 2) for name, now, then in zip(("clock", "processor"), _moment(), started, strict=True)
    }


def _say(what: str, done: int, total: int) -> None:
    if not total:
        print(what, flush=True)


def _made() -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit or None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def tables() -> str:
    """Return a section for each table: a row for each slice and system, means over seeds."""
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    newest = {(line["table"], line["seed"], line["slice"], line["system"]): line for line in lines}
    found = list(newest.values())
    return "\n\n".join(_section(name, [line for line in found if line["table"] == name]) for name in _names(found))


def _names(lines: Sequence[Line]) -> list[str]:
    return sorted({line["table"] for line in lines}, reverse=True)


def _section(name: str, lines: Sequence[Line]) -> str:
    seeds = sorted({line["seed"] for line in lines})
    parts = [[step] for step in range(SLICES)] + [list(range(SLICES))]
    rows = []
    for part in parts:
        own = [line for line in lines if line["slice"] in part]
        span = f"{min(x['from'] for x in own)[5:10]} to {max(x['to'] for x in own)[5:10]}" if own else ""
        head = "all" if len(part) > 1 else f"{part[0] + 1}, {span}"
        for system in SYSTEMS:
            of_system = [line for line in own if line["system"] == system]
            if of_system:
                rows.append([head, system, *(_cell(of_system, subset) for subset in SUBSETS)])
                head = ""
    about = f"Seeds {', '.join(map(str, seeds))}; recall@10 / NDCG@10, means (videos a seed). {_spent(lines)}"
    return f"### {name}\n\n{about}\n\n" + markdown(["slice", "run", *SUBSETS.values()], rows)


def _cell(lines: Sequence[Line], subset: str) -> str:
    """Return both metrics, each video counting the same, and how many there are in all slices."""
    found = [line["evaluation"][subset] for line in lines if line["evaluation"][subset]]
    if not found:
        return "-"
    videos = np.array([numbers["videos"] for numbers in found])
    means = [np.average([numbers[key] for numbers in found], weights=videos) for key in ("recall@10", "ndcg@10")]
    seeds = len({line["seed"] for line in lines})
    return f"{' / '.join(number(float(mean)) for mean in means)} ({videos.sum() // seeds:,})"


def _spent(lines: Sequence[Line]) -> str:
    trained = [
        line["spent"]["train"]["processor"] for line in lines if line["system"] == "frozen" and not line["slice"]
    ]
    updated = [line["spent"]["update"] for line in lines if line["system"] == "updated"]
    times = [own["processor"] for own in updated]
    return (
        f"Training took {min(trained):.0f} to {max(trained):.0f} s of processor time, an update {min(times):.1f} to "
        f"{max(times):.1f} s for {min(own['posts'] for own in updated):,} to {max(own['posts'] for own in updated):,} "
        f"posts, with {min(own['new_hashtags'] for own in updated)} to {max(own['new_hashtags'] for own in updated)} "
        "new hashtags."
    )


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the Parquet tables")
    parser.add_argument("--out", type=Path, help="folder for datasets and runs")
    parser.add_argument("--only", nargs="*", default=["youtube", "tiktok_vn"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--tables", action="store_true", help="write WEEKLY.md")
    parser.add_argument("--check", action="store_true", help="with --tables: only say whether it is up to date")
    given = parser.parse_args()
    if given.tables:
        write_tables([(REPORT, "tables", tables())], check=given.check)
        return
    if given.data is None or given.out is None:
        sys.exit("name --data and --out, or --tables")
    torch.set_num_threads(1)
    for name in given.only:
        shutil.rmtree(given.out / name, ignore_errors=True)
        world = World.of(name, data=given.data, out=given.out / name)
        for seed in given.seeds:
            found = lines_of(world, seed=seed)
            with RESULTS.open("a", encoding="utf-8") as results:
                results.writelines(json.dumps({**line, **_made()}) + "\n" for line in found)


if __name__ == "__main__":
    main()
