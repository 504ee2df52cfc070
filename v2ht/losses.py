"""Losses. Shapes: N scored (video, hashtag) pairs."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def log_loss(logits_N: Tensor, targets_N: Tensor) -> Tensor:
    """Return the mean pointwise log loss of equation 17 (V2HT 3.5.3) from logits, targets 1 or 0.

    Departs from the paper: the mean over the pairs instead of their sum, so that the learning rate does not depend on
    how many hashtags a batch holds.
    """
    return F.binary_cross_entropy_with_logits(logits_N, targets_N)
