"""How far rare hashtags are raised after training: the formula, the choice on validation, what a run keeps of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data.dataset import Dataset
from data.files import read_json
from graph_builders.build import load_dataset_graph
from v2ht.bundle import Bundle
from v2ht.dataset_inputs import DatasetInputs
from v2ht.models.v2ht_memory import V2HTMemory
from v2ht.training.evaluate import evaluate_scorer
from v2ht.training.lift import LIFTS, best, choose_lift
from v2ht.training.ranking import model_scorer
from v2ht.training.train import Plan, train

QUICK = ["dim=16", "epochs=3", "word_dimension=8"]


@pytest.fixture(scope="module")
def run(world_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lift") / "run"
    train(world_folder, path, Plan.of("v2ht_memory", QUICK, seed=0))
    return path


@pytest.fixture
def model(run: Path) -> V2HTMemory:
    model = Bundle.load(run).model
    assert isinstance(model, V2HTMemory)
    return model


@pytest.fixture(scope="module")
def posts(run: Path, world: Dataset) -> DatasetInputs:
    return DatasetInputs(world, Bundle.load(run).inputs)


def test_the_lift_takes_log_frequency_off(model: V2HTMemory, posts: DatasetInputs) -> None:
    rows = posts.dataset.rows("test")[:30]
    model.lift.zero_()
    plain = model_scorer(model, posts)(rows)
    model.lift.fill_(0.3)
    videos_H = posts.dataset.hashtags["train_videos"].to_numpy() + 0.5
    expected = plain - 0.3 * torch.from_numpy(np.log(videos_H / videos_H.mean())).float()
    torch.testing.assert_close(model_scorer(model, posts)(rows), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.1, 100.0])
def test_the_choice_is_the_best_of_all_on_validation(model: V2HTMemory, posts: DatasetInputs, weight: float) -> None:
    """Each lift is tried again by ranking the validation split with it through the code of `v2ht evaluate`."""
    chosen = choose_lift(model, posts, tail_weight=weight)
    assert [line["lift"] for line in chosen["tried"]] == list(LIFTS)
    values = []
    for line in chosen["tried"]:
        model.lift.fill_(line["lift"])
        rows = posts.dataset.rows("valid")
        found = evaluate_scorer(model_scorer(model, posts), posts.dataset, rows, ks=(10,), longtail_threshold=20)
        sums = {
            name: found.summary[name]["recall@10"] + found.summary[name]["ndcg@10"] for name in ("overall", "longtail")
        }
        assert sums == pytest.approx({name: line[name] for name in sums}, abs=1e-5)
        values.append(sums["overall"] + weight * sums["longtail"])
    assert chosen["chosen"] == LIFTS[int(np.argmax(values))]
    assert choose_lift(model, posts, tail_weight=weight) == chosen  # whatever the lift was before


def test_the_best_lift_by_hand() -> None:
    tried = [
        {"lift": 0.0, "overall": 1.50, "longtail": 0.2},
        {"lift": 0.1, "overall": 1.49, "longtail": 0.4},
        {"lift": 0.2, "overall": 1.30, "longtail": 1.2},
        {"lift": 0.3, "overall": 1.30, "longtail": 1.2},
    ]
    assert [best(tried, tail_weight=weight)["lift"] for weight in (0, 0.1, 1)] == [0.0, 0.1, 0.2]


def test_a_new_hashtag_is_lifted_like_the_rarest(model: V2HTMemory, posts: DatasetInputs, world_folder: Path) -> None:
    none = load_dataset_graph(world_folder, posts.dataset).subset([])
    vectors = torch.zeros(1, model.hashtag_vectors_HW.shape[1])
    batch = posts.batch(posts.dataset.rows("test")[:5])
    with torch.inference_mode():
        row = model.new_hashtag_embeddings(vectors, none)
        model.lift.zero_()
        plain = model.scores(batch, row)
        model.lift.fill_(0.5)
        lifted = model.scores(batch, row)
    rarest = model.log_videos_H[model.rarest_R].mean()
    torch.testing.assert_close(lifted - plain, (-0.5 * rarest).expand_as(plain), atol=1e-5, rtol=1e-5)


def test_a_run_keeps_its_lift(run: Path, model: V2HTMemory, world_folder: Path, tmp_path: Path) -> None:
    record = read_json(run / "run.json")["training"]["lift"]
    assert float(model.lift) == pytest.approx(record["chosen"])
    train(world_folder, run, Plan.of("v2ht_memory", QUICK, seed=0), resume=True)
    assert read_json(run / "run.json")["training"]["lift"] == record
    train(world_folder, tmp_path / "off", Plan.of("v2ht_memory", [*QUICK, "tail_weight=0"], seed=0))
    assert "lift" not in read_json(tmp_path / "off" / "run.json")["training"]
    off = Bundle.load(tmp_path / "off").model.state_dict()
    assert float(off["lift"]) == 0
    assert all(torch.equal(weight, off[name]) for name, weight in model.state_dict().items() if name != "lift")
