"""V2HT and its ablations on made-up worlds in which hashtag names tell their relations, and in which they do not.

    python -m experiments.worlds.run --out RUNS [--seeds 200 201 202 203]     # appends to results.jsonl
    python -m experiments.worlds.tables                                   # writes the tables of README.md

The control world has the same posts; hashtags of one role have swapped their names, so composition and WordNet
edges link unrelated hashtags. Co-occurrence comes from the posts and stays true: that comparison leaves it out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from data.synthetic import WorldSettings, make_world
from graph_builders.build import GraphSettings, build_dataset_graph
from v2ht.demo import VARIANTS
from v2ht.training.evaluate import evaluate_run
from v2ht.training.train import Plan, train

RESULTS = Path(__file__).parent / "results.jsonl"
SETTINGS = [  # sizes that fit the world's; alpha and the patience were chosen on seeds 0 to 2
    "dim=64",
    "visual_units=64",
    "acoustic_units=32",
    "text_units=32",
    "word_dimension=50",
    "alpha=0.5",
    "epochs=60",
    "patience=15",
]
KNOWLEDGE = "relations=composition,hypernym,wup"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A world and a model on it."""

    world: str  # related, or control: names swapped
    variant: str
    words: tuple[str, ...]
    seed: int


def cases(seed: int) -> list[Case]:
    """Return the paper's four variants with all relations, and with and without knowledge edges in both worlds."""
    paper = [Case(world="related", variant=name, words=tuple(words), seed=seed) for name, words in VARIANTS.items()]
    control = [
        Case(world="related", variant="knowledge_only", words=(KNOWLEDGE,), seed=seed),
        Case(world="control", variant="knowledge_only", words=(KNOWLEDGE,), seed=seed),
        Case(world="control", variant="without_graph", words=tuple(VARIANTS["without_graph"]), seed=seed),
    ]
    return paper + control


def run(case: Case, out: Path) -> dict[str, Any]:
    """Train and evaluate one case on one thread; return its result line."""
    torch.set_num_threads(1)
    dataset, folder = out / f"{case.world}-{case.seed}", out / f"run-{case.world}-{case.variant}-{case.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    words = [*SETTINGS, *case.words]
    progress = train(dataset, folder, Plan.of("v2ht", words, seed=case.seed))
    assert progress is not None  # there is one process
    return {
        "world": case.world,
        "variant": case.variant,
        "seed": case.seed,
        "settings": words,
        "epochs": progress.epoch,
        "seconds": round(progress.seconds, 1),
        "cores": os.cpu_count(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "evaluation": evaluate_run(folder, split="test"),
    }


def main() -> None:
    """Make the worlds, run all cases on two processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for worlds and runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[200, 201, 202, 203])
    parser.add_argument("--variants", nargs="+", help="run only these variants, in the worlds that have them")
    given = parser.parse_args()
    for seed in given.seeds:
        for world in ("related", "control"):
            path = given.out / f"{world}-{seed}"
            shutil.rmtree(path, ignore_errors=True)
            dataset = make_world(WorldSettings(graph_is_noise=world == "control"), seed=seed).save(path)
            build_dataset_graph(dataset, GraphSettings()).save(path / "graph.parquet")
    wanted = [case for seed in given.seeds for case in cases(seed) if case.variant in (given.variants or case.variant)]
    todo = sorted(wanted, key=lambda case: case.world == "control")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for line in pool.map(run, todo, [given.out] * len(todo)):
            print(line["world"], line["variant"], line["seed"], line["evaluation"]["overall"]["ndcg@10"], flush=True)
            with RESULTS.open("a", encoding="utf-8") as results:
                results.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
