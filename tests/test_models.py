"""One battery for every model in MODELS: batches, missing parts, unknown users, gradients, planted answers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from data.dataset import Dataset
from graph_builders.build import GraphSettings, build_dataset_graph
from graph_builders.hashtag_graph import HashtagGraph
from v2ht.dataset_inputs import DatasetInputs
from v2ht.inputs import Batch, Inputs, InputSettings, Post
from v2ht.models import entry
from v2ht.models.contract import Ranker
from v2ht.models.v2ht import V2HTSettings
from v2ht.training.ranking import model_scorer, rank_rows
from worlds import small_plan


@pytest.fixture(scope="module")
def posts(world: Dataset) -> DatasetInputs:
    return DatasetInputs(world, Inputs.of(world, InputSettings(word_dimension=16), seed=0))


@pytest.fixture(scope="module")
def graph(world: Dataset) -> HashtagGraph:
    return build_dataset_graph(world, GraphSettings())


@pytest.fixture(scope="module", params=["v2ht"])
def model(request: pytest.FixtureRequest, posts: DatasetInputs, graph: HashtagGraph) -> Ranker:
    torch.manual_seed(0)
    plan = small_plan(model=request.param)
    return entry(request.param).build(plan.model_settings, posts.inputs, graph).eval()


@pytest.fixture
def batch(posts: DatasetInputs) -> Batch:
    return posts.batch(posts.dataset.rows("test")[:6])


def scores(model: Ranker, batch: Batch) -> torch.Tensor:
    with torch.inference_mode():
        return model.scores(batch, model.hashtag_embeddings())


def test_a_batch_equals_its_videos_one_by_one(model: Ranker, posts: DatasetInputs) -> None:
    rows = posts.dataset.rows("test")[:6]
    together = scores(model, posts.batch(rows))
    assert together.shape == (6, posts.inputs.num_hashtags)
    for place in range(len(rows)):
        torch.testing.assert_close(
            together[place], scores(model, posts.batch(rows[place : place + 1]))[0], atol=1e-5, rtol=1e-4
        )


def test_full_ranking_equals_a_plain_sort_of_single_scores(model: Ranker, batch: Batch) -> None:
    hashtags = model.hashtag_embeddings().detach()
    with torch.inference_mode():
        single = torch.cat([model.scores(batch, hashtags[n : n + 1]) for n in range(len(hashtags))], dim=1)
    ids, values = model.rank(batch, 10)
    for row in range(len(batch)):
        order = sorted(range(single.shape[1]), key=lambda n, row=row: (-float(single[row, n]), n))[:10]
        torch.testing.assert_close(values[row], single[row, order], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(single[row, ids[row]], single[row, order], atol=1e-5, rtol=1e-4)


def test_every_parameter_gets_a_gradient(model: Ranker, posts: DatasetInputs) -> None:
    model.train()
    batch = posts.batch(posts.dataset.rows("train")[:64])
    hidden = replace(batch, masks={name: mask & (torch.arange(64) > 8)[:, None] for name, mask in batch.masks.items()})
    model.zero_grad()
    model.training_loss(hidden, torch.Generator().manual_seed(0)).backward()
    model.eval()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_missing_parts_change_scores_but_never_break_them(model: Ranker, posts: DatasetInputs, batch: Batch) -> None:
    full = scores(model, batch)
    for name, mask in batch.masks.items():
        hidden = scores(model, replace(batch, masks={**batch.masks, name: torch.zeros_like(mask)}))
        assert torch.isfinite(hidden).all()
        assert not torch.allclose(hidden, full), name
    nobody = scores(model, replace(batch, known_B=torch.zeros_like(batch.known_B)))
    assert torch.isfinite(nobody).all()
    assert not torch.allclose(nobody, full)
    assert torch.isfinite(scores(model, posts.inputs.batch([Post()]))).all()


def test_a_masked_step_is_never_read(model: Ranker, batch: Batch) -> None:
    spoiled = {
        name: torch.where(batch.masks[name].reshape(*batch.masks[name].shape, *[1] * (steps.ndim - 2)), steps, 1)
        for name, steps in batch.sequences.items()
    }
    torch.testing.assert_close(scores(model, replace(batch, sequences=spoiled)), scores(model, batch))


def test_known_hashtags_are_left_out_on_request(model: Ranker, posts: DatasetInputs, world: Dataset) -> None:
    rows = world.rows("test")[:5]
    known = posts.truth.take(rows)
    ranked = rank_rows(
        model_scorer(model, posts), rows, depth=5, known=known, new_depth=5, num_hashtags=world.num_hashtags
    )
    for place in range(5):
        assert not set(ranked.ranked_new_NK[place]) & set(known[place])
        kept = [tag for tag in ranked.ranked_NK[place] if tag not in set(known[place])]
        assert ranked.ranked_new_NK[place][: len(kept)].tolist() == kept


def test_it_learns_a_planted_world(model: Ranker, posts: DatasetInputs, world: Dataset) -> None:
    """A few steps on few videos: their own hashtags must rise to the top."""
    rows = world.rows("train")[:24]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(0)
    batch = posts.batch(rows)
    model.train()
    for _ in range(150):
        optimizer.zero_grad()
        model.training_loss(batch, generator).backward()
        optimizer.step()
    model.eval()
    ids, _ = model.rank(batch, 10)
    recall = np.mean(
        [len(set(ids[n].tolist()) & set(posts.truth[row])) / len(posts.truth[row]) for n, row in enumerate(rows)]
    )
    model.load_state_dict(state)
    assert recall > 0.8


ABLATIONS = {
    "without P": {"propagation": False},
    "without U": {"user": False},
    "without U and P": {"propagation": False, "user": False},
    "frames only": {"modalities": ("visual",)},
    "sound and text": {"modalities": ("acoustic", "text")},
    "no co-occurrence": {"relations": ("composition", "hypernym", "wup")},
    "one relation": {"relations": ("hypernym",)},
    "no relation": {"relations": ()},
}


@pytest.mark.parametrize("change", ABLATIONS.values(), ids=ABLATIONS)
def test_each_ablation_of_v2ht_runs_and_ignores_what_it_leaves_out(
    change: dict[str, object], posts: DatasetInputs, graph: HashtagGraph, batch: Batch
) -> None:
    settings = V2HTSettings(dim=16, visual_units=8, acoustic_units=8, text_units=8, hidden=(16,), **change)  # type: ignore[arg-type]
    torch.manual_seed(0)
    model = entry("v2ht").build(settings, posts.inputs, graph).eval()
    full = scores(model, batch)
    assert torch.isfinite(full).all()
    if not settings.user:
        assert torch.equal(full, scores(model, replace(batch, known_B=~batch.known_B)))
    for name in set(batch.masks) - set(settings.modalities):
        hidden = replace(batch, masks={**batch.masks, name: torch.zeros_like(batch.masks[name])})
        assert torch.equal(full, scores(model, hidden))
    model.training_loss(batch, torch.Generator().manual_seed(0)).backward()


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match="model 'gcn' is unknown; choose one of v2ht, uhman"):
        entry("gcn")
    with pytest.raises(ValueError, match="modalities names 'smell'; choose among visual, acoustic, sentence, text"):
        V2HTSettings(modalities=("smell",))


@pytest.mark.parametrize(
    "change", [{"hidden": (0,)}, {"dropout": 2.0}, {"alpha": 3.0}, {"user_dropout": 1.0}, {"dim": 0}]
)
def test_a_setting_out_of_range_is_refused_at_once(change: dict[str, object]) -> None:
    (name,) = change
    with pytest.raises(ValueError, match=f"{name} is .*; choose"):
        V2HTSettings(**change)  # type: ignore[arg-type]
