"""Guidance: the hashtags of a pool that a run's ranker finds best for a post (GGM 3.2).

Shapes: B videos, H hashtags, K hashtags of guidance.
"""

from __future__ import annotations

import numpy as np
import torch

from v2ht.inputs import Batch
from v2ht.models.contract import Ranker
from v2ht.models.ggm.pool import HashtagPool
from v2ht.models.ggm.retriever import Retriever
from v2ht.nn.top_k import top_k


class Guide:
    """Retrieves hashtags for posts: through FAISS where the ranker compares vectors, by all its scores otherwise.

    Args:
        ranker: in evaluation mode.
        pool: ids of the hashtags that may be retrieved.
        k: how many.
    """

    def __init__(self, ranker: Ranker, *, pool: np.ndarray, k: int) -> None:
        self.ranker, self.k = ranker, min(k, len(pool))
        with torch.inference_mode():
            self._hashtags_HD = ranker.hashtag_embeddings()
        self._pool = torch.from_numpy(np.asarray(pool, np.int64))
        self._index = None
        if isinstance(ranker, Retriever) and self.k:
            self._index = HashtagPool(self._hashtags_HD.cpu().numpy(), ids=pool)

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> np.ndarray:
        """Return hashtag ids, [B, K], best first."""
        if not self.k:
            return np.empty((len(batch), 0), np.int64)
        if self._index is not None and isinstance(self.ranker, Retriever):
            return self._index.nearest(self.ranker.videos(batch).cpu().numpy(), self.k)[0]
        scores_BN = self.ranker.scores(batch, self._hashtags_HD[self._pool])
        return self._pool[top_k(scores_BN, self.k)[0].cpu()].numpy()


def train_pool(train_videos: np.ndarray) -> np.ndarray:
    """Return the ids of the hashtags of train videos: the paper's default pool."""
    return np.flatnonzero(train_videos > 0)
