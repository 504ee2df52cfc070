"""The published baselines: each score against its formula written out, one (video, user, hashtag) at a time."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from v2ht.inputs import Batch
from v2ht.losses import RankingLoss
from v2ht.models.baselines.bilinear import Bilinear, BilinearSettings
from v2ht.models.baselines.co_attention import CoAttention, CoAttentionSettings, GuidedAttention
from v2ht.models.baselines.contagnet import ConTagNet, ConTagNetSettings
from v2ht.models.baselines.three_way_multiplicative import ThreeWayMultiplicative
from v2ht.models.baselines.user_additive import UserAdditive
from v2ht.models.baselines.user_specific import UserSpecific, UserSpecificSettings
from v2ht.models.contract import Ranker
from v2ht.nn.descriptor import VideoDescriptor
from v2ht.nn.negatives import uniform_negatives

LOSS = RankingLoss("log", negatives=2, margin=0.1, sampler=uniform_negatives)
SIZES = {"visual": 5}


def words() -> Tensor:
    return torch.randn(7, 6, generator=torch.Generator().manual_seed(4))


def batch() -> Batch:
    """Four videos: all there, without text, without frames, with nothing and of nobody."""
    generator = torch.Generator().manual_seed(1)
    return Batch(
        sequences={
            "visual": torch.randn(4, 3, 5, generator=generator),
            "text": torch.randint(7, (4, 2), generator=generator),
        },
        masks={
            "visual": torch.arange(3) < torch.tensor([3, 2, 0, 0])[:, None],
            "text": torch.arange(2) < torch.tensor([2, 0, 1, 0])[:, None],
        },
        history_BF=torch.randn(4, 4, generator=generator),
        known_B=torch.tensor([True, True, True, False]),
        user_B=torch.tensor([2, 0, 1, -1]),
        attributes_BA=torch.tensor([[1, 0], [2, 1], [0, 0], [1, 1]]),
        positives_BP=torch.tensor([[0, 1], [2, -1], [3, 4], [5, 6]]),
    )


def bilinear() -> Bilinear:
    return Bilinear(num_hashtags=9, feature_sizes=SIZES, word_vectors=words(), dim=8, loss=LOSS)


def additive() -> UserAdditive:
    return UserAdditive(
        num_hashtags=9,
        feature_sizes=SIZES,
        word_vectors=words(),
        history_size=4,
        attribute_sizes=[3, 2],
        dim=8,
        user_dropout=0.0,
        loss=LOSS,
    )


def multiplicative() -> ThreeWayMultiplicative:
    return ThreeWayMultiplicative(
        num_hashtags=9,
        feature_sizes=SIZES,
        word_vectors=words(),
        history_size=4,
        attribute_sizes=[3, 2],
        dim=8,
        user_dropout=0.0,
        loss=LOSS,
    )


def user_specific(*, user_dropout: float = 0.0) -> UserSpecific:
    return UserSpecific(
        num_hashtags=9,
        num_users=3,
        feature_sizes=SIZES,
        word_vectors=words(),
        dim=8,
        user_dim=3,
        user_dropout=user_dropout,
        loss=LOSS,
    )


def contagnet() -> ConTagNet:
    return ConTagNet(num_hashtags=9, feature_sizes=SIZES, word_vectors=None, dim=8, dropout=0.5, loss=LOSS)


def co_attention(*, frames: bool = True, text: bool = True) -> CoAttention:
    sizes = SIZES if frames else {}
    return CoAttention(num_hashtags=9, feature_sizes=sizes, word_vectors=words() if text else None, dim=8, loss=LOSS)


def one(model: Ranker, video: int, posts: Batch) -> tuple[Tensor, Tensor | None]:
    """Return a video's descriptor and its user's embedding from the model's own blocks."""
    descriptor: Tensor = model.video(posts.sequences, posts.masks)[video]  # type: ignore[operator]
    if isinstance(model, UserAdditive | ThreeWayMultiplicative):
        return descriptor, model.user(posts.history_BF, posts.known_B, posts.attributes_BA)[video]
    if isinstance(model, UserSpecific):
        return descriptor, model.user.weight[[2, 0, 1, 3][video]]
    return descriptor, None


def product(model: Ranker, v: Tensor, u: Tensor | None, tag: int) -> Tensor:
    return v @ model.hashtag.weight[tag]  # type: ignore[union-attr, index]


def added(model: Ranker, v: Tensor, u: Tensor | None, tag: int) -> Tensor:
    t = model.hashtag.weight[tag]  # type: ignore[union-attr, index]
    assert u is not None
    return v @ t + u @ t


def gated(model: Ranker, v: Tensor, u: Tensor | None, tag: int) -> Tensor:
    t = model.hashtag.weight[tag]  # type: ignore[union-attr, index]
    assert u is not None
    return torch.stack([v[d] * u[d] * t[d] for d in range(8)]).sum()


def tensor(model: Ranker, v: Tensor, u: Tensor | None, tag: int) -> Tensor:
    assert isinstance(model, UserSpecific)
    assert u is not None
    t = model.hashtag.weight[tag]
    cube = model.tensor.weight.reshape(8, 8, 3)
    terms = [cube[k, i, j] * v[i] * u[j] * t[k] for i in range(8) for j in range(3) for k in range(8)]
    return torch.stack(terms).sum() + model.tensor.bias @ t


def classified(model: Ranker, v: Tensor, u: Tensor | None, tag: int) -> Tensor:
    assert isinstance(model, ConTagNet)
    hidden = model.hidden[2]
    assert isinstance(hidden, nn.Linear)
    x = torch.relu(hidden.weight @ torch.relu(v) + hidden.bias)
    return model.classifier.weight[tag] @ x + model.classifier.bias[tag]


Formula = Callable[[Ranker, Tensor, Tensor | None, int], Tensor]
FORMULAS: list[tuple[Callable[[], Ranker], Formula]] = [
    (bilinear, product),
    (additive, added),
    (multiplicative, gated),
    (user_specific, tensor),
    (contagnet, classified),
]


@pytest.mark.parametrize(("make", "formula"), FORMULAS, ids=[make.__name__ for make, _ in FORMULAS])
def test_scores_are_the_formula_one_triplet_at_a_time(make: Callable[[], Ranker], formula: Formula) -> None:
    torch.manual_seed(0)
    model, posts = make().eval(), batch()
    found = model.scores(posts, model.hashtag_embeddings())
    assert found.shape == (4, 9)
    for video in range(4):
        v, u = one(model, video, posts)
        for tag in range(9):
            torch.testing.assert_close(found[video, tag], formula(model, v, u, tag), atol=1e-5, rtol=1e-4)


def test_the_descriptor_written_out_with_a_stand_in_for_what_is_absent() -> None:
    torch.manual_seed(0)
    block, posts = VideoDescriptor(feature_sizes=SIZES, word_vectors=words(), dim=8), batch()
    found = block(posts.sequences, posts.masks)
    texts = words()[posts.sequences["text"]]
    for video, (frames, read) in enumerate([(3, 2), (2, 0), (0, 1), (0, 0)]):
        seen = block.parts["visual"](posts.sequences["visual"][video, :frames].mean(0))
        said = block.parts["text"](texts[video, :read].mean(0))
        parts = [seen if frames else block.stand_ins_MD[0], said if read else block.stand_ins_MD[1]]
        torch.testing.assert_close(found[video], block.together(torch.relu(torch.cat(parts))))


@given(seed=st.integers(0, 10_000))
def test_guided_attention_equals_a_loop_and_weights_sum_to_one(seed: int) -> None:
    torch.manual_seed(seed)
    block, steps, guides = GuidedAttention(dim=4), torch.randn(2, 5, 4), torch.randn(2, 4)
    lengths = [5, 2]
    found = block(steps, torch.arange(5) < torch.tensor(lengths)[:, None], guides)
    for row, length in enumerate(lengths):
        logits = [
            block.logit.weight[0] @ torch.tanh(block.step(step) + block.guide(guides[row]))
            for step in steps[row, :length]
        ]
        weights = torch.stack(logits).softmax(0)
        torch.testing.assert_close(found[row], (weights[:, None] * steps[row, :length]).sum(0), atol=1e-5, rtol=1e-4)
    same = block(steps[:, :1].expand(2, 5, 4), torch.ones(2, 5, dtype=torch.bool), guides)
    torch.testing.assert_close(same, steps[:, 0])


def test_text_guides_the_eye_and_then_the_eye_the_reading() -> None:
    torch.manual_seed(0)
    model, posts = co_attention(), batch()
    assert model.reader is not None
    states = model.reader(words()[posts.sequences["text"]])[0]
    frames = model.to_common["visual"](posts.sequences["visual"])
    found = model.scores(posts, model.hashtag_embeddings())
    for video, (seen, read) in enumerate([(3, 2), (2, 0), (0, 1), (0, 0)]):
        look = frames[video, :seen] if seen else model.stand_ins_MD[:1]
        text = states[video, :read] if read else model.stand_ins_MD[1:]
        eye = model.attentions["visual"](look[None], torch.ones(1, len(look), dtype=torch.bool), text.mean(0)[None])
        reading = model.attentions["text"](text[None], torch.ones(1, len(text), dtype=torch.bool), eye)
        fused = torch.tanh(model.fuse(torch.cat([eye, reading], dim=1)))
        torch.testing.assert_close(found[video], model.classifier(fused)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kept", ["visual", "text"])
def test_one_modality_alone_guides_itself(kept: str) -> None:
    torch.manual_seed(0)
    model, posts = co_attention(frames=kept == "visual", text=kept == "text"), batch()
    assert model.modalities == (kept,)
    found = model.scores(posts, model.hashtag_embeddings())
    assert torch.isfinite(found).all()
    other = "text" if kept == "visual" else "visual"
    hidden = replace(posts, masks={**posts.masks, other: torch.zeros_like(posts.masks[other])})
    assert torch.equal(model.scores(hidden, model.hashtag_embeddings()), found)


def test_the_guide_counts() -> None:
    """Another text moves the attention over frames, which a guide that cancels in the softmax could not."""
    torch.manual_seed(0)
    block = GuidedAttention(dim=4)
    steps = torch.randn(1, 5, 4).expand(2, 5, 4)
    attended = block(steps, torch.ones(2, 5, dtype=torch.bool), torch.tensor([[3.0] * 4, [-3.0] * 4]))
    assert not torch.allclose(attended[0], attended[1], atol=1e-3)


def test_somebody_whom_train_does_not_show_elsewhere_is_nobody() -> None:
    """A known id without history, an unknown id, and a dropped user all get the embedding of nobody."""
    torch.manual_seed(0)
    model, posts = user_specific(user_dropout=0.4), batch()
    nobody = model.posts(replace(posts, user_B=torch.full((4,), -1)))
    assert torch.equal(model.posts(replace(posts, known_B=torch.zeros(4, dtype=torch.bool))), nobody)
    assert not torch.allclose(model.posts(posts)[:3], nobody[:3])
    torch.testing.assert_close(model.posts(posts)[3], nobody[3])
    generator = torch.Generator().manual_seed(0)
    dropped = [(model.posts(posts, generator=generator) == nobody).all(1)[:3] for _ in range(700)]
    assert 0.36 < torch.stack(dropped).float().mean() < 0.44


@pytest.mark.parametrize("make", [additive, multiplicative])
def test_training_hides_a_share_of_the_users(make: Callable[[], UserAdditive | ThreeWayMultiplicative]) -> None:
    torch.manual_seed(0)
    model, posts = make(), batch()
    model.user.dropout = 0.4
    empty = {"known_B": torch.zeros(4, dtype=torch.bool), "attributes_BA": torch.zeros(4, 2, dtype=torch.int64)}
    nobody = model.posts(replace(posts, **empty))
    generator = torch.Generator().manual_seed(0)
    dropped = [torch.isclose(model.posts(posts, generator=generator), nobody, atol=1e-6).all(1)[:3] for _ in range(700)]
    assert 0.36 < torch.stack(dropped).float().mean() < 0.44


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        (BilinearSettings, {"dim": 0}),
        (BilinearSettings, {"margin": 0.0}),
        (CoAttentionSettings, {"negatives": 0}),
        (CoAttentionSettings, {"loss": "hinge"}),
        (ConTagNetSettings, {"dropout": 1.0}),
        (UserSpecificSettings, {"user_dim": 0}),
        (UserSpecificSettings, {"user_dropout": -0.1}),
    ],
)
def test_a_setting_out_of_range_is_refused(settings: type[object], change: dict[str, object]) -> None:
    (name,) = change
    with pytest.raises(ValueError, match=f"{name} is .*; choose"):
        settings(**change)
