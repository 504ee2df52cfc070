"""The claim of the paper on made-up worlds, with V2HT itself: user and graph lift everything, rare hashtags most."""

from pathlib import Path

import numpy as np

from data.synthetic import WorldSettings, make_world
from experiments.worlds.run import SETTINGS
from graph_builders.build import GraphSettings, build_dataset_graph
from v2ht.demo import VARIANTS
from v2ht.training.evaluate import compare_runs, evaluate_run
from v2ht.training.train import Plan, train

SEEDS = (200, 201)


def differences(folder: Path, *, seed: int) -> tuple[float, float]:
    """Return how far "without both" is from the full model in overall NDCG@10 and in the long tail's recall@10."""
    dataset = make_world(WorldSettings(), seed=seed).save(folder / "world")
    build_dataset_graph(dataset, GraphSettings()).save(folder / "world" / "graph.parquet")
    runs = [folder / name for name in ("v2ht", "without_both")]
    for run in runs:
        train(folder / "world", run, Plan.of("v2ht", [*SETTINGS, *VARIANTS[run.name]], seed=seed))
        content = evaluate_run(run, split="test")
        for floor in content["floors"].values():
            assert content["overall"]["ndcg@10"] > floor["overall"]["ndcg@10"]
    compared = compare_runs(runs, split="test")
    overall, longtail = (compared[subset]["systems"]["without_both"] for subset in ("overall", "longtail"))
    return overall["ndcg@10"]["difference"], longtail["recall@10"]["difference"]


def test_user_and_propagation_lift_v2ht_overall_and_in_the_long_tail(tmp_path: Path) -> None:
    """All seeds, all variants and the control world are in experiments/worlds; this is a part that CI can afford.

    There the differences are -.035 and -.088, with deviations of .013 and .034 over seeds: rounding alone, on another
    processor or with other threads, leads training elsewhere. Hence two seeds, and limits some deviations away.
    """
    overall, longtail = np.mean([differences(tmp_path / str(seed), seed=seed) for seed in SEEDS], axis=0)
    assert overall < -0.01
    assert longtail < -0.03
