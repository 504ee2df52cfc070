"""What every ranker promises. One battery of tests holds all models to it.

Shapes: B videos, H hashtags, D embedding, K kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from v2ht.inputs import Batch
from v2ht.nn.top_k import top_k


class Ranker(nn.Module, ABC):
    """Scores (user, video, hashtag) and ranks the whole vocabulary."""

    @abstractmethod
    def training_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss of a batch, a scalar; `generator` draws negatives and dropout of inputs."""

    @abstractmethod
    def hashtag_embeddings(self) -> Tensor:
        """Return what scoring needs of all hashtags, [H, D]; compute it once for many batches."""

    @abstractmethod
    def scores(self, batch: Batch, hashtags_HD: Tensor) -> Tensor:
        """Return the score of every hashtag for every video, [B, H]; higher is better."""

    def forward(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Same as `training_loss`: what wrappers for several processes call."""
        return self.training_loss(batch, generator)

    @torch.inference_mode()
    def rank(self, batch: Batch, k: int, *, hashtags_HD: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (hashtag ids, scores) of the k best over the whole vocabulary, [B, K] each; ties by id."""
        hashtags_HD = self.hashtag_embeddings() if hashtags_HD is None else hashtags_HD
        return top_k(self.scores(batch, hashtags_HD), k)
