"""The bi-interaction scorer (V2HT 3.5, equations 13-16).

Shapes: N (video, user, hashtag) triplets in any number of leading dimensions, M modalities, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class BiInteraction(nn.Module):
    """Pool pairwise products per modality, then fully connected layers, then one logit.

    For each modality m: x_m * h + x_m * u + h * u, stacked (equation 14); without a user: x_m * h.
    The logit is before equation 16's sigmoid, which keeps the order and belongs to the loss.

    Args:
        modalities: M.
        dim: D.
        hidden: sizes of the hidden layers.
        dropout: dropout after each hidden layer.
    """

    def __init__(self, *, modalities: int, dim: int, hidden: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        sizes = [modalities * dim, *hidden]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
        self.hidden = nn.Sequential(*layers)
        self.predict = nn.Linear(sizes[-1], 1, bias=False)

    @staticmethod
    def pool(modalities_ND: Sequence[Tensor], hashtags_ND: Tensor, users_ND: Tensor | None) -> Tensor:
        """Return p_0 of equation 13, [N, M * D]; the arguments broadcast against each other."""
        if users_ND is None:
            return torch.cat([modality * hashtags_ND for modality in modalities_ND], dim=-1)
        taste_ND = hashtags_ND * users_ND
        either_ND = hashtags_ND + users_ND
        return torch.cat([modality * either_ND + taste_ND for modality in modalities_ND], dim=-1)

    def forward(self, pooled_NP: Tensor) -> Tensor:
        """Return logits, [N]."""
        return self.predict(self.hidden(pooled_NP))[..., 0]
