"""The paper's claims on a made-up world, with V2HT itself: the graph lifts the long tail, user and graph everything."""

from pathlib import Path

from data.synthetic import WorldSettings, make_world
from experiments.worlds.run import SETTINGS
from graph_builders.build import GraphSettings, build_dataset_graph
from v2ht.demo import VARIANTS
from v2ht.training.evaluate import compare_runs, evaluate_run
from v2ht.training.train import Plan, train


def test_user_and_propagation_lift_v2ht_overall_and_in_the_long_tail(tmp_path: Path) -> None:
    """The whole table, with seeds and the control world, is in experiments/worlds; this is one seed of it."""
    dataset = make_world(WorldSettings(), seed=100).save(tmp_path / "world")
    build_dataset_graph(dataset, GraphSettings()).save(tmp_path / "world" / "graph.parquet")
    runs = [tmp_path / name for name in ("v2ht", "without_graph", "without_both")]
    for run in runs:
        train(tmp_path / "world", run, Plan.of("v2ht", [*SETTINGS, *VARIANTS[run.name]], seed=100))
        content = evaluate_run(run, split="test")
        for floor in content["floors"].values():
            assert content["overall"]["ndcg@10"] > floor["overall"]["ndcg@10"]
    compared = compare_runs(runs, split="test")
    overall, longtail = (compared[subset]["systems"]["without_both"] for subset in ("overall", "longtail"))
    assert overall["ndcg@10"]["difference"] < -0.02
    assert overall["ndcg@10"]["p"] < 0.05
    assert longtail["recall@10"]["difference"] < -0.03
    alone = compared["longtail"]["systems"]["without_graph"]["recall@10"]
    assert alone["difference"] < -0.02
