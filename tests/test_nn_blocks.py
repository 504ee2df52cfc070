"""Attention pooling, user encoder, bi-interaction, negatives, top-k: values by hand and plain twins."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from v2ht.nn.decay import sum_of_squares
from v2ht.nn.interaction import BiInteraction
from v2ht.nn.negatives import uniform_negatives
from v2ht.nn.sequence import SequenceEncoder
from v2ht.nn.top_k import top_k
from v2ht.nn.user import UserEncoder


def sequence_encoder() -> SequenceEncoder:
    torch.manual_seed(0)
    return SequenceEncoder(features=3, units=5, dim=4)


def test_pooling_equals_equations_9_to_12_written_out() -> None:
    """Pool the LSTM states first, map after, one (video, hashtag) at a time: the slow order gives the same."""
    encoder = sequence_encoder()
    features, hashtags = torch.randn(2, 6, 3), torch.randn(7, 4)
    lengths = [6, 3]
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    pooled = encoder.pool(encoder.encode(features, mask), encoder.hashtag_logit(hashtags)[None, :, 0])
    for video, length in enumerate(lengths):
        states = encoder.lstm(features[video : video + 1, :length])[0][0]
        for number, hashtag in enumerate(hashtags):
            theta = torch.relu(encoder.step_logit(states)[:, 0] + encoder.hashtag_logit(hashtag)[0])
            summed = (theta.softmax(0)[:, None] * states).sum(0)
            torch.testing.assert_close(pooled[video, number], encoder.to_common(summed), atol=1e-5, rtol=1e-4)


def test_padding_changes_nothing_and_an_absent_modality_gets_the_stand_in() -> None:
    encoder = sequence_encoder()
    features, hashtags = torch.randn(1, 4, 3), encoder.hashtag_logit(torch.randn(1, 7, 4))[..., 0]
    real = torch.ones(1, 4, dtype=torch.bool)
    longer = torch.cat([features, torch.full((1, 3, 3), 1e4)], dim=1)
    padded_mask = torch.cat([real, torch.zeros(1, 3, dtype=torch.bool)], dim=1)
    short = encoder.pool(encoder.encode(features, real), hashtags)
    torch.testing.assert_close(encoder.pool(encoder.encode(longer, padded_mask), hashtags), short)
    nothing = encoder.pool(encoder.encode(features, ~real), hashtags)
    torch.testing.assert_close(nothing, encoder.stand_in_D.expand(1, 7, 4))


def test_bi_interaction_worked_by_hand() -> None:
    video, hashtag, user = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), torch.tensor([5.0, 6.0])
    pooled = BiInteraction.pool([video, 2 * video], hashtag, user)
    assert pooled.tolist() == [3 + 5 + 15, 8 + 12 + 24, 6 + 10 + 15, 16 + 24 + 24]
    assert BiInteraction.pool([video], hashtag, None).tolist() == [3, 8]


def test_unknown_users_get_the_stand_in_and_dropout_hides_a_share() -> None:
    torch.manual_seed(0)
    encoder = UserEncoder(features=3, dim=4, dropout=0.3)
    history, known = torch.randn(4000, 3), torch.ones(4000, dtype=torch.bool)
    known[0] = False
    shown = encoder(history, known)
    torch.testing.assert_close(shown[0], encoder.stand_in_D)
    assert not torch.allclose(shown[1], encoder.stand_in_D)
    dropped = encoder(history, known, generator=torch.Generator().manual_seed(1))
    share = (dropped == encoder.stand_in_D).all(1).float().mean()
    assert 0.26 < share < 0.34


@given(seed=st.integers(0, 10_000), num_hashtags=st.integers(3, 30))
def test_negatives_are_never_hashtags_of_the_video(seed: int, num_hashtags: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    positives = torch.randint(num_hashtags, (5, 3), generator=generator)
    positives[1, 1:] = -1
    negatives, valid = uniform_negatives(positives, num_hashtags=num_hashtags, per_positive=6, generator=generator)
    assert negatives.shape == valid.shape == (5, 18)
    assert not valid[1, 6:].any()
    for row in range(5):
        own = set(positives[row].tolist())
        assert not own & set(negatives[row][valid[row]].tolist())
    if num_hashtags > 20:
        assert valid[0].float().mean() > 0.9


def test_negatives_are_uniform() -> None:
    positives = torch.zeros(3000, 1, dtype=torch.int64)
    negatives, valid = uniform_negatives(
        positives, num_hashtags=5, per_positive=6, generator=torch.Generator().manual_seed(0)
    )
    shares = torch.bincount(negatives[valid], minlength=5) / valid.sum()
    assert shares[0] == 0
    assert (shares[1:] - 0.25).abs().max() < 0.02


@given(st.lists(st.lists(st.integers(0, 4), min_size=9, max_size=9), min_size=1, max_size=5), st.integers(1, 12))
def test_top_k_orders_ties_by_id(rows: list[list[int]], k: int) -> None:
    ids, values = top_k(torch.tensor(rows, dtype=torch.float32), k)
    for row, found, scores in zip(rows, ids.tolist(), values.tolist(), strict=True):
        expected = sorted(range(9), key=lambda hashtag: (-row[hashtag], hashtag))[:k]
        assert found == expected
        assert scores == [row[hashtag] for hashtag in expected]


def test_top_k_leaves_out_what_is_excluded_and_refuses_nan() -> None:
    ids, _ = top_k(torch.tensor([[1.0, float("-inf"), 2.0]]), 3)
    assert ids.tolist() == [[2, 0, -1]]
    with pytest.raises(ValueError, match="a score is not a number"):
        top_k(torch.tensor([[1.0, float("nan")]]), 1)


def test_the_sum_of_squares_and_its_gradient_are_those_of_the_plain_sum() -> None:
    torch.manual_seed(0)
    weights = [torch.randn(shape, requires_grad=True) for shape in ((5, 3), (7,), (2, 2, 2), (1,))]
    plain = 0.003 / 2 * sum((weight**2).sum() for weight in weights)
    fast = 0.003 / 2 * sum_of_squares(weights)
    assert torch.allclose(fast, plain, rtol=1e-6)
    expected = torch.autograd.grad(plain, weights)
    for found, wanted in zip(torch.autograd.grad(fast, weights), expected, strict=True):
        assert torch.equal(found, wanted)
