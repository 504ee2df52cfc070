"""Posts with the same sound, whoever made them, vote for their hashtags. Shapes: N posts, T past posts, H hashtags."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from v2ht.evidence.posts import Past, Posts

PRIOR = 1  # posts without hashtags that are added to those with the sound


def sounds(past: Past, posts: Posts) -> sparse.csr_matrix:
    """Return the share of the other past posts with the same sound that have each hashtag, [N, H], below 1."""
    rows, places = [], []
    for row in np.flatnonzero(posts.sounds_N >= 0):
        found = past.by_sound.get(int(posts.sounds_N[row]), np.empty(0, np.int64))
        found = found[found != posts.places_N[row]]
        rows.append(np.full(len(found), row))
        places.append(found)
    weights = [np.full(len(found), 1 / (len(found) + PRIOR), np.float32) for found in places]
    if not rows:
        return sparse.csr_matrix((len(posts), past.uses_TH.shape[1]), dtype=np.float32)
    entries = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(places)))
    return (sparse.csr_matrix(entries, shape=(len(posts), len(past))) @ past.uses_TH).tocsr()
