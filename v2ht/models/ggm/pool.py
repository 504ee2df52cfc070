"""Nearest hashtags of a vector, exactly, through FAISS (GGM 3.2: top-k by cosine over the whole pool).

Shapes: B videos, N hashtags of the pool, D vector, K kept.
"""

from __future__ import annotations

import faiss
import numpy as np


class HashtagPool:
    """Hashtags that can be retrieved: all of a vocabulary, or some.

    Args:
        hashtags_HD: vectors of the whole vocabulary, float32.
        ids: which of them are in the pool, distinct; None for all.

    Raises ValueError when the pool is empty.
    """

    def __init__(self, hashtags_HD: np.ndarray, *, ids: np.ndarray | None = None) -> None:
        self.ids = np.arange(len(hashtags_HD)) if ids is None else np.asarray(ids, np.int64)
        if not len(self.ids):
            raise ValueError("the pool has no hashtags; give at least one")
        self._index = faiss.IndexFlatIP(hashtags_HD.shape[1])
        self._index.add(np.ascontiguousarray(hashtags_HD[self.ids], np.float32))

    def __len__(self) -> int:
        return len(self.ids)

    def nearest(self, videos_BD: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (hashtag ids, inner products) of the k highest, both [B, min(k, N)], best first.

        Of hashtags with equal products, the smaller id comes first, unless k cuts between them.
        """
        k = min(k, len(self.ids))
        products_BK, places_BK = self._index.search(np.ascontiguousarray(videos_BD, np.float32), k)
        ids_BK = self.ids[places_BK]
        order_BK = np.lexsort((ids_BK, -products_BK), axis=1)
        return np.take_along_axis(ids_BK, order_BK, 1), np.take_along_axis(products_BK, order_BK, 1)
