"""A video as one vector, for models that do not look at its steps.

Shapes: B videos, T steps, F features, M modalities, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from v2ht.nn.steps import StepFeatures, masked_mean


class VideoDescriptor(nn.Module):
    """W [ReLU(W_1 mean of modality 1's steps), ..., ReLU(W_M mean of modality M's steps)], with biases.

    A modality that a video does not have is a learned stand-in before the ReLU.

    Args:
        feature_sizes, word_vectors: what to read, see `StepFeatures`.
        dim: D, of each modality's part and of the descriptor.
    """

    def __init__(self, *, feature_sizes: Mapping[str, int], word_vectors: Tensor | None, dim: int) -> None:
        super().__init__()
        self.steps = StepFeatures(feature_sizes=feature_sizes, word_vectors=word_vectors)
        sizes = self.steps.sizes
        self.modalities = tuple(sizes)
        self.parts = nn.ModuleDict({name: nn.Linear(size, dim) for name, size in sizes.items()})
        self.stand_ins_MD = nn.Parameter(torch.randn(len(sizes), dim) * 0.1)
        self.together = nn.Linear(len(sizes) * dim, dim)

    def forward(self, sequences: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """Return descriptors, [B, D]. Masks are True at real steps."""
        parts = []
        for stand_in_D, (name, steps_BTF) in zip(self.stand_ins_MD, self.steps(sequences).items(), strict=True):
            part_BD = self.parts[name](masked_mean(steps_BTF, masks[name]))
            parts.append(torch.where(masks[name].any(1, keepdim=True), part_BD, stand_in_D))
        descriptors_BD: Tensor = self.together(torch.cat(parts, dim=1).relu())
        return descriptors_BD
