"""Ranking losses: values by hand, the plain WARP algorithm as a twin, and laws over random scores."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from v2ht.losses import LOSSES, RankingLoss, bpr_loss, first_violation, log_loss, softmax_loss, warp_loss
from v2ht.nn.negatives import uniform_negatives

SEEDS = st.integers(0, 10_000)


class Script:
    """A sampler that draws what a test wrote down."""

    def __init__(self, negatives_BM: Tensor, drawn_BM: Tensor) -> None:
        self.drawn = negatives_BM, drawn_BM

    def __call__(self, positives_BP: Tensor, **_: object) -> tuple[Tensor, Tensor]:
        return self.drawn


def random_case(seed: int, *, videos: int = 4, num_hashtags: int = 12, tries: int = 5) -> tuple[Tensor, Tensor, Script]:
    """Return scores [B, H], positives [B, 3] with padding, and a script of draws, some of them not real."""
    generator = torch.Generator().manual_seed(seed)
    scores_BH = torch.randn(videos, num_hashtags, generator=generator)
    positives_BP = torch.stack([torch.randperm(num_hashtags, generator=generator)[:3] for _ in range(videos)])
    positives_BP[0, 1:] = -1
    negatives_BM, drawn_BM = uniform_negatives(
        positives_BP, num_hashtags=num_hashtags, per_positive=tries, generator=generator
    )
    some_BM = torch.rand(drawn_BM.shape, generator=generator) < 0.7
    return scores_BH, positives_BP, Script(negatives_BM, drawn_BM & some_BM)


def loss_of(name: str, sampler: Script, *, tries: int = 5, margin: float = 0.5) -> RankingLoss:
    return RankingLoss(name, negatives=tries, margin=margin, sampler=sampler)


def test_log_loss_worked_by_hand() -> None:
    """Chances 1/2 and 3/4 of a positive, 1/4 of a negative."""
    logits = torch.tensor([0.0, math.log(3), -math.log(3)])
    expected = -(math.log(1 / 2) + math.log(3 / 4) + math.log(3 / 4)) / 3
    assert float(log_loss(logits, torch.tensor([1.0, 1.0, 0.0]))) == pytest.approx(expected)


def test_softmax_loss_worked_by_hand() -> None:
    """Two draws of 1 and 2 stand for six other hashtags: exp(s+) = 3 against 6 / 2 * (1 + 2) = 9."""
    loss = softmax_loss(
        torch.tensor([[math.log(3.0), 50.0]]),
        torch.tensor([[0.0, math.log(2.0), 70.0]]),
        real_BP=torch.tensor([[True, False]]),
        drawn_BM=torch.tensor([[True, True, False]]),
        others_B1=torch.tensor([[6]]),
    )
    assert float(loss) == pytest.approx(-math.log(3 / (3 + 9)))


def test_bpr_loss_worked_by_hand() -> None:
    positives, negatives = torch.tensor([[0.0, 1.0]]), torch.tensor([[[0.0, -math.log(3)], [1.0, 9.0]]])
    drawn = torch.tensor([[[True, True], [True, False]]])
    expected = -(2 * math.log(1 / 2) + math.log(3 / 4)) / 3
    assert float(bpr_loss(positives, negatives, drawn_BPK=drawn)) == pytest.approx(expected)


def test_warp_worked_by_hand() -> None:
    """Nine other hashtags. The first positive is violated on its second real try: rank 9 // 2 = 4; the other never."""
    positives = torch.tensor([[1.0, 5.0, 7.0]])
    negatives = torch.tensor([[[8.0, 0.5, 0.95, 3.0], [4.0, 4.8, 0.0, 6.0], [9.0, 9.0, 9.0, 9.0]]])
    drawn = torch.tensor([[[False, True, True, True], [True, True, True, False], [False] * 4]])
    place, tries = first_violation(positives, negatives, drawn_BPK=drawn, margin=0.1)
    assert tries.tolist() == [[2, 0, 0]]
    assert int(place[0, 0]) == 2
    loss = warp_loss(
        positives,
        torch.tensor([[0.95, 0.0, 0.0]]),
        tries_BP=tries,
        real_BP=torch.tensor([[True, True, False]]),
        others_B1=torch.tensor([[9]]),
        margin=0.1,
    )
    assert float(loss) == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) * (0.1 + 0.95 - 1.0) / 2, rel=1e-5)


def test_more_tries_than_other_hashtags_still_mean_rank_one() -> None:
    one = torch.ones(1, 1)
    loss = warp_loss(
        one, one, tries_BP=torch.tensor([[9]]), real_BP=one > 0, others_B1=torch.tensor([[3]]), margin=0.25
    )
    assert float(loss) == pytest.approx(0.25, rel=1e-5)


def plain_warp(scores_BH: Tensor, positives_BP: Tensor, script: Script, *, margin: float) -> Tensor:
    """WARP as its paper writes it: one positive at a time, sample until a violation, then one weighted hinge."""
    negatives_BM, drawn_BM = script.drawn
    tries = negatives_BM.shape[1] // positives_BP.shape[1]
    total, count = torch.zeros(()), 0
    for video, positives in enumerate(positives_BP.tolist()):
        others = scores_BH.shape[1] - sum(tag >= 0 for tag in positives)
        for place, positive in enumerate(positives):
            if positive < 0:
                continue
            count += 1
            sampled = 0
            for draw in range(place * tries, (place + 1) * tries):
                if not drawn_BM[video, draw]:
                    continue
                sampled += 1
                hinge = margin - scores_BH[video, positive] + scores_BH[video, negatives_BM[video, draw]]
                if hinge > 0:
                    rank = max(1, others // sampled)
                    total = total + sum(1 / i for i in range(1, rank + 1)) * hinge
                    break
    return total / count


@given(seed=SEEDS)
def test_warp_equals_the_plain_algorithm_with_its_gradients(seed: int) -> None:
    scores_BH, positives_BP, script = random_case(seed)
    scores_BH.requires_grad_()
    fast = loss_of("warp", script).of_matrix(scores_BH, positives_BP, torch.Generator())
    plain = plain_warp(scores_BH, positives_BP, script, margin=0.5)
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-5)
    gradients = [torch.autograd.grad(loss, scores_BH, materialize_grads=True)[0] for loss in (fast, plain)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def plain_pairs(scores_BH: Tensor, positives_BP: Tensor, script: Script) -> list[tuple[float, list[float]]]:
    """Return each real positive's score with the scores of its own real draws."""
    negatives_BM, drawn_BM = script.drawn
    tries = negatives_BM.shape[1] // positives_BP.shape[1]
    pairs = []
    for video, positives in enumerate(positives_BP.tolist()):
        for place, positive in enumerate(positives):
            own = range(place * tries, (place + 1) * tries)
            drawn = [float(scores_BH[video, negatives_BM[video, n]]) for n in own if drawn_BM[video, n]]
            if positive >= 0:
                pairs.append((float(scores_BH[video, positive]), drawn))
    return pairs


@given(seed=SEEDS)
def test_log_and_bpr_equal_plain_loops(seed: int) -> None:
    scores_BH, positives_BP, script = random_case(seed)
    pairs = plain_pairs(scores_BH, positives_BP, script)
    bpr = [math.log1p(math.exp(other - own)) for own, drawn in pairs for other in drawn]
    log = [math.log1p(math.exp(-own)) for own, _ in pairs]
    log += [math.log1p(math.exp(other)) for _, drawn in pairs for other in drawn]
    for name, terms in (("bpr", bpr), ("log", log)):
        found = loss_of(name, script).of_matrix(scores_BH, positives_BP, torch.Generator())
        assert float(found) == pytest.approx(sum(terms) / len(terms), rel=1e-4)


@given(seed=SEEDS)
def test_softmax_over_every_other_hashtag_is_the_full_softmax(seed: int) -> None:
    """When each hashtag that the video does not have is drawn once, nothing is estimated any more."""
    scores_BH = torch.randn(3, 7, generator=torch.Generator().manual_seed(seed))
    positives_BP = torch.tensor([[2, 4], [6, 0], [1, 3]])
    others = [[tag for tag in range(7) if tag not in own] for own in positives_BP.tolist()]
    negatives_BM = torch.tensor([[*row, 0] for row in others])  # the sixth is no real draw
    script = Script(negatives_BM, torch.tensor([[True] * 5 + [False]] * 3))
    found = loss_of("softmax", script, tries=3).of_matrix(scores_BH, positives_BP, torch.Generator())
    expected = [
        -scores_BH[row, [tag, *others[row]]].log_softmax(0)[0] for row in range(3) for tag in positives_BP[row].tolist()
    ]
    torch.testing.assert_close(found, torch.stack(expected).mean())


@pytest.mark.parametrize("name", LOSSES)
@given(seed=SEEDS)
def test_padding_changes_nothing(name: str, seed: int) -> None:
    scores_BH, positives_BP, script = random_case(seed)
    negatives_BM, drawn_BM = script.drawn
    wider = Script(
        torch.cat([negatives_BM, negatives_BM.new_zeros(4, 5)], dim=1),
        torch.cat([drawn_BM, drawn_BM.new_zeros(4, 5)], dim=1),
    )
    padded_BP = torch.cat([positives_BP, positives_BP.new_full((4, 1), -1)], dim=1)
    found = [
        loss_of(name, own).of_matrix(scores_BH, positives, torch.Generator())
        for own, positives in ((script, positives_BP), (wider, padded_BP))
    ]
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("name", ["log", "softmax", "bpr"])  # warp may then meet a worse violator on a later try
@given(seed=SEEDS)
def test_raising_a_positive_and_lowering_the_others_never_raises_a_loss(name: str, seed: int) -> None:
    scores_BH, positives_BP, script = random_case(seed)
    own_BH = torch.zeros_like(scores_BH)
    own_BH.scatter_(1, positives_BP.clamp(min=0), 1.0)
    own_BH[0, 0] = 0  # the clamped padding of the first video is no positive
    own_BH[0, positives_BP[0, 0]] = 1
    better_BH = scores_BH + 2 * own_BH - 1
    worse, better = (
        loss_of(name, script).of_matrix(s, positives_BP, torch.Generator()) for s in (scores_BH, better_BH)
    )
    assert better <= worse + 1e-6


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_asks_for_positives_and_real_negatives_only(name: str) -> None:
    """The callback sees each video's own ids, and no hashtag of a video is ever scored as its negative."""
    positives_BP = torch.tensor([[1, 2, 3], [0, -1, -1]])
    asked: list[tuple[int, int]] = []

    def score(ids_BC: Tensor, wanted_BC: Tensor) -> Tensor:
        for video, place in wanted_BC.nonzero().tolist():
            tag = int(ids_BC[video, place])
            asked.append((video, tag))
            assert (place < 3) == (tag in positives_BP[video].tolist())
        return torch.zeros(int(wanted_BC.sum()), requires_grad=True)

    loss = RankingLoss(name, negatives=4, margin=0.1, sampler=uniform_negatives)
    candidates = loss.candidates(positives_BP, num_hashtags=5, generator=torch.Generator().manual_seed(0))
    loss(score, candidates).backward()
    assert {(0, 1), (0, 2), (0, 3), (1, 0)} <= set(asked)
    assert {tag for video, tag in asked if video == 0} <= {0, 1, 2, 3, 4}
    assert len(asked) > 8


@pytest.mark.parametrize("name", ["softmax", "bpr", "warp"])
def test_a_video_with_every_hashtag_has_nothing_to_learn(name: str) -> None:
    scores_BH = torch.randn(1, 3, requires_grad=True)
    loss = RankingLoss(name, negatives=2, margin=0.1, sampler=uniform_negatives)
    value = loss.of_matrix(scores_BH, torch.tensor([[0, 1, 2]]), torch.Generator().manual_seed(0))
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert scores_BH.grad is not None
    assert torch.count_nonzero(scores_BH.grad) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_half_precision_scores_is_computed_in_full_precision(name: str) -> None:
    scores_BH, positives_BP, script = random_case(3)
    half_BH = scores_BH.bfloat16()
    full, half = (
        loss_of(name, script).of_matrix(s, positives_BP, torch.Generator()) for s in (half_BH.float(), half_BH)
    )
    torch.testing.assert_close(half, full)


def test_what_cannot_be_used_is_refused_by_name() -> None:
    def make(name: str = "log", *, negatives: int = 1, margin: float = 0.1) -> RankingLoss:
        return RankingLoss(name, negatives=negatives, margin=margin, sampler=uniform_negatives)

    with pytest.raises(ValueError, match="loss is 'hinge'; choose one of log, softmax, bpr, warp"):
        make("hinge")
    with pytest.raises(ValueError, match="negatives is 0; choose at least 1"):
        make(negatives=0)
    with pytest.raises(ValueError, match="margin is 0; choose a positive number"):
        make(margin=0)
