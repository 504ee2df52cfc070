"""Ranking metrics of single videos, from ranked hashtag ids and true hashtag ids, never from scores.

Shapes: N videos, K places of a ranked list (best first), H hashtags in the vocabulary.
A list that ends before K is filled up with `PADDING`; the empty places count as misses.
`docs/metrics.md` has every definition.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.dataset import Ragged
from data.files import InputError

PADDING = -1
NAMES = ("recall", "ndcg", "precision", "f1")


def check_ks(ks: Sequence[int]) -> None:
    """Raise `InputError` unless `ks` holds one or more different whole numbers from 1 up, ascending."""
    whole = all(isinstance(k, int | np.integer) and not isinstance(k, bool) for k in ks)
    if not whole or not ks or min(ks) < 1 or list(ks) != sorted(set(ks)):
        raise InputError(f"k is {list(ks)}, expected different whole numbers from 1 up, ascending, for example 5,10")


def check_ranked(ranked_NK: np.ndarray, *, num_hashtags: int, name: str = "ranked") -> None:
    """Raise ValueError that names the first video whose list is not made of different hashtag ids, then padding."""
    if ranked_NK.ndim != 2 or ranked_NK.dtype.kind != "i":
        raise ValueError(
            f"{name} is {ranked_NK.dtype} {ranked_NK.shape}, expected signed integers of shape (videos, places)"
        )
    outside = (ranked_NK < PADDING) | (ranked_NK >= num_hashtags)
    _refuse(outside, f"{name} holds ids outside {PADDING}..{num_hashtags - 1}")
    _refuse((ranked_NK[:, :-1] == PADDING) & (ranked_NK[:, 1:] != PADDING), f"{name} goes on after its padding")
    ordered = np.sort(ranked_NK, axis=1)
    twice = (ordered[:, :-1] == ordered[:, 1:]) & (ordered[:, 1:] != PADDING)
    _refuse(twice, f"{name} names a hashtag twice")


def check_truth(truth: Ragged, *, num_hashtags: int, name: str = "truth") -> None:
    """Raise ValueError unless every row holds different hashtag ids in [0, H)."""
    values, size = truth.values, len(truth.values)
    if truth.offsets[0] != 0 or truth.offsets[-1] != size or (truth.lengths < 0).any():
        raise ValueError(f"{name} has offsets that do not cover its {size} values; build it with Ragged.from_lists")
    if size and (values.min() < 0 or values.max() >= num_hashtags):
        raise ValueError(f"{name} holds ids {values.min()}..{values.max()}, expected 0..{num_hashtags - 1}")
    keys = row_keys(truth, num_hashtags=num_hashtags)
    if len(np.unique(keys)) < size:
        raise ValueError(f"{name} names a hashtag twice for one video; keep each once")


def check(ranked_NK: np.ndarray, truth: Ragged, *, num_hashtags: int) -> None:
    """Raise ValueError unless both are well formed and have the same number of videos."""
    check_ranked(ranked_NK, num_hashtags=num_hashtags)
    check_truth(truth, num_hashtags=num_hashtags)
    if len(ranked_NK) != len(truth):
        raise ValueError(f"ranked has {len(ranked_NK)} videos, truth has {len(truth)}; give the same videos to both")


def row_keys(rows: Ragged, *, num_hashtags: int) -> np.ndarray:
    """Return one whole number per value, row * H + hashtag: equal only for the same hashtag of the same row."""
    return np.repeat(np.arange(len(rows), dtype=np.int64), rows.lengths) * num_hashtags + rows.values


def hit_matrix(ranked_NK: np.ndarray, truth: Ragged, *, num_hashtags: int) -> np.ndarray:
    """Return bool [N, K]: whether each ranked hashtag is one of its video's true ones. Takes what `check` lets pass."""
    keys_NK = np.arange(len(truth), dtype=np.int64)[:, None] * num_hashtags + ranked_NK
    # Padding would look like the last hashtag of the row above.
    return np.isin(keys_NK, row_keys(truth, num_hashtags=num_hashtags)) & (ranked_NK != PADDING)


def discounts(places: int) -> np.ndarray:
    """Return 1 / log2(rank + 1) for rank 1 to `places`."""
    return 1.0 / np.log2(np.arange(2, places + 2))


def video_metrics(
    ranked_NK: np.ndarray, truth: Ragged, *, ks: Sequence[int], num_hashtags: int
) -> dict[str, np.ndarray]:
    """Return float64 [N] under `recall@k`, `ndcg@k`, `precision@k` and `f1@k`, for every k of `ks`.

    With h hits in the first k places and t true hashtags: recall = h / t, precision = h / k,
    f1 = 2 precision recall / (precision + recall), ndcg = sum of discounts at hits / sum of the first min(k, t).
    Raises ValueError on a video without truth (leave it out), on lists shorter than the largest k that do not hold the
    whole vocabulary (fill up with `PADDING` where a list ends), and on what `check` refuses.
    """
    check_ks(ks)
    check(ranked_NK, truth, num_hashtags=num_hashtags)
    _check_places(ranked_NK, ks=ks, num_hashtags=num_hashtags)
    hits_NK = hit_matrix(ranked_NK, truth, num_hashtags=num_hashtags)[:, : max(ks)]
    lengths_N = truth.lengths
    if (lengths_N == 0).any():
        raise ValueError(f"video {int(np.argmin(lengths_N))} (from 0) has no true hashtag; leave such videos out")
    found_NK = np.cumsum(hits_NK, axis=1)
    # Gain and ideal are added up in the same order, so that a perfect list gives exactly 1.
    gain_NK = np.cumsum(hits_NK * discounts(hits_NK.shape[1]), axis=1)
    ideal = np.cumsum(discounts(max(ks)))
    metrics = {}
    for k in ks:
        last = min(k, hits_NK.shape[1]) - 1
        found_N = found_NK[:, last]
        metrics[f"recall@{k}"] = found_N / lengths_N
        metrics[f"ndcg@{k}"] = gain_NK[:, last] / ideal[np.minimum(k, lengths_N) - 1]
        metrics[f"precision@{k}"] = found_N / k
        metrics[f"f1@{k}"] = 2 * found_N / (k + lengths_N)  # the same as 2PR / (P + R), without 0 / 0
    return metrics


def coverage(ranked_NK: np.ndarray, *, k: int, num_hashtags: int) -> float:
    """Return the number of different hashtags in the first k places of all lists, divided by H."""
    recommended = np.unique(ranked_NK[:, :k])
    return int((recommended != PADDING).sum()) / num_hashtags


def corpus_f1(precision_N: np.ndarray, recall_N: np.ndarray) -> float:
    """Return 2PR / (P + R) of the two means, as GGM reports it (0 when both are 0). Not the mean of f1."""
    precision, recall = float(np.mean(precision_N)), float(np.mean(recall_N))
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def _check_places(ranked_NK: np.ndarray, *, ks: Sequence[int], num_hashtags: int) -> None:
    needed = min(max(ks), num_hashtags)
    if ranked_NK.shape[1] < needed:
        raise ValueError(
            f"ranked has {ranked_NK.shape[1]} places, k needs {needed}; rank deeper, or fill with {PADDING}"
        )


def _refuse(bad_NK: np.ndarray, message: str) -> None:
    if bad_NK.any():
        video = int(np.argmax(bad_NK.any(axis=1)))
        raise ValueError(f"{message} (video {video}, from 0)")
