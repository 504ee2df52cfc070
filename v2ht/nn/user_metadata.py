"""A user as categorical attributes (gender, age, country) and historical hashtags (UHMAN 2.2).

Shapes: B videos (each with its user), F history features, A attributes, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AttributeEmbeddings(nn.Module):
    """A learned vector for each value of each attribute; code 0, what is not known, is a value of its own.

    Args:
        sizes: how many codes each attribute has, the unknown one included; none for a dataset without attributes.
        dim: D.
    """

    def __init__(self, sizes: Sequence[int], *, dim: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.values = nn.ModuleList(nn.Embedding(size, dim) for size in sizes)
        for values in self.values:
            nn.init.normal_(values.weight, std=0.1)  # type: ignore[arg-type]

    def forward(self, attributes_BA: Tensor) -> list[Tensor]:
        """Return each attribute's vectors, [B, D]. Raises ValueError on codes that are not those of `sizes`."""
        if attributes_BA.shape[1] != len(self.sizes):
            raise ValueError(
                f"found {attributes_BA.shape[1]} attributes, expected {len(self.sizes)}; give one code for each"
            )
        for place, (codes_B, size) in enumerate(zip(attributes_BA.unbind(1), self.sizes, strict=True)):
            least, largest = int(codes_B.min()), int(codes_B.max())
            if least < 0 or largest >= size:
                wrong = least if least < 0 else largest
                raise ValueError(f"attribute {place} holds code {wrong}, expected 0 (unknown) to {size - 1}")
        return [values(codes_B) for values, codes_B in zip(self.values, attributes_BA.unbind(1), strict=True)]


class UserMetadata(nn.Module):
    """W [history, attribute 1, ..., attribute A], each part first mapped to D by itself.

    What is not known is a value of its own, with a learned vector: an attribute of code 0, a history of nobody. Both
    are shown for a share of the training videos (`dropout`), so that they are learned where every user is known.

    Args:
        history_size: F.
        attribute_sizes: see `AttributeEmbeddings`.
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
        self.attributes = AttributeEmbeddings(attribute_sizes, dim=dim)
        self.together = nn.Linear((1 + len(attribute_sizes)) * dim, dim)

    def forward(
        self,
        history_BF: Tensor,
        known_B: Tensor,
        attributes_BA: Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return user embeddings, [B, D].

        `known_B` is True where there is a history; `attributes_BA` holds codes, 0 where unknown; `generator` draws the
        dropout. Raises ValueError when the attributes are not those of `attribute_sizes`.
        """
        if generator is not None and self.dropout > 0:
            shown_B = torch.rand(len(known_B), generator=generator).to(known_B.device) >= self.dropout
            known_B = known_B & shown_B
            attributes_BA = torch.where(shown_B[:, None], attributes_BA, 0)
        history_BD = torch.where(known_B[:, None], self.history(history_BF), self.no_history_D)
        users_BD: Tensor = self.together(torch.cat([history_BD, *self.attributes(attributes_BA)], dim=1))
        return users_BD
