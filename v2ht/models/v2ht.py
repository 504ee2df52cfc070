"""V2HT: multi-view representation interactive embedding with graph-based propagation (CIKM 2019, section 3).

Shapes: B videos, T steps, H hashtags, C candidates of each video, D common space, E = D + 1 with the bias,
W word vector, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from v2ht.inputs import Batch, GraphTensors
from v2ht.losses import RankingLoss
from v2ht.models.contract import Ranker, RankerSettings, edge_tensors
from v2ht.nn.hashtag_gcn import HashtagGCN
from v2ht.nn.interaction import BiInteraction
from v2ht.nn.sequence import EncodedSequence, SequenceEncoder
from v2ht.nn.user import UserEncoder


@dataclass(frozen=True, kw_only=True)
class V2HTSettings(RankerSettings):
    """What the paper names, with its values where it gives them, and its ablations; by default the log loss."""

    dim: int = 150  # common space, hashtag and user embedding
    visual_units: int = 500  # LSTM units over frames
    acoustic_units: int = 300  # LSTM units over sound
    text_units: int = 80  # LSTM units over words
    sentence_units: int = 80  # LSTM units over a sentence encoder's vector, which is one step
    propagation: bool = True  # False: "without P"
    user: bool = True  # False: "without U"
    relations: tuple[str, ...] = RELATIONS  # edges to propagate over
    alpha: float = 0.2  # share of the neighbours (equation 5)
    gcn_layers: int = 1  # propagation steps
    edge_rank: int = 8  # rank of the edge weight function (equation 4)
    hidden: tuple[int, ...] = (128, 64)  # hidden layers of the scorer (equation 15)
    dropout: float = 0.2  # after each hidden layer
    user_dropout: float = 0.1  # share of training videos shown without their user's history
    hashtag_dropout: float = 0.0  # share of hashtags that a training step shows as new: by words and relatives alone

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = [name for name in self.relations if name not in RELATIONS]
        if wrong:
            raise ValueError(f"relations names {wrong[0]!r}; choose among {', '.join(RELATIONS)}")
        for name in ("visual_units", "acoustic_units", "text_units", "sentence_units", "gcn_layers", "edge_rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; choose at least 1")
        if any(size < 1 for size in self.hidden):
            raise ValueError(f"hidden is {self.hidden}; choose sizes of at least 1")
        for name in ("dropout", "user_dropout", "hashtag_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; choose a share in [0, 1)")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; choose a share in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class EncodedVideos:
    """A batch after everything that does not depend on the hashtag."""

    sequences: dict[str, EncodedSequence]
    users_BD: Tensor | None


class V2HT(Ranker):
    """Score = MLP(bi-interaction(video modalities given the hashtag, propagated hashtag, user)) + bias of the hashtag.

    A hashtag's initial embedding is a learned vector plus a learned map of the mean Word2Vec vector of its words, so
    that a hashtag that train hardly shows starts near its words. The bias starts at the logarithm of the hashtag's
    train videos over their mean; with it an embedding need not carry how frequent its hashtag is, and so pass that on
    to its neighbours. Each video is encoded once for all its hashtags.

    Args:
        hashtag_vectors_HW: mean word vector of each hashtag's words.
        hashtag_videos_H: train videos of each hashtag.
        word_vectors: word vectors of descriptions, [words, W]; fine-tuned.
        graph: edges to propagate over; None switches propagation off ("without P").
        num_relations: relation numbers that edges may have.
        feature_sizes: F of each feature modality used (visual, acoustic); empty for a text-only table.
        use_text: whether descriptions are read.
        history_size: F of the user's history; None switches the user off ("without U").
        units: LSTM units of each modality.
        dim, alpha, gcn_layers, edge_rank, hidden, dropout, user_dropout, hashtag_dropout: see `V2HTSettings`.
        loss: what training minimises; the paper's is the log loss (equation 17).

    Departs from the paper: the bias, which is the linear part of the factorisation machine that bi-interaction comes
    from; word vectors are fine-tuned; uniform negatives are drawn anew in each epoch.
    """

    def __init__(
        self,
        *,
        hashtag_vectors_HW: Tensor,
        hashtag_videos_H: Tensor,
        word_vectors: Tensor,
        graph: GraphTensors | None,
        num_relations: int,
        feature_sizes: Mapping[str, int],
        use_text: bool,
        history_size: int | None,
        units: Mapping[str, int],
        dim: int,
        alpha: float,
        gcn_layers: int,
        edge_rank: int,
        hidden: Sequence[int],
        dropout: float,
        user_dropout: float,
        hashtag_dropout: float,
        loss: RankingLoss,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.hashtag_dropout = hashtag_dropout
        num_hashtags, word_size = hashtag_vectors_HW.shape
        self.hashtag = nn.Embedding(num_hashtags, dim)
        nn.init.normal_(self.hashtag.weight, std=0.1)
        self.register_buffer("rarest_R", rarest(hashtag_videos_H), persistent=False)
        videos_H = hashtag_videos_H.float().clamp(min=1)
        self.bias_H = nn.Parameter((videos_H / videos_H.mean()).log())
        self.hashtag_words = nn.Linear(word_size, dim, bias=False)
        self.register_buffer("hashtag_vectors_HW", hashtag_vectors_HW, persistent=False)
        self.word = nn.Embedding.from_pretrained(word_vectors.clone(), freeze=False) if use_text else None
        sizes = {**feature_sizes, **({"text": word_size} if use_text else {})}
        if not sizes:
            raise ValueError("no modality is left; use at least one that the dataset has")
        self.modalities = tuple(sizes)
        self.encoders = nn.ModuleDict(
            {name: SequenceEncoder(features=size, units=units[name], dim=dim) for name, size in sizes.items()}
        )
        self.user = None if history_size is None else UserEncoder(features=history_size, dim=dim, dropout=user_dropout)
        self.gcn = None if graph is None else _gcn(graph, num_relations, dim, gcn_layers, alpha, edge_rank)
        self.scorer = BiInteraction(modalities=len(sizes), dim=dim, hidden=hidden, dropout=dropout)

    hashtag_vectors_HW: Tensor
    rarest_R: Tensor

    def initial_embeddings(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Return e(h) of equation 6 for all hashtags, [H, D]; in training, `generator` draws which are shown as new."""
        learned_HD = self.hashtag.weight
        if generator is not None and self.training and self.hashtag_dropout > 0:
            drawn_H1 = torch.rand(len(learned_HD), 1, generator=generator).to(learned_HD.device)
            learned_HD = learned_HD * (drawn_H1 >= self.hashtag_dropout)
        return learned_HD + self.hashtag_words(self.hashtag_vectors_HW)

    def hashtag_embeddings(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Return e'(h), propagated over the graph, and in a last column the bias, for all hashtags, [H, D + 1]."""
        initial_HD = self.initial_embeddings(generator=generator)
        propagated_HD = initial_HD if self.gcn is None else self.gcn(initial_HD)
        return torch.cat([propagated_HD, self.bias_H[:, None]], dim=1)

    def unlinked_embeddings(self, hashtags_K: Tensor) -> Tensor:
        """Return what `hashtag_embeddings` would hold for some hashtags if they had no neighbours, [K, D + 1]."""
        initial_KD = self.initial_embeddings()[hashtags_K]
        alone_KD = initial_KD if self.gcn is None else self.gcn.alone(initial_KD)
        return torch.cat([alone_KD, self.bias_H[hashtags_K, None]], dim=1)

    def new_hashtag_embeddings(self, vectors_NW: Tensor, edges: HashtagGraph) -> Tensor:
        """Return rows like those of `hashtag_embeddings` for hashtags that the model was not trained on, [N, D + 1].

        It has no learned vector: its words give it a place, and one propagation adds what its relatives pass on, while
        nothing passes back. Its bias is the mean of the rarest known hashtags' (`rarest`), for nobody has used it yet.
        With `hashtag_dropout` training has met hashtags shown so.

        Args:
            vectors_NW: mean word vector of each new hashtag's words; zero where no word is known.
            edges: of the new hashtags H..H+N-1 to known ones, as `graph_builders.insert` finds them.
        """
        rows_ND = self.hashtag_words(vectors_NW)
        if self.gcn is not None:
            known_E, new_E, relation_E = edge_tensors(edges, rows_ND.device)
            known_HD = self.initial_embeddings()
            rows_ND = self.gcn.insert(known_HD, rows_ND, known_E=known_E, new_E=new_E, relation_E=relation_E)
        bias_N1 = self.bias_H[self.rarest_R].mean().expand(len(rows_ND), 1)
        return torch.cat([rows_ND, bias_N1], dim=1)

    def encode(self, batch: Batch, *, generator: torch.Generator | None = None) -> EncodedVideos:
        """Encode what does not depend on the hashtag."""
        sequences = {}
        for name, encoder in self.encoders.items():
            steps = batch.sequences[name]
            features_BTF = self.word(steps) if name == "text" and self.word is not None else steps
            sequences[name] = encoder.encode(features_BTF, batch.masks[name])  # type: ignore[operator]
        users_BD = None if self.user is None else self.user(batch.history_BF, batch.known_B, generator=generator)
        return EncodedVideos(sequences=sequences, users_BD=users_BD)

    def scores(self, batch: Batch, hashtags_HE: Tensor, *, cells: int = 8_000) -> Tensor:
        """Return logits of all hashtags, [B, H], in blocks of `cells` pairs, few enough for a processor's cache."""
        block = max(1, cells // len(batch))
        encoded = self.encode(batch)
        users_B1D = None if encoded.users_BD is None else encoded.users_BD[:, None, :]
        parts = []
        for start in range(0, len(hashtags_HE), block):
            hashtags_1CD, bias_1C = (
                hashtags_HE[None, start : start + block, :-1],
                hashtags_HE[None, start : start + block, -1],
            )
            modalities = self._pooled(encoded, self._hashtag_logits(hashtags_1CD))
            parts.append(self.scorer(self.scorer.pool(modalities, hashtags_1CD, users_B1D)) + bias_1C)
        return torch.cat(parts, dim=1)

    def training_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss over each video's positives and sampled negatives."""
        num_hashtags = self.hashtag.num_embeddings
        candidates = self.loss.candidates(batch.positives_BP, num_hashtags=num_hashtags, generator=generator)
        hashtags_HE = self.hashtag_embeddings(generator=generator)
        encoded = self.encode(batch, generator=generator)
        return self.loss(partial(self._pair_logits, encoded, hashtags_HE), candidates)

    def _pair_logits(self, encoded: EncodedVideos, hashtags_HE: Tensor, ids_BC: Tensor, wanted_BC: Tensor) -> Tensor:
        """Return the logits of the wanted pairs of a video and a hashtag, [N]."""
        logits = {name: logits_H[ids_BC] for name, logits_H in self._hashtag_logits(hashtags_HE[:, :-1]).items()}
        pooled = self._pooled(encoded, logits)
        rows_NE = F.embedding(ids_BC[wanted_BC], hashtags_HE)
        hashtags_ND, bias_N = rows_NE[:, :-1], rows_NE[:, -1]
        videos_N = torch.nonzero(wanted_BC)[:, 0]
        users_ND = None if encoded.users_BD is None else encoded.users_BD[videos_N]
        modalities = [pooled_BCD[wanted_BC] for pooled_BCD in pooled]
        logits_N: Tensor = self.scorer(self.scorer.pool(modalities, hashtags_ND, users_ND))
        return logits_N + bias_N

    def _hashtag_logits(self, hashtags_D: Tensor) -> dict[str, Tensor]:
        """Return the hashtags' part of each modality's attention logits, shaped like the embeddings without D."""
        return {name: encoder.hashtag_logit(hashtags_D)[..., 0] for name, encoder in self.encoders.items()}  # type: ignore[operator]

    def _pooled(self, encoded: EncodedVideos, logits: Mapping[str, Tensor]) -> list[Tensor]:
        """Return each modality pooled for each video's candidates, [B, C, D], given `logits` [B or 1, C]."""
        return [encoder.pool(encoded.sequences[name], logits[name]) for name, encoder in self.encoders.items()]  # type: ignore[operator]


def rarest(videos_H: Tensor) -> Tensor:
    """Return the ids of the rarest tenth of the hashtags that train shows, at least one, fewest videos first.

    Hashtags of no train video are left out: training saw them as negatives only and pushed them down.
    """
    shown = torch.nonzero(videos_H > 0)[:, 0]
    order = torch.argsort(videos_H[shown], stable=True)
    return shown[order[: max(1, len(shown) // 10)]] if len(shown) else torch.arange(len(videos_H))


def _gcn(graph: GraphTensors, num_relations: int, dim: int, layers: int, alpha: float, rank: int) -> HashtagGCN:
    return HashtagGCN(
        dim=dim,
        layers=layers,
        alpha=alpha,
        rank=rank,
        num_relations=num_relations,
        rows_E=graph.rows_E,
        columns_E=graph.columns_E,
        relation_E=graph.relation_E,
        num_hashtags=graph.num_hashtags,
    )
