"""A user as categorical attributes (gender, age, country) and historical hashtags (UHMAN 2.2).

Shapes: B videos (each with its user), F history features, A attributes, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class UserMetadata(nn.Module):
    """W [history, attribute 1, ..., attribute A], each part first mapped to D by itself.

    What is not known is a value of its own, with a learned vector: an attribute of -1, a history of nobody. Both are
    shown for a share of the training videos (`dropout`), so that they are learned where every user is known.

    Args:
        history_size: F.
        attribute_sizes: how many values each attribute has, without the unknown one; none for a dataset without.
        dim: D.
        dropout: share of training videos whose user is hidden, in [0, 1).

    Departs from the paper: the history comes as features, not as one-hot hashtags; the unknown values and the dropout.
    """

    def __init__(self, *, history_size: int, attribute_sizes: Sequence[int], dim: int, dropout: float) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"user dropout is {dropout}; choose a share in [0, 1)")
        self.dropout = dropout
        self.history = nn.Sequential(nn.Linear(history_size, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.no_history_D = nn.Parameter(torch.randn(dim) * 0.1)
        self.attributes = nn.ModuleList(nn.Embedding(size + 1, dim) for size in attribute_sizes)  # last: unknown
        self.together = nn.Linear((1 + len(attribute_sizes)) * dim, dim)

    def forward(
        self,
        history_BF: Tensor,
        known_B: Tensor,
        attributes_BA: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return user embeddings, [B, D].

        `known_B` is True where there is a history; `attributes_BA` holds ids, -1 where unknown, None for nothing
        known; `generator` draws the dropout. Raises ValueError when the attributes are not those of `attribute_sizes`.
        """
        if attributes_BA is None:
            attributes_BA = torch.full((len(known_B), len(self.attributes)), -1, device=known_B.device)
        self._check(attributes_BA)
        if generator is not None and self.dropout > 0:
            shown_B = torch.rand(len(known_B), generator=generator).to(known_B.device) >= self.dropout
            known_B = known_B & shown_B
            attributes_BA = torch.where(shown_B[:, None], attributes_BA, -1)
        parts = [torch.where(known_B[:, None], self.history(history_BF), self.no_history_D)]
        for ids_B, embedding in zip(attributes_BA.unbind(1), self.attributes, strict=True):
            unknown = embedding.num_embeddings - 1  # type: ignore[operator]
            parts.append(embedding(torch.where(ids_B < 0, unknown, ids_B)))
        users_BD: Tensor = self.together(torch.cat(parts, dim=1))
        return users_BD

    def _check(self, attributes_BA: Tensor) -> None:
        sizes = [embedding.num_embeddings - 1 for embedding in self.attributes]  # type: ignore[operator]
        if attributes_BA.shape[1] != len(sizes):
            raise ValueError(f"found {attributes_BA.shape[1]} attributes, expected {len(sizes)}; give one id for each")
        for place, size in enumerate(sizes):
            largest = int(attributes_BA[:, place].max())
            if largest >= size:
                raise ValueError(f"attribute {place} holds id {largest}, expected -1 to {size - 1}; use -1 for unknown")
