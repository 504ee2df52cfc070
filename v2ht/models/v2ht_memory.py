"""V2HT with memory: what the author's other posts, similar posts and the text's words say, beside a small V2HT.

Shapes: B videos, H hashtags, C hashtags to score, D embedding, E = D + 3 with bias, log frequency and id, N pairs of a
video and a hashtag with evidence, J columns of evidence, S statistics, X context, K hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from v2ht.evidence.evidence import COLUMNS, CONTEXT, SOURCES, STATISTICS
from v2ht.evidence_tensors import EvidenceTensors
from v2ht.inputs import Batch, GraphTensors
from v2ht.losses import RankingLoss
from v2ht.models.contract import Ranker, RankerSettings, edge_tensors
from v2ht.models.v2ht import rarest
from v2ht.nn.decay import sum_of_squares
from v2ht.nn.descriptor import VideoDescriptor
from v2ht.nn.hashtag_gcn import HashtagGCN

OWN_LOSS = "own"


@dataclass(frozen=True, kw_only=True)
class V2HTMemorySettings(RankerSettings):
    """What can be set of V2HT with memory, and its ablations."""

    dim: int = 64  # space in which videos and hashtags are compared
    loss: str = OWN_LOSS  # own: softmax over all hashtags, see `V2HTMemory`; or any other ranker's
    new_weight: float = 0.3  # weight of the loss among the hashtags that the user has not used (own loss)
    tau: float = 0.0  # logit adjustment: how much of the log frequency is taken off in ranking (own loss)
    tail_weight: float = 0.03  # how much the long tail counts when `lift` is chosen on validation; 0: no lift
    decay: float = 0.003  # weight of the squared size of all that is learned (own loss)
    sources: tuple[str, ...] = SOURCES  # evidence to use; none: a small V2HT alone
    hidden: int = 32  # units of the network that weighs evidence
    propagation: bool = True  # False: hashtags without the graph
    relations: tuple[str, ...] = RELATIONS  # edges to propagate over
    alpha: float = 0.2  # share of the neighbours
    gcn_layers: int = 1  # propagation steps
    edge_rank: int = 8  # rank of the edge weight function
    dropout: float = 0.9  # of the video's vector, which is learned from the posts that it scores
    user_dropout: float = 0.2  # share of training videos shown without their user's history

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("sources", SOURCES), ("relations", RELATIONS)):
            wrong = [own for own in getattr(self, name) if own not in known]
            if wrong:
                raise ValueError(f"{name} names {wrong[0]!r}; choose among {', '.join(known)}")
        for name in ("hidden", "gcn_layers", "edge_rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; choose at least 1")
        for name in ("new_weight", "tau", "tail_weight", "decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; choose 0 or more")
        for name in ("dropout", "user_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; choose a share in [0, 1)")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; choose a share in [0, 1]")

    def check_loss(self) -> None:
        if self.loss != OWN_LOSS:
            super().check_loss()


class EvidenceNetwork(nn.Module):
    """Weighs the evidence of pairs of a video and a hashtag: a linear part plus a gated network of two layers.

    e(v, h) = w . f + w_2 . ReLU(W_1 ReLU(W_0 f + G c)), with f the votes x of the chosen columns as x, sqrt(x) and
    [x > 0], beside the hashtag's statistics, and c the context of the video: it says how far to trust which vote. A
    pair without any vote gets 0.

    Args:
        sources: names of the sources whose columns are read.
        hidden: K.
    """

    def __init__(self, *, sources: tuple[str, ...], hidden: int) -> None:
        super().__init__()
        kept = [number for number, column in enumerate(COLUMNS) if column.source in sources]
        self.register_buffer("columns_J", torch.tensor(kept), persistent=False)
        features = 3 * len(kept) + len(STATISTICS)
        self.linear = nn.Linear(features, 1)
        self.first = nn.Linear(features, hidden)
        self.gate = nn.Linear(len(CONTEXT), hidden, bias=False)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 1, bias=False)

    columns_J: Tensor

    def forward(self, evidence: EvidenceTensors) -> Tensor:
        """Return the pairs' scores, [N]."""
        votes_NJ = evidence.values_NJ.index_select(1, self.columns_J)
        voted_NJ = votes_NJ > 0
        statistics_NS = evidence.values_NJ[:, len(COLUMNS) :]
        features_NF = torch.cat([votes_NJ, votes_NJ.sqrt(), voted_NJ.float(), statistics_NS], dim=1)
        gates_BK = self.gate(evidence.context_BX)
        hidden_NK = F.relu(self.first(features_NF) + gates_BK.index_select(0, evidence.videos_N))
        scores_N1 = self.last(F.relu(self.second(hidden_NK))) + self.linear(features_NF)
        return scores_N1[:, 0] * voted_NJ.any(1)


class V2HTMemory(Ranker):
    """Score = e(v, h) of `EvidenceNetwork` + video . propagated hashtag / sqrt(D) + bias(h) * (1 + g . context).

    The evidence is sparse, so that all hashtags are ranked exactly and fast; the second part gives hashtags without
    evidence a place. In training it is learned from the same posts that it scores, while evidence leaves the post out,
    so it is kept small: else the model learns to distrust the evidence. The own loss of a batch is the mean over its
    videos of each one's mean over its hashtags of -log softmax over all hashtags, so that a video with many hashtags
    counts as much as one with few. With `new_weight` the same is added among the hashtags that the user has not used
    yet, which ordinary training hardly sees. With `tau`, the first of the two adds tau * log frequency to the scores
    (logit adjustment, Menon et al., ICLR 2021), which ranking then goes without: rare hashtags rise. The second does
    not: among hashtags that are new to the user, popularity tells much. A share `user_dropout` of the training videos
    is shown as somebody unknown.

    After training, ranking takes `lift` * log frequency off the scores, which is the same correction made afterwards
    (Menon et al., section 4): `v2ht.training.lift` chooses it on validation, once the weights are learned.

    Args:
        hashtag_vectors_HW: mean word vector of each hashtag's words.
        hashtag_videos_H: train videos of each hashtag.
        num_trained: how many of the hashtags, the first ones, were there in training; the others are lifted like the
            rarest of them, as their bias is theirs.
        graph: edges to propagate over; None leaves the graph out.
        num_relations: relation numbers that edges may have.
        feature_sizes, word_vectors: what to read of a video, see `StepFeatures`.
        sources, hidden: see `EvidenceNetwork`; no source leaves the evidence out.
        dim, alpha, gcn_layers, edge_rank, dropout, user_dropout, new_weight, tau, decay: see `V2HTMemorySettings`.
        loss: a sampled ranking loss; None for the own one.

    Departs from V2HT: means of steps in place of LSTMs and attention, a dot product in place of bi-interaction.
    """

    def __init__(
        self,
        *,
        hashtag_vectors_HW: Tensor,
        hashtag_videos_H: Tensor,
        num_trained: int,
        graph: GraphTensors | None,
        num_relations: int,
        feature_sizes: Mapping[str, int],
        word_vectors: Tensor | None,
        sources: tuple[str, ...],
        hidden: int,
        dim: int,
        alpha: float,
        gcn_layers: int,
        edge_rank: int,
        dropout: float,
        user_dropout: float,
        new_weight: float,
        tau: float,
        decay: float,
        loss: RankingLoss | None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.user_dropout, self.new_weight, self.tau, self.decay = user_dropout, new_weight, tau, decay
        num_hashtags, word_size = hashtag_vectors_HW.shape
        self.hashtag = nn.Embedding(num_hashtags, dim)
        nn.init.normal_(self.hashtag.weight, std=0.1)
        self.hashtag_words = nn.Linear(word_size, dim, bias=False)
        self.register_buffer("hashtag_vectors_HW", hashtag_vectors_HW, persistent=False)
        self.register_buffer("rarest_R", rarest(hashtag_videos_H), persistent=False)
        videos_H = hashtag_videos_H.float() + 0.5
        log_videos_H = (videos_H / videos_H[:num_trained].mean()).log()
        log_videos_H[num_trained:] = log_videos_H[self.rarest_R].mean()
        self.register_buffer("log_videos_H", log_videos_H, persistent=False)
        self.register_buffer("lift", torch.zeros(()))
        self.bias_H = nn.Parameter(self.log_videos_H.clone())
        self.gcn = None
        if graph is not None:
            self.gcn = HashtagGCN(
                dim=dim,
                layers=gcn_layers,
                alpha=alpha,
                rank=edge_rank,
                num_relations=num_relations,
                rows_E=graph.rows_E,
                columns_E=graph.columns_E,
                relation_E=graph.relation_E,
                num_hashtags=graph.num_hashtags,
            )
        self.video = VideoDescriptor(feature_sizes=feature_sizes, word_vectors=word_vectors, dim=dim)
        self.modalities = self.video.modalities
        self.dropout = nn.Dropout(dropout)
        self.evidence = EvidenceNetwork(sources=sources, hidden=hidden) if sources else None
        self.trust = nn.Linear(len(CONTEXT), 1)
        nn.init.zeros_(self.trust.bias)

    hashtag_vectors_HW: Tensor
    log_videos_H: Tensor
    lift: Tensor
    rarest_R: Tensor

    def initial_embeddings(self) -> Tensor:
        """Return the hashtags before propagation, [H, D]."""
        return self.hashtag.weight + self.hashtag_words(self.hashtag_vectors_HW)

    def hashtag_embeddings(self) -> Tensor:
        """Return the propagated hashtags, bias, log frequency, and the id by which evidence is found, [H, D + 3]."""
        initial_HD = self.initial_embeddings()
        return self._rows(initial_HD if self.gcn is None else self.gcn(initial_HD), torch.arange(len(initial_HD)))

    def unlinked_embeddings(self, hashtags_K: Tensor) -> Tensor:
        """Return what `hashtag_embeddings` would hold for some hashtags if they had no neighbours, [K, D + 3]."""
        initial_KD = self.initial_embeddings()[hashtags_K]
        return self._rows(initial_KD if self.gcn is None else self.gcn.alone(initial_KD), hashtags_K)

    def new_hashtag_embeddings(self, vectors_NW: Tensor, edges: HashtagGraph) -> Tensor:
        """Return rows like those of `hashtag_embeddings` for hashtags that the model was not trained on, [N, D + 3].

        They have no evidence, no learned vector, and the mean bias and log frequency of the rarest known ones
        (`rarest`), as in `V2HT`.

        Args:
            vectors_NW: mean word vector of each new hashtag's words; zero where no word is known.
            edges: of the new hashtags H..H+N-1 to known ones, as `graph_builders.insert` finds them.
        """
        rows_ND = self.hashtag_words(vectors_NW)
        if self.gcn is not None:
            known_E, new_E, relation_E = edge_tensors(edges, rows_ND.device)
            known_HD = self.initial_embeddings()
            rows_ND = self.gcn.insert(known_HD, rows_ND, known_E=known_E, new_E=new_E, relation_E=relation_E)
        bias, log_videos = self.bias_H[self.rarest_R].mean(), self.log_videos_H[self.rarest_R].mean()
        no_id = torch.full_like(bias, -1)
        return torch.cat([rows_ND, torch.stack([bias, log_videos, no_id]).expand(len(rows_ND), 3)], dim=1)

    def _rows(self, embeddings_KD: Tensor, ids_K: Tensor) -> Tensor:
        """Return embeddings with the last three columns; float32 holds ids, whole numbers, exactly up to 16 million."""
        ids_K = ids_K.to(embeddings_KD.device)
        last_K3 = torch.stack([self.bias_H[ids_K], self.log_videos_H[ids_K], ids_K.float()], dim=1)
        return torch.cat([embeddings_KD, last_K3], dim=1)

    def scores(self, batch: Batch, hashtags_CE: Tensor) -> Tensor:
        """Return scores, [B, C]. Raises ValueError on a batch without evidence."""
        return self._scores(batch, _shown(batch, batch.known_B), hashtags_CE) - self.lift * hashtags_CE[:, -2]

    def _scores(self, batch: Batch, evidence: EvidenceTensors, hashtags_CE: Tensor) -> Tensor:
        hashtags_CD, bias_C, ids_C = hashtags_CE[:, :-3], hashtags_CE[:, -3], hashtags_CE[:, -1].long()
        videos_BD = self.dropout(self.video(batch.sequences, batch.masks))
        trust_B1 = 1 + self.trust(evidence.context_BX)
        scores_BC = videos_BD @ hashtags_CD.T / hashtags_CD.shape[1] ** 0.5 + bias_C * trust_B1
        if self.evidence is None:
            return scores_BC
        votes_N = self.evidence(evidence).to(scores_BC.dtype)
        votes_BH = scores_BC.new_zeros(len(batch), len(self.bias_H))
        votes_BH = votes_BH.index_put((evidence.videos_N, evidence.hashtags_N), votes_N)
        return scores_BC + votes_BH.index_select(1, ids_C.clamp(min=0)) * (ids_C >= 0)

    def training_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss of a batch; `generator` draws which users are hidden, and negatives."""
        shown_B = batch.known_B
        if self.training and self.user_dropout > 0:
            shown_B = shown_B & (torch.rand(len(batch), generator=generator) >= self.user_dropout).to(shown_B.device)
        evidence = _shown(batch, shown_B)
        scores_BH = self._scores(batch, evidence, self.hashtag_embeddings()).float()
        if self.loss is not None:
            return self.loss.of_matrix(scores_BH, batch.positives_BP, generator)
        return self._own_loss(scores_BH, _truth(batch.positives_BP, scores_BH.shape[1]), evidence)

    def _own_loss(self, scores_BH: Tensor, truth_BH: Tensor, evidence: EvidenceTensors) -> Tensor:
        loss = mean_softmax_loss(scores_BH + self.tau * self.log_videos_H, truth_BH)
        if self.new_weight:
            used_BH = evidence.used_before(scores_BH.shape[1])
            among_new_BH = scores_BH.masked_fill(used_BH, torch.finfo(scores_BH.dtype).min)
            loss = loss + self.new_weight * mean_softmax_loss(among_new_BH, truth_BH & ~used_BH)
        return loss + self.decay / 2 * sum_of_squares(self.parameters())


def _shown(batch: Batch, shown_B: Tensor) -> EvidenceTensors:
    """Return a batch's evidence with the users hidden that are not shown."""
    if batch.evidence is None:
        raise ValueError("v2ht_memory got a batch without evidence; make its inputs with evidence=true")
    return batch.evidence.showing_users(shown_B)


def mean_softmax_loss(scores_BH: Tensor, truth_BH: Tensor) -> Tensor:
    """Return the mean over videos with a true hashtag of their true hashtags' mean -log softmax; 0 without any."""
    counts_B = truth_BH.sum(1)
    picked_BH = torch.where(truth_BH, -F.log_softmax(scores_BH, dim=1), 0.0)
    return (picked_BH.sum(1) / counts_B.clamp(min=1)).sum() / (counts_B > 0).sum().clamp(min=1)


def _truth(positives_BP: Tensor, num_hashtags: int) -> Tensor:
    """Return True at each video's hashtags, [B, H]; padding (-1) lands in a column that is cut off."""
    places_BP = torch.where(positives_BP >= 0, positives_BP, num_hashtags)
    truth = torch.zeros(len(positives_BP), num_hashtags + 1, dtype=torch.bool, device=positives_BP.device)
    return truth.scatter(1, places_BP, True)[:, :num_hashtags]
