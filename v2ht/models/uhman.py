"""UHMAN: user-guided hierarchical multi-head attention network (ICASSP 2020, section 2).

Shapes: B videos, T frames, R regions of a frame, F features, H hashtags, K hidden size, D final embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from v2ht.inputs import Batch
from v2ht.losses import RankingLoss
from v2ht.models.contract import Ranker, RankerSettings
from v2ht.nn.steps import StepFeatures, masked_mean, with_stand_in
from v2ht.nn.user_attention import UserAttention
from v2ht.nn.user_metadata import UserMetadata

REGIONS = "regions"  # frames as regions, [T, R, F]; read in place of "visual" where a dataset has them


@dataclass(frozen=True, kw_only=True)
class UHMANSettings(RankerSettings):
    """What the paper names, with its values where it gives them, and its ablations."""

    loss: str = "warp"
    negatives: int = 4  # sampled for each positive (2.4)
    hidden: int = 32  # K, hidden size of everything (3.3)
    dim: int = 32  # d, final embedding in which videos and hashtags are compared (3.3)
    heads: int = 4  # attention heads; the paper does not say
    region_attention: bool = True  # False: ablation (a), average pooling over regions
    frame_attention: bool = True  # False: ablation (b), average pooling over frames
    user_dropout: float = 0.1  # share of training videos shown without their user

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("hidden", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; choose at least 1")
        if self.hidden % self.heads:
            raise ValueError(f"hidden is {self.hidden}; choose a multiple of heads, {self.heads}")
        if not 0 <= self.user_dropout < 1:
            raise ValueError(f"user_dropout is {self.user_dropout}; choose a share in [0, 1)")

    def reads(self) -> set[str]:
        """Return the modalities that the model reads where a dataset has them: regions in place of whole frames."""
        return super().reads() | ({REGIONS} if "visual" in self.modalities else set())


class FrameEncoder(nn.Module):
    """One modality, from regions to frames to one vector, the user asking at both levels (equations 1-8).

    Steps without regions are frames of one region. A video without the modality is one frame whose regions all hold a
    learned stand-in.

    Args:
        features: F of a region or frame.
        hidden: K.
        heads: of both attentions.
        region_attention, frame_attention: False averages instead.
    """

    def __init__(
        self, *, features: int, hidden: int, heads: int, region_attention: bool, frame_attention: bool
    ) -> None:
        super().__init__()
        self.to_hidden = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.stand_in_K = nn.Parameter(torch.randn(hidden) * 0.1)
        self.regions = UserAttention(dim=hidden, heads=heads) if region_attention else None
        self.frames = UserAttention(dim=hidden, heads=heads) if frame_attention else None

    def forward(self, users_BK: Tensor, steps: Tensor, mask_BT: Tensor) -> Tensor:
        """Return v^e, [B, K], of steps [B, T, F] or [B, T, R, F]; the mask is True at real frames."""
        steps_BTRF = steps[:, :, None, :] if steps.ndim == 3 else steps
        regions_BTRK, real_BT = with_stand_in(self.to_hidden(steps_BTRF), mask_BT, self.stand_in_K)
        frames_BTK = self._frames(users_BK, regions_BTRK)
        if self.frames is None:
            return masked_mean(frames_BTK, real_BT)
        video_BK: Tensor = self.frames(users_BK, frames_BTK, real_BT)
        return video_BK

    def _frames(self, users_BK: Tensor, regions_BTRK: Tensor) -> Tensor:
        """Return F_1 ... F_T of each video, [B, T, K]."""
        if self.regions is None:
            return regions_BTRK.mean(2)
        videos, frames, regions, _ = regions_BTRK.shape
        users_NK = users_BK.repeat_interleave(frames, dim=0)  # N = B * T frames, each asked by its own user
        all_real_NR = torch.ones(videos * frames, regions, dtype=torch.bool, device=users_BK.device)
        frames_NK: Tensor = self.regions(users_NK, regions_BTRK.flatten(0, 1), all_real_NR)
        return frames_NK.unflatten(0, (videos, frames))


class UHMAN(Ranker):
    """Score = (W_V [u, v]) . (W_T t), with v the video as its user sees it, and t the hashtag's embedding.

    How we read what the paper leaves unclear:
    equations 2 and 6 repeat one and the same row, so the single row is kept (`UserAttention`);
    equation 9's f is the negated product, a distance that section 2.4 pushes down for positives, so the score is the
    product itself; its "v^e 1" is the vector of equation 10, since the user and the video are to be WARP's input;
    equation 10 writes Concat(u + v), and the text beside it says that both are concatenated: [u, v], so W_V is 2K x d;
    section 2.4's four negatives for each positive are the cap on WARP's tries.

    On a dataset without regions each frame is one region, so the attention over regions has nothing to choose; on one
    without frames it reads the text alone, each word as a frame. `modalities` says what it reads.

    Args:
        num_hashtags: H.
        feature_sizes: F of each feature modality: regions or visual, acoustic.
        word_vectors: word vectors of descriptions; None leaves the text out.
        history_size: F of the user's history.
        attribute_sizes: see `AttributeEmbeddings`.
        hidden, dim, heads, region_attention, frame_attention, user_dropout: see `UHMANSettings`.
        loss: what training minimises; the paper's is WARP.

    Departs from the paper: sound and text, where a dataset has them, are attended like frames and concatenated to v;
    `UserMetadata` for the user; Adam instead of gradient descent, by the training loop.
    """

    def __init__(
        self,
        *,
        num_hashtags: int,
        feature_sizes: Mapping[str, int],
        word_vectors: Tensor | None,
        history_size: int,
        attribute_sizes: Sequence[int],
        hidden: int,
        dim: int,
        heads: int,
        region_attention: bool,
        frame_attention: bool,
        user_dropout: float,
        loss: RankingLoss,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.steps = StepFeatures(feature_sizes=feature_sizes, word_vectors=word_vectors)
        self.modalities = tuple(self.steps.sizes)
        self.user = UserMetadata(
            history_size=history_size, attribute_sizes=attribute_sizes, dim=hidden, dropout=user_dropout
        )
        self.encoders = nn.ModuleDict(
            {
                name: FrameEncoder(
                    features=size,
                    hidden=hidden,
                    heads=heads,
                    region_attention=region_attention,
                    frame_attention=frame_attention,
                )
                for name, size in self.steps.sizes.items()
            }
        )
        self.hashtag = nn.Embedding(num_hashtags, hidden)
        nn.init.normal_(self.hashtag.weight, std=0.3)
        self.post_to_common = nn.Linear((1 + len(self.modalities)) * hidden, dim, bias=False)
        self.hashtag_to_common = nn.Linear(hidden, dim, bias=False)

    def posts(self, batch: Batch, *, generator: torch.Generator | None = None) -> Tensor:
        """Return W_V [u, v], [B, D]; `generator` draws the user dropout of training."""
        users_BK = self.user(batch.history_BF, batch.known_B, batch.attributes_BA, generator=generator)
        videos = [
            self.encoders[name](users_BK, steps, batch.masks[name])
            for name, steps in self.steps(batch.sequences).items()
        ]
        posts_BD: Tensor = self.post_to_common(torch.cat([users_BK, *videos], dim=1))
        return posts_BD

    def hashtag_embeddings(self) -> Tensor:
        """Return W_T t for all hashtags, [H, D]."""
        hashtags_HD: Tensor = self.hashtag_to_common(self.hashtag.weight)
        return hashtags_HD

    def scores(self, batch: Batch, hashtags_HD: Tensor) -> Tensor:
        """Return scores, [B, H]."""
        return self.posts(batch) @ hashtags_HD.T

    def training_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss over each video's positives and sampled negatives."""
        scores_BH = self.posts(batch, generator=generator) @ self.hashtag_embeddings().T
        return self.loss.of_matrix(scores_BH, batch.positives_BP, generator)
