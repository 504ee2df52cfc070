"""Votes passed on to relatives in the hashtag graph. Shapes: N posts, H hashtags.

What co-occurs is counted anew from the past posts, because the graph's own edges were counted with the post to judge.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from v2ht.evidence.posts import SMOOTHING, Past, Posts

STATIC = tuple(name for name in RELATIONS if name != "cooccurrence")  # relations that no post changes
LEAST_VOTE = 0.01  # weaker ones are dropped


def static_shares(graph: HashtagGraph) -> dict[str, sparse.csr_matrix]:
    """Return for each relation but co-occurrence the share [H, H] that hashtag g (row) passes to each neighbour."""
    shares = {}
    for name in STATIC:
        both = graph.subset([name]).symmetric()
        weights = np.repeat(1 / np.maximum(np.diff(both.indptr), 1), np.diff(both.indptr)).astype(np.float32)
        shape = (graph.num_hashtags, graph.num_hashtags)
        shares[name] = sparse.csr_matrix((weights, both.indices, both.indptr), shape=shape)
    return shares


def relatives(
    past: Past, posts: Posts, shares: Mapping[str, sparse.csr_matrix], votes: Mapping[str, sparse.csr_matrix]
) -> dict[str, sparse.csr_matrix]:
    """Return a column RELATION.SOURCE for each relation and each source of `votes`: what its hashtags pass on."""
    own_NH = past.uses(posts.places_N)
    found = {}
    for source, votes_NH in votes.items():
        for name in STATIC:
            found[f"{name}.{source}"] = _strong(votes_NH @ shares[name])
        found[f"cooccurrence.{source}"] = _strong(_together(past, votes_NH, own_NH))
    return found


def _together(past: Past, votes_NH: sparse.csr_matrix, own_NH: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return sum over g of votes(g) * P(h | g), where P is counted without the post itself.

    P(h | g) = (posts with g and h) / (posts with g + SMOOTHING). For a past post with the hashtags S, each g in S loses
    one post, and each pair in S one common post; hashtags outside S keep their counts.
    """
    passed_NH = votes_NH @ past.together_HH
    both_NH = votes_NH.multiply(own_NH).tocsr()
    if not both_NH.nnz:
        return passed_NH
    fewer_H = 1 / (past.videos_H + SMOOTHING - 1)
    more_H = (past.videos_H + SMOOTHING) * fewer_H - 1
    lost_NH = both_NH @ sparse.diags(fewer_H)
    lost_N = np.asarray(lost_NH.sum(1)).ravel()
    return passed_NH + (both_NH @ sparse.diags(more_H)) @ past.together_HH - sparse.diags(lost_N) @ own_NH + lost_NH


def _strong(votes_NH: sparse.csr_matrix) -> sparse.csr_matrix:
    votes_NH = votes_NH.tocsr().astype(np.float32)
    votes_NH.data[votes_NH.data < LEAST_VOTE] = 0
    votes_NH.eliminate_zeros()
    return votes_NH
