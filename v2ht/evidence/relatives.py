"""Votes passed on to relatives in the hashtag graph. Shapes: N posts, H hashtags, K rows of votes.

What co-occurs is counted anew from the past posts, because the graph's own edges were counted with the post to judge.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from v2ht.evidence.posts import SMOOTHING, Past, Posts
from v2ht.evidence.votes import Entries, Votes, largest

STATIC = tuple(name for name in RELATIONS if name != "cooccurrence")  # relations that no post changes
LEAST_VOTE = 0.01  # weaker ones are dropped


def static_shares(graph: HashtagGraph) -> sparse.csr_matrix:
    """Return the share that hashtag g (row) passes to each neighbour, [len(STATIC) * H, H]: a block a relation."""
    shares = []
    for name in STATIC:
        both = graph.subset([name]).symmetric()
        weights = np.repeat(1 / np.maximum(np.diff(both.indptr), 1), np.diff(both.indptr)).astype(np.float32)
        shape = (graph.num_hashtags, graph.num_hashtags)
        shares.append(sparse.csr_matrix((weights, both.indices, both.indptr), shape=shape))
    return sparse.vstack(shares, format="csr")


def relatives(past: Past, posts: Posts, shares_GH: sparse.csr_matrix, votes: Mapping[str, np.ndarray]) -> Votes:
    """Return columns RELATION.SOURCE for each relation and each source of `votes`: what its hashtags pass on."""
    votes_KH = np.concatenate(list(votes.values()))  # one block of N rows for each source
    rows_E, hashtags_E = np.nonzero(votes_KH > 0)
    entries = Entries(rows_E, hashtags_E, votes_KH[rows_E, hashtags_E])
    passed_RKH = np.empty((len(RELATIONS), *votes_KH.shape), np.float32)
    for number, name in enumerate(RELATIONS):
        if name in STATIC:
            block = Entries(rows_E, hashtags_E + STATIC.index(name) * votes_KH.shape[1], entries.weights_E)
            passed_RKH[number] = block.times(shares_GH, len(votes_KH))
        else:
            passed_RKH[number] = _together(past, posts, entries, len(votes_KH))
    passed_KH = largest(passed_RKH.reshape(-1, votes_KH.shape[1]), least=LEAST_VOTE)
    return Votes(
        names=tuple(f"{relation}.{source}" for relation in RELATIONS for source in votes),
        values_CNH=passed_KH.reshape(-1, len(posts), votes_KH.shape[1]),
    )


def _together(past: Past, posts: Posts, votes: Entries, num_rows: int) -> np.ndarray:
    """Return sum over g of votes(g) * P(h | g), where P is counted without the post itself, [K, H].

    P(h | g) = (posts with g and h) / (posts with g + SMOOTHING). For a past post with the hashtags S, each g in S loses
    one post, and each pair in S one common post; hashtags outside S keep their counts.
    """
    passed_KH = votes.times(past.together_HH, num_rows)
    if not posts.any_past:
        return passed_KH
    own_KH = np.tile(past.uses(posts.places_N), (num_rows // len(posts), 1))
    both = Entries(*(part[own_KH[votes.rows_E, votes.places_E] > 0] for part in votes))
    fewer_H = 1 / (past.videos_H + SMOOTHING - 1)
    more_E = ((past.videos_H + SMOOTHING) * fewer_H - 1)[both.places_E]
    lost_E = both.weights_E * fewer_H[both.places_E]
    lost_K = np.bincount(both.rows_E, weights=lost_E, minlength=num_rows)
    passed_KH += Entries(both.rows_E, both.places_E, both.weights_E * more_E).times(past.together_HH, num_rows)
    passed_KH -= lost_K[:, None].astype(np.float32) * own_KH
    passed_KH[both.rows_E, both.places_E] += lost_E
    return passed_KH
