"""The steps of a video's modalities as numbers, and what stands for a modality that a video does not have.

Shapes: B videos, T steps, F features of a step, D embedding; `...` any further axes, such as regions of a frame.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class StepFeatures(nn.Module):
    """Feature sequences as they are, word ids as fine-tuned word vectors.

    Args:
        feature_sizes: F of each feature modality to read; the others are left out.
        word_vectors: [words, W], where training of the words of descriptions starts; None leaves the text out.

    Raises ValueError when nothing is left to read.
    """

    def __init__(self, *, feature_sizes: Mapping[str, int], word_vectors: Tensor | None) -> None:
        super().__init__()
        self.word = None
        self.sizes = dict(feature_sizes)
        if word_vectors is not None:
            self.word = nn.Embedding.from_pretrained(word_vectors.clone(), freeze=False)
            self.sizes["text"] = word_vectors.shape[1]
        if not self.sizes:
            raise ValueError("no modality is left; use at least one that the dataset has")

    def forward(self, sequences: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the steps of each modality in `sizes`, [B, T, ..., F]."""
        return {
            name: self.word(sequences[name]) if name == "text" and self.word is not None else sequences[name]
            for name in self.sizes
        }


def with_stand_in(steps: Tensor, mask_BT: Tensor, stand_in_D: Tensor) -> tuple[Tensor, Tensor]:
    """Return the steps [B, T, ..., D] and the mask of real ones, never empty.

    A video without any real step becomes a single step that holds the stand-in. `mask_BT` is True at real steps,
    which come first in each row.
    """
    absent_B = ~mask_BT.any(1)
    first_T = torch.arange(mask_BT.shape[1], device=mask_BT.device) == 0
    absent = absent_B.reshape(-1, *[1] * (steps.ndim - 1))
    return torch.where(absent, stand_in_D, steps), mask_BT | (absent_B[:, None] & first_T)


def masked_mean(steps_BTF: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the mean of each video's real steps, [B, F]; zero for a video without any."""
    summed_BF = torch.where(mask_BT[..., None], steps_BTF, 0.0).sum(1)
    return summed_BF / mask_BT.sum(1, keepdim=True).clamp(min=1)
