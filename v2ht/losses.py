"""Ranking losses, and the one place where they sample negatives and ask a ranker for scores.

A ranker gives a callback that scores pairs (`Score`); how it scores them is its own affair, so that each loss works
with each ranker.

Shapes: B videos, P positives (padded with -1), K negatives drawn for each positive, M = P * K negatives of a video,
C candidates, N scored (video, hashtag) pairs, H hashtags.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

LOSSES = ("log", "softmax", "bpr", "warp")
EULER = 0.5772156649015329  # sum of 1/i for i = 1..n is digamma(n + 1) + EULER

Score = Callable[[Tensor, Tensor], Tensor]  # hashtag ids [B, C], which pairs to score [B, C] -> their scores [N]


class Sampler(Protocol):
    """Draws `per_positive` negatives for each positive: ids and which of them are real draws, both [B, P * K]."""

    def __call__(
        self, positives_BP: Tensor, *, num_hashtags: int, per_positive: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Hashtags that a loss compares: each video's positives, and the negatives drawn for each of them.

    `drawn_BM` is False where no negative could be drawn; the K negatives of one positive stand side by side.
    """

    positives_BP: Tensor
    negatives_BM: Tensor
    drawn_BM: Tensor
    num_hashtags: int

    @property
    def real_BP(self) -> Tensor:
        """Where there is a positive, not padding."""
        return self.positives_BP >= 0

    @property
    def others_B1(self) -> Tensor:
        """How many hashtags each video does not have."""
        return self.num_hashtags - self.real_BP.sum(1, keepdim=True)

    def per_positive(self, values_BM: Tensor) -> Tensor:
        """Return values of the negatives beside their positive, [B, P, K]."""
        return values_BM.unflatten(1, (self.positives_BP.shape[1], -1))


def log_loss(logits_N: Tensor, targets_N: Tensor) -> Tensor:
    """Return the mean pointwise log loss of equation 17 (V2HT 3.5.3) from logits, targets 1 or 0.

    Departs from the paper: the mean over the pairs instead of their sum, so that the learning rate does not depend on
    how many hashtags a batch holds.
    """
    return F.binary_cross_entropy_with_logits(logits_N, targets_N)


def softmax_loss(
    positives_BP: Tensor, negatives_BM: Tensor, *, real_BP: Tensor, drawn_BM: Tensor, others_B1: Tensor
) -> Tensor:
    """Return the mean sampled softmax loss of the positives, each against all negatives drawn for its video.

    -log(exp(s+) / (exp(s+) + others / M * sum of exp(s-) over the M draws)). The factor makes the sum an unbiased
    estimate of the sum over all hashtags that the video does not have; its other positives are left out.
    """
    lowest = torch.finfo(negatives_BM.dtype).min
    drawn_B1 = drawn_BM.sum(1, keepdim=True)
    sum_B1 = negatives_BM.masked_fill(~drawn_BM, lowest).logsumexp(1, keepdim=True)
    sum_B1 = torch.where(drawn_B1 > 0, sum_B1 + (others_B1 / drawn_B1.clamp(min=1)).log(), lowest)
    return _mean(torch.logaddexp(positives_BP, sum_B1) - positives_BP, real_BP)


def bpr_loss(positives_BP: Tensor, negatives_BPK: Tensor, *, drawn_BPK: Tensor) -> Tensor:
    """Return the mean of -log sigmoid(s+ - s-) over all pairs of a positive and a negative drawn for it."""
    return _mean(F.softplus(negatives_BPK - positives_BP[..., None]), drawn_BPK)


def first_violation(
    positives_BP: Tensor, negatives_BPK: Tensor, *, drawn_BPK: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    """Return the place of each positive's first negative with s- + margin > s+, and how many tries it took, [B, P].

    Draws that are not real are skipped and are no tries; zero tries say that no draw violated the margin.
    """
    violates_BPK = drawn_BPK & (negatives_BPK + margin > positives_BP[..., None])
    place_BP = violates_BPK.to(torch.uint8).argmax(-1)
    tries_BP = drawn_BPK.cumsum(-1).gather(-1, place_BP[..., None])[..., 0]
    return place_BP, torch.where(violates_BPK.any(-1), tries_BP, 0)


def warp_loss(
    positives_BP: Tensor, violators_BP: Tensor, *, tries_BP: Tensor, real_BP: Tensor, others_B1: Tensor, margin: float
) -> Tensor:
    """Return the Weighted Approximate-Rank Pairwise loss, the mean over the positives (Weston et al., IJCAI 2011).

    L(r) * max(0, margin + s- - s+) with L(r) = 1 + 1/2 + ... + 1/r and the estimated rank r = max(1, others // tries);
    zero for a positive without a violation (tries 0).
    """
    rank_BP = (others_B1 // tries_BP.clamp(min=1)).clamp(min=1)
    weight_BP = torch.digamma(rank_BP.to(positives_BP.dtype) + 1) + EULER
    hinge_BP = F.relu(margin + violators_BP - positives_BP)
    return _mean(weight_BP * hinge_BP * (tries_BP > 0), real_BP)


class RankingLoss:
    """Samples candidates, has them scored, and compares positives with negatives.

    Args:
        name: one of `LOSSES`.
        negatives: K; for warp the cap on the tries, of which only the first violation counts.
        margin: by how much a positive should outscore a negative (warp only).
        sampler: draws the negatives.
    """

    def __init__(self, name: str, *, negatives: int, margin: float, sampler: Sampler) -> None:
        if name not in LOSSES:
            raise ValueError(f"loss is {name!r}; choose one of {', '.join(LOSSES)}")
        if negatives < 1:
            raise ValueError(f"negatives is {negatives}; choose at least 1")
        if not margin > 0:
            raise ValueError(f"margin is {margin}; choose a positive number")
        self.name = name
        self.negatives = negatives
        self.margin = margin
        self.sampler = sampler

    def candidates(self, positives_BP: Tensor, *, num_hashtags: int, generator: torch.Generator) -> Candidates:
        """Draw the negatives of a batch."""
        negatives_BM, drawn_BM = self.sampler(
            positives_BP, num_hashtags=num_hashtags, per_positive=self.negatives, generator=generator
        )
        return Candidates(
            positives_BP=positives_BP, negatives_BM=negatives_BM, drawn_BM=drawn_BM, num_hashtags=num_hashtags
        )

    def __call__(self, score: Score, candidates: Candidates) -> Tensor:
        """Return the loss of a batch, a scalar. `score` is called once, for warp twice (tries first, no gradient)."""
        if self.name == "log":
            return _pointwise(score, candidates)
        if self.name == "warp":
            return self._warp(score, candidates)
        own = candidates
        positives_BP, negatives_BM = _scores(score, own, own.negatives_BM, own.drawn_BM)
        if self.name == "bpr":
            negatives_BPK, drawn_BPK = own.per_positive(negatives_BM), own.per_positive(own.drawn_BM)
            return bpr_loss(positives_BP, negatives_BPK, drawn_BPK=drawn_BPK)
        return softmax_loss(
            positives_BP, negatives_BM, real_BP=own.real_BP, drawn_BM=own.drawn_BM, others_B1=own.others_B1
        )

    def of_matrix(self, scores_BH: Tensor, positives_BP: Tensor, generator: torch.Generator) -> Tensor:
        """Return the loss of a ranker whose scores of all hashtags are at hand."""
        candidates = self.candidates(positives_BP, num_hashtags=scores_BH.shape[1], generator=generator)
        return self(lambda ids_BC, wanted_BC: scores_BH.gather(1, ids_BC)[wanted_BC], candidates)

    def _warp(self, score: Score, candidates: Candidates) -> Tensor:
        own = candidates
        with torch.no_grad():
            positives_BP, negatives_BM = _scores(score, own, own.negatives_BM, own.drawn_BM)
        place_BP, tries_BP = first_violation(
            positives_BP,
            own.per_positive(negatives_BM),
            drawn_BPK=own.per_positive(own.drawn_BM),
            margin=self.margin,
        )
        chosen_BP = own.per_positive(own.negatives_BM).gather(-1, place_BP[..., None])[..., 0]
        positives_BP, violators_BP = _scores(score, own, chosen_BP, tries_BP > 0)
        return warp_loss(
            positives_BP,
            violators_BP,
            tries_BP=tries_BP,
            real_BP=own.real_BP,
            others_B1=own.others_B1,
            margin=self.margin,
        )


def _pointwise(score: Score, candidates: Candidates) -> Tensor:
    ids_BC, wanted_BC = _beside(candidates, candidates.negatives_BM, candidates.drawn_BM)
    targets_BC = torch.arange(ids_BC.shape[1], device=ids_BC.device) < candidates.positives_BP.shape[1]
    return log_loss(score(ids_BC, wanted_BC).float(), targets_BC.expand_as(wanted_BC)[wanted_BC].float())


def _beside(candidates: Candidates, negatives_BM: Tensor, wanted_BM: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ids of positives and negatives side by side, and which of them to score, both [B, P + M]."""
    ids_BC = torch.cat([candidates.positives_BP.clamp(min=0), negatives_BM], dim=1)
    return ids_BC, torch.cat([candidates.real_BP, wanted_BM], dim=1)


def _scores(score: Score, candidates: Candidates, negatives_BM: Tensor, wanted_BM: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores of positives [B, P] and negatives [B, M] in float32, zero where there is nothing to score."""
    ids_BC, wanted_BC = _beside(candidates, negatives_BM, wanted_BM)
    scores_N = score(ids_BC, wanted_BC).float()
    scores_BC = scores_N.new_zeros(ids_BC.shape).masked_scatter(wanted_BC, scores_N)
    return scores_BC.tensor_split([candidates.positives_BP.shape[1]], dim=1)  # type: ignore[return-value]


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of the counted values; zero when there are none."""
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp(min=1)
