"""What others posted last, before a post. Shapes: N posts to judge, W posts looked at."""

from __future__ import annotations

import numpy as np

from v2ht.evidence.posts import Past, Posts
from v2ht.evidence.votes import Entries, Speakers

KEPT = 50  # posts that speak
LOOKED_AT = 80  # other posts among which they are found: those of the post's own author do not speak
DECAYS = {"moment.share": 1.0, "moment.recent": 0.8}  # weight of a post over that of the next newer one
LEAST_WEIGHT = 1e-3


def moment(past: Past, posts: Posts) -> Speakers:
    """Return the last posts by others; votes are weighted shares of those that have each hashtag, in [0, 1].

    Only posts that are not newer than the post itself speak, whatever the split; for a post of unknown time none do.
    """
    latest_NW, ranks_NW = _latest(past, posts)
    parts = []
    for number, decay in enumerate(DECAYS.values()):
        weights_NW = np.where(latest_NW >= 0, decay**ranks_NW, 0.0)
        weights_NW /= np.maximum(weights_NW.sum(1, keepdims=True), 1)
        row, column = np.nonzero(weights_NW > LEAST_WEIGHT)
        parts.append(Entries(row + number * len(posts), latest_NW[row, column], weights_NW[row, column]))
    return Speakers(names=tuple(DECAYS), entries=Entries.join(parts))


def _latest(past: Past, posts: Posts) -> tuple[np.ndarray, np.ndarray]:
    """Return places of past posts, newest first, -1 where one does not speak, and ranks among those that do."""
    order, times = past.by_time
    ends_N = np.searchsorted(times, posts.times_N, side="right")
    ends_N[np.isnan(posts.times_N)] = 0
    before_NW = ends_N[:, None] - 1 - np.arange(LOOKED_AT + 1)  # one more, for a post that is there itself
    places_NW = np.full_like(before_NW, -1)
    places_NW[before_NW >= 0] = order[before_NW[before_NW >= 0]]
    speaks_NW = (places_NW >= 0) & (places_NW != posts.places_N[:, None])
    speaks_NW &= np.cumsum(speaks_NW, axis=1) <= LOOKED_AT
    row, column = np.nonzero(speaks_NW)
    speaks_NW[row, column] = past.users_T[places_NW[row, column]] != posts.users_N[row]
    ranks_NW = np.cumsum(speaks_NW, axis=1) - 1
    return np.where(speaks_NW & (ranks_NW < KEPT), places_NW, -1), np.maximum(ranks_NW, 0)
