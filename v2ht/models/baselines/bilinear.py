"""Bilinear (BL): the product of a video's and a hashtag's embedding (UHMAN 3.2 after Lee et al., KDD 2018).

Shapes: B videos, H hashtags, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from v2ht.inputs import Batch
from v2ht.losses import RankingLoss
from v2ht.models.contract import Ranker, RankerSettings
from v2ht.nn.descriptor import VideoDescriptor


@dataclass(frozen=True, kw_only=True)
class BilinearSettings(RankerSettings):
    """As in UHMAN's comparison."""

    loss: str = "warp"
    negatives: int = 4
    dim: int = 32  # D, embedding of videos and hashtags


class Bilinear(Ranker):
    """Score = v . t, with v the video's descriptor and t a learned embedding of the hashtag. Knows no user.

    Args:
        num_hashtags: H.
        feature_sizes, word_vectors: what to read of a video, see `StepFeatures`.
        dim: D.
        loss: what training minimises.

    Departs from the paper: the descriptor has one hidden layer and reads every modality that the dataset has.
    """

    def __init__(
        self,
        *,
        num_hashtags: int,
        feature_sizes: Mapping[str, int],
        word_vectors: Tensor | None,
        dim: int,
        loss: RankingLoss,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.video = VideoDescriptor(feature_sizes=feature_sizes, word_vectors=word_vectors, dim=dim)
        self.modalities = self.video.modalities
        self.hashtag = nn.Embedding(num_hashtags, dim)
        nn.init.normal_(self.hashtag.weight, std=0.3)

    def hashtag_embeddings(self) -> Tensor:
        """Return t of all hashtags, [H, D]."""
        return self.hashtag.weight

    def scores(self, batch: Batch, hashtags_HD: Tensor) -> Tensor:
        """Return scores, [B, H]."""
        videos_BD: Tensor = self.video(batch.sequences, batch.masks)
        return videos_BD @ hashtags_HD.T

    def training_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss over each video's positives and sampled negatives."""
        return self.loss.of_matrix(self.scores(batch, self.hashtag_embeddings()), batch.positives_BP, generator)
