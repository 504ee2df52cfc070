"""The user's own posts: how often, how lately and in which texts he used a hashtag.

Shapes: N posts to judge, T posts of the past, M past posts of one user, C columns.
"""

from __future__ import annotations

import numpy as np

from v2ht.evidence.posts import Past, Posts
from v2ht.evidence.votes import Entries, Speakers

DECAYS = {"history.recent": 0.7, "history.latest": 0.3}  # weight of a post over that of the next nearer one in time
NAMES = ("history.share", *DECAYS, "history.similar")
LEAST_WEIGHT = 1e-4  # of a post whose hashtags count
PRIOR = 0.2  # similarity of a post without hashtags that is added to the user's


def history(past: Past, posts: Posts, cosines_NT: np.ndarray) -> Speakers:
    """Return the user's other posts; votes are weighted shares of those that have each hashtag, in [0, 1].

    history.share     all posts weigh the same
    history.recent    .7 ** rank, where rank 0 is the post nearest in time; ties share the lower rank
    history.latest    .3 ** rank
    history.similar   by the cosine of the texts (`Past.cosines`); these weights sum to less than 1

    A post whose time is not known weighs all posts alike; posts of unknown time are the farthest ones.
    """
    parts = [Entries(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for row, user in enumerate(posts.users_N.tolist()):
        own_M = past.by_user.get(user, np.empty(0, np.int64))
        own_M = own_M[own_M != posts.places_N[row]]
        if len(own_M):
            weights_CM = _weights(np.abs(posts.times_N[row] - past.times_T[own_M]), cosines_NT[row, own_M])
            column, place = np.nonzero(weights_CM > LEAST_WEIGHT)
            parts.append(Entries(column * len(posts) + row, own_M[place], weights_CM[column, place]))
    return Speakers(names=NAMES, entries=Entries.join(parts))


def _weights(distances_M: np.ndarray, cosines_M: np.ndarray) -> np.ndarray:
    """Return the weights of one user's posts for each column, [C, M]; a distance that is not known is NaN."""
    distances_M = np.nan_to_num(distances_M, nan=np.finfo(np.float64).max)
    ranks_M = np.searchsorted(np.sort(distances_M), distances_M)  # how many are nearer
    weights_CM = np.empty((len(NAMES), len(distances_M)))
    weights_CM[0] = 1
    for number, decay in enumerate(DECAYS.values(), start=1):
        weights_CM[number] = decay**ranks_M
    weights_CM[-1] = cosines_M
    sums_C1 = weights_CM.sum(1, keepdims=True)
    sums_C1[-1] += PRIOR
    shares_CM: np.ndarray = weights_CM / sums_C1
    return shares_CM
