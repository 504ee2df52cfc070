"""The retriever: videos and hashtags in one space, compared by cosine (GGM, ACL 2023, section 3.2, equation 2).

Shapes: B videos, T frames, R regions or patches of a frame, F features, H hashtags, W word vector, D common space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graph_builders.hashtag_graph import HashtagGraph
from v2ht.inputs import Batch, GraphTensors
from v2ht.losses import RankingLoss
from v2ht.models.contract import Ranker, edge_tensors
from v2ht.nn.descriptor import VideoDescriptor
from v2ht.nn.hashtag_gcn import HashtagGCN
from v2ht.nn.user import UserEncoder

HIGHEST_SCALE = 100.0  # 1 / temperature at most, as in CLIP


class Retriever(Ranker):
    """Score = cosine(video, hashtag) / temperature, both sides in one space of size D.

    The video is its modalities' means through `VideoDescriptor` (equation 2's mean over frames), plus its user. The
    hashtag is a learned vector plus a map of its words' mean vector, propagated over the hashtag graph as in `V2HT`.
    A hashtag of no train video has no learned vector: its words and neighbours give it its place. Training hides the
    learned vectors of some hashtags in each step, so that such a place means something.

    Args:
        hashtag_vectors_HW: mean word vector of each hashtag's words.
        hashtag_videos_H: train videos of each hashtag.
        graph: edges to propagate over; None leaves the graph out.
        num_relations: relation numbers that edges may have.
        feature_sizes, word_vectors: what to read of a video, see `StepFeatures`.
        history_size: F of the user's history; None leaves the user out.
        attribute_sizes: of the user, see `UserEncoder`.
        dim, alpha, gcn_layers, edge_rank, temperature, hashtag_dropout, user_dropout: see `GGMSettings`.
        loss: a sampled ranking loss; None for the paper's, `contrastive_loss` over the hashtags of the batch.

    Departs from the paper: the hashtag side is the graph and word vectors, not CLIP's text encoder; the video side has
    text, sound and user beside the frames; a hashtag drawn for another video is no negative of a video that has it.
    """

    def __init__(
        self,
        *,
        hashtag_vectors_HW: Tensor,
        hashtag_videos_H: Tensor,
        graph: GraphTensors | None,
        num_relations: int,
        feature_sizes: Mapping[str, int],
        word_vectors: Tensor | None,
        history_size: int | None,
        attribute_sizes: Sequence[int] = (),
        dim: int,
        alpha: float,
        gcn_layers: int,
        edge_rank: int,
        temperature: float,
        hashtag_dropout: float,
        user_dropout: float,
        loss: RankingLoss | None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.hashtag_dropout = hashtag_dropout
        num_hashtags, word_size = hashtag_vectors_HW.shape
        self.hashtag = nn.Embedding(num_hashtags, dim)
        nn.init.normal_(self.hashtag.weight, std=0.1)
        self.hashtag_words = nn.Linear(word_size, dim, bias=False)
        self.register_buffer("hashtag_vectors_HW", hashtag_vectors_HW, persistent=False)
        self.register_buffer("seen_H1", (hashtag_videos_H > 0)[:, None], persistent=False)
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
        self.user = None
        if history_size is not None:
            self.user = UserEncoder(
                features=history_size, dim=dim, dropout=user_dropout, attribute_sizes=attribute_sizes
            )
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    hashtag_vectors_HW: Tensor
    seen_H1: Tensor

    def initial_embeddings(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the hashtags before propagation, [H, D]; in training, `generator` draws which are seen as new."""
        shown_H1 = self.seen_H1
        if generator is not None and self.training and self.hashtag_dropout > 0:
            drawn_H1 = torch.rand(len(shown_H1), 1, generator=generator).to(shown_H1.device)
            shown_H1 = shown_H1 & (drawn_H1 >= self.hashtag_dropout)
        return self.hashtag.weight * shown_H1 + self.hashtag_words(self.hashtag_vectors_HW)

    def hashtag_embeddings(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Return all hashtags in the common space, of length one, [H, D]."""
        initial_HD = self.initial_embeddings(generator=generator)
        return F.normalize(initial_HD if self.gcn is None else self.gcn(initial_HD), dim=1)

    def unlinked_embeddings(self, hashtags_K: Tensor) -> Tensor:
        """Return what `hashtag_embeddings` would hold for some hashtags if they had no neighbours, [K, D]."""
        initial_KD = self.initial_embeddings()[hashtags_K]
        return F.normalize(initial_KD if self.gcn is None else self.gcn.alone(initial_KD), dim=1)

    def new_hashtag_embeddings(self, vectors_NW: Tensor, edges: HashtagGraph) -> Tensor:
        """Return rows like those of `hashtag_embeddings` for hashtags that the model was not trained on, [N, D].

        As for any hashtag of no train video: no learned vector, its words, and what its relatives pass on.

        Args:
            vectors_NW: mean word vector of each new hashtag's words; zero where no word is known.
            edges: of the new hashtags H..H+N-1 to known ones, as `graph_builders.insert` finds them.
        """
        rows_ND = self.hashtag_words(vectors_NW)
        if self.gcn is not None:
            known_E, new_E, relation_E = edge_tensors(edges, rows_ND.device)
            known_HD = self.initial_embeddings()
            rows_ND = self.gcn.insert(known_HD, rows_ND, known_E=known_E, new_E=new_E, relation_E=relation_E)
        return F.normalize(rows_ND, dim=1)

    def videos(self, batch: Batch, *, generator: torch.Generator | None = None) -> Tensor:
        """Return videos in the common space, of length one, [B, D]; `generator` draws the user dropout of training."""
        sequences = {name: whole_frames(name, batch.sequences[name]) for name in self.modalities}
        videos_BD: Tensor = self.video(sequences, batch.masks)
        if self.user is not None:
            videos_BD = videos_BD + self.user(batch.history_BF, batch.known_B, batch.attributes_BA, generator=generator)
        return F.normalize(videos_BD, dim=1)

    @property
    def scale(self) -> Tensor:
        """1 / temperature, at most `HIGHEST_SCALE`."""
        return self.log_scale.exp().clamp(max=HIGHEST_SCALE)

    def scores(self, batch: Batch, hashtags_HD: Tensor) -> Tensor:
        """Return cosines over the temperature, [B, H]."""
        return self.scale * (self.videos(batch) @ hashtags_HD.T)

    def training_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss of a batch: contrastive over one hashtag drawn for each video, or a sampled ranking loss."""
        hashtags_HD = self.hashtag_embeddings(generator=generator)
        videos_BD = self.videos(batch, generator=generator)
        if self.loss is not None:
            return self.loss.of_matrix(self.scale * (videos_BD @ hashtags_HD.T), batch.positives_BP, generator)
        drawn_B = draw_positives(batch.positives_BP, generator)
        scores_BB = self.scale * (videos_BD @ hashtags_HD[drawn_B].T)
        also_true_BB = (batch.positives_BP[:, :, None] == drawn_B).any(1)
        return contrastive_loss(scores_BB.float(), also_true_BB)


def whole_frames(name: str, steps: Tensor) -> Tensor:
    """Return [B, T, F]: of a frame as patches its class token, which stands first; of one as regions their mean."""
    if steps.ndim == 3 or name == "text":
        return steps
    return steps[:, :, 0] if name == "patches" else steps.mean(2)


def draw_positives(positives_BP: Tensor, generator: torch.Generator) -> Tensor:
    """Return one hashtag of each video, [B], drawn uniformly. Padding (-1) is never drawn.

    Raises ValueError when a video has none.
    """
    real_BP = (positives_BP >= 0).float()
    if not bool(real_BP.any(1).all()):
        raise ValueError("a training video has no hashtag; leave it out of the train split")
    places_B1 = torch.multinomial(real_BP.cpu(), 1, generator=generator).to(positives_BP.device)
    return positives_BP.gather(1, places_B1)[:, 0]


def contrastive_loss(scores_BB: Tensor, also_true_BB: Tensor) -> Tensor:
    """Return the mean cross-entropy of each video among the batch's hashtags and of each hashtag among its videos.

    Row: video; column: the hashtag drawn for the video of that number. CLIP's symmetric loss (Radford et al., ICML
    2021), without the pairs that are true beside the drawn ones: `also_true_BB` says which pairs are true.
    """
    own_B = torch.arange(len(scores_BB), device=scores_BB.device)
    false_negative_BB = also_true_BB & (own_B[:, None] != own_B)
    scores_BB = scores_BB.masked_fill(false_negative_BB, float("-inf"))
    return (F.cross_entropy(scores_BB, own_B) + F.cross_entropy(scores_BB.T, own_B)) / 2
