"""User-specific hashtag modeling: a three-way tensor (V2HT 4.3.3 after Veit et al., CVPR 2018).

Shapes: B videos, U users, H hashtags, D embedding of videos and hashtags, E embedding of users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from v2ht.inputs import Batch
from v2ht.losses import RankingLoss
from v2ht.models.baselines.settings import UserBaselineSettings
from v2ht.models.contract import Ranker
from v2ht.nn.descriptor import VideoDescriptor


@dataclass(frozen=True, kw_only=True)
class UserSpecificSettings(UserBaselineSettings):
    """As in V2HT's comparison, which gives no values."""

    loss: str = "softmax"
    dim: int = 150  # D, embedding of videos and hashtags
    user_dim: int = 32  # E, embedding of users

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.user_dim < 1:
            raise ValueError(f"user_dim is {self.user_dim}; choose at least 1")


class UserSpecific(Ranker):
    """Score = sum over i, j, k of T_ijk v_i u_j t_k, with T learned, plus b . t.

    v is the video's descriptor; u a learned embedding of each user, one more for everybody whom train does not show
    in another video; t a learned embedding of the hashtag. Contracting T with v and u first leaves one vector a video.

    Args:
        num_hashtags: H.
        num_users: U.
        feature_sizes, word_vectors: what to read of a video, see `StepFeatures`.
        dim: D.
        user_dim: E.
        user_dropout: share of training videos shown without their user, so that the embedding of nobody is learned.
        loss: what training minimises; the paper's is a softmax over the hashtags.

    Departs from the paper: the embedding of nobody; b.
    """

    def __init__(
        self,
        *,
        num_hashtags: int,
        num_users: int,
        feature_sizes: Mapping[str, int],
        word_vectors: Tensor | None,
        dim: int,
        user_dim: int,
        user_dropout: float,
        loss: RankingLoss,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.user_dropout = user_dropout
        self.video = VideoDescriptor(feature_sizes=feature_sizes, word_vectors=word_vectors, dim=dim)
        self.modalities = self.video.modalities
        self.user = nn.Embedding(num_users + 1, user_dim)  # the last is nobody
        self.tensor = nn.Linear(dim * user_dim, dim)  # T with its first two axes as one; nn.Bilinear knows no bfloat16
        self.hashtag = nn.Embedding(num_hashtags, dim)
        nn.init.normal_(self.hashtag.weight, std=0.1)

    def posts(self, batch: Batch, *, generator: torch.Generator | None = None) -> Tensor:
        """Return T contracted with v and u, plus b, [B, D]; `generator` draws the user dropout of training."""
        known_B = batch.known_B & (batch.user_B >= 0)
        if generator is not None and self.user_dropout > 0:
            shown_B = torch.rand(len(known_B), generator=generator).to(known_B.device) >= self.user_dropout
            known_B = known_B & shown_B
        users_BE = self.user(torch.where(known_B, batch.user_B, self.user.num_embeddings - 1))
        videos_BD: Tensor = self.video(batch.sequences, batch.masks)
        posts_BD: Tensor = self.tensor((videos_BD[:, :, None] * users_BE[:, None, :]).flatten(1))
        return posts_BD

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
