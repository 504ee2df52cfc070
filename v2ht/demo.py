"""The whole chain on a made-up world, start to end: what `v2ht demo` and `make demo` run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data.dataset import Dataset
from data.files import InputError
from data.importing import ImportSettings, import_table
from data.synthetic import WorldSettings, attach_features, make_world, write_table
from graph_builders.build import GraphSettings, build_dataset_graph
from graph_builders.describe import statistics_text
from graph_builders.hashtag_graph import HashtagGraph
from graph_builders.statistics import graph_statistics
from v2ht.evaluation.report import comparison_table
from v2ht.plots import neighbourhood, results_bars, training_curves
from v2ht.serving import Recommendation, Recommender
from v2ht.training.evaluate import compare_runs, evaluate_run
from v2ht.training.train import Plan, train

Report = Callable[[str, int, int], None]

SETTINGS = [
    "dim=64",
    "visual_units=64",
    "acoustic_units=32",
    "text_units=32",
    "word_dimension=50",
    "epochs=40",
]
VARIANTS = {
    "v2ht": [],
    "without_graph": ["propagation=false"],
    "without_user": ["user=false"],
    "without_both": ["propagation=false", "user=false"],
}


def run_demo(out: Path, *, seed: int, report: Report) -> str:
    """Make a world, import it, build the graph, train V2HT and its ablations, evaluate, compare, recommend.

    Everything is written under `out`, which is replaced if an earlier demonstration made it. Returns what to print.
    """
    out = Path(out)
    if out.exists() and not (out / "demo.txt").exists() and any(out.iterdir()):
        raise InputError(f"{out} is not an earlier demonstration's folder; choose another --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "demo.txt").write_text("A demonstration of v2ht; the next one replaces this folder.\n", encoding="utf-8")
    dataset = _dataset(out, seed=seed, report=report)
    graph = build_dataset_graph(dataset, GraphSettings(), progress=lambda line: report(line, 0, 0))
    graph.save(out / "dataset" / "graph.parquet")
    runs = {}
    for name, words in VARIANTS.items():
        report(f"training {name}", 0, 0)
        runs[name] = out / "runs" / name
        train(out / "dataset", runs[name], Plan.of("v2ht", [*SETTINGS, *words], seed=seed), report=_only_bars(report))
        evaluate_run(runs[name], split="test", report=report)
    comparison = compare_runs(list(runs.values()), split="test")
    plots = _plots(out, runs, comparison, dataset, graph)
    words_of_graph = statistics_text(graph_statistics(graph, dataset.hashtags["words"].to_list()))
    parts = [
        f"The hashtag graph of the made-up world\n\n{words_of_graph}",
        f"Test split, all hashtags ranked; p against v2ht\n\n{comparison_table(comparison).text()}",
        _recommendations(runs["v2ht"], dataset),
        "Pictures: " + ", ".join(str(path) for path in plots) + "\n",
    ]
    text = "\n".join(parts)
    (out / "report.txt").write_text(text, encoding="utf-8")
    return text


def _dataset(out: Path, *, seed: int, report: Report) -> Dataset:
    """Write the world as a raw table, import it like any table, and add the world's features."""
    world = make_world(WorldSettings(), seed=seed)
    write_table(world, out / "posts.csv")
    settings = ImportSettings(
        columns={"id": ("id",), "user": ("user",), "time": ("time",)},
        min_hashtag_videos=3,
        min_user_videos=5,
        seed=seed,
    )
    imported = import_table(out / "posts.csv", settings, out=out / "imported", progress=lambda line: report(line, 0, 0))
    dataset = attach_features(imported, world).save(out / "dataset")
    shutil.rmtree(out / "imported")
    return dataset


def _only_bars(report: Report) -> Report:
    """Show training as a bar, without a line for each epoch."""
    return lambda what, done, total: report(what, done, total) if total else None


def _plots(
    out: Path, runs: dict[str, Path], comparison: dict[str, Any], dataset: Dataset, graph: HashtagGraph
) -> list[Path]:
    paths = [out / name for name in ("training.png", "results.png", "neighbours.png")]
    training_curves(runs, paths[0])
    results_bars(comparison, paths[1])
    centre = int(np.argmax(graph.subset(["composition", "hypernym", "wup"]).degrees()))
    neighbourhood(graph, dataset.hashtags["hashtag"].to_list(), centre, paths[2])
    return paths


def _recommendations(run: Path, dataset: Dataset) -> str:
    """Show three test posts of three users: what they wrote, what they chose, what v2ht recommends and why."""
    recommender = Recommender.load(run)
    names = dataset.hashtags["hashtag"]
    lines = ["Three test posts: what their authors chose, and what v2ht recommends (* = chosen)\n"]
    for row in dataset.rows("test")[:3]:
        video = dataset.videos.row(int(row), named=True)
        user, truth = dataset.users["user"][video["user_id"]], [names[tag] for tag in video["hashtag_ids"]]
        features = {name: np.asarray(rows[row], np.float32) for name, rows in dataset.features.items()}
        found = recommender.recommend(video=features, user=user, description=video["text"], k=5, explain=True)
        lines.append(f'{user} writes "{video["text"]}" and chooses {" ".join("#" + tag for tag in truth)}')
        lines += [_line(item, truth) for item in found]
        lines.append("")
    return "\n".join(lines)


def _line(item: Recommendation, truth: list[str]) -> str:
    best = max(item.reasons, key=lambda reason: reason.effect, default=None)
    why = f"{best.source}: {best.detail}" if best else ""
    return f"  {'*' if item.hashtag in truth else ' '} {'#' + item.hashtag:<22} {item.score:6.2f}   {why}"
