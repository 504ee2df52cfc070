"""Posts with the same sound, whoever made them, vote for their hashtags."""

from __future__ import annotations

import numpy as np

from v2ht.evidence.posts import Past, Posts
from v2ht.evidence.votes import Entries, Speakers

PRIOR = 1  # posts without hashtags that are added to those with the sound


def sounds(past: Past, posts: Posts) -> Speakers:
    """Return the other past posts with the same sound; votes are shares of those that have each hashtag, below 1."""
    parts = [Entries(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))]
    for row in np.flatnonzero(posts.sounds_N >= 0):
        found = past.by_sound.get(int(posts.sounds_N[row]), np.empty(0, np.int64))
        found = found[found != posts.places_N[row]]
        parts.append(Entries(np.full(len(found), row), found, np.full(len(found), 1 / (len(found) + PRIOR))))
    return Speakers(names=("sound.share",), entries=Entries.join(parts))
