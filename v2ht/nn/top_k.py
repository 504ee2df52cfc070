"""Exact top-k in which ties go to the smaller hashtag id. Shapes: B videos, H hashtags, K kept."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k(scores_BH: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return (hashtag ids, scores) of the k best, best first, both [B, min(k, H)].

    Hashtags whose score is -inf are not recommended: their places hold id -1. Equal scores are ordered by id, also at
    the cut, where torch.topk alone would keep an arbitrary one.
    Raises ValueError on a NaN score.
    """
    if torch.isnan(scores_BH).any():
        raise ValueError("a score is not a number; the weights of this model are damaged, train it again")
    k = min(k, scores_BH.shape[1])
    values_BK, ids_BK = scores_BH.topk(k, dim=1)
    cut_B1 = values_BK[:, -1:]
    torn_B = (scores_BH == cut_B1).sum(1) > (values_BK == cut_B1).sum(1)
    if torn_B.any():
        exact_values, exact_ids = scores_BH[torn_B].sort(dim=1, descending=True, stable=True)
        values_BK[torn_B], ids_BK[torn_B] = exact_values[:, :k], exact_ids[:, :k]
    ids_BK, order_BK = ids_BK.sort(dim=1)
    values_BK, order_BK = values_BK.gather(1, order_BK).sort(dim=1, descending=True, stable=True)
    ids_BK = ids_BK.gather(1, order_BK)
    return ids_BK.masked_fill(values_BK == float("-inf"), -1), values_BK
