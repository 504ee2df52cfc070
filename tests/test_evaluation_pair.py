"""The pair protocol: a worked example, a plain twin, and the rule about depth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.dataset import Ragged
from v2ht.evaluation.metrics import PADDING, video_metrics
from v2ht.evaluation.pair import pair_metrics, ranking_depth

HASHTAGS = 9
KS = (1, 3)


def plain_pairs(ranked, truth, ks):
    """Take the other true hashtags out, look where the one in question stands."""
    ranks = []
    for row, true in zip(ranked, truth, strict=True):
        for hashtag in true:
            left = [other for other in row if other == hashtag or other not in true]
            ranks.append(left.index(hashtag) + 1 if hashtag in left else math.inf)
    if not ranks:
        return None
    hit_rates = {f"hit_rate@{k}": sum(rank <= k for rank in ranks) / len(ranks) for k in ks}
    gains = {f"ndcg@{k}": sum(1 / math.log2(rank + 1) for rank in ranks if rank <= k) / len(ranks) for k in ks}
    return {**hit_rates, **gains, "pairs": len(ranks)}


@st.composite
def whole_rankings(draw):
    """Rankings of the whole vocabulary, and truths that may be empty."""
    ids = st.permutations(range(HASHTAGS))
    videos = draw(st.integers(1, 5))
    truth = [draw(ids)[: draw(st.integers(0, 5))] for _ in range(videos)]
    return np.array([draw(ids) for _ in range(videos)]), truth


def test_a_worked_example():
    # True: 1, 2, 5. Without the others, 1 is 2nd after 0; 2 is 2nd after 0; 5 is 4th after 0, 3, 4.
    ranked, truth = np.array([[0, 1, 2, 3, 4, 5, 6]]), Ragged.from_lists([[1, 2, 5]])
    found = pair_metrics(ranked, truth, ks=(1, 2, 4), num_hashtags=7)
    assert found["pairs"] == 3
    assert found["hit_rate@1"] == 0
    assert found["hit_rate@2"] == pytest.approx(2 / 3)
    assert found["hit_rate@4"] == 1
    assert found["ndcg@2"] == pytest.approx(2 / math.log2(3) / 3)
    assert found["ndcg@4"] == pytest.approx((2 / math.log2(3) + 1 / math.log2(5)) / 3)
    ordinary = video_metrics(ranked, truth, ks=(2,), num_hashtags=7)
    assert ordinary["recall@2"] == pytest.approx([1 / 3])  # the same list, read in the ordinary way


def test_pairs_weigh_the_same_whatever_their_video():
    # Three pairs of one video are hits, the single pair of the other is not: 3 of 4, not the 1/2 of a mean over videos.
    found = pair_metrics(
        np.array([[0, 1, 2, 3], [3, 2, 1, 0]]), Ragged.from_lists([[0, 1, 2], [0]]), ks=(1,), num_hashtags=4
    )
    assert found == {"hit_rate@1": 0.75, "ndcg@1": 0.75, "pairs": 4}


@given(whole_rankings())
def test_equals_the_plain_twin(case):
    ranked, truth = case
    found = pair_metrics(ranked, Ragged.from_lists(truth), ks=KS, num_hashtags=HASHTAGS)
    expected = plain_pairs(ranked.tolist(), truth, KS)
    assert found == (None if expected is None else pytest.approx(expected))


@given(whole_rankings())
def test_the_depth_asked_for_gives_what_the_whole_ranking_gives(case):
    ranked, truth = case[0], Ragged.from_lists(case[1])
    depth = ranking_depth(truth, ks=KS, num_hashtags=HASHTAGS)
    whole = pair_metrics(ranked, truth, ks=KS, num_hashtags=HASHTAGS)
    assert pair_metrics(ranked[:, :depth], truth, ks=KS, num_hashtags=HASHTAGS) == whole


@given(whole_rankings(), st.integers(1, HASHTAGS))
def test_a_shorter_list_is_refused_where_another_end_would_give_another_number_and_else_exact(case, depth):
    ranked, truth = case
    top, whole = ranked[:, :depth], plain_pairs(ranked.tolist(), truth, KS)
    # The best and the worst that can stand below the end of the lists: true hashtags first, or last.
    ends = [
        [
            [*row, *sorted(set(range(HASHTAGS)) - set(row), key=lambda other: sign * (other in true))]
            for row, true in zip(top.tolist(), truth, strict=True)
        ]
        for sign in (1, -1)
    ]
    known = plain_pairs(ends[0], truth, KS) == plain_pairs(ends[1], truth, KS)
    if known:
        found = pair_metrics(top, Ragged.from_lists(truth), ks=KS, num_hashtags=HASHTAGS)
        assert found == (None if whole is None else pytest.approx(whole))
    else:
        with pytest.raises(ValueError, match="too few for the pair protocol"):
            pair_metrics(top, Ragged.from_lists(truth), ks=KS, num_hashtags=HASHTAGS)


@given(whole_rankings())
def test_with_one_true_hashtag_each_it_is_ordinary_recall_and_ndcg(case):
    ranked, truth = case[0], Ragged.from_lists([row[:1] or [0] for row in case[1]])
    pairs = pair_metrics(ranked, truth, ks=KS, num_hashtags=HASHTAGS)
    ordinary = video_metrics(ranked, truth, ks=KS, num_hashtags=HASHTAGS)
    for k in KS:
        assert pairs[f"hit_rate@{k}"] == pytest.approx(ordinary[f"recall@{k}"].mean())
        assert pairs[f"ndcg@{k}"] == pytest.approx(ordinary[f"ndcg@{k}"].mean())


def test_depth_needed():
    truth = Ragged.from_lists([[1], [0, 2, 4]])
    assert ranking_depth(truth, ks=(5, 10), num_hashtags=100) == 12
    assert ranking_depth(truth, ks=(5, 10), num_hashtags=11) == 11
    assert ranking_depth(Ragged.from_lists([[]]), ks=(5,), num_hashtags=100) == 5


def test_a_list_too_short_names_the_video_and_the_cure():
    # Hashtag 2 of video 1 could stand on place 4, which is place 3 without hashtag 0.
    ranked, truth = np.array([[5, 6, 7], [0, 3, 4]]), Ragged.from_lists([[5], [0, 2]])
    message = r"3 places, too few .* k = 3: video 1 \(from 0\) has 2 true hashtags, 1 of them ranked; .*ranking_depth"
    with pytest.raises(ValueError, match=message):
        pair_metrics(ranked, truth, ks=(3,), num_hashtags=HASHTAGS)
    assert pair_metrics(ranked, truth, ks=(2,), num_hashtags=HASHTAGS)["hit_rate@2"] == pytest.approx(2 / 3)


def test_a_list_that_ended_is_whole():
    ranked = np.array([[0, 3, PADDING]])
    found = pair_metrics(ranked, Ragged.from_lists([[0, 2]]), ks=(3,), num_hashtags=HASHTAGS)
    assert found == {"hit_rate@3": 0.5, "ndcg@3": 0.5, "pairs": 2}


def test_without_truth_there_is_no_number():
    assert pair_metrics(np.array([[0, 1]]), Ragged.from_lists([[]]), ks=(1,), num_hashtags=3) is None
