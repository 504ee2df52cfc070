"""A user as what he posted before (V2HT 3.4), and, where they are known, his gender, age and country.

Shapes: B videos (each with its user), V visual features, W word vector, A attributes, D user embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from v2ht.nn.user_metadata import AttributeEmbeddings


class UserEncoder(nn.Module):
    """Three fully connected layers over the means of the user's past visual features and past hashtags' word vectors.

    A user without history gets a learned stand-in; `dropout` shows that stand-in for a share of the training videos,
    so that it is learned where every user has a history. The vectors of the user's attributes are added: the linear map
    of their one-hot vectors that Denton et al. (KDD 2015) use. Compare `UserMetadata`, which maps all parts together.

    Args:
        features: V + W (V is 0 for a dataset without frames).
        dim: D.
        dropout: share of training videos whose user is hidden, in [0, 1).
        attribute_sizes: see `AttributeEmbeddings`; none for the user of V2HT.

    Departs from the paper: the stand-in, which it does not need (its users all have at least ten videos).
    """

    def __init__(self, *, features: int, dim: int, dropout: float, attribute_sizes: Sequence[int] = ()) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"user dropout is {dropout}; choose a share in [0, 1)")
        self.dropout = dropout
        self.layers = nn.Sequential(
            nn.Linear(features, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim)
        )
        self.stand_in_D = nn.Parameter(torch.randn(dim) * 0.1)
        self.attributes = AttributeEmbeddings(attribute_sizes, dim=dim)

    def forward(
        self,
        history_BF: Tensor,
        known_B: Tensor,
        attributes_BA: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return user embeddings, [B, D].

        `known_B` is True where there is a history; `attributes_BA` holds codes, 0 where unknown, None to leave them
        out; `generator` draws the dropout.
        """
        if generator is not None and self.dropout > 0:
            shown_B = torch.rand(len(known_B), generator=generator).to(known_B.device) >= self.dropout
            known_B = known_B & shown_B
            attributes_BA = None if attributes_BA is None else torch.where(shown_B[:, None], attributes_BA, 0)
        users_BD = torch.where(known_B[:, None], self.layers(history_BF), self.stand_in_D)
        return users_BD if attributes_BA is None else sum(self.attributes(attributes_BA), start=users_BD)
