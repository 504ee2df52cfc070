"""Multi-head attention in which the user asks and the video answers (UHMAN 2.3, equations 1-8).

Shapes: N users, each with a set of S items (regions of a frame, or frames of a video), D embedding.
"""

from __future__ import annotations

from torch import Tensor, nn


class UserAttention(nn.Module):
    """E(F) = Norm(FFN(G) + G), with G = Norm(MultiHead(u, F, F) + u) and FFN(x) = W_2 ReLU(W_1 x + b_1) + b_2.

    Equations 2 and 6 stack the same row once for each item, though with one query every row is the same: read here as
    that one row, so that a set of items becomes one vector.

    Args:
        dim: D, also the size of the feed-forward network's inner layer, which the paper does not give.
        heads: attention heads; D must be a multiple.
    """

    def __init__(self, *, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim is {dim}, which {heads} heads cannot share; choose a multiple of the heads")
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.attended_norm = nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))
        self.norm = nn.LayerNorm(dim)

    def forward(self, users_ND: Tensor, items_NSD: Tensor, mask_NS: Tensor) -> Tensor:
        """Return one vector for each user's items, [N, D]. `mask_NS` is True at real items, at least one a row."""
        attended_N1D, _ = self.attention(
            users_ND[:, None, :], items_NSD, items_NSD, key_padding_mask=~mask_NS, need_weights=False
        )
        attended_ND = self.attended_norm(attended_N1D[:, 0] + users_ND)
        result_ND: Tensor = self.norm(self.feed_forward(attended_ND) + attended_ND)
        return result_ND
