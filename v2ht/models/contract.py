"""What every ranker promises. One battery of tests holds all models to it.

Shapes: B videos, H hashtags, D embedding, K kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from graph_builders.hashtag_graph import HashtagGraph
from v2ht.inputs import MODALITIES, Batch
from v2ht.losses import RankingLoss
from v2ht.nn.hashtag_gcn import HashtagGCN
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
        self.check_loss()

    def check_loss(self) -> None:
        """Raise ValueError on a loss that the model does not know."""
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


@runtime_checkable
class GraphRanker(Protocol):
    """A ranker whose hashtags are nodes of a graph, which new ones can join after training."""

    gcn: HashtagGCN | None  # None where propagation is switched off

    def initial_embeddings(self) -> Tensor:
        """Return the embeddings of all hashtags before propagation, [H, D]."""
        ...

    def unlinked_embeddings(self, hashtags_K: Tensor) -> Tensor:
        """Return what `hashtag_embeddings` would hold for some hashtags if they had no neighbours."""
        ...

    def new_hashtag_embeddings(self, vectors_NW: Tensor, edges: HashtagGraph) -> Tensor:
        """Return rows like those of `hashtag_embeddings` for N new hashtags.

        Args:
            vectors_NW: mean word vector of each new hashtag's words; zero where no word is known.
            edges: of the new hashtags H..H+N-1 to known ones, as `graph_builders.insert` finds them.
        """
        ...

    def scores(self, batch: Batch, hashtags_HD: Tensor) -> Tensor:
        """Return the score of every hashtag for every video, as every ranker does."""
        ...


def edge_tensors(edges: HashtagGraph, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `HashtagGCN.insert` needs of new hashtags' edges: known ends, new ends, relations, [E] each."""
    columns = (edges.source, edges.target, edges.relation)
    known_E, new_E, relation_E = (torch.from_numpy(column.astype(np.int64)).to(device) for column in columns)
    return known_E, new_E, relation_E
