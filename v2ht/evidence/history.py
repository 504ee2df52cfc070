"""The user's own posts: how often, how lately and in which texts he used a hashtag.

Shapes: N posts to judge, T posts of the past, H hashtags, R rows of one user, M past posts of this user,
C columns.
"""

from __future__ import annotations

import numpy as np

from v2ht.evidence.posts import Past, Posts
from v2ht.evidence.votes import Speakers

DECAYS = {"history.recent": 0.7, "history.latest": 0.3}  # weight of a post over that of the next nearer one in time
LEAST_WEIGHT = 1e-4  # of a post whose hashtags count
PRIOR = 0.2  # similarity of a post without hashtags that is added to the user's


def history(past: Past, posts: Posts) -> Speakers:
    """Return the user's other posts; votes are weighted shares of those that have each hashtag, in [0, 1].

    history.share     all posts weigh the same
    history.recent    .7 ** rank, where rank 0 is the post nearest in time; ties share the lower rank
    history.latest    .3 ** rank
    history.similar   by the cosine of the texts; these weights sum to less than 1

    A post whose time is not known weighs all posts alike; posts of unknown time are the farthest ones.
    """
    names = ("history.share", *DECAYS, "history.similar")
    rows, places, weights = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for user, of_user in _rows_by_user(posts.users_N).items():
        own = past.by_user.get(user)
        if own is None:
            continue
        weights_CRM = _weights(past, posts, of_user, own)
        column, row, place = np.nonzero(weights_CRM > LEAST_WEIGHT)
        rows.append(column * len(posts) + of_user[row])
        places.append(own[place])
        weights.append(weights_CRM[column, row, place])
    return Speakers(
        names=names,
        rows_E=np.concatenate(rows),
        places_E=np.concatenate(places),
        weights_E=np.concatenate(weights),
    )


def _rows_by_user(users_N: np.ndarray) -> dict[int, np.ndarray]:
    order = np.argsort(users_N, kind="stable")
    users, starts = np.unique(users_N[order], return_index=True)
    groups = zip(users.tolist(), np.split(order, starts[1:]), strict=True)
    return {user: rows for user, rows in groups if user >= 0}


def _weights(past: Past, posts: Posts, rows: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return for each column the weights of one user's past posts, [C, R, M]; the post itself weighs nothing."""
    other_RM = own != posts.places_N[rows, None]
    ranks_RM = _ranks(posts.times_N[rows], past.times_T[own], other_RM)
    similar_RM = (posts.texts_NV[rows] @ past.texts_TV[own].T).toarray() * other_RM
    decayed = [_shares(np.where(other_RM, decay**ranks_RM, 0.0)) for decay in DECAYS.values()]
    similar_RM = similar_RM / (similar_RM.sum(1, keepdims=True) + PRIOR)
    return np.stack([_shares(other_RM.astype(np.float64)), *decayed, similar_RM])


def _ranks(times_R: np.ndarray, times_M: np.ndarray, other_RM: np.ndarray) -> np.ndarray:
    """Return the rank [R, M] of each other post by its distance in time: how many others are nearer."""
    distances_RM = np.nan_to_num(np.abs(times_R[:, None] - times_M), nan=np.finfo(np.float64).max)
    distances_RM = np.where(other_RM, distances_RM, np.inf)
    return np.stack([np.searchsorted(np.sort(distances_M), distances_M) for distances_M in distances_RM])


def _shares(weights_RM: np.ndarray) -> np.ndarray:
    sums_R1 = weights_RM.sum(1, keepdims=True)
    return np.divide(weights_RM, sums_R1, out=np.zeros_like(weights_RM), where=sums_R1 > 0)
