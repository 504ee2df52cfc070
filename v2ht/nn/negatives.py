"""Negative hashtags for training. Shapes: B videos, P positives, N negatives a video, H hashtags."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform_negatives(
    positives_BP: Tensor, *, num_hashtags: int, per_positive: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw `per_positive` hashtags for each positive, uniformly among those that the video does not have.

    Returns ids [B, P * per_positive] and a mask of the same shape, False where the positive was padding (-1) or where
    four draws in a row hit a hashtag of the video (likely only when it has nearly all of them).
    V2HT 4.1: six negatives a positive.
    """
    videos, positives = positives_BP.shape
    shape = (videos, positives * per_positive)
    real_BN = (positives_BP >= 0).repeat_interleave(per_positive, dim=1)
    negatives_BN = torch.full(shape, -1, dtype=torch.int64)
    hit_BN = torch.ones(shape, dtype=torch.bool)
    forbidden = torch.zeros(videos, num_hashtags + 1, dtype=torch.bool)
    forbidden.scatter_(1, positives_BP.cpu().masked_fill(positives_BP.cpu() < 0, num_hashtags), True)
    for _ in range(4):
        drawn_BN = torch.randint(num_hashtags, shape, generator=generator)
        negatives_BN = torch.where(hit_BN, drawn_BN, negatives_BN)
        hit_BN = forbidden.gather(1, negatives_BN)
        if not hit_BN.any():
            break
    return negatives_BN.to(positives_BP.device), real_BN & ~hit_BN.to(positives_BP.device)
