"""Two systems on the same test posts: mean difference, bootstrap interval and sign-flip test, pooled over seeds.

Each seed has its own split and its own training; all its test posts count as posts of their own. A post that is in the
test sets of two seeds counts twice, so intervals are a little narrow. Nothing is adjusted for the number of tests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from data.files import new_file
from experiments.cases import Line
from experiments.ggm.cases import OPEN_POOL, TRAIN_POOL, WRITTEN
from v2ht.evaluation.significance import bootstrap_interval, sign_flip_test

METRICS = ("rouge1", "f1", "longtail", "new")
SEED = 0  # of the bootstrap and the test


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What is compared: one system's output less another's."""

    question: str
    one: str
    other: str
    one_output: str = TRAIN_POOL
    other_output: str = TRAIN_POOL


PAIRS = (
    Pair(question="guidance", one="ggm", other="bart"),
    Pair(question="guidance, beside the video", one="ggm", other="vg_bart"),
    Pair(question="graph vectors on guidance", one="ggm", other="ggm_plain"),
    Pair(
        question="graph vectors on guidance, unseen in the pool",
        one="ggm",
        other="ggm_plain",
        one_output=OPEN_POOL,
        other_output=OPEN_POOL,
    ),
    Pair(question="unseen in the pool", one="ggm", other="ggm", one_output=OPEN_POOL),
    Pair(question="the retriever's guidance, not BERT's", one="ggm", other="ggm_by_bert"),
    Pair(question="the retriever's guidance, not ViT's", one="ggm", other="ggm_by_vit"),
    Pair(question="the user", one="ggm_with_user", other="ggm"),
)


def compare_cases(lines: Sequence[Line], out: Path, *, results: Path) -> None:
    """Write a line for each dataset, pair and metric whose cases have run."""
    found = []
    for dataset in dict.fromkeys(line["dataset"] for line in lines):
        seeds = {
            system: {line["seed"] for line in lines if (line["dataset"], line["system"]) == (dataset, system)}
            for pair in PAIRS
            for system in (pair.one, pair.other)
        }
        for pair in PAIRS:
            shared = sorted(seeds[pair.one] & seeds[pair.other])
            if shared:
                found += compare(pair, dataset, shared, out / WRITTEN)
    with new_file(results) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in found), encoding="utf-8")


def compare(pair: Pair, dataset: str, seeds: Sequence[int], folder: Path) -> list[Line]:
    """Return the lines of one pair on one dataset, a metric each; none of a metric that no post has."""
    tables = []
    for seed in seeds:
        one, other = (
            pl.read_parquet(folder / f"{dataset}-{system}-{seed}.parquet").filter(pl.col("output") == output)
            for system, output in ((pair.one, pair.one_output), (pair.other, pair.other_output))
        )
        tables.append(one.join(other, on="video_id", how="inner", suffix="_other", maintain_order="left"))
    both = pl.concat(tables)  # empty where a system has no such output
    lines = []
    for metric in METRICS:
        deltas = (both[metric] - both[f"{metric}_other"]).drop_nulls().to_numpy()
        if len(deltas):
            lines.append({"dataset": dataset, **vars(pair), "seeds": list(seeds), "metric": metric, **interval(deltas)})
    return lines


def interval(deltas: np.ndarray) -> Line:
    """Return the mean of paired differences, its 95 % bootstrap interval, and the p-value of their sign-flip test."""
    low, high = bootstrap_interval(deltas, seed=SEED)
    return {
        "posts": len(deltas),
        "mean": float(deltas.mean()),
        "low": float(low),
        "high": float(high),
        "p": float(sign_flip_test(deltas, seed=SEED)),
    }
