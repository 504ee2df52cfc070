"""What a peer is given: posts without hashtags, and train posts with them. Shapes: N posts, T train posts, U users,
H hashtags, V terms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import polars as pl
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from data.dataset import Dataset
from v2ht.floors import use_matrix


@dataclass(frozen=True, kw_only=True)
class Posts:
    """N posts to rank hashtags for: `users_N` are user ids, `times_N` seconds, NaN where unknown."""

    texts: list[str]
    users_N: np.ndarray
    times_N: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    @staticmethod
    def of(dataset: Dataset, rows: np.ndarray) -> Posts:
        """Take the videos in these rows."""
        videos = dataset.videos[rows]
        return Posts(
            texts=videos["text"].to_list(),
            users_N=videos["user_id"].to_numpy().astype(np.int64),
            times_N=videos["time"].dt.epoch("s").cast(pl.Float64).fill_null(float("nan")).to_numpy(),
        )


@dataclass(frozen=True, kw_only=True)
class TrainPosts:
    """T train posts and which hashtags they use, `uses_TH` (1 or absent)."""

    posts: Posts
    uses_TH: sparse.csr_matrix
    num_users: int

    @staticmethod
    def of(dataset: Dataset) -> TrainPosts:
        """Take the train split."""
        rows = dataset.rows("train")
        uses_TH = sparse.csr_matrix(use_matrix(dataset, rows), dtype=np.float32)
        return TrainPosts(posts=Posts.of(dataset, rows), uses_TH=uses_TH, num_users=dataset.num_users)

    @property
    def num_hashtags(self) -> int:
        return int(self.uses_TH.shape[1])

    @cached_property
    def popularity_H(self) -> np.ndarray:
        """The share of the train posts that use each hashtag, float32."""
        return np.asarray(self.uses_TH.mean(axis=0), dtype=np.float32).ravel()

    @cached_property
    def authors_UT(self) -> sparse.csr_matrix:
        """Who wrote which train post, 1 or absent."""
        places = (self.posts.users_N, np.arange(len(self.posts)))
        ones = np.ones(len(self.posts), np.float32)
        return sparse.csr_matrix((ones, places), shape=(self.num_users, len(self.posts)))

    @cached_property
    def counts_UH(self) -> sparse.csr_matrix:
        """How many of his train posts with each hashtag a user has."""
        return (self.authors_UT @ self.uses_TH).tocsr()


class Peer(Protocol):
    """The contract."""

    def fit(self, train: TrainPosts) -> None:
        """Learn from the train posts."""

    def scores(self, posts: Posts) -> np.ndarray:
        """Return how well each hashtag suits each post, float32 [N, H], higher is better."""


def vectorizer(terms: str) -> TfidfVectorizer:
    """Return TF-IDF of words and pairs of words ("words"), or of runs of 2 to 4 characters in words ("chars")."""
    if terms == "chars":
        return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=2, dtype=np.float32)
    return TfidfVectorizer(
        token_pattern=r"\w+", ngram_range=(1, 2), sublinear_tf=True, min_df=2, dtype=np.float32
    )  # stop words too: users have set phrases


def beside_users(
    texts_NV: sparse.csr_matrix, users_N: np.ndarray, *, num_users: int, weight: float
) -> sparse.csr_matrix:
    """Return the texts' vectors beside the users' one-hot vectors times `weight`, [N, V + U]."""
    places = (np.arange(len(users_N)), users_N)
    users_NU = sparse.csr_matrix((np.full(len(users_N), weight, np.float32), places), shape=(len(users_N), num_users))
    return sparse.hstack([texts_NV, users_NU], format="csr")
