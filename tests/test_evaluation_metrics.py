"""Metrics of single videos: by hand, against a plain twin, against ranx, and laws over random rankings."""

import doctest
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dataset import Ragged
from data.files import InputError
from v2ht.evaluation.metrics import PADDING, corpus_f1, coverage, video_metrics

HASHTAGS = 12
KS = (1, 3, 5)


@st.composite
def rankings(draw, *, min_truth=1):
    """Ranked lists that may end early, and truths: (ranked [N, 8], truth as lists)."""
    videos = draw(st.integers(1, 6))
    ids = st.permutations(range(HASHTAGS))
    ranked = [draw(ids)[: draw(st.integers(0, 8))] for _ in range(videos)]
    truth = [draw(ids)[: draw(st.integers(min_truth, HASHTAGS))] for _ in range(videos)]
    return np.array([row + [PADDING] * (8 - len(row)) for row in ranked]), truth


def plain_metrics(ranked, truth, k):
    """The definitions of docs/metrics.md for one video, word by word."""
    hits = [hashtag in truth for hashtag in ranked[:k]]
    precision, recall = sum(hits) / k, sum(hits) / len(truth)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(truth)) + 1))
    gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits, start=1) if hit)
    f1 = 2 * precision * recall / (precision + recall) if sum(hits) else 0.0
    return {"recall": recall, "ndcg": gain / ideal, "precision": precision, "f1": f1}


def metrics_of(ranked, truth, ks=KS):
    return video_metrics(np.array(ranked), Ragged.from_lists(truth), ks=ks, num_hashtags=HASHTAGS)


def test_values_worked_out_by_hand():
    # Hits at ranks 1 and 3 of the first video; the second video's list ends after one place.
    found = metrics_of([[4, 0, 7, 1, 2], [3, -1, -1, -1, -1]], [[7, 4, 9], [5, 3]], ks=(2, 3))
    assert found["recall@2"].tolist() == [1 / 3, 1 / 2]
    assert found["recall@3"].tolist() == [2 / 3, 1 / 2]
    assert found["precision@2"].tolist() == [1 / 2, 1 / 2]
    assert found["precision@3"].tolist() == [2 / 3, 1 / 3]
    assert found["f1@2"] == pytest.approx([2 / 5, 1 / 2])
    assert found["f1@3"] == pytest.approx([2 / 3, 2 / 5])
    two, three = 1 + 1 / math.log2(3), 1 + 1 / math.log2(3) + 1 / 2
    assert found["ndcg@2"] == pytest.approx([1 / two, 1 / two])
    assert found["ndcg@3"] == pytest.approx([1.5 / three, 1 / two])


def test_a_perfect_list_gives_exactly_one_and_a_wrong_one_exactly_zero():
    truth = [list(range(size)) for size in range(1, 9)]
    perfect = metrics_of([list(range(10))] * 8, truth, ks=(5, 10))
    assert (perfect["ndcg@5"] == 1).all()
    assert (perfect["ndcg@10"] == 1).all()
    assert (perfect["recall@10"] == 1).all()
    assert perfect["precision@5"].tolist() == [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1]
    wrong = metrics_of([[11, 10, 9, 8, -1]] * 8, truth)
    assert all((values == 0).all() for values in wrong.values())


@given(rankings())
def test_every_metric_equals_its_plain_twin(case):
    ranked, truth = case
    found = metrics_of(ranked, truth)
    for k in KS:
        for video in range(len(truth)):
            for name, value in plain_metrics(ranked[video].tolist(), truth[video], k).items():
                assert found[f"{name}@{k}"][video] == pytest.approx(value, abs=1e-12)


@given(rankings(), st.randoms(use_true_random=False))
def test_laws(case, random):
    ranked, truth = case
    found = metrics_of(ranked, truth)
    assert all(((values >= 0) & (values <= 1)).all() for values in found.values())
    assert (found["recall@1"] <= found["recall@3"]).all()
    order = random.sample(range(len(truth)), len(truth))
    moved = metrics_of(ranked[order], [truth[video] for video in order])
    names = np.array([*random.sample(range(HASHTAGS), HASHTAGS), PADDING])
    renamed = metrics_of(names[ranked], [names[row] for row in truth])
    shuffled = metrics_of(ranked, [random.sample(row, len(row)) for row in truth])
    for name, values in found.items():
        assert np.array_equal(moved[name], values[order])
        assert np.array_equal(renamed[name], values)
        assert np.array_equal(shuffled[name], values)
    for k in KS:
        assert coverage(names[ranked], k=k, num_hashtags=HASHTAGS) == coverage(ranked, k=k, num_hashtags=HASHTAGS)


def ranx_metrics(ranked, truth, names):
    """What ranx says, from a process of its own in which numba does not compile (2 seconds instead of 30)."""
    script = """if True:
        import json, sys, ranx
        given = json.load(sys.stdin)
        qrels, run = ranx.Qrels(given["truth"]), ranx.Run(given["ranked"])
        found = ranx.evaluate(qrels, run, given["names"], return_mean=False)
        json.dump({"videos": list(qrels.keys()), **{name: list(values) for name, values in found.items()}}, sys.stdout)
    """
    given = {
        "truth": {f"v{video}": {str(hashtag): 1 for hashtag in row} for video, row in enumerate(truth)},
        "ranked": {f"v{video}": {str(tag): -rank for rank, tag in enumerate(row)} for video, row in enumerate(ranked)},
        "names": names,
    }
    command, environment = [sys.executable, "-c", script], {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        command, input=json.dumps(given), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_recall_ndcg_precision_and_f1_equal_ranx():
    random = np.random.default_rng(3)
    ranked = np.argsort(random.random((60, 40)), axis=1)[:, :10]
    truth = [random.choice(40, size=random.integers(1, 20), replace=False).tolist() for _ in range(60)]
    names = [f"{name}@{k}" for name in ("recall", "ndcg", "precision", "f1") for k in (5, 10)]
    expected = ranx_metrics(ranked, truth, names)
    order = [int(video[1:]) for video in expected["videos"]]
    found = video_metrics(ranked, Ragged.from_lists(truth), ks=(5, 10), num_hashtags=40)
    for name in names:
        assert found[name][order] == pytest.approx(expected[name], abs=1e-12), name
        assert found[name].std() > 0.01


def test_coverage_counts_different_hashtags_without_padding():
    ranked = np.array([[0, 1, 2], [1, 0, -1], [3, -1, -1]])
    assert coverage(ranked, k=1, num_hashtags=10) == 0.3
    assert coverage(ranked, k=3, num_hashtags=10) == 0.4
    assert coverage(ranked[:0], k=3, num_hashtags=10) == 0.0


def test_corpus_f1_is_that_of_the_means_and_not_the_mean_of_f1():
    assert corpus_f1(np.array([1.0, 0.2]), np.array([0.2, 1.0])) == pytest.approx(0.6)  # the mean of f1 is 1 / 3
    assert corpus_f1(np.array([0.5, 0.3]), np.array([0.1, 0.3])) == pytest.approx(2 * 0.4 * 0.2 / 0.6)
    assert corpus_f1(np.zeros(2), np.zeros(2)) == 0.0


def test_a_list_shorter_than_k_is_only_fine_when_it_holds_the_whole_vocabulary():
    truth = Ragged.from_lists([[0, 1]])
    whole = video_metrics(np.array([[2, 0, 1]]), truth, ks=(10,), num_hashtags=3)
    assert whole["recall@10"].tolist() == [1.0]
    assert whole["precision@10"].tolist() == [0.2]
    with pytest.raises(ValueError, match=r"ranked has 3 places, k needs 4; rank deeper, or fill with -1"):
        video_metrics(np.array([[2, 0, 1]]), truth, ks=(10,), num_hashtags=4)


@pytest.mark.parametrize(
    ("ranked", "truth", "message"),
    [
        ([[0, 1, 2], [3, 3, 4]], [[0], [0]], r"names a hashtag twice \(video 1, from 0\)"),
        ([[0, 1, 2], [3, 5, 3]], [[0], [0]], r"names a hashtag twice \(video 1, from 0\)"),
        ([[0, 1, 12]], [[0]], r"ids outside -1\.\.11 \(video 0"),
        ([[0, 1, -2]], [[0]], r"ids outside -1\.\.11"),
        ([[0, -1, 2]], [[0]], r"goes on after its padding"),
        ([[0.0, 1.0, 2.0]], [[0]], r"float64 \(1, 3\), expected signed integers of shape \(videos, places\)"),
        ([0, 1, 2], [[0]], r"int64 \(3,\), expected signed integers"),
        ([[0, 1, 2]], [[0], [1]], r"ranked has 1 videos, truth has 2"),
        ([[0, 1, 2]], [[12]], r"truth holds ids 12\.\.12, expected 0\.\.11"),
        ([[0, 1, 2]], [[4, 4]], r"truth names a hashtag twice"),
        ([[0, 1, 2], [0, 1, 2]], [[4], []], r"video 1 \(from 0\) has no true hashtag; leave"),
    ],
)
def test_malformed_input_is_refused(ranked, truth, message):
    with pytest.raises(ValueError, match=message):
        metrics_of(ranked, truth, ks=(3,))


def test_offsets_that_do_not_cover_the_values_are_refused():
    truth = Ragged(values=np.array([1, 2, 3]), offsets=np.array([0, 2]))
    with pytest.raises(ValueError, match=r"offsets that do not cover its 3 values"):
        video_metrics(np.array([[0, 1, 2]]), truth, ks=(3,), num_hashtags=HASHTAGS)


@pytest.mark.parametrize("ks", [(), (0,), (5, 5), (10, 5), (1.5,), (True,)])
def test_a_bad_k_is_refused(ks):
    with pytest.raises(InputError, match=r"expected different whole numbers from 1 up, ascending"):
        metrics_of([[0, 1, 2]], [[0]], ks=ks)


@settings(max_examples=20)
@given(rankings())
def test_nothing_that_was_given_is_changed(case):
    ranked, truth = case
    ragged, before = Ragged.from_lists(truth), ranked.copy()
    video_metrics(ranked, ragged, ks=KS, num_hashtags=HASHTAGS)
    assert np.array_equal(ranked, before)
    assert np.array_equal(ragged.values, np.concatenate(truth))


def test_the_example_in_the_documentation_runs():
    path = Path(__file__).parents[1] / "docs" / "metrics.md"
    failed, tried = doctest.testfile(str(path), module_relative=False)
    assert (failed, tried) == (0, 11)
