"""Take hashtags out of a dataset, train V2HT without them, insert them by their words alone, and rank all hashtags.

    python -m experiments.novel.run --data FOLDER --out RUNS [--only world/200 ...]   # appends to results.jsonl
    python -m experiments.novel.tables                                  # writes the tables of README.md

The held-out hashtags are those of `import --split unseen`; they leave the vocabulary, so that neither the weights nor
the word vectors nor the graph have ever seen them. Shapes: H known hashtags, N new ones, E edges of these, K kept.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from data.dataset import Dataset, Ragged
from data.importing import ImportSettings, import_table
from data.synthetic import WorldSettings, attach_features, make_world, write_table
from data.text import hashtag_words
from graph_builders.build import GRAPH_FILE, GraphSettings, build_dataset_graph
from graph_builders.hashtag_graph import HashtagGraph
from graph_builders.insert import Inserter
from v2ht.bundle import Bundle
from v2ht.dataset_inputs import DatasetInputs
from v2ht.evaluation.metrics import video_metrics
from v2ht.models.v2ht import V2HT
from v2ht.nn.top_k import top_k
from v2ht.training.ranking import batches
from v2ht.training.train import Plan, train

RESULTS = Path(__file__).parent / "results.jsonl"
KS = (10, 50)
KS_OF_NEW = (1, 5)  # among the new hashtags alone, which are a few dozen
VARIANTS = {"v2ht": (), "v2ht, hashtag_dropout=0.3": ("hashtag_dropout=0.3",)}


@dataclass(frozen=True, kw_only=True)
class Table:
    """A source and how to read it; without `file` a made-up world."""

    file: str = ""
    settings: ImportSettings
    words: tuple[str, ...]


TABLES = {
    "world": Table(
        settings=ImportSettings(split="unseen", min_hashtag_videos=3, min_user_videos=1),
        words=(
            "dim=64", "visual_units=64", "acoustic_units=32", "text_units=32", "word_dimension=50", "alpha=0.5",
            "epochs=40", "patience=10",
        ),
    ),
    "youtube": Table(
        file="youtube_trending_2017_us_gb_ca.parquet",
        settings=ImportSettings(format="youtube", split="unseen"),
        words=("text_length=30",),
    ),
    "tiktok_vn": Table(
        file="tiktok_vn_2025.parquet",
        settings=ImportSettings(format="tiktok", split="unseen"),
        words=("text_length=30", "batch_size=128", "patience=3"),
    ),
}  # fmt: skip


def make_dataset(table: Table, folder: Path, *, data: Path, seed: int) -> Dataset:
    """Import the table, or a made-up world's, with hashtags kept out of train."""
    settings = replace(table.settings, seed=seed)
    if table.file:
        return import_table(data / table.file, settings, out=folder)
    world = make_world(WorldSettings(), seed=seed)
    write_table(world, folder.with_suffix(".parquet"))
    columns = {name: (name,) for name in ("id", "user", "text", "hashtags", "time")}
    imported = import_table(folder.with_suffix(".parquet"), replace(settings, columns=columns), out=folder)
    return attach_features(imported, world)


def without(dataset: Dataset, unseen: np.ndarray) -> Dataset:
    """Return the same videos, in the same order, over a vocabulary without the hashtags `unseen` (ascending ids).

    Validation videos that keep no hashtag become test videos.
    """
    kept = np.setdiff1d(np.arange(dataset.num_hashtags), unseen)
    place = np.full(dataset.num_hashtags, -1)
    place[kept] = np.arange(len(kept))
    ids = [[number for number in place[row].tolist() if number >= 0] for row in rows_of(dataset.hashtag_ids())]
    split = pl.Series([split if ids[row] else "test" for row, split in enumerate(dataset.videos["split"])])
    videos = dataset.videos.with_columns(hashtag_ids=pl.Series(ids, dtype=pl.List(pl.Int32())), split=split)
    return replace(dataset, videos=videos, hashtags=dataset.hashtags[kept])


def rows_of(ragged: Ragged) -> list[np.ndarray]:
    """Return the rows as a list."""
    return [ragged[row] for row in range(len(ragged))]


def random_relatives(edges: HashtagGraph, num_known: int, *, seed: int) -> HashtagGraph:
    """Return as many edges of each new hashtag and relation, to known hashtags drawn at random."""
    rng = np.random.default_rng(seed)
    drawn = np.empty(len(edges), np.int32)
    for new in np.unique(edges.target):
        own = edges.target == new
        drawn[own] = rng.choice(num_known, size=own.sum(), replace=False)
    order = np.lexsort((edges.target, drawn))
    columns = {name: getattr(edges, name)[order] for name in ("target", "relation", "weight")}
    return replace(edges, source=drawn[order], **columns)


def new_rows(bundle: Bundle, words: list[list[str]], *, seed: int) -> tuple[dict[str, Tensor], HashtagGraph]:
    """Return the new hashtags' embeddings of each system, and their edges."""
    model, inputs = bundle.model, bundle.inputs
    assert isinstance(model, V2HT)
    edges = Inserter.of(bundle.graph, inputs.hashtags["words"].to_list()).edges(words)
    vectors_NW = torch.from_numpy(inputs.word_vectors.means([hashtag_words(phrase) for phrase in words]))
    none = replace(edges, **{name: getattr(edges, name)[:0] for name in ("source", "target", "relation", "weight")})
    graphs = {
        "words and edges": edges,
        "words only": none,
        "words and random relatives": random_relatives(edges, inputs.num_hashtags, seed=seed),
    }
    with torch.inference_mode():
        rows = {name: model.new_hashtag_embeddings(vectors_NW, graph) for name, graph in graphs.items()}
        rows["edges only"] = model.new_hashtag_embeddings(torch.zeros_like(vectors_NW), edges)
        # The last column is the bias: how frequent a new hashtag is taken to be.
        median_N1 = model.bias_H.median().expand(len(words), 1)
        rows["words and edges, median bias"] = torch.cat([rows["words and edges"][:, :-1], median_N1], dim=1)
    return rows, edges


def scores(posts: DatasetInputs, rows: np.ndarray, hashtags_HD: Tensor, model: V2HT) -> Tensor:
    """Return the scores of some hashtags for the videos in these rows, [videos, hashtags]."""
    with torch.inference_mode():
        parts = batches(rows, num_hashtags=len(hashtags_HD))
        return torch.cat([model.scores(posts.batch(part), hashtags_HD) for part in parts])


def recalls(scores_NH: Tensor, truth: Ragged, ks: tuple[int, ...]) -> dict[str, float]:
    """Return recall at each k and the number of videos, over the videos that have such truth."""
    rows, num_hashtags = np.flatnonzero(truth.lengths), scores_NH.shape[1]
    ranked_NK = top_k(scores_NH[rows], max(ks))[0].numpy()
    found = video_metrics(ranked_NK, truth.take(rows), ks=ks, num_hashtags=num_hashtags)
    return {**{f"recall@{k}": float(found[f"recall@{k}"].mean()) for k in ks}, "videos": len(rows)}


def area(scores_NH: Tensor, truth: Ragged) -> float:
    """Return the mean over hashtags of the chance that a video with it scores higher than one without it.

    Unlike recall it does not depend on how high a hashtag scores everywhere, as a new one's bias does.
    """
    videos = np.repeat(np.arange(len(truth)), truth.lengths)
    found = []
    for hashtag in np.unique(truth.values):
        has = np.zeros(len(truth), bool)
        has[videos[truth.values == hashtag]] = True
        if not has.all():
            found.append(roc_auc_score(has, scores_NH[:, hashtag].numpy()))
    return float(np.mean(found))


def evaluate(bundle: Bundle, dataset: Dataset, known: Dataset, unseen: np.ndarray, *, seed: int) -> dict[str, Any]:
    """Rank the test videos over known and inserted hashtags with each system; return its numbers by name."""
    model, inputs = bundle.model, bundle.inputs
    assert isinstance(model, V2HT)
    posts, rows = DatasetInputs(known, inputs), known.rows("test")
    num_known, num_all = inputs.num_hashtags, inputs.num_hashtags + len(unseen)
    # The full vocabulary's ids, renumbered so that the new hashtags come last, as they are inserted.
    place = np.empty(num_all, np.int64)
    place[np.setdiff1d(np.arange(num_all), unseen)] = np.arange(num_known)
    place[unseen] = np.arange(num_known, num_all)
    truth = [place[row] for row in rows_of(dataset.hashtag_ids().take(rows))]
    of_new = Ragged.from_lists([row[row >= num_known] for row in truth])
    of_known = Ragged.from_lists([row[row < num_known] for row in truth])
    among_new = Ragged.from_lists([row[row >= num_known] - num_known for row in truth])
    words = dataset.hashtags["words"].gather(unseen).to_list()
    embeddings, edges = new_rows(bundle, words, seed=seed)
    with torch.inference_mode():
        known_NH = scores(posts, rows, model.hashtag_embeddings(), model)
    systems: dict[str, Any] = {}
    for name, new_ND in embeddings.items():
        own_NN = scores(posts, rows, new_ND, model)
        all_NA = torch.cat([known_NH, own_NN], dim=1)
        systems[name] = {
            "unseen": recalls(all_NA, of_new, KS),
            "known": recalls(all_NA, of_known, KS),
            "among unseen": {**recalls(own_NN, among_new, KS_OF_NEW), "area": area(own_NN, among_new)},
        }
    videos_A = np.zeros(num_all, np.float32)
    videos_A[:num_known] = known.hashtags["train_videos"].to_numpy()
    popular_NA = torch.from_numpy(np.tile(videos_A, (len(rows), 1)))
    systems["popularity"] = {"unseen": recalls(popular_NA, of_new, KS), "known": recalls(popular_NA, of_known, KS)}
    counts = {
        "known": num_known,
        "unseen": len(unseen),
        "unseen_with_edges": len(np.unique(edges.target)),
        "edges": edges.counts(),
        "unseen_with_word_vector": int(
            (np.abs(inputs.word_vectors.means([hashtag_words(phrase) for phrase in words])).sum(1) > 0).sum()
        ),
    }
    return {"systems": systems, "known_before": recalls(known_NH, of_known, KS), "counts": counts}


def run(name: str, *, data: Path, out: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Take one dataset and seed through it all; yield the result line of each variant of V2HT."""
    table, folder = TABLES[name], out / f"{name}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    dataset = make_dataset(table, folder / "all", data=data, seed=seed)
    chosen = dataset.manifest["split"]["unseen_hashtags"]
    unseen = np.flatnonzero(dataset.hashtags["hashtag"].is_in(chosen).to_numpy())
    known = without(dataset, unseen).save(folder / "known")
    build_dataset_graph(known, GraphSettings()).save(folder / "known" / GRAPH_FILE)
    for number, (variant, more) in enumerate(VARIANTS.items()):
        words = [*table.words, *more]
        progress = train(folder / "known", folder / f"run-{number}", Plan.of("v2ht", words, seed=seed))
        assert progress is not None  # there is one process
        bundle = Bundle.load(folder / f"run-{number}")
        yield {
            "dataset": name,
            "variant": variant,
            "seed": seed,
            "settings": words,
            "train_seconds": round(progress.seconds, 1),
            "made": bundle.record["made"],
            "cores": os.cpu_count(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            **evaluate(bundle, dataset, known, unseen, seed=seed),
        }


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the real tables")
    parser.add_argument("--out", type=Path, required=True, help="folder for datasets and runs")
    parser.add_argument(
        "--only", nargs="*", default=["world/200", "world/201", "world/202", "youtube/0", "tiktok_vn/0"]
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    for word in given.only:
        name, seed = word.split("/")
        for line in run(name, data=given.data, out=given.out, seed=int(seed)):
            print(word, line["variant"], line["systems"]["words and edges"], flush=True)
            with RESULTS.open("a", encoding="utf-8") as results:
                results.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
