"""Peers that embed words and users: bag of words with a softmax, fastText, LightFM.

Shapes: B posts of a batch, N posts, H hashtags, D dimensions, V words.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers.linear import TextAndUser
from benchmarks.peers.posts import Posts, TrainPosts

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Return the words of any language, in lower case."""
    return _WORD.findall(text.lower())


@dataclass
class BagOfWords:
    """score = (mean word vector + user vector) . hashtag vector + bias; softmax over all hashtags, Adam.

    Like #TagSpace (Weston et al., EMNLP 2014) in that posts and hashtags share a space; a mean instead of its
    convolution, softmax instead of WARP, and the user beside the text.
    """

    dim: int = 128
    epochs: int = 20
    learning_rate: float = 0.003
    dropout: float = 0.5
    batch: int = 128
    seed: int = 0

    def fit(self, train: TrainPosts) -> None:
        torch.manual_seed(self.seed)
        known = sorted({word for text in train.posts.texts for word in words(text)})
        self._place = {word: place for place, word in enumerate(known, start=1)}  # 0: unknown words, a zero vector
        self._seen_U = np.diff(train.authors_UT.indptr) > 0
        self._words = nn.EmbeddingBag(len(known) + 1, self.dim, mode="mean", padding_idx=0)
        self._users = nn.Embedding(train.num_users + 1, self.dim, padding_idx=train.num_users)  # the last: nobody
        self._hashtags = nn.Linear(self.dim, train.num_hashtags)
        parameters = [*self._words.parameters(), *self._users.parameters(), *self._hashtags.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=self.learning_rate)
        ids, users = self._ids(train.posts)
        for _ in range(self.epochs):
            for part in torch.randperm(len(train.posts)).split(self.batch):
                targets_BH = torch.from_numpy(train.uses_TH[part.numpy()].toarray())
                vectors_BD = F.dropout(self._vectors([ids[row] for row in part.tolist()], users[part]), self.dropout)
                shares_BH = targets_BH / targets_BH.sum(1, keepdim=True).clamp(min=1)
                loss = -(shares_BH * self._hashtags(vectors_BD).log_softmax(1)).sum(1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def _ids(self, posts: Posts) -> tuple[list[list[int]], torch.Tensor]:
        """Return each post's word ids and its user, `num_users` for one that train does not know."""
        ids = [[self._place.get(word, 0) for word in words(text)] for text in posts.texts]
        users_N = np.where(self._seen_U[posts.users_N], posts.users_N, len(self._seen_U))
        return ids, torch.from_numpy(users_N)

    def _vectors(self, ids: list[list[int]], users_B: torch.Tensor) -> torch.Tensor:
        offsets = torch.tensor([0, *map(len, ids[:-1])]).cumsum(0)
        flat = torch.tensor([word for row in ids for word in row], dtype=torch.int64)
        return self._words(flat, offsets) + self._users(users_B)

    def scores(self, posts: Posts) -> np.ndarray:
        with torch.inference_mode():
            return self._hashtags(self._vectors(*self._ids(posts))).numpy()


@dataclass
class FastText:
    """fastText's supervised classifier (Joulin et al., EACL 2017); the user is one more word.

    `loss`: softmax, or ova (one-vs-all).
    """

    learning_rate: float = 0.5
    epochs: int = 25
    word_ngrams: int = 1
    loss: str = "softmax"
    dim: int = 64
    seed: int = 0

    def fit(self, train: TrainPosts) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "train.txt"
            lines = []
            for row, line in enumerate(_lines(train.posts)):
                own = train.uses_TH.indices[train.uses_TH.indptr[row] : train.uses_TH.indptr[row + 1]]
                lines.append(" ".join([*(f"__label__{hashtag}" for hashtag in own), line]) + "\n")
            path.write_text("".join(lines), encoding="utf-8")
            self._model = self._train(path)
        self._hashtags = [int(label.removeprefix("__label__")) for label in self._model.get_labels()]
        self._output_LD = np.asarray(self._model.get_output_matrix())
        self._unseen_H = np.full(train.num_hashtags, -1e9, np.float32) + train.popularity_H

    def _train(self, path: Path) -> Any:
        """Raise ArithmeticError where it diverges."""
        import fasttext

        try:
            return fasttext.train_supervised(
                str(path),
                lr=self.learning_rate,
                epoch=self.epochs,
                wordNgrams=self.word_ngrams,
                dim=self.dim,
                minCount=1,
                bucket=200_000,
                loss=self.loss,
                thread=1,
                seed=self.seed,
                verbose=0,
            )
        except RuntimeError as error:
            raise ArithmeticError(f"fastText: {error}") from None

    def scores(self, posts: Posts) -> np.ndarray:
        vectors_ND = np.stack([self._model.get_sentence_vector(line) for line in _lines(posts)])
        scores_NH = np.tile(self._unseen_H, (len(posts), 1))
        scores_NH[:, self._hashtags] = vectors_ND @ self._output_LD.T  # the order of its probabilities
        return scores_NH


def _lines(posts: Posts) -> list[str]:
    pairs = zip(posts.users_N.tolist(), posts.texts, strict=True)
    return [" ".join([f"__user__{user}", *words(text)]) for user, text in pairs]


@dataclass
class LightFm:
    """LightFM (Kula, 2015), WARP: a post is the sum of its features (words, user), a hashtag has its own vector."""

    dim: int = 64
    epochs: int = 30
    user: float = 1.0
    max_sampled: int = 100
    learning_rate: float = 0.05
    seed: int = 0

    def fit(self, train: TrainPosts) -> None:
        from lightfm import LightFM

        self._features = TextAndUser(self.user)
        features_TF = self._features.fit(train)
        self._model = LightFM(
            no_components=self.dim,
            loss="warp",
            max_sampled=self.max_sampled,
            learning_rate=self.learning_rate,
            random_state=self.seed,
        )
        self._model.fit(train.uses_TH.tocoo(), user_features=features_TF, epochs=self.epochs, num_threads=1)

    def scores(self, posts: Posts) -> np.ndarray:
        posts_ND = self._features(posts) @ self._model.user_embeddings
        return (posts_ND @ self._model.item_embeddings.T + self._model.item_biases).astype(np.float32)
