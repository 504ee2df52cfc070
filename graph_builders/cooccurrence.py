"""The co-occurrence relation (V2HT 3.2.2, `co`): hashtags used together in train videos.

Score: the cosine of the two hashtags' rows over train videos, count(i, j) / sqrt(count(i) count(j)), in (0, 1]. It is
the geometric mean of two shares: of the videos of either hashtag, those that also have the other. Unlike normalised
pointwise mutual information it needs no logarithm and is never negative, as a weight must not be. Platform tags such as
#fyp, which stand beside everything, score low with everything.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from data.dataset import Ragged
from graph_builders.edges import Edges, undirected

# Pairs of hashtags counted at once; 12 bytes each when all of them occur.
BLOCK_PAIRS = 16_000_000


def cooccurrence_edges(
    train_hashtag_ids: Ragged, num_hashtags: int, *, min_count: int = 2, max_neighbours: int = 10
) -> Edges:
    """Link hashtags that share at least `min_count` train videos; weight = cosine score.

    A pair stays if it is among the `max_neighbours` strongest of either end (ties: more shared videos, then the
    smaller id). `train_hashtag_ids[v]` are the hashtag ids of train video v; a repeated id counts once. Departs from
    the paper: it links every pair that occurs, which on real posts links nearly everything with #fyp.
    """
    videos_VH = video_matrix(train_hashtag_ids, num_hashtags)
    used_H = np.asarray(videos_VH.sum(axis=0)).ravel()
    columns_HV = videos_VH.T.tocsr()
    parts = []
    rows = max(1, BLOCK_PAIRS // max(num_hashtags, 1))
    for start in range(0, num_hashtags, rows):
        shared = (columns_HV[start : start + rows] @ videos_VH).tocoo()
        one, other, count = shared.row.astype(np.int64) + start, shared.col.astype(np.int64), shared.data
        keep = (one != other) & (count >= min_count)
        parts.append(_strongest(one[keep], other[keep], count[keep], used_H, max_neighbours))
    one, other, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    return undirected(one, other, weight=score)


def video_matrix(hashtag_ids: Ragged, num_hashtags: int) -> sparse.csr_matrix:
    """Return int32 [videos, num_hashtags]: 1 where the video has the hashtag.

    Raises IndexError when an id is outside 0..num_hashtags-1.
    """
    values = hashtag_ids.values
    if values.size and not (values.min() >= 0 and values.max() < num_hashtags):
        bad = values[(values < 0) | (values >= num_hashtags)][0]
        raise IndexError(f"hashtag id {bad} is outside 0..{num_hashtags - 1}; give ids of this vocabulary")
    shape = (len(hashtag_ids), num_hashtags)
    matrix = sparse.csr_matrix((np.ones(len(values), np.int32), values, hashtag_ids.offsets), shape=shape, copy=True)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _strongest(
    one: np.ndarray, other: np.ndarray, count: np.ndarray, used_H: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (one, other, score) of the `limit` strongest partners of each hashtag in `one`."""
    score = count / np.sqrt(used_H[one].astype(np.float64) * used_H[other])
    order = np.lexsort((other, -count, -score, one))
    one, other, score = one[order], other[order], score[order]
    _, first, size = np.unique(one, return_index=True, return_counts=True)
    keep = np.arange(len(one)) - np.repeat(first, size) < limit
    return one[keep], other[keep], score[keep]
