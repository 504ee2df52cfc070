"""A modality's sequence: LSTM, attention pooling that depends on the hashtag, common space (V2HT 3.3, eq. 8-12).

Shapes: B videos, T steps, F input features, S LSTM units, D common space, C hashtags scored for each video.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class EncodedSequence:
    """What the scorer needs of one modality: steps in the common space, their attention logits, which are real."""

    steps_BTD: Tensor
    logits_BT: Tensor
    mask_BT: Tensor

    def rows(self, rows: Tensor) -> EncodedSequence:
        """Return the given videos only."""
        return EncodedSequence(
            steps_BTD=self.steps_BTD[rows], logits_BT=self.logits_BT[rows], mask_BT=self.mask_BT[rows]
        )


class SequenceEncoder(nn.Module):
    """Encode once, pool for every hashtag.

    The attention logit ReLU(w . s_n + u . e(h) + b) of equation 9 is a scalar per step plus a scalar per hashtag
    before the ReLU, so all hashtags share one pass of the LSTM. The map into the common space (equation 12) is affine
    and attention weights sum to one, so mapping before pooling gives the same result as mapping after it, at a
    fraction of the cost. A video without this modality gets a learned stand-in.

    Args:
        features: F.
        units: S.
        dim: D, also the size of the hashtag embedding.
    """

    def __init__(self, *, features: int, units: int, dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, units, batch_first=True)
        self.to_common = nn.Linear(units, dim)
        self.step_logit = nn.Linear(units, 1)
        self.hashtag_logit = nn.Linear(dim, 1, bias=False)
        self.stand_in_D = nn.Parameter(torch.randn(dim) * 0.1)

    def encode(self, features_BTF: Tensor, mask_BT: Tensor) -> EncodedSequence:
        """Run the LSTM. `mask_BT` is True at real steps, which come first in each row."""
        states_BTS, _ = self.lstm(features_BTF)  # steps after the end cannot reach earlier ones
        return EncodedSequence(
            steps_BTD=self.to_common(states_BTS), logits_BT=self.step_logit(states_BTS)[..., 0], mask_BT=mask_BT
        )

    def attention(self, encoded: EncodedSequence, hashtags_BCD: Tensor) -> Tensor:
        """Return attention weights over steps for each video and hashtag, [B, C, T]; zeros where no step is real."""
        hashtag_BC1 = self.hashtag_logit(hashtags_BCD)
        logits_BCT = F.relu(encoded.logits_BT[:, None, :] + hashtag_BC1)
        mask_B1T = encoded.mask_BT[:, None, :]
        weights_BCT = logits_BCT.masked_fill(~mask_B1T, float("-1e9")).softmax(-1)
        return weights_BCT * mask_B1T

    def pool(self, encoded: EncodedSequence, hashtags_BCD: Tensor) -> Tensor:
        """Return the modality's vector for each video and hashtag, [B, C, D]. `hashtags_BCD` may have B = 1."""
        pooled_BCD = self.attention(encoded, hashtags_BCD) @ encoded.steps_BTD
        present_B11 = encoded.mask_BT.any(1)[:, None, None]
        return torch.where(present_B11, pooled_BCD, self.stand_in_D)
