"""Posts with similar texts, whoever wrote them, vote for their hashtags. Shapes: N posts, T past posts, H hashtags."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from v2ht.evidence.posts import Past, Posts
from v2ht.evidence.votes import Votes

NEIGHBOURS = 50
BLOCK = 256  # posts compared with all of the past at a time
PRIORS = {"neighbours.votes": (1, 0.1), "neighbours.near": (3, 0.05)}  # power of the similarity, weight of no vote


def nearest(past: Past, posts: Posts, *, count: int = NEIGHBOURS) -> sparse.csr_matrix:
    """Return the cosines of each post's `count` most similar other past posts, [N, T]; equal ones: first come."""
    indptr, indices, values = [0], [], []
    for start in range(0, len(posts), BLOCK):
        block = (posts.texts_NV[start : start + BLOCK] @ past.texts_VT).tocsr()
        block.sort_indices()
        for row in range(block.shape[0]):
            part = slice(block.indptr[row], block.indptr[row + 1])
            places, cosines = block.indices[part], block.data[part]
            other = places != posts.places_N[start + row]
            places, cosines = places[other], cosines[other]
            best = np.argsort(-cosines, kind="stable")[:count]
            indices.append(places[best])
            values.append(cosines[best])
            indptr.append(indptr[-1] + len(best))
    if not indices:
        return sparse.csr_matrix((0, len(past)), dtype=np.float32)
    return sparse.csr_matrix((np.concatenate(values), np.concatenate(indices), indptr), shape=(len(posts), len(past)))


def neighbours(past: Past, nearest_NT: sparse.csr_matrix) -> Votes:
    """Return the neighbours' votes, weighted by similarity and, sharper, by its cube; their sum stays below 1."""
    lengths_N = np.diff(nearest_NT.indptr)
    rows = np.repeat(np.arange(len(lengths_N)), lengths_N)
    weights = []
    for power, prior in PRIORS.values():
        powers = nearest_NT.data**power
        sums_N = np.bincount(rows, weights=powers, minlength=len(lengths_N)) + prior
        weights.append((powers / sums_N[rows]).astype(np.float32))
    indices = np.tile(nearest_NT.indices, len(PRIORS))
    indptr = np.append(0, np.cumsum(np.tile(lengths_N, len(PRIORS))))
    shape = (len(PRIORS) * len(lengths_N), len(past))
    return past.votes(sparse.csr_matrix((np.concatenate(weights), indices, indptr), shape=shape), list(PRIORS))
