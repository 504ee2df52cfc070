"""The pair protocol, in which V2HT's tables can be read: one true hashtag at a time, the video's others taken out.

For each (video, true hashtag) the video's other true hashtags leave the ranking; the pair's rank is the place of its
hashtag in what remains. hit_rate@k = share of pairs with rank <= k; ndcg@k = mean of 1 / log2(rank + 1) where
rank <= k, else 0 (a single positive: the ideal is 1). Averages run over pairs, not over videos. See `docs/metrics.md`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.dataset import Ragged
from v2ht.evaluation.metrics import PADDING, check, check_ks, discounts, hit_matrix


def ranking_depth(truth: Ragged, *, ks: Sequence[int], num_hashtags: int) -> int:
    """Return the places K that make the pair protocol exact whatever is ranked: max(ks) + max|truth| - 1, at most H."""
    check_ks(ks)
    most = int(truth.lengths.max(initial=1))
    return min(max(ks) + most - 1, num_hashtags)


def pair_metrics(
    ranked_NK: np.ndarray, truth: Ragged, *, ks: Sequence[int], num_hashtags: int
) -> dict[str, float] | None:
    """Return `hit_rate@k` and `ndcg@k` for every k, and the number of `pairs`; None where there is no pair.

    Lists shorter than `ranking_depth` are fine as long as no rank within max(ks) can hide below their end.
    Raises ValueError that names the first video whose list is too short for that, and on malformed lists.
    """
    check_ks(ks)
    check(ranked_NK, truth, num_hashtags=num_hashtags)
    hits_NK = hit_matrix(ranked_NK, truth, num_hashtags=num_hashtags)
    _check_depth(ranked_NK, hits_NK, truth=truth, max_k=max(ks))
    pairs = len(truth.values)
    if pairs == 0:
        return None
    # What is left above a hit once the other hits are gone are the misses above it.
    ranks_NK = np.cumsum(~hits_NK, axis=1) + 1
    ranks = ranks_NK[hits_NK]
    gains = discounts(hits_NK.shape[1] + 1)
    metrics: dict[str, float] = {}
    for k in ks:
        within = ranks[ranks <= k]
        metrics[f"hit_rate@{k}"] = len(within) / pairs
        metrics[f"ndcg@{k}"] = float(gains[within - 1].sum()) / pairs
    return {**metrics, "pairs": pairs}


def _check_depth(ranked_NK: np.ndarray, hits_NK: np.ndarray, *, truth: Ragged, max_k: int) -> None:
    found_N = hits_NK.sum(axis=1)
    places = ranked_NK.shape[1]
    ended_N = (ranked_NK == PADDING).any(axis=1)
    # A hashtag below the list has at least places - found misses above it; with max_k of them it cannot be a hit.
    short_N = (found_N < truth.lengths) & ~ended_N & (places - found_N < max_k)
    if short_N.any():
        video = int(np.argmax(short_N))
        raise ValueError(
            f"ranked has {places} places, too few for the pair protocol at k = {max_k}: video {video} (from 0) has "
            f"{truth.lengths[video]} true hashtags, {found_N[video]} of them ranked; rank as deep as ranking_depth says"
        )
