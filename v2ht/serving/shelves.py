"""Which of the ranked hashtags are shown: the author's own apart from those new to him, and no two that say the same.

Shapes: B posts, H hashtags, D embedding, K shown, P pool of candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from v2ht.nn.top_k import top_k

SHELVES = ("yours", "new for you")
POOL = 5  # candidates for each place


def shelf(name: str, scores_BH: Tensor, used: Sequence[np.ndarray]) -> Tensor:
    """Return the scores with -inf where a hashtag stands on the other shelf; `used` holds each user's hashtag ids."""
    own_BH = torch.zeros(scores_BH.shape, dtype=torch.bool)
    for row, ids in enumerate(used):
        own_BH[row, ids] = True
    return scores_BH.masked_fill(own_BH if name == "new for you" else ~own_BH, float("-inf"))


def best(scores_BH: Tensor, k: int, *, diversity: float, embeddings_HD: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return (ids, scores) of the k hashtags to show, [B, K], -1 where there are none: by score, or also by difference.

    Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998) over the `POOL` * k best: each place goes to the
    largest (1 - diversity) * relevance - diversity * (largest cosine with one already chosen), where relevance is the
    score brought to [0, 1] between the last and the first of the pool, and cosines below 0 count as 0. Embeddings are
    compared without their mean, which they share and which says nothing of one beside another.
    """
    if not diversity or embeddings_HD is None:
        return top_k(scores_BH, k)
    ids_BP, values_BP = top_k(scores_BH, POOL * k)
    embeddings_HD = embeddings_HD - embeddings_HD.mean(0)
    order_BK = torch.stack(
        [_places(*pair, embeddings_HD, k, diversity) for pair in zip(ids_BP, values_BP, strict=True)]
    )
    return ids_BP.gather(1, order_BK), values_BP.gather(1, order_BK)


def _places(ids_P: Tensor, values_P: Tensor, embeddings_HD: Tensor, k: int, diversity: float) -> Tensor:
    """Return which places of one post's pool to show, in order; places without a hashtag (-1) come last."""
    real = int((ids_P >= 0).sum())
    vectors_PD = F.normalize(embeddings_HD[ids_P[:real]], dim=1)
    alike_PP = (vectors_PD @ vectors_PD.T).clamp(min=0)
    span = float(values_P[0] - values_P[real - 1]) if real else 0.0
    relevance_P = (values_P[:real] - values_P[real - 1]) / span if span > 0 else torch.ones(real)
    nearest_P = torch.zeros(real)
    chosen: list[int] = []
    for _ in range(min(k, real)):
        gain_P = (1 - diversity) * relevance_P - diversity * nearest_P
        gain_P[chosen] = float("-inf")
        chosen.append(int(gain_P.argmax()))
        nearest_P = torch.maximum(nearest_P, alike_PP[chosen[-1]])
    rest = range(real, len(ids_P))
    return torch.tensor([*chosen, *rest][: min(k, len(ids_P))], dtype=torch.int64)
