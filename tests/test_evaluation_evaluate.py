"""Subsets and the whole evaluation: a small world by hand, a plain twin, laws, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dataset import Ragged
from data.files import InputError
from v2ht.evaluation import PADDING, Evaluation, EvaluationInput, evaluate
from v2ht.evaluation.subsets import SUBSETS, restrict

HASHTAGS = 10


def small_world(**changes):
    """Four videos: the third one's user is cold, the last has no truth. Hashtags 7 and 8 are rare, 9 is unseen."""
    fields = {
        "rows": np.array([3, 5, 8, 9]),
        "truth": Ragged.from_lists([[0, 7], [1, 2], [9, 0], []]),
        "ranked": np.array([[0, 1, 2, 7, 3], [1, 3, 0, 2, 4], [4, 0, 5, 6, 9], [0, 1, 2, 3, 4]]),
        "ranked_new": np.array([[1, 7, 2], [3, 4, 2], [4, 0, 5], [2, 3, 4]]),
        "known": Ragged.from_lists([[0, 3], [1, 0], [], [0, 1]]),
        "cold": np.array([False, False, True, False]),
        "train_frequency": np.array([90, 80, 70, 60, 50, 40, 30, 5, 5, 0]),
    }
    return EvaluationInput(**{**fields, **changes})


def test_a_small_world_by_hand():
    found = evaluate(small_world(), ks=(1, 3)).summary
    assert found["videos"] == 4
    assert found["hashtags"] == 10
    assert found["overall"]["videos"] == 3
    assert found["overall"]["recall@1"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert found["overall"]["recall@3"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 2) / 3)
    assert found["overall"]["precision@3"] == pytest.approx(1 / 3)
    assert found["overall"]["coverage@3"] == 6 / 10  # the video without truth counts nowhere; 0 1 2 3 4 5
    assert found["overall"]["corpus_f1@3"] == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    # Truth 7 for the first video (rank 4) and 9 for the third (rank 5).
    assert found["longtail"]["videos"] == 2
    assert found["longtail"]["threshold"] == 20
    assert found["longtail"]["recall@3"] == 0
    # New: 7 for the first (rank 2 of ranked_new), 2 for the second (rank 3), 9 and 0 for the third (0 at rank 2).
    assert found["new_to_user"]["videos"] == 3
    assert found["new_to_user"]["recall@1"] == 0
    assert found["new_to_user"]["recall@3"] == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert found["new_to_user"]["coverage@1"] == 3 / 10
    assert found["cold_user"]["videos"] == 1
    assert found["cold_user"]["recall@3"] == 0.5
    assert found["unseen"]["videos"] == 1
    assert found["unseen"]["recall@3"] == 0
    assert found["pair"]["pairs"] == 6
    assert found["pair"]["hit_rate@3"] == pytest.approx(5 / 6)  # ranks 1 and 3, 1 and 3, 2 and 4
    assert found["pair"]["longtail"]["pairs"] == 2
    assert found["pair"]["longtail"]["hit_rate@3"] == 0  # hashtag 0, true too but frequent, keeps its place


def test_the_contract_of_the_json():
    summary = evaluate(small_world(truth=Ragged.from_lists([[0], [1], [2], []])), ks=(1, 3)).summary
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["longtail"] is None
    assert summary["unseen"] is None
    assert summary["pair"]["longtail"] is None
    names = {f"{name}@{k}" for name in ("recall", "ndcg", "precision", "f1", "corpus_f1", "coverage") for k in (1, 3)}
    assert set(summary["overall"]) == {"videos", *names}
    assert set(summary) == {"videos", "hashtags", "ks", "longtail_threshold", *SUBSETS, "pair"}


def test_no_truth_at_all_gives_no_numbers():
    summary = evaluate(small_world(truth=Ragged.from_lists([[]] * 4)), ks=(3,)).summary
    assert [summary[name] for name in (*SUBSETS, "pair")] == [None] * 6


def test_the_threshold_of_the_long_tail_is_strict():
    videos = [
        (evaluate(small_world(), ks=(3,), longtail_threshold=threshold).summary["longtail"] or {}).get("videos")
        for threshold in (1, 5, 6, 71, 91)
    ]
    assert videos == [1, 1, 2, 3, 3]


def test_a_floor_that_repeats_the_user_finds_nothing_new():
    found = evaluate(small_world(ranked_new=np.full((4, 3), PADDING)), ks=(1, 3)).summary["new_to_user"]
    assert {found[name] for name in found if name != "videos"} == {0.0}


def test_the_arrays_of_single_videos_give_the_means_and_survive_a_table():
    evaluation = evaluate(small_world(), ks=(1, 3))
    assert evaluation.per_video["overall"]["row"].tolist() == [3, 5, 8]
    assert evaluation.per_video["unseen"]["row"].tolist() == [8]
    for subset, table in evaluation.per_video.items():
        for name, values in table.items():
            assert name == "row" or values.mean() == pytest.approx(evaluation.summary[subset][name])
    columns = evaluation.columns()
    assert list(columns)[:4] == ["subset", "row", "recall@1", "ndcg@1"]
    assert {len(column) for column in columns.values()} == {3 + 2 + 3 + 1 + 1}
    again = Evaluation.from_columns(evaluation.summary, columns)
    assert again.summary == evaluation.summary
    assert again.per_video.keys() == evaluation.per_video.keys()
    for subset, table in again.per_video.items():
        assert all(np.array_equal(values, evaluation.per_video[subset][name]) for name, values in table.items())
    del columns["ndcg@3"]
    with pytest.raises(InputError, match=r"lacks the columns ndcg@3; evaluate the run again"):
        Evaluation.from_columns(evaluation.summary, columns)


def test_an_evaluation_without_any_truth_survives_a_table():
    empty = evaluate(small_world(truth=Ragged.from_lists([[]] * 4)), ks=(3,))
    assert Evaluation.from_columns(empty.summary, empty.columns()).per_video == {}


@st.composite
def worlds(draw):
    """Random rankings of the whole vocabulary, consistent with random train hashtags."""
    videos, ids = draw(st.integers(1, 6)), st.permutations(range(HASHTAGS))
    known = [draw(ids)[: draw(st.integers(0, 6))] for _ in range(videos)]
    ranked = [draw(ids) for _ in range(videos)]
    new = [[hashtag for hashtag in row if hashtag not in own] for row, own in zip(ranked, known, strict=True)]
    return EvaluationInput(
        rows=np.arange(videos) + 100,
        truth=Ragged.from_lists([draw(ids)[: draw(st.integers(0, 5))] for _ in range(videos)]),
        ranked=np.array(ranked),
        ranked_new=np.array([row + [PADDING] * (HASHTAGS - len(row)) for row in new]),
        known=Ragged.from_lists(known),
        cold=np.array([not own for own in known]),
        train_frequency=np.array(draw(st.lists(st.sampled_from([0, 3, 19, 20, 50]), min_size=10, max_size=10))),
    )


def plain_recalls(world, k):
    """Each subset's definition, word by word: subset -> dataset row -> recall@k."""
    recalls = {name: {} for name in SUBSETS}
    for video, row in enumerate(world.rows.tolist()):
        truth, known = world.truth[video].tolist(), world.known[video].tolist()
        parts = {
            "overall": truth,
            "longtail": [hashtag for hashtag in truth if world.train_frequency[hashtag] < 20],
            "new_to_user": [hashtag for hashtag in truth if hashtag not in known],
            "cold_user": truth if world.cold[video] else [],
            "unseen": [hashtag for hashtag in truth if world.train_frequency[hashtag] == 0],
        }
        for name, part in parts.items():
            ranked = world.ranked[video].tolist()
            if name == "new_to_user":
                ranked = [hashtag for hashtag in ranked if hashtag not in known]
            if part:
                recalls[name][row] = sum(hashtag in part for hashtag in ranked[:k]) / len(part)
    return recalls


@given(worlds())
def test_every_subset_equals_its_plain_twin(world):
    found = evaluate(world, ks=(2, 4))
    for k in (2, 4):
        for name, recalls in plain_recalls(world, k).items():
            if not recalls:
                assert found.summary[name] is None
                assert name not in found.per_video
            else:
                table = found.per_video[name]
                assert dict(zip(table["row"].tolist(), table[f"recall@{k}"].tolist(), strict=True)) == recalls
                assert found.summary[name]["videos"] == len(recalls)


def assert_same_numbers(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, dict):
            assert_same_numbers(value, second[name])
        else:
            assert value == (None if second[name] is None else pytest.approx(second[name])), name


@given(worlds(), st.randoms(use_true_random=False))
def test_neither_the_order_of_videos_nor_the_names_of_hashtags_matter(world, random):
    order = np.array(random.sample(range(len(world.rows)), len(world.rows)))
    moved = EvaluationInput(
        rows=world.rows[order],
        truth=world.truth.take(order),
        ranked=world.ranked[order],
        ranked_new=world.ranked_new[order],
        known=world.known.take(order),
        cold=world.cold[order],
        train_frequency=world.train_frequency,
    )
    names = np.array([*random.sample(range(HASHTAGS), HASHTAGS), PADDING])
    renamed = dataclasses.replace(
        world,
        truth=Ragged(values=names[world.truth.values], offsets=world.truth.offsets),
        ranked=names[world.ranked],
        ranked_new=names[world.ranked_new],
        known=Ragged(values=names[world.known.values], offsets=world.known.offsets),
        train_frequency=world.train_frequency[np.argsort(names[:HASHTAGS])],
    )
    summary = evaluate(world, ks=(2, 4)).summary
    assert_same_numbers(evaluate(moved, ks=(2, 4)).summary, summary)
    assert_same_numbers(evaluate(renamed, ks=(2, 4)).summary, summary)


@settings(max_examples=30)
@given(worlds())
def test_one_video_alone_has_the_numbers_it_has_among_others(world):
    whole = evaluate(world, ks=(2, 4)).per_video
    one = np.array([0])
    fields = {name: getattr(world, name) for name in ("rows", "ranked", "ranked_new", "cold")}
    alone = EvaluationInput(
        **{name: values[:1] for name, values in fields.items()},
        truth=world.truth.take(one),
        known=world.known.take(one),
        train_frequency=world.train_frequency,
    )
    for subset, table in evaluate(alone, ks=(2, 4)).per_video.items():
        assert all(values[0] == whole[subset][name][0] for name, values in table.items())


def test_restrict_keeps_order_and_drops_empty_rows():
    truth = Ragged.from_lists([[4, 2], [], [1], [3, 5, 0]])
    positions, kept = restrict(truth, np.array([False, True, False, True, False, True]))
    assert positions.tolist() == [0, 3]
    assert [kept[row].tolist() for row in range(len(kept))] == [[2], [3, 0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranked_new": np.array([[1, 7, 2], [3, 4, 0], [4, 0, 5], [2, 3, 4]])}, r"hashtag 0 that the user of video 1"),
        ({"cold": np.array([True, False, True, False])}, r"cold is True for video 0 .* known has train hashtags"),
        ({"cold": np.array([0, 0, 1, 0])}, r"cold is int64 \(4,\), expected bool \(4,\)"),
        ({"cold": np.array([False, True])}, r"cold has 2 videos, rows has 4"),
        ({"rows": np.array([3, 5, 8, 3])}, r"rows names a video twice"),
        ({"truth": Ragged.from_lists([[0], [1]])}, r"truth has 2 videos, rows has 4"),
        ({"truth": Ragged.from_lists([[0], [1], [10], []])}, r"truth holds ids 0\.\.10, expected 0\.\.9"),
        ({"known": Ragged.from_lists([[0], [1], [], [-1]])}, r"known holds ids -1\.\.1, expected 0\.\.9"),
        ({"ranked": np.full((4, 5), 3)}, r"ranked names a hashtag twice \(video 0"),
        ({"ranked_new": np.full((4, 3), 30)}, r"ranked_new holds ids outside -1\.\.9"),
        ({"train_frequency": np.array([])}, r"train_frequency must hold one count"),
        ({"train_frequency": np.arange(10) - 1}, r"train_frequency must hold one count from 0 up"),
    ],
)
def test_malformed_input_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small_world(**changes)


def test_rankings_too_short_and_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"ranked has 3 places, k needs 5"):
        evaluate(small_world(), ks=(5,))
    with pytest.raises(ValueError, match=r"3 places, too few for the pair protocol at k = 3: video 0"):
        evaluate(small_world(ranked=small_world().ranked[:, :3]), ks=(3,))
    with pytest.raises(InputError, match=r"threshold is 0 train videos, expected at least 1"):
        evaluate(small_world(), ks=(3,), longtail_threshold=0)
