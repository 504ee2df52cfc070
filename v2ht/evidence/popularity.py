"""How frequent hashtags are, and how much more so of late. Shapes: E pairs of a post and a hashtag, S statistics."""

from __future__ import annotations

import numpy as np

from v2ht.evidence.posts import RECENT, Past, Posts

SCALE = 0.2  # brings logarithms of counts near 1


def popularity(past: Past, posts: Posts, rows_E: np.ndarray, hashtags_E: np.ndarray) -> np.ndarray:
    """Return statistics [E, 2] of pairs, the post itself left out of the counts.

    0   log(1 + past posts with the hashtag), scaled
    1   trend: log of (recent posts with it + 1) over (as many as its share of all would give + 1)
    """
    videos_E, recent_E = past.videos_H[hashtags_E], past.recent_videos_H[hashtags_E]
    if posts.any_past:
        own_E = past.uses(posts.places_N)[rows_E, hashtags_E]
        recent_N = np.where(posts.places_N >= 0, past.recent_T[posts.places_N], 0)
        videos_E, recent_E = videos_E - own_E, recent_E - own_E * recent_N[rows_E]
    trend_E = np.log((recent_E + 1) / (RECENT * videos_E + 1)) if past.recent_T.any() else np.zeros(len(rows_E))
    return np.stack([SCALE * np.log1p(videos_E), trend_E], axis=1).astype(np.float32)
