"""The floors: three plain rankers that every model has to beat, all through one code path.

Each floor gives a hashtag votes, and backs them with the hashtag's share of the train videos:

    score(video, hashtag) = votes(video, hashtag) + backing * share(hashtag)

    popularity      no votes
    user_history    the user's train videos with the hashtag, counted; shares only settle ties and fill the rest
    text_knn        the share of the most similar train texts with the hashtag, weighted by similarity

Only the train split is seen. Rows of train itself are refused: their own hashtags would vote for them.
B: videos of a batch, H: hashtags, T: train videos, U: users.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors

from data.dataset import Dataset

# Chosen on the validation splits of one English and one Vietnamese table. Short runs of characters beat words on both,
# and also serve languages that do not put spaces between words.
NEIGHBOURS = 20
SIMILARITY_POWER = 3
KNN_BACKING = (
    0.2  # weighs as much as a fifth of the neighbours: it can overturn the votes of a distant few, not of most
)
HISTORY_BACKING = 0.5  # under the distance of two counts, and float32 keeps it apart from them

Votes = Callable[[np.ndarray], sp.csr_array]


class Floor:
    """Scores of whole batches over the whole vocabulary, from votes and popularity."""

    def __init__(self, dataset: Dataset, *, votes: Votes, backing: float) -> None:
        """Take `votes`, which maps rows [B] to a sparse [B, H], and the weight of popularity beside them."""
        self._votes = votes
        self._backing = backing * popularity_share(dataset)
        self._is_train = dataset.videos["split"].to_numpy() == "train"

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Return the scores [B, H] (float32, higher is better) of the given rows of the dataset's videos.

        Raises ValueError on a row of the train split, and IndexError on a row that is none.
        """
        rows = _checked_rows(rows, self._is_train)
        return (self._votes(rows).toarray() + self._backing).astype(np.float32)


def _checked_rows(rows: np.ndarray, is_train: np.ndarray) -> np.ndarray:
    """Return `rows` as int64 if they are all rows of valid or test videos, else raise."""
    rows = np.asarray(rows, dtype=np.int64)
    outside = rows[(rows < 0) | (rows >= len(is_train))]
    if len(outside):
        raise IndexError(f"row {outside[0]} is outside 0..{len(is_train) - 1}; give rows of the dataset's videos")
    known = rows[is_train[rows]]
    if len(known):
        raise ValueError(f"row {known[0]} is in the train split, which the floors know; give valid or test rows")
    return rows


def use_matrix(dataset: Dataset, rows: np.ndarray) -> sp.csr_array:
    """Return which of the given videos uses which hashtag (1.0 or absent), [rows, H]."""
    ids = dataset.hashtag_ids().take(rows)
    ones = np.ones(len(ids.values), dtype=np.float64)
    return sp.csr_array((ones, ids.values, ids.offsets), shape=(len(rows), dataset.num_hashtags))


def popularity_share(dataset: Dataset) -> np.ndarray:
    """Return the share [H], in [0, 1], of the train videos that use each hashtag (zeros without train videos)."""
    rows = dataset.rows("train")
    return np.asarray(use_matrix(dataset, rows).sum(axis=0)) / max(len(rows), 1)


def popularity(dataset: Dataset) -> Floor:
    """Return the floor that gives every video the same ranking: most used in train first."""
    return Floor(dataset, votes=lambda rows: sp.csr_array((len(rows), dataset.num_hashtags)), backing=1.0)


def user_history(dataset: Dataset) -> Floor:
    """Return the floor that repeats the user: his hashtags by count, ties and the rest by popularity.

    A user without train videos gets the popularity ranking.
    """
    train = dataset.rows("train")
    users = dataset.videos["user_id"].to_numpy()
    pairs = (users[train], np.arange(len(train)))
    authorship = sp.csr_array((np.ones(len(train)), pairs), shape=(dataset.num_users, len(train)))
    counts = authorship @ use_matrix(dataset, train)  # [U, H]
    return Floor(dataset, votes=lambda rows: counts[users[rows]], backing=HISTORY_BACKING)


def text_knn(dataset: Dataset) -> Floor:
    """Return the floor that copies the hashtags of train videos with similar text.

    Texts are TF-IDF vectors of character runs of 2 to 4 inside words; the `NEIGHBOURS` train videos of highest cosine
    vote, with weights cosine ** `SIMILARITY_POWER` that sum to 1. A video without text, or with a text like no other,
    gets the popularity ranking. Equally similar texts at the last place are taken in an arbitrary but repeatable way.
    """
    train = dataset.rows("train")
    texts = dataset.videos["text"].fill_null("")
    if not any(text.strip() for text in texts.gather(train)):
        return popularity(dataset)  # nothing to compare with
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, dtype=np.float32)
    index = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(train)), metric="cosine", algorithm="brute")
    index.fit(vectorizer.fit_transform(texts.gather(train)))
    uses = use_matrix(dataset, train)

    def votes(rows: np.ndarray) -> sp.csr_array:
        if not len(rows):  # scikit-learn refuses an empty batch
            return sp.csr_array((0, dataset.num_hashtags))
        distances, neighbours = index.kneighbors(vectorizer.transform(texts.gather(rows)))
        return _similarity_weights(distances, neighbours, num_train=len(train)) @ uses

    return Floor(dataset, votes=votes, backing=KNN_BACKING)


def _similarity_weights(distances: np.ndarray, neighbours: np.ndarray, *, num_train: int) -> sp.csr_array:
    """Turn cosine distances [B, K] to train videos `neighbours` [B, K] into weights [B, T]; a row sums to 1 or 0."""
    weights = np.clip(1.0 - distances.astype(np.float64), 0.0, 1.0) ** SIMILARITY_POWER
    sums = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)
    starts = np.arange(len(neighbours) + 1) * neighbours.shape[1]
    return sp.csr_array((weights.ravel(), neighbours.ravel(), starts), shape=(len(neighbours), num_train))


FLOORS: dict[str, Callable[[Dataset], Floor]] = {
    "popularity": popularity,
    "user_history": user_history,
    "text_knn": text_knn,
}
