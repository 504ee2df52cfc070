"""Posts with similar texts, whoever wrote them, vote for their hashtags. Shapes: N posts, T past posts, H hashtags."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from v2ht.evidence.posts import Past, Posts
from v2ht.evidence.votes import Speakers

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


def neighbours(nearest_NT: sparse.csr_matrix) -> Speakers:
    """Return the neighbours, weighted by similarity and, sharper, by its cube; each post's sum stays below 1."""
    num_posts = nearest_NT.shape[0]
    row_E = np.repeat(np.arange(num_posts), np.diff(nearest_NT.indptr))
    rows, weights = [], []
    for number, (power, prior) in enumerate(PRIORS.values()):
        powers_E = nearest_NT.data**power
        sums_N = np.bincount(row_E, weights=powers_E, minlength=num_posts) + prior
        rows.append(row_E + number * num_posts)
        weights.append(powers_E / sums_N[row_E])
    return Speakers(
        names=tuple(PRIORS),
        rows_E=np.concatenate(rows),
        places_E=np.tile(nearest_NT.indices, len(PRIORS)),
        weights_E=np.concatenate(weights),
    )
