"""Posts with similar texts, whoever wrote them, vote for their hashtags. Shapes: N posts, T past posts."""

from __future__ import annotations

import numpy as np

from v2ht.evidence.posts import Posts
from v2ht.evidence.votes import Entries, Speakers

NEIGHBOURS = 50
PRIORS = {"neighbours.votes": (1, 0.1), "neighbours.near": (3, 0.05)}  # power of the similarity, weight of no vote


def nearest(cosines_NT: np.ndarray, posts: Posts, *, count: int = NEIGHBOURS) -> Entries:
    """Return each post's `count` most similar other past posts and their cosines, best first; equal ones: first come.

    Args:
        cosines_NT: as `Past.cosines` gives them.
        posts: the same posts.
        count: how many; fewer where fewer have a term in common.
    """
    rows, places, cosines = [], [], []
    for row, place in enumerate(posts.places_N.tolist()):
        similar_T = np.flatnonzero(cosines_NT[row] > 0)
        if place >= 0:
            similar_T = similar_T[similar_T != place]
        values_T = cosines_NT[row, similar_T]
        if len(similar_T) > count:
            enough = values_T >= np.partition(values_T, -count)[-count]
            similar_T, values_T = similar_T[enough], values_T[enough]
        best = np.argsort(-values_T, kind="stable")[:count]
        rows.append(np.full(len(best), row))
        places.append(similar_T[best])
        cosines.append(values_T[best])
    return Entries(np.concatenate(rows), np.concatenate(places), np.concatenate(cosines))


def neighbours(nearest: Entries, *, num_posts: int) -> Speakers:
    """Return the neighbours, weighted by similarity and, sharper, by its cube; each post's sum stays below 1."""
    parts = []
    for number, (power, prior) in enumerate(PRIORS.values()):
        powers_E = nearest.weights_E**power
        sums_N = np.bincount(nearest.rows_E, weights=powers_E, minlength=num_posts) + prior
        parts.append(Entries(nearest.rows_E + number * num_posts, nearest.places_E, powers_E / sums_N[nearest.rows_E]))
    return Speakers(names=tuple(PRIORS), entries=Entries.join(parts))
