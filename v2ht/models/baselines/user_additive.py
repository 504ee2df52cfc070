"""User-additive (UA): the user's embedding added to the video's (UHMAN 3.2 after Denton et al., KDD 2015).

Shapes: B videos, H hashtags, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from v2ht.inputs import Batch
from v2ht.losses import RankingLoss
from v2ht.models.baselines.settings import UserBaselineSettings
from v2ht.models.contract import Ranker
from v2ht.nn.descriptor import VideoDescriptor
from v2ht.nn.user import UserEncoder


@dataclass(frozen=True, kw_only=True)
class UserAdditiveSettings(UserBaselineSettings):
    """As in UHMAN's comparison."""

    loss: str = "warp"
    negatives: int = 4
    dim: int = 32  # D, embedding of videos, users and hashtags


class UserAdditive(Ranker):
    """Score = (v + u) . t, with v the video's descriptor, u the user's embedding, t a learned embedding of the hashtag.

    Both v and u end in a linear layer, so their sum is a linear layer over their concatenation. The user's taste does
    not depend on the video: compare `ThreeWayMultiplicative`.

    Args:
        num_hashtags: H.
        feature_sizes, word_vectors: what to read of a video, see `StepFeatures`.
        history_size: F of the user's history.
        attribute_sizes: see `AttributeEmbeddings`.
        dim: D.
        user_dropout: share of training videos shown without their user.
        loss: what training minimises.

    Departs from the paper: the user's history comes as features; see `Bilinear` for the descriptor.
    """

    def __init__(
        self,
        *,
        num_hashtags: int,
        feature_sizes: Mapping[str, int],
        word_vectors: Tensor | None,
        history_size: int,
        attribute_sizes: Sequence[int],
        dim: int,
        user_dropout: float,
        loss: RankingLoss,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.video = VideoDescriptor(feature_sizes=feature_sizes, word_vectors=word_vectors, dim=dim)
        self.modalities = self.video.modalities
        self.user = UserEncoder(features=history_size, dim=dim, dropout=user_dropout, attribute_sizes=attribute_sizes)
        self.hashtag = nn.Embedding(num_hashtags, dim)
        nn.init.normal_(self.hashtag.weight, std=0.3)

    def posts(self, batch: Batch, *, generator: torch.Generator | None = None) -> Tensor:
        """Return v + u, [B, D]; `generator` draws the user dropout of training."""
        videos_BD: Tensor = self.video(batch.sequences, batch.masks)
        return videos_BD + self.user(batch.history_BF, batch.known_B, batch.attributes_BA, generator=generator)

    def hashtag_embeddings(self) -> Tensor:
        """Return t of all hashtags, [H, D]."""
        return self.hashtag.weight

    def scores(self, batch: Batch, hashtags_HD: Tensor) -> Tensor:
        """Return scores, [B, H]."""
        return self.posts(batch) @ hashtags_HD.T

    def training_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss over each video's positives and sampled negatives."""
        scores_BH = self.posts(batch, generator=generator) @ self.hashtag_embeddings().T
        return self.loss.of_matrix(scores_BH, batch.positives_BP, generator)
