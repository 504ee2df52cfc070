"""The whole chain on a made-up world's clips, start to end: what `v2ht demo` and `make demo` run."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch

from data.dataset import Dataset
from data.features.extract import ExtractionReport, extract
from data.features.extractors import make_extractor
from data.files import InputError
from data.importing import ImportSettings, import_table
from data.progress import Report
from data.rendering import SPLIT_TABLE, ClipSettings, write_clips
from data.synthetic import WorldSettings
from graph_builders.build import GRAPH_FILE, GraphSettings, build_dataset_graph
from v2ht.demo_page import Demonstration, write_demo_page
from v2ht.evaluation.report import comparison_table
from v2ht.training.evaluate import compare_runs, evaluate_run
from v2ht.training.train import Plan, train

WORLD = WorldSettings(num_videos=400, num_users=30, num_topics=5)
EXTRACTORS = {  # an untrained network, because no demonstration should need a download
    "resnet50": {"weights": "random", "frames": 8, "size": 96},
    "log_mel": {"weights": "none", "frames": 20},
}
BEST = "v2ht_memory"  # the default model, with its own settings
SETTINGS = [  # V2HT's
    "dim=64",
    "visual_units=64",
    "acoustic_units=64",
    "text_units=32",
    "word_dimension=50",
    "alpha=0.5",
    "negatives=12",
    "batch_size=16",
    "learning_rate=0.004",
    "epochs=30",
    "patience=10",
]
VARIANTS = {
    "v2ht": [],
    "without_graph": ["propagation=false"],
    "without_user": ["user=false"],
    "without_both": ["propagation=false", "user=false"],
}
MODALITIES = {  # table 4 of the paper; its last row is the full model
    name.replace(",", "_"): [f"modalities={name}"]
    for name in ("text", "acoustic", "visual", "acoustic,text", "visual,text", "visual,acoustic")
}


def run_demo(out: Path, *, seed: int, report: Report) -> str:
    """Render clips, import them, extract features, build the graph, train the models, compare, report.

    Everything is written under `out`, which is replaced if an earlier demonstration made it. Returns what to print.
    """
    started = time.monotonic()
    out = Path(out)
    if out.exists() and not (out / "demo.txt").exists() and any(out.iterdir()):
        raise InputError(f"{out} is not an earlier demonstration's folder; choose another --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "demo.txt").write_text("A demonstration of v2ht; the next one replaces this folder.\n", encoding="utf-8")
    extractions = _clips(out, seed=seed, report=report)
    dataset = Dataset.load(out / "dataset")
    graph = build_dataset_graph(dataset, GraphSettings(), progress=lambda line: report(line, 0, 0))
    graph.save(out / "dataset" / GRAPH_FILE)
    plans = {BEST: Plan.of(BEST, [], seed=seed)}
    plans |= {name: Plan.of("v2ht", SETTINGS + words, seed=seed) for name, words in (VARIANTS | MODALITIES).items()}
    folders = _train(out, plans, report=report)
    variants = {name: folders[name] for name in (BEST, *VARIANTS)}
    modalities = {name: folders[name] for name in MODALITIES} | {"all": folders["v2ht"]}
    comparison = compare_runs(list(variants.values()), split="test")
    shown = Demonstration(
        folder=out,
        dataset=dataset,
        graph=graph,
        variants=variants,
        modalities=modalities,
        comparison=comparison,
        extractions=extractions,
        seconds=time.monotonic() - started,
    )
    page = write_demo_page(shown)
    table = comparison_table(comparison).text()
    return f"Test split, all hashtags ranked; p against {BEST}\n\n{table}\nThe report: {page}\n"


def _clips(out: Path, *, seed: int, report: Report) -> list[ExtractionReport]:
    """Render the world's posts, import them like anybody's clips, extract their features."""
    table = write_clips(WORLD, seed=seed, folder=out / "clips", clips=ClipSettings(), report=report)
    settings = ImportSettings(
        format="clips",
        min_hashtag_videos=3,
        min_user_videos=2,
        split=out / "clips" / SPLIT_TABLE,
        seed=seed,
    )
    import_table(table, settings, out=out / "dataset", progress=lambda line: report(line, 0, 0))
    return [
        extract(
            out / "dataset",
            make_extractor(name, **options),  # type: ignore[arg-type]
            workers=os.cpu_count() or 1,
            timeout=60.0,
            report=report,
        )
        for name, options in EXTRACTORS.items()
    ]


def _train(out: Path, plans: Mapping[str, Plan], *, report: Report) -> dict[str, Path]:
    """Train and evaluate a run for each name, as many at once as there are processors; return their folders."""
    folders = {name: out / "runs" / name for name in plans}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        waiting = {pool.submit(_train_one, out / "dataset", folders[name], plan): name for name, plan in plans.items()}
        report("training", 0, len(plans))
        for done, future in enumerate(as_completed(waiting), start=1):
            future.result()
            report("training", done, len(plans))
            report(f"trained {waiting[future]}", 0, 0)
    return folders


def _train_one(dataset: Path, folder: Path, plan: Plan) -> None:
    torch.set_num_threads(1)
    train(dataset, folder, plan)
    evaluate_run(folder, split="test")
