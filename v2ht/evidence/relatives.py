"""Votes passed on to relatives in the hashtag graph. Shapes: N posts, H hashtags, K rows of votes.

What co-occurs is counted anew from the past posts, because the graph's own edges were counted with the post to judge.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from v2ht.evidence.posts import SMOOTHING, Past, Posts
from v2ht.evidence.votes import Votes, largest

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


def relatives(
    past: Past, posts: Posts, shares_GH: sparse.csr_matrix, votes: Mapping[str, sparse.csr_matrix]
) -> list[Votes]:
    """Return columns RELATION.SOURCE for each relation and each source of `votes`: what its hashtags pass on."""
    votes_KH = sparse.vstack(list(votes.values()), format="csr")  # one block of N rows for each source
    passed = {STATIC: _blocks(votes_KH, len(STATIC)) @ shares_GH, ("cooccurrence",): _together(past, posts, votes_KH)}
    return [
        Votes(
            names=tuple(f"{relation}.{source}" for relation in relations for source in votes),
            stacked_KH=largest(_strong(passed_KH)),
        )
        for relations, passed_KH in passed.items()
    ]


def _blocks(votes_KH: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """Return a matrix with `votes_KH` `count` times along its diagonal, [count * K, count * H]."""
    rows, columns = votes_KH.shape
    indices = np.concatenate([votes_KH.indices + number * columns for number in range(count)])
    indptr = np.append(0, np.cumsum(np.tile(np.diff(votes_KH.indptr), count)))
    return sparse.csr_matrix((np.tile(votes_KH.data, count), indices, indptr), shape=(count * rows, count * columns))


def _together(past: Past, posts: Posts, votes_KH: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return sum over g of votes(g) * P(h | g), where P is counted without the post itself.

    P(h | g) = (posts with g and h) / (posts with g + SMOOTHING). For a past post with the hashtags S, each g in S loses
    one post, and each pair in S one common post; hashtags outside S keep their counts.
    """
    passed_KH = votes_KH @ past.together_HH
    if not posts.any_past:
        return passed_KH
    own_KH = past.uses(np.tile(posts.places_N, votes_KH.shape[0] // len(posts)))
    both_KH = votes_KH.multiply(own_KH).tocsr()
    fewer_H = 1 / (past.videos_H + SMOOTHING - 1)
    more_H = (past.videos_H + SMOOTHING) * fewer_H - 1
    lost_KH = both_KH @ sparse.diags(fewer_H)
    lost_K = np.asarray(lost_KH.sum(1)).ravel()
    return passed_KH + (both_KH @ sparse.diags(more_H)) @ past.together_HH - sparse.diags(lost_K) @ own_KH + lost_KH


def _strong(votes_KH: sparse.csr_matrix) -> sparse.csr_matrix:
    votes_KH = votes_KH.tocsr()
    votes_KH.data = np.where(votes_KH.data < LEAST_VOTE, 0, votes_KH.data).astype(np.float32)
    votes_KH.eliminate_zeros()
    return votes_KH
