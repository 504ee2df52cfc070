"""ConTagNet: multi-label tagging from what is seen (V2HT 4.3.3 after Rawat and Kankanhalli, MM 2016).

Shapes: B videos, H hashtags, D hidden layer.
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
class ConTagNetSettings(RankerSettings):
    """As in V2HT's comparison: frames only, without the context (time, place) that its dataset lacks."""

    modalities: tuple[str, ...] = ("visual",)  # a dataset without any of these is read by its text
    dim: int = 512  # D, hidden layers
    dropout: float = 0.5  # after each hidden layer

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; choose a share in [0, 1)")


class ConTagNet(Ranker):
    """Score = w_t . x + b_t, with x two hidden layers over the video's descriptor. Knows no user.

    Args:
        num_hashtags: H.
        feature_sizes, word_vectors: what to read of a video, see `StepFeatures`.
        dim: D.
        dropout: after each hidden layer.
        loss: what training minimises; the log loss is the sum of H binary classifiers.

    Departs from the paper: the frames' features stand for its convolutional network, which is not trained further;
    hidden layers are smaller; negatives are sampled.
    """

    def __init__(
        self,
        *,
        num_hashtags: int,
        feature_sizes: Mapping[str, int],
        word_vectors: Tensor | None,
        dim: int,
        dropout: float,
        loss: RankingLoss,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.video = VideoDescriptor(feature_sizes=feature_sizes, word_vectors=word_vectors, dim=dim)
        self.modalities = self.video.modalities
        self.hidden = nn.Sequential(nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(dropout))
        self.classifier = nn.Linear(dim, num_hashtags)

    def hashtag_embeddings(self) -> Tensor:
        """Return w_t and, last, b_t of all hashtags, [H, D + 1]."""
        return torch.cat([self.classifier.weight, self.classifier.bias[:, None]], dim=1)

    def scores(self, batch: Batch, hashtags_HD: Tensor) -> Tensor:
        """Return scores, [B, H]."""
        posts_BD: Tensor = self.hidden(self.video(batch.sequences, batch.masks))
        return torch.addmm(hashtags_HD[:, -1], posts_BD, hashtags_HD[:, :-1].T)

    def training_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss over each video's positives and sampled negatives."""
        return self.loss.of_matrix(self.scores(batch, self.hashtag_embeddings()), batch.positives_BP, generator)
