"""Rank a dataset's videos over all hashtags, in bounded memory, with any scorer.

Shapes: B videos of a batch, N videos, H hashtags, K kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data.dataset import Ragged
from v2ht.dataset_inputs import DatasetInputs
from v2ht.models.contract import Ranker
from v2ht.nn.top_k import top_k

Scorer = Callable[[np.ndarray], Tensor]  # dataset rows [B] -> scores [B, H]


@dataclass(frozen=True, kw_only=True)
class SplitRankings:
    """The best hashtags of each video, and the best among those that its user does not use yet; -1 where none."""

    ranked_NK: np.ndarray
    ranked_new_NK: np.ndarray


def model_scorer(model: Ranker, posts: DatasetInputs, *, device: torch.device | None = None) -> Scorer:
    """Return a scorer of dataset rows over the dataset's hashtags; they are propagated once, here."""
    device = device or next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        hashtags_HD = model.hashtag_embeddings()[: posts.dataset.num_hashtags]

    def score(rows: np.ndarray) -> Tensor:
        with torch.inference_mode():
            return model.scores(posts.batch(rows).to(device), hashtags_HD).float().cpu()

    return score


def batches(rows: np.ndarray, *, num_hashtags: int, cells: int = 2_000_000) -> Iterator[np.ndarray]:
    """Cut rows into batches of at most 128 videos and `cells` scores, at least one video."""
    size = max(1, min(128, cells // num_hashtags))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def rank_rows(
    score: Scorer,
    rows: np.ndarray,
    *,
    depth: int,
    known: Ragged,
    new_depth: int,
    num_hashtags: int,
    progress: Callable[[int], None] | None = None,
) -> SplitRankings:
    """Rank every row to `depth`, and to `new_depth` with the hashtags in `known` (one list a row) left out."""
    ranked, ranked_new = [], []
    done = 0
    for part in batches(rows, num_hashtags=num_hashtags):
        scores_BH = score(part)
        ranked.append(top_k(scores_BH, depth)[0].numpy())
        own = known.take(np.arange(done, done + len(part)))
        scores_BH = scores_BH.clone()
        scores_BH[np.repeat(np.arange(len(part)), own.lengths), own.values] = float("-inf")
        ranked_new.append(top_k(scores_BH, new_depth)[0].numpy())
        done += len(part)
        if progress is not None:
            progress(done)
    return SplitRankings(ranked_NK=np.concatenate(ranked), ranked_new_NK=np.concatenate(ranked_new))
