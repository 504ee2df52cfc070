"""The classifiers of GGM's table 2: BERT over the text, ViT over the frames, both (GGM, ACL 2023, 4.3, appendix A).

Shapes: B videos, T steps, F features, H hashtags, D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from data.features.torchvision_models import import_torchvision
from v2ht.inputs import Batch
from v2ht.losses import RankingLoss
from v2ht.models.contract import Ranker
from v2ht.models.ggm.retriever import whole_frames
from v2ht.nn.descriptor import VideoDescriptor
from v2ht.nn.steps import with_stand_in

LONGEST = 512  # words


class Classifier(Ranker):
    """Score = logit of the hashtag, from the mean frame (ViT), the class token over the words (BERT), or both.

    Frames come encoded by the network that extracted them and their mean is taken, as the retriever does; words are
    word vectors through a small BERT with a learned class token. What a video lacks is a learned stand-in.

    Args:
        num_hashtags: H.
        hashtag_videos_H: train videos of each hashtag; one without any is no class and is ranked last.
        feature_sizes: F of each feature modality to read; empty for the text alone.
        word_vectors: word vectors of descriptions, which training changes; None leaves the text out.
        dim: D.
        layers, heads, dropout: of BERT.
        loss: a sampled ranking loss; None for the paper's, cross-entropy between the softmax over all hashtags and
            1 / k for each of the video's k hashtags.

    Departs from the paper: networks from scratch; BERT reads the words that all rankers read.
    """

    def __init__(
        self,
        *,
        num_hashtags: int,
        hashtag_videos_H: Tensor,
        feature_sizes: Mapping[str, int],
        word_vectors: Tensor | None,
        dim: int,
        layers: int,
        heads: int,
        dropout: float,
        loss: RankingLoss | None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.frames = (
            VideoDescriptor(feature_sizes=feature_sizes, word_vectors=None, dim=dim) if feature_sizes else None
        )
        self.words = None
        if word_vectors is not None:
            self.words = WordEncoder(word_vectors=word_vectors, dim=dim, layers=layers, heads=heads, dropout=dropout)
        self.modalities = (*feature_sizes, *(() if word_vectors is None else ("text",)))
        parts = (self.frames is not None) + (self.words is not None)
        self.hashtag = nn.Linear(parts * dim, num_hashtags)
        self.register_buffer("never_H", hashtag_videos_H == 0, persistent=False)

    never_H: Tensor

    def posts(self, batch: Batch) -> Tensor:
        """Return what the classes are told from, [B, D or 2 D]."""
        parts = []
        if self.frames is not None:
            names = [name for name in self.modalities if name != "text"]
            sequences = {name: whole_frames(name, batch.sequences[name]) for name in names}
            parts.append(self.frames(sequences, batch.masks))
        if self.words is not None:
            parts.append(self.words(batch.sequences["text"], batch.masks["text"]))
        return torch.cat(parts, dim=1)

    def hashtag_embeddings(self) -> Tensor:
        """Return each hashtag's class vector and, in a last column, its bias, very low for one that is no class."""
        bias_H = self.hashtag.bias.masked_fill(self.never_H, -1e4)
        return torch.cat([self.hashtag.weight, bias_H[:, None]], dim=1)

    def scores(self, batch: Batch, hashtags_HE: Tensor) -> Tensor:
        """Return logits, [B, H]."""
        return self.posts(batch) @ hashtags_HE[:, :-1].T + hashtags_HE[:, -1]

    def training_loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the loss of a batch."""
        scores_BH = self.scores(batch, self.hashtag_embeddings())
        if self.loss is not None:
            return self.loss.of_matrix(scores_BH, batch.positives_BP, generator)
        return softmax_over_all(scores_BH, batch.positives_BP)


class WordEncoder(nn.Module):
    """A small BERT over word vectors; returns the state of a learned class token, [B, D]."""

    def __init__(self, *, word_vectors: Tensor, dim: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.word = nn.Embedding.from_pretrained(word_vectors.clone(), freeze=False)
        self.to_dim = nn.Linear(word_vectors.shape[1], dim)
        self.class_token_D = nn.Parameter(torch.randn(dim) * 0.1)
        self.stand_in_D = nn.Parameter(torch.randn(dim) * 0.1)
        import_torchvision()  # transformers imports it
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=1,  # words come as vectors
            hidden_size=dim,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * dim,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            max_position_embeddings=LONGEST,
            type_vocab_size=1,
        )
        self.bert = BertModel(config, add_pooling_layer=False)
        self.bert.embeddings.word_embeddings.requires_grad_(False)  # never read

    def forward(self, words_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Encode word ids; the mask is True at real words."""
        words_BT, mask_BT = words_BT[:, : LONGEST - 1], mask_BT[:, : LONGEST - 1]
        steps_BTD, mask_BT = with_stand_in(self.to_dim(self.word(words_BT)), mask_BT, self.stand_in_D)
        first_B1D = self.class_token_D.expand(len(steps_BTD), 1, -1)
        mask_BT = torch.cat([mask_BT.new_ones(len(mask_BT), 1), mask_BT], dim=1)
        states_BTD = self.bert(
            inputs_embeds=torch.cat([first_B1D, steps_BTD], dim=1), attention_mask=mask_BT.long()
        ).last_hidden_state
        encoded_BD: Tensor = states_BTD[:, 0]
        return encoded_BD


def softmax_over_all(scores_BH: Tensor, positives_BP: Tensor) -> Tensor:
    """Return the mean cross-entropy with targets 1 / k for a video's k hashtags (GGM, appendix A; Mahajan et al.)."""
    real_BP = positives_BP >= 0
    log_shares_BP = scores_BH.float().log_softmax(1).gather(1, positives_BP.clamp(min=0))
    summed_B = torch.where(real_BP, log_shares_BP, 0.0).sum(1)
    return -(summed_B / real_BP.sum(1).clamp(min=1)).mean()
