"""UHMAN's blocks and score: values by hand, equations written out as twins, laws over random items."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from data.word_vectors import WordVectors
from graph_builders.hashtag_graph import HashtagGraph
from v2ht.inputs import Batch, Inputs
from v2ht.losses import RankingLoss
from v2ht.models import entry
from v2ht.models.uhman import UHMAN, FrameEncoder, UHMANSettings
from v2ht.nn.negatives import uniform_negatives
from v2ht.nn.steps import StepFeatures, masked_mean, with_stand_in
from v2ht.nn.user_attention import UserAttention
from v2ht.nn.user_metadata import UserMetadata

SEEDS = st.integers(0, 10_000)


def user_attention(*, seed: int = 0, dim: int = 8, heads: int = 2) -> UserAttention:
    torch.manual_seed(seed)
    block = UserAttention(dim=dim, heads=heads)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return block


def encoder(*, region_attention: bool = True, frame_attention: bool = True) -> FrameEncoder:
    torch.manual_seed(0)
    return FrameEncoder(
        features=5, hidden=8, heads=2, region_attention=region_attention, frame_attention=frame_attention
    )


def uhman(*, attribute_sizes: Sequence[int] = (), sizes: Mapping[str, int] | None = None) -> UHMAN:
    torch.manual_seed(0)
    return UHMAN(
        num_hashtags=9,
        feature_sizes={"regions": 5} if sizes is None else sizes,
        word_vectors=torch.randn(7, 6),
        history_size=4,
        attribute_sizes=attribute_sizes,
        hidden=8,
        dim=3,
        heads=2,
        region_attention=True,
        frame_attention=True,
        user_dropout=0.0,
        loss=RankingLoss("warp", negatives=4, margin=0.1, sampler=uniform_negatives),
    ).eval()


def batch(videos: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(
        sequences={
            "regions": torch.randn(videos, 4, 6, 5, generator=generator),
            "text": torch.randint(7, (videos, 3), generator=generator),
        },
        masks={
            "regions": torch.arange(4) < torch.tensor([4, 2, 0] * videos)[:videos, None],
            "text": torch.arange(3) < torch.tensor([1, 3, 2] * videos)[:videos, None],
        },
        history_BF=torch.randn(videos, 4, generator=generator),
        known_B=torch.tensor([True, False, True] * videos)[:videos],
        user_B=torch.zeros(videos, dtype=torch.int64),
        attributes_BA=torch.zeros(videos, 0, dtype=torch.int64),
        positives_BP=torch.tensor([[0, 1], [2, -1], [3, 4]] * videos)[:videos],
    )


def written_out(block: UserAttention, user_D: Tensor, items_SD: Tensor) -> Tensor:
    """Equations 1-4 for one user and his items, head by head, with Vaswani et al.'s attention."""
    dim, heads = len(user_D), block.attention.num_heads
    weights, biases = block.attention.in_proj_weight.split(dim), block.attention.in_proj_bias.split(dim)
    query, keys, values = (x @ w.T + b for x, w, b in zip((user_D, items_SD, items_SD), weights, biases, strict=True))
    parts = []
    for head in range(heads):
        own = slice(head * dim // heads, (head + 1) * dim // heads)
        attention_S = torch.stack([query[own] @ key[own] for key in keys]) / (dim // heads) ** 0.5
        parts.append(sum(a * value[own] for a, value in zip(attention_S.softmax(0), values, strict=True)))
    attended = block.attention.out_proj(torch.cat(parts))
    gamma = block.attended_norm(attended + user_D)
    first, _, second = block.feed_forward
    fed = second.weight @ (first.weight @ gamma + first.bias).clamp(min=0) + second.bias
    return block.norm(fed + gamma)


@given(seed=SEEDS, sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_user_attention_equals_the_equations(seed: int, sizes: list[int]) -> None:
    block = user_attention(seed=seed)
    users_ND, items_NSD = torch.randn(len(sizes), 8), torch.randn(len(sizes), 5, 8)
    found = block(users_ND, items_NSD, torch.arange(5) < torch.tensor(sizes)[:, None])
    for row, size in enumerate(sizes):
        expected = written_out(block, users_ND[row], items_NSD[row, :size])
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-4)


def test_user_attention_worked_by_hand() -> None:
    """One item is attended whole. Values pass as they are and the feed-forward network adds nothing:
    item (1, 0) + user (0, 3) = (1, 3), which the layer norms turn into (-1, 1)."""
    block = UserAttention(dim=2, heads=1)
    with torch.no_grad():
        block.attention.in_proj_weight.copy_(torch.eye(2).repeat(3, 1))
        block.attention.out_proj.weight.copy_(torch.eye(2))
        for parameter in block.feed_forward.parameters():
            parameter.zero_()
    found = block(torch.tensor([[0.0, 3.0]]), torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1, dtype=torch.bool))
    torch.testing.assert_close(found, torch.tensor([[-1.0, 1.0]]), atol=1e-4, rtol=0)


@given(seed=SEEDS)
def test_the_order_of_items_does_not_count_and_a_copy_of_all_changes_nothing(seed: int) -> None:
    block = user_attention(seed=seed)
    users_ND, items_NSD = torch.randn(2, 8), torch.randn(2, 4, 8)
    real = torch.ones(2, 4, dtype=torch.bool)
    found = block(users_ND, items_NSD, real)
    shuffled = block(users_ND, items_NSD[:, torch.tensor([2, 0, 3, 1])], real)
    doubled = block(users_ND, items_NSD.repeat(1, 2, 1), real.repeat(1, 2))
    torch.testing.assert_close(shuffled, found, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(doubled, found, atol=1e-5, rtol=1e-4)


def test_different_users_attend_to_different_items() -> None:
    block = user_attention()
    items = torch.randn(1, 4, 8).expand(2, 4, 8)
    values = block(torch.randn(2, 8), items, torch.ones(2, 4, dtype=torch.bool))
    assert not torch.allclose(values[0], values[1])
    with pytest.raises(ValueError, match="dim is 8, which 3 heads cannot share"):
        UserAttention(dim=8, heads=3)


def test_frame_encoder_equals_a_loop_over_videos_and_frames() -> None:
    coder, users = encoder(), torch.randn(3, 8)
    steps, lengths = torch.randn(3, 4, 6, 5), [4, 2, 0]
    found = coder(users, steps, torch.arange(4) < torch.tensor(lengths)[:, None])
    assert coder.regions is not None
    assert coder.frames is not None
    for row, length in enumerate(lengths):
        hidden = coder.to_hidden(steps[row, :length]) if length else coder.stand_in_K.expand(1, 6, 8)
        frames = torch.stack([written_out(coder.regions, users[row], regions) for regions in hidden])
        torch.testing.assert_close(found[row], written_out(coder.frames, users[row], frames), atol=1e-5, rtol=1e-4)


def test_frames_without_regions_are_frames_of_one_region() -> None:
    coder, users, frames = encoder(), torch.randn(2, 8), torch.randn(2, 3, 5)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    torch.testing.assert_close(coder(users, frames, mask), coder(users, frames[:, :, None], mask))


def test_ablations_average_instead() -> None:
    users, steps = torch.randn(2, 8), torch.randn(2, 3, 6, 5)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    flat = encoder(region_attention=False, frame_attention=False)
    means = [flat.to_hidden(steps[row, :size]).mean((0, 1)) for row, size in enumerate((3, 2))]
    torch.testing.assert_close(flat(users, steps, mask), torch.stack(means))
    regions_only = encoder(frame_attention=False)
    frames_only = encoder(region_attention=False)
    assert {name.split(".")[0] for name, _ in regions_only.named_parameters()} >= {"regions"}
    assert not any(name.startswith("frames") for name, _ in regions_only.named_parameters())
    assert not any(name.startswith("regions") for name, _ in frames_only.named_parameters())
    assert frames_only.frames is not None
    hidden = frames_only.to_hidden(steps[0]).mean(1)
    expected = written_out(frames_only.frames, users[0], hidden)
    torch.testing.assert_close(frames_only(users, steps, mask)[0], expected, atol=1e-5, rtol=1e-4)


def test_user_metadata_written_out_and_unknown_values_of_their_own() -> None:
    torch.manual_seed(0)
    block = UserMetadata(history_size=4, attribute_sizes=[3, 4], dim=5, dropout=0.0)
    history, attributes = torch.randn(3, 4), torch.tensor([[2, 3], [1, 0], [0, 0]])
    found = block(history, torch.tensor([True, True, False]), attributes)
    gender, country = (embedding.weight for embedding in block.attributes.values)
    first = torch.cat([block.history(history[0]), gender[2], country[3]])
    second = torch.cat([block.history(history[1]), gender[1], country[0]])
    nobody = torch.cat([block.no_history_D, gender[0], country[0]])
    torch.testing.assert_close(found, block.together(torch.stack([first, second, nobody])))


def test_user_dropout_shows_a_share_of_nobodies() -> None:
    torch.manual_seed(0)
    block = UserMetadata(history_size=4, attribute_sizes=[3], dim=5, dropout=0.3)
    history, known, attributes = torch.randn(4000, 4), torch.ones(4000, dtype=torch.bool), torch.ones(4000, 1).long()
    dropped = block(history, known, attributes, generator=torch.Generator().manual_seed(1))
    nobody = block(history[:1], ~known[:1], torch.zeros_like(attributes[:1]))
    hidden = torch.isclose(dropped, nobody, atol=1e-6).all(1)
    assert 0.27 < hidden.float().mean() < 0.33
    torch.testing.assert_close(dropped[~hidden], block(history, known, attributes)[~hidden])


def test_attributes_that_do_not_fit_are_refused() -> None:
    block = UserMetadata(history_size=4, attribute_sizes=[2], dim=5, dropout=0.0)
    history, known = torch.zeros(1, 4), torch.ones(1, dtype=torch.bool)
    for code in (2, -1):
        with pytest.raises(ValueError, match=rf"attribute 0 holds code {code}, expected 0 \(unknown\) to 1"):
            block(history, known, torch.tensor([[code]]))
    with pytest.raises(ValueError, match="found 2 attributes, expected 1"):
        block(history, known, torch.tensor([[0, 0]]))
    with pytest.raises(ValueError, match=r"user dropout is 1\.0; choose a share"):
        UserMetadata(history_size=4, attribute_sizes=[], dim=5, dropout=1.0)


def test_the_score_is_the_product_of_both_embeddings_and_its_sign_is_not_that_of_the_distance() -> None:
    model, posts = uhman(), batch()
    users = model.user(posts.history_BF, posts.known_B, posts.attributes_BA)
    for row in range(3):
        views = [
            model.encoders[name](users[row : row + 1], steps[row : row + 1], posts.masks[name][row : row + 1])[0]
            for name, steps in model.steps(posts.sequences).items()
        ]
        both = model.post_to_common.weight @ torch.cat([users[row], *views])
        for tag in range(9):
            product = both @ (model.hashtag_to_common.weight @ model.hashtag.weight[tag])
            found = model.scores(posts, model.hashtag_embeddings())[row, tag]
            torch.testing.assert_close(found, product, atol=1e-5, rtol=1e-4)


def test_training_raises_the_scores_of_positives() -> None:
    model, posts = uhman(), batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        optimizer.zero_grad()
        model.training_loss(posts, generator).backward()
        optimizer.step()
    best, _ = model.rank(posts, 2)
    assert set(best[0].tolist()) == {0, 1}
    assert 2 in best[1].tolist()
    assert set(best[2].tolist()) == {3, 4}


def test_attributes_change_the_scores_of_their_users() -> None:
    model = uhman(attribute_sizes=[3, 4])
    hashtags = model.hashtag_embeddings()
    posts = replace(batch(), attributes_BA=torch.tensor([[1, 3], [2, 1], [0, 0]]))
    unknown = replace(posts, attributes_BA=torch.zeros_like(posts.attributes_BA))
    changed = model.scores(posts, hashtags) - model.scores(unknown, hashtags)
    assert changed[:2].abs().amax(1).min() > 1e-4
    torch.testing.assert_close(changed[2], torch.zeros(9))
    model.training_loss(posts, torch.Generator().manual_seed(0)).backward()
    gradient = model.user.attributes.values[1].weight.grad
    assert isinstance(gradient, Tensor)
    assert (gradient.abs().sum(1) > 0).tolist() == [True, True, False, True]


def test_regions_are_read_in_place_of_whole_frames_by_the_one_model_that_can() -> None:
    """A dataset may hold both; without any frames the text alone is read."""
    for sizes, expected in (
        ({"regions": 5, "visual": 5, "acoustic": 2}, ("regions", "acoustic", "text")),
        ({"visual": 5}, ("visual", "text")),
        ({}, ("text",)),
    ):
        inputs, graph = inputs_with(sizes)
        assert entry("uhman").build(UHMANSettings(), inputs, graph).modalities == expected
    inputs, graph = inputs_with({"regions": 5, "visual": 5})
    assert entry("uhman").build(UHMANSettings(modalities=("visual",)), inputs, graph).modalities == ("regions",)
    assert entry("contagnet").build(entry("contagnet").settings(), inputs, graph).modalities == ("visual",)
    inputs, graph = inputs_with({"acoustic": 2})
    assert entry("contagnet").build(entry("contagnet").settings(), inputs, graph).modalities == ("text",)


def inputs_with(sizes: Mapping[str, int]) -> tuple[Inputs, HashtagGraph]:
    """Return what these models are built from, and no graph, which they do not read."""
    vectors = WordVectors(words=["dog", "cat"], matrix=np.ones((2, 3), np.float32))
    parts = {"feature_sizes": dict(sizes), "word_vectors": vectors, "num_hashtags": 2}
    parts |= {"history_size": 4, "attribute_sizes": []}
    return cast(Inputs, SimpleNamespace(**parts)), cast(HashtagGraph, None)


def test_steps_stand_ins_and_means() -> None:
    steps = StepFeatures(feature_sizes={"visual": 2}, word_vectors=torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    found = steps({"visual": torch.ones(1, 1, 2), "text": torch.tensor([[1, 0]]), "acoustic": torch.ones(1)})
    assert list(found) == ["visual", "text"]
    assert found["text"].tolist() == [[[3, 4], [1, 2]]]
    values = torch.tensor([[[2.0], [4.0], [9.0]], [[1.0], [1.0], [1.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(values, mask).tolist() == [[3], [0]]
    stood, real = with_stand_in(values, mask, torch.tensor([7.0]))
    assert stood[..., 0].tolist() == [[2, 4, 9], [7, 7, 7]]
    assert real.tolist() == [[True, True, False], [True, False, False]]
    with pytest.raises(ValueError, match="no modality is left; use at least one that the dataset has"):
        StepFeatures(feature_sizes={}, word_vectors=None)


@pytest.mark.parametrize("change", [{"hidden": 0}, {"dim": 0}, {"heads": 0}, {"hidden": 30}, {"user_dropout": 1.0}])
def test_a_setting_out_of_range_is_refused(change: dict[str, int]) -> None:
    (name,) = change
    with pytest.raises(ValueError, match=f"{name} is .*; choose"):
        UHMANSettings(**change)  # type: ignore[arg-type]


def test_the_papers_values_are_the_defaults() -> None:
    settings = UHMANSettings()
    assert (settings.loss, settings.margin, settings.negatives) == ("warp", 0.1, 4)
    assert (settings.hidden, settings.dim) == (32, 32)
