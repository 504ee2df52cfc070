"""What every ranker promises. One battery of tests holds all models to it.

Shapes: B videos, H hashtags, D embedding, K kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from v2ht.inputs import MODALITIES, Batch
from v2ht.losses import RankingLoss
from v2ht.nn.negatives import uniform_negatives
from v2ht.nn.top_k import top_k


@dataclass(frozen=True, kw_only=True)
class RankerSettings:
    """What can be set of every ranker; each model adds its own, and its own defaults."""

    dim: int = 150  # size of what scores are computed from
    modalities: tuple[str, ...] = MODALITIES  # which to use of those that the dataset has
    loss: str = "log"  # log, softmax, bpr or warp
    negatives: int = 6  # drawn for each positive; for warp the cap on its tries
    margin: float = 0.1  # by how much a positive should outscore a negative (warp only)

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"dim is {self.dim}; choose at least 1")
        wrong = [name for name in self.modalities if name not in MODALITIES]
        if wrong:
            raise ValueError(f"modalities names {wrong[0]!r}; choose among {', '.join(MODALITIES)}")
        if not self.modalities:
            raise ValueError(f"modalities is empty; choose among {', '.join(MODALITIES)}")
        self.ranking_loss()

    def reads(self) -> set[str]:
        """Return the modalities that the model reads where a dataset has them."""
        return {*self.modalities}

    def ranking_loss(self) -> RankingLoss:
        """Return the chosen loss over uniform negatives. Raises ValueError on a setting out of range."""
        return RankingLoss(self.loss, negatives=self.negatives, margin=self.margin, sampler=uniform_negatives)


class Ranker(nn.Module, ABC):
    """Scores (user, video, hashtag) and ranks the whole vocabulary."""

    modalities: tuple[str, ...]  # what the scores read of a video, by the names in `Batch.sequences`

    @abstractmethod
    def training_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss of a batch, a scalar; `generator` draws negatives and dropout of inputs."""

    @abstractmethod
    def hashtag_embeddings(self) -> Tensor:
        """Return what scoring needs of all hashtags, [H, D]; compute it once for many batches."""

    @abstractmethod
    def scores(self, batch: Batch, hashtags_HD: Tensor) -> Tensor:
        """Return the score of every hashtag for every video, [B, H]; higher is better.

        `hashtags_HD` holds rows of `hashtag_embeddings`, all of them or a choice, one for each hashtag to score.
        """

    def forward(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Same as `training_loss`: what wrappers for several processes call."""
        return self.training_loss(batch, generator)

    @torch.inference_mode()
    def rank(self, batch: Batch, k: int, *, hashtags_HD: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (hashtag ids, scores) of the k best over the whole vocabulary, [B, K] each; ties by id."""
        hashtags_HD = self.hashtag_embeddings() if hashtags_HD is None else hashtags_HD
        return top_k(self.scores(batch, hashtags_HD), k)
