"""Co-attention network: text guides the eye, and what is seen guides the reading (V2HT 4.3.3 after Zhang et al., IJCAI
2017).

Shapes: B videos, T steps, F features, M modalities, H hashtags, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from v2ht.inputs import Batch
from v2ht.losses import RankingLoss
from v2ht.models.contract import Ranker, RankerSettings
from v2ht.nn.sequence import lstm_states
from v2ht.nn.steps import StepFeatures, masked_mean, with_stand_in


@dataclass(frozen=True, kw_only=True)
class CoAttentionSettings(RankerSettings):
    """As in V2HT's comparison: frames and text."""

    modalities: tuple[str, ...] = ("visual", "text")  # a dataset without any of these is read by its text
    loss: str = "softmax"
    dim: int = 150  # D, size of everything


class GuidedAttention(nn.Module):
    """Sum of a_n x_n with a = softmax over n of w . tanh(W x_n + U g).

    Args:
        dim: D, of the steps x and of the guide g.
    """

    def __init__(self, *, dim: int) -> None:
        super().__init__()
        self.step = nn.Linear(dim, dim)
        self.guide = nn.Linear(dim, dim, bias=False)
        self.logit = nn.Linear(dim, 1, bias=False)

    def forward(self, steps_BTD: Tensor, mask_BT: Tensor, guide_BD: Tensor) -> Tensor:
        """Return attended steps, [B, D]. `mask_BT` is True at real steps, at least one a row."""
        hidden_BTD = torch.tanh(self.step(steps_BTD) + self.guide(guide_BD)[:, None, :])
        weights_BT = self.logit(hidden_BTD)[..., 0].masked_fill(~mask_BT, float("-inf")).softmax(1)
        return (weights_BT[:, None, :] @ steps_BTD)[:, 0]


class CoAttention(Ranker):
    """Score = w_t . tanh(W [v, s]) + b_t, with frames v attended under the text and text s attended under v.

    The first guide is the mean of the text's steps, states of an LSTM; v is then the guide of the text. With one
    modality alone its own mean guides it; with sound chosen too, each modality guides the next. Knows no user.

    Args:
        num_hashtags: H.
        feature_sizes, word_vectors: what to read of a video, see `StepFeatures`.
        dim: D.
        loss: what training minimises; the paper's is a softmax over the hashtags.

    Departs from the paper: frames stand for the regions of its one image; step and guide are added where it seems to
    concatenate them, since the guide would then cancel in the softmax; negatives are sampled.
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
        self.steps = StepFeatures(feature_sizes=feature_sizes, word_vectors=word_vectors)
        sizes = self.steps.sizes
        self.modalities = tuple(sizes)
        self.to_common = nn.ModuleDict({name: nn.Linear(size, dim) for name, size in sizes.items() if name != "text"})
        self.reader = nn.LSTM(sizes["text"], dim, batch_first=True) if "text" in sizes else None
        self.stand_ins_MD = nn.Parameter(torch.randn(len(sizes), dim) * 0.1)
        self.attentions = nn.ModuleDict({name: GuidedAttention(dim=dim) for name in sizes})
        self.fuse = nn.Linear(len(sizes) * dim, dim)
        self.classifier = nn.Linear(dim, num_hashtags)

    def hashtag_embeddings(self) -> Tensor:
        """Return w_t and, last, b_t of all hashtags, [H, D + 1]."""
        return torch.cat([self.classifier.weight, self.classifier.bias[:, None]], dim=1)

    def scores(self, batch: Batch, hashtags_HD: Tensor) -> Tensor:
        """Return scores, [B, H]."""
        return torch.addmm(hashtags_HD[:, -1], self._posts(batch), hashtags_HD[:, :-1].T)

    def training_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss over each video's positives and sampled negatives."""
        return self.loss.of_matrix(self.scores(batch, self.hashtag_embeddings()), batch.positives_BP, generator)

    def _posts(self, batch: Batch) -> Tensor:
        common = self._common(batch)
        guide_BD = masked_mean(*common[self.modalities[-1]])  # the text comes last
        attended = []
        for name, (steps_BTD, real_BT) in common.items():
            guide_BD = self.attentions[name](steps_BTD, real_BT, guide_BD)
            attended.append(guide_BD)
        return torch.tanh(self.fuse(torch.cat(attended, dim=1)))

    def _common(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Return each modality's steps in the common space, [B, T, D], and which are real."""
        common = {}
        for stand_in_D, (name, steps_BTF) in zip(self.stand_ins_MD, self.steps(batch.sequences).items(), strict=True):
            if name == "text" and self.reader is not None:
                steps_BTD = lstm_states(self.reader, steps_BTF)  # steps after the end cannot reach earlier ones
            else:
                steps_BTD = self.to_common[name](steps_BTF)
            common[name] = with_stand_in(steps_BTD, batch.masks[name], stand_in_D)
        return common
