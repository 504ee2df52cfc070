"""Peers that count: popularity, the user's own hashtags, what others posted last, nearest texts, naive Bayes.

Shapes: N posts, T train posts, U users, H hashtags, V terms, K neighbours, M train posts of one user.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.stats import rankdata
from sklearn.feature_extraction.text import CountVectorizer

from benchmarks.peers.posts import Posts, TrainPosts, vectorizer


@dataclass
class Popularity:
    """The share of the train posts with the hashtag."""

    def fit(self, train: TrainPosts) -> None:
        self._popularity_H = train.popularity_H

    def scores(self, posts: Posts) -> np.ndarray:
        return np.tile(self._popularity_H, (len(posts), 1))


@dataclass
class UserHistory:
    """Sum over the user's train posts with the hashtag of decay ** rank, plus backing * popularity.

    Rank 0 is the post nearest in time, ties share the lower rank. With decay 1 it counts, and a backing under 1 settles
    ties and fills the rest.
    """

    decay: float = 1.0
    backing: float = 0.5

    def fit(self, train: TrainPosts) -> None:
        self._train = train

    def weights(self, posts: Posts) -> sparse.csr_matrix:
        """Return the weight of each train post for each post, [N, T]."""
        authors_UT, times_T = self._train.authors_UT, self._train.posts.times_N
        own_NT = authors_UT[posts.users_N]
        if self.decay < 1:
            for row in range(len(posts)):
                part = slice(own_NT.indptr[row], own_NT.indptr[row + 1])
                distances_M = np.abs(posts.times_N[row] - times_T[own_NT.indices[part]])
                ranks_M = rankdata(np.nan_to_num(distances_M, nan=0.0), method="min") - 1  # unknown times: all alike
                own_NT.data[part] = self.decay**ranks_M
        return own_NT

    def scores(self, posts: Posts) -> np.ndarray:
        votes_NH = (self.weights(posts) @ self._train.uses_TH).toarray()
        return (votes_NH + self.backing * self._train.popularity_H).astype(np.float32)


@dataclass
class LatestPosts:
    """Shares of the last `count` train posts by others that are not newer, weighted by fading ** rank, plus
    backing * popularity."""

    count: int = 50
    fading: float = 0.9
    backing: float = 0.1

    def fit(self, train: TrainPosts) -> None:
        self._train = train
        times_T = train.posts.times_N
        known = np.flatnonzero(~np.isnan(times_T))
        self._order = known[np.argsort(times_T[known], kind="stable")]

    def weights(self, posts: Posts) -> sparse.csr_matrix:
        """Return the weight of each train post for each post, [N, T]; none for a post of unknown time."""
        times, authors = self._train.posts.times_N[self._order], self._train.posts.users_N[self._order]
        ends_N = np.where(np.isnan(posts.times_N), 0, np.searchsorted(times, posts.times_N, side="right"))
        found = []
        for end, user in zip(ends_N, posts.users_N, strict=True):
            others = np.flatnonzero(authors[:end] != user)[::-1][: self.count]
            found.append(self._order[others])
        lengths_N = np.array([len(own) for own in found])
        values = np.concatenate([self.fading ** np.arange(length) for length in lengths_N])
        places = (np.repeat(np.arange(len(posts)), lengths_N), np.concatenate(found))
        shape = (len(posts), len(self._train.posts))
        return _shares(sparse.csr_matrix((values.astype(np.float32), places), shape=shape))

    def scores(self, posts: Posts) -> np.ndarray:
        votes_NH = (self.weights(posts) @ self._train.uses_TH).toarray()
        return (votes_NH + self.backing * self._train.popularity_H).astype(np.float32)


@dataclass
class Neighbours:
    """Votes of the train posts with the nearest texts, weighted by cosine ** power, as shares; beside them
    history * the user's own shares, latest * those of `LatestPosts`, and backing * popularity."""

    terms: str = "words"
    neighbours: int = 50
    power: float = 1.0
    backing: float = 0.1
    history: float = 0.0
    decay: float = 1.0
    latest: float = 0.0
    fading: float = 0.9

    def fit(self, train: TrainPosts) -> None:
        self._train = train
        self._own = UserHistory(decay=self.decay)
        self._own.fit(train)
        self._last = LatestPosts(fading=self.fading)
        self._last.fit(train)
        self._vectorizer = vectorizer(self.terms)
        self._texts_VT = self._vectorizer.fit_transform(train.posts.texts).T.tocsr()

    def scores(self, posts: Posts) -> np.ndarray:
        similar_NT = np.clip((self._vectorizer.transform(posts.texts) @ self._texts_VT).toarray(), 0, 1)
        weights_NT = _shares(_largest(similar_NT, self.neighbours, self.power))
        if self.history:
            weights_NT = weights_NT + self.history * _shares(self._own.weights(posts))
        if self.latest:
            weights_NT = weights_NT + self.latest * self._last.weights(posts)
        votes_NH = (weights_NT @ self._train.uses_TH).toarray()
        return (votes_NH + self.backing * self._train.popularity_H).astype(np.float32)


def _largest(similar_NT: np.ndarray, kept: int, power: float) -> sparse.csr_matrix:
    """Keep the largest values of each row, raised to a power."""
    kept = min(kept, similar_NT.shape[1])
    places_NK = np.argpartition(-similar_NT, kept - 1, axis=1)[:, :kept]
    values_NK = np.take_along_axis(similar_NT, places_NK, axis=1) ** power
    rows = np.repeat(np.arange(len(similar_NT)), kept)
    return sparse.csr_matrix((values_NK.ravel(), (rows, places_NK.ravel())), shape=similar_NT.shape)


def _shares(weights_NT: sparse.csr_matrix) -> sparse.csr_matrix:
    """Divide each row by its sum, where it has one."""
    sums_N = np.asarray(weights_NT.sum(axis=1)).ravel()
    return sparse.diags_array(np.divide(1, sums_N, out=np.zeros_like(sums_N), where=sums_N > 0)) @ weights_NT


@dataclass
class NaiveBayes:
    """log p(h | user) + text * sum over the words w of log p(w | h) / p(w), words of a post counted once.

    p(h | user) mixes the user's counts with `prior` posts of popularity, p(w | h) the hashtag's counts with `smoothing`
    words of the whole train split (Dirichlet priors).
    """

    text: float = 0.3
    smoothing: float = 100.0
    prior: float = 0.1

    def fit(self, train: TrainPosts) -> None:
        self._counts_UH, self._popularity_H = train.counts_UH, train.popularity_H + 1e-9
        self._vectorizer = CountVectorizer(token_pattern=r"\w+", min_df=2, binary=True, dtype=np.float32)
        texts_TV = self._vectorizer.fit_transform(train.posts.texts)
        share_V = np.asarray(texts_TV.sum(axis=0)).ravel() / texts_TV.sum()
        counts_VH = (texts_TV.T @ train.uses_TH).tocsr()
        sums_H = np.asarray(counts_VH.sum(axis=0)).ravel()
        # log p(w|h)/p(w) = log(1 + n_wh / (s p(w))) - log(1 + n_h / s): the first is sparse.
        self._words_VH = (sparse.diags_array(1 / (self.smoothing * share_V)) @ counts_VH).log1p().tocsr()
        self._length_H = np.log1p(sums_H / self.smoothing)

    def scores(self, posts: Posts) -> np.ndarray:
        own_NH = self._counts_UH[posts.users_N].toarray() + self.prior * self._popularity_H
        texts_NV = self._vectorizer.transform(posts.texts)
        lengths_N1 = np.asarray(texts_NV.sum(axis=1)).reshape(-1, 1)
        words_NH = (texts_NV @ self._words_VH).toarray() - lengths_N1 * self._length_H
        return (np.log(own_NH) + self.text * words_NH).astype(np.float32)
