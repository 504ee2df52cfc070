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
    """What the scorer needs of one modality: steps in the common space, their attention logits, -inf for padding."""

    steps_BTD: Tensor
    logits_BT: Tensor
    bias_BT: Tensor


def lstm_states(lstm: nn.LSTM, features_BTF: Tensor) -> Tensor:
    """Return the states after each step, [B, T, S].

    In mixed precision, too, a processor (not a GPU) calculates them in the weights' own: many have no LSTM in bfloat16.
    """
    if features_BTF.device.type != "cpu":
        states_BTS: Tensor = lstm(features_BTF)[0]
        return states_BTS
    with torch.autocast("cpu", enabled=False):
        states_BTS = lstm(features_BTF.to(next(lstm.parameters()).dtype))[0]
    return states_BTS


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
        nn.init.ones_(self.step_logit.bias)  # the ReLU starts open for every step; the softmax does not see the shift
        self.hashtag_logit = nn.Linear(dim, 1, bias=False)
        self.stand_in_D = nn.Parameter(torch.randn(dim) * 0.1)

    def encode(self, features_BTF: Tensor, mask_BT: Tensor) -> EncodedSequence:
        """Run the LSTM. `mask_BT` is True at real steps, which come first in each row.

        A video without any real step becomes a single step that holds the stand-in.
        """
        states_BTS = lstm_states(self.lstm, features_BTF)  # steps after the end cannot reach earlier ones
        absent_B = ~mask_BT.any(1)
        first_T = torch.arange(mask_BT.shape[1], device=mask_BT.device) == 0
        real_BT = mask_BT | (absent_B[:, None] & first_T)
        return EncodedSequence(
            steps_BTD=torch.where(absent_B[:, None, None], self.stand_in_D, self.to_common(states_BTS)),
            logits_BT=self.step_logit(states_BTS)[..., 0],
            bias_BT=torch.zeros_like(real_BT, dtype=states_BTS.dtype).masked_fill(~real_BT, float("-inf")),
        )

    def attention(self, encoded: EncodedSequence, hashtag_logits_BC: Tensor) -> Tensor:
        """Return attention weights over steps for each video and hashtag, [B, C, T]; zeros where no step is real."""
        logits_BCT = F.relu(encoded.logits_BT[:, None, :] + hashtag_logits_BC[..., None])
        return (logits_BCT + encoded.bias_BT[:, None, :]).softmax(-1)

    def pool(self, encoded: EncodedSequence, hashtag_logits_BC: Tensor) -> Tensor:
        """Return the modality's vector for each video and hashtag, [B, C, D].

        `hashtag_logits_BC` is `hashtag_logit` of the hashtags' embeddings, without its last axis; B may be 1.
        """
        return self.attention(encoded, hashtag_logits_BC) @ encoded.steps_BTD
