"""A case of the GGM experiments: prepare its dataset, train it, write for the test posts, and measure what was written.

Test posts with a hashtag of no train post are the unseen test set, the others the seen one (GGM 4.1). A case leaves one
result line, and WRITTEN/CASE.parquet: every test post's numbers, which paired comparisons read.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from data.dataset import Dataset
from data.files import new_file, read_json
from data.importing import ImportSettings, import_table
from data.synthetic import WorldSettings, attach_features, make_world, write_table
from experiments.cases import Case, Line, identity, run_jobs
from graph_builders.build import GRAPH_FILE, GraphSettings, build_dataset_graph
from v2ht.bundle import Bundle
from v2ht.dataset_inputs import DatasetInputs
from v2ht.evaluation.evaluate import LONGTAIL_THRESHOLD
from v2ht.evaluation.generation import evaluate_generation
from v2ht.evaluation.text_metrics import is_copied
from v2ht.models.ggm.guide import Guide, train_pool
from v2ht.models.ggm.settings import RETRIEVER, GGMSettings
from v2ht.training.generation import write_rows
from v2ht.training.guidance import recall_at_k
from v2ht.training.train import Plan, train
from v2ht.training.written import as_input, decoding
from v2ht.writing import CLASSIFIED, FOLDER, HashtagWriter

KS = (5, 10, 20, 50, 100)  # of table 4
TOPS = (1, 3, 5, 10)  # hashtags that a ranker alone may "write" (table 3)
TRAIN_POOL, OPEN_POOL = "train pool", "open pool"  # what may be guidance: hashtags of train posts, or unseen ones too
BATCH = 128
WRITTEN = "written"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Where posts come from, a table (`file`) or the made-up world, how to read it, and settings of every system."""

    file: str = ""
    posts: int = 0  # tagged posts to draw with the seed before anything else; 0 for all
    settings: ImportSettings
    words: tuple[str, ...]


def prepare(table: Table, folder: Path, *, data: Path, seed: int) -> None:
    """Make the dataset and its graph in `folder`, unless both are there."""
    if (folder / GRAPH_FILE).is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    settings = replace(table.settings, seed=seed)
    if table.file:
        dataset = import_table(_drawn(table, folder, data=data, seed=seed), settings, out=folder)
    else:
        dataset = _world(settings, seed=seed).save(folder)
    build_dataset_graph(dataset, GraphSettings()).save(folder / GRAPH_FILE)


def _world(settings: ImportSettings, *, seed: int) -> Dataset:
    """Return the made-up world as `import` splits it, with the world's features."""
    world = make_world(WorldSettings(), seed=seed)
    with tempfile.TemporaryDirectory() as place:
        write_table(world, Path(place) / "posts.parquet")
        columns = {name: (name,) for name in ("id", "user", "text", "hashtags", "time")}
        settings = replace(settings, columns=columns)
        return attach_features(import_table(Path(place) / "posts.parquet", settings, out=Path(place) / "posts"), world)


def _drawn(table: Table, folder: Path, *, data: Path, seed: int) -> Path:
    """Return the table's path, or that of a table of the posts drawn from it."""
    if not table.posts:
        return data / table.file
    tagged = pl.read_parquet(data / table.file).filter(pl.col("hashtags").list.len() > 0)
    rows = np.random.default_rng([seed, 3]).permutation(tagged.height)[: table.posts]
    path = folder.with_suffix(".parquet")
    tagged[np.sort(rows)].write_parquet(path)
    return path


def run(case: Case, words: tuple[str, ...], out: Path) -> Line:
    """Train and measure one case on one thread; return its result line."""
    torch.set_num_threads(1)
    started, started_cpu = time.monotonic(), time.process_time()
    name = f"{case.dataset}-{case.system}-{case.seed}"
    folder, place = out / "datasets" / f"{case.dataset}-{case.seed}", out / "runs" / name
    shutil.rmtree(place, ignore_errors=True)
    train(folder, place, Plan.of(case.model, words, seed=case.seed))
    bundle, dataset = Bundle.load(place), Dataset.load(folder)
    posts = DatasetInputs(dataset, bundle.inputs)
    measured, table = measure(place, bundle, posts)
    (out / WRITTEN).mkdir(parents=True, exist_ok=True)
    with new_file(out / WRITTEN / f"{name}.parquet") as temporary:
        table.write_parquet(temporary, compression="zstd")
    config = place / FOLDER / "config.json"
    return {
        **identity(case, words),
        "counts": dataset.manifest["counts"],
        "decoding": decoding(bundle.model_settings),
        "generator": read_json(config) | {"bart": None} if config.is_file() else None,
        "training": bundle.record["training"],
        **measured,
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - started_cpu, 1),
        "cores": os.cpu_count(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "made": bundle.record["made"],
    }


def measure(place: Path, bundle: Bundle, posts: DatasetInputs) -> tuple[Line, pl.DataFrame]:
    """Return a run's numbers on the test posts, and each post's."""
    settings: GGMSettings = bundle.model_settings
    train_videos = posts.inputs.hashtags["train_videos"].to_numpy()
    rows = posts.dataset.rows("test")
    unseen = np.array([bool((train_videos[posts.truth[row]] == 0).any()) for row in rows])
    pools = {TRAIN_POOL: train_pool(train_videos)}
    if settings.guides or settings.kind == RETRIEVER:
        pools[OPEN_POOL] = np.arange(posts.inputs.num_hashtags)
    texts, tables = {}, []
    for pool, ids in pools.items():
        writer = HashtagWriter.load(place, bundle, pool=ids)
        for name, written in _outputs(writer, posts, rows, pool=pool).items():
            texts[name], table = numbers(posts, rows, written, unseen=unseen)
            tables.append(table.select(pl.lit(name).alias("output"), pl.all()))
    recall = _recalls(bundle, posts, rows, pools, unseen=unseen) if settings.writes is None else None
    found = {"unseen_posts": int(unseen.sum()), "seen_posts": int((~unseen).sum()), "written": texts, "recall": recall}
    return found, pl.concat(tables)


def _outputs(writer: HashtagWriter, posts: DatasetInputs, rows: np.ndarray, *, pool: str) -> dict[str, list[list[str]]]:
    """Return what is written with a pool; a ranker alone also gives shorter and longer lists of its best."""
    if writer.generator is not None:
        return {pool: write_rows(writer, posts, rows)}
    best = write_rows(writer, posts, rows, n=max(TOPS))
    lists = {f"{pool}, top {n}": [row[:n] for row in best] for n in TOPS}
    return {pool: lists[f"{pool}, top {CLASSIFIED}"], **lists}


def numbers(
    posts: DatasetInputs, rows: np.ndarray, written: list[list[str]], *, unseen: np.ndarray
) -> tuple[Line, pl.DataFrame]:
    """Return the text metrics of the seen and of the unseen test set, and a table of all posts.

    `longtail` is the share of a post's hashtags of 1 to 19 train posts that were written for it, `new` the share of
    those of none; null where a post has no such hashtag.
    """
    names = posts.inputs.hashtags["hashtag"].to_list()
    train_videos = posts.inputs.hashtags["train_videos"].to_numpy()
    summaries, tables = {}, []
    for subset, chosen in (("seen", ~unseen), ("unseen", unseen)):
        places = np.flatnonzero(chosen)
        given = as_input(posts, rows[places], [written[place] for place in places])
        found = evaluate_generation(given)
        parts = []
        for place in places[found.per_video["row"]]:
            truth = posts.truth[rows[place]]
            videos = train_videos[truth]
            hits = np.isin([names[number] for number in truth], written[place])
            parts.append([_mean(hits[(videos > 0) & (videos < LONGTAIL_THRESHOLD)]), _mean(hits[videos == 0])])
        longtail, new = (list(column) for column in zip(*parts, strict=True)) if parts else ([], [])
        ids = posts.dataset.videos["video_id"].gather(rows[places[found.per_video["row"]]])
        table = pl.DataFrame(
            {
                "video_id": ids,
                "unseen": [subset == "unseen"] * len(ids),
                **{name: found.per_video[name] for name in ("rouge1", "f1")},
                "longtail": pl.Series(longtail, dtype=pl.Float64),
                "new": pl.Series(new, dtype=pl.Float64),
            }
        )
        tables.append(table)
        means = {name: table[name].mean() for name in ("longtail", "new")}
        counts = {f"{name}_posts": table[name].count() for name in ("longtail", "new")}
        summaries[subset] = {key: value for key, value in found.summary.items() if key != "settings"} | means | counts
    return summaries, pl.concat(tables)


def _mean(hits: np.ndarray) -> float | None:
    return float(hits.mean()) if len(hits) else None


def _recalls(
    bundle: Bundle, posts: DatasetInputs, rows: np.ndarray, pools: Mapping[str, np.ndarray], *, unseen: np.ndarray
) -> Line:
    """Return the ranker's recall@k on both test sets (table 4)."""
    found: dict[str, Any] = {}
    for pool, ids in pools.items():
        guide = Guide(bundle.model.eval(), pool=ids, k=max(KS))
        parts = [guide(posts.batch(rows[start : start + BATCH])) for start in range(0, len(rows), BATCH)]
        ranked = np.concatenate(parts)
        found[pool] = {
            subset: {str(k): recall_at_k(ranked[chosen, :k], posts.truth.take(rows[chosen])) for k in KS}
            for subset, chosen in (("seen", ~unseen), ("unseen", unseen))
        }
    return found


def run_cases(
    cases: Sequence[tuple[Case, tuple[str, ...]]],
    tables: Mapping[str, Table],
    *,
    data: Path,
    out: Path,
    results: Path,
    workers: int,
) -> None:
    """Run cases with their settings, `workers` at a time, and append their lines as they come."""

    def job(case: Case, words: tuple[str, ...]) -> Callable[[], Line]:
        folder = out / "datasets" / f"{case.dataset}-{case.seed}"
        prepare(tables[case.dataset], folder, data=data, seed=case.seed)
        return partial(run, case, words, out)

    run_jobs((job(*one) for one in cases), results=results, workers=workers, tell=_told)


def _told(line: Line) -> str:
    rouge = line["written"][TRAIN_POOL]["seen"]["rouge1"]
    return f"ROUGE-1 {rouge:.3f}, {line['cpu_seconds']} s of processor"


def count_words(
    datasets: Sequence[str], tables: Mapping[str, Table], seed: int, *, data: Path, out: Path, results: Path
) -> None:
    """Write, for each dataset, hashtag uses by number of words, and the share whose hashtag is in the description."""
    lines = []
    for name in datasets:
        folder = out / "datasets" / f"{name}-{seed}"
        prepare(tables[name], folder, data=data, seed=seed)
        dataset = Dataset.load(folder)
        words = dataset.hashtags["words"].list.len().to_list()
        names = dataset.hashtags["hashtag"].to_list()
        uses = [
            (words[number], is_copied(names[number], text))
            for text, ids in dataset.videos.select(pl.col("text").fill_null(""), "hashtag_ids").iter_rows()
            for number in ids
        ]
        counts = Counter(length for length, _ in uses)
        lines.append(
            {
                "dataset": name,
                "seed": seed,
                "uses_by_words": {str(length): counts[length] for length in sorted(counts)},
                "in_description": sum(copied for _, copied in uses) / len(uses),
            }
        )
    with new_file(results) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
