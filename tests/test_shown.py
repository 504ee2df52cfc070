"""What is shown (experiments/real): the ways to show ten hashtags, their numbers by hand, the tables."""

import numpy as np
import pytest
import torch

from experiments.real import shown


def test_numbers_by_hand() -> None:
    words = [["a"], ["a", "b"], ["c"], ["d"]]
    found = shown.judged(
        np.array([[0, 1, 2, -1], [3, 0, -1, -1]]),
        [np.array([0, 3]), np.array([3])],
        [np.array([0]), np.array([3])],
        words,
        np.eye(4),
    )
    assert found["recall@10"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["recall_new"] == 0  # the first post's 3; the second has none
    assert found["share_new"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["share_word"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["alike"] == 0
    assert shown._mean_cosine(np.array([[1.0, 0], [2, 0], [0, 3]])) == pytest.approx(1 / 3)


def test_a_short_shelf_leaves_its_places_to_the_other() -> None:
    both = shown.filled(np.array([[3, -1], [1, 2]]), np.array([[5, 6], [7, 8]]))
    assert both[:, :5].tolist() == [[3, 5, 6, -1, -1], [1, 2, 7, 8, -1]]


def test_the_ways_to_show_hashtags_are_cut_from_the_same_scores() -> None:
    scores_NH = torch.arange(30, 0, -1.0).expand(2, 30).clone()
    used = [np.array([4, 20]), np.empty(0, np.int64)]
    found = shown.lists(scores_NH, used, torch.eye(30))
    assert found["one list"].tolist() == [list(range(10))] * 2
    assert found["yours alone"][0, :3].tolist() == [4, 20, -1]
    assert found["new for you alone"][0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert found["shelves, 3 yours and 7 new"][0].tolist() == [4, 20, 0, 1, 2, 3, 5, 6, 7, 8]
    assert found["shelves, 3 yours and 7 new"][1].tolist() == list(range(10))
    assert {len(ids_NK[0]) for ids_NK in found.values()} == {10}


def test_the_tables_are_what_the_recorded_lines_say() -> None:
    assert shown.tables() in shown.REPORT.read_text(encoding="utf-8")
