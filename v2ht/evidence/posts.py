"""Posts as evidence reads them: those to judge, and those of the past that speak for them.

Shapes: N posts to judge, T posts of the past, V terms, H hashtags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from v2ht.evidence.votes import Entries, Speakers, Votes

SMOOTHING = 5  # posts without a common hashtag, added to all counts of co-occurrence
LIKELIHOOD_SMOOTHING = 10  # posts with the terms of all, added to each hashtag's
RECENT = 0.15  # share of the past posts that are the recent ones


@dataclass(frozen=True, kw_only=True)
class Posts:
    """N posts to judge."""

    users_N: np.ndarray  # int64 user ids, -1 for somebody unknown
    times_N: np.ndarray  # float64 seconds, NaN where unknown
    sounds_N: np.ndarray  # int64 sound ids, -1 for an unknown one
    texts_NV: sparse.csr_matrix
    lengths_N: np.ndarray  # words of each text
    named_NH: sparse.csr_matrix  # 1 where the text says the hashtag
    places_N: np.ndarray  # int64 place of the same post in the past, -1 for a post that is not there

    def __len__(self) -> int:
        return len(self.users_N)

    @property
    def any_past(self) -> bool:
        """Whether one of the posts is itself in the past."""
        return bool((self.places_N >= 0).any())

    def take(self, rows: np.ndarray, places_N: np.ndarray) -> Posts:
        """Return some of the posts, with new places."""
        return Posts(
            users_N=self.users_N[rows],
            times_N=self.times_N[rows],
            sounds_N=self.sounds_N[rows],
            texts_NV=self.texts_NV[rows],
            lengths_N=self.lengths_N[rows],
            named_NH=self.named_NH[rows],
            places_N=places_N,
        )


@dataclass(frozen=True, kw_only=True)
class Past:
    """T posts whose hashtags are known, and what is counted of them once."""

    users_T: np.ndarray  # int64 user ids
    times_T: np.ndarray  # float64 seconds, NaN where unknown
    sounds_T: np.ndarray  # int64 sound ids, -1 for an unknown one
    texts_TV: sparse.csr_matrix
    uses_TH: sparse.csr_matrix  # 1 where the post has the hashtag
    rarity_V: np.ndarray  # all train texts over those with the term
    num_users: int

    def __len__(self) -> int:
        return len(self.users_T)

    def take(self, rows: np.ndarray) -> Past:
        """Return some of the posts as a past of their own."""
        return Past(
            users_T=self.users_T[rows],
            times_T=self.times_T[rows],
            sounds_T=self.sounds_T[rows],
            texts_TV=self.texts_TV[rows],
            uses_TH=self.uses_TH[rows],
            rarity_V=self.rarity_V,
            num_users=self.num_users,
        )

    @cached_property
    def by_time(self) -> tuple[np.ndarray, np.ndarray]:
        """Places of the posts of known time, oldest first, and their times."""
        known = np.flatnonzero(~np.isnan(self.times_T))
        order = known[np.argsort(self.times_T[known], kind="stable")]
        return order, self.times_T[order]

    def uses(self, places_N: np.ndarray) -> np.ndarray:
        """Return 1 where the post at a place has the hashtag, [N, H]; none at place -1."""
        rows_E = np.flatnonzero(places_N >= 0)
        return Entries(rows_E, places_N[rows_E], np.ones(len(rows_E))).times(self.uses_TH, len(places_N))

    def cosines(self, posts: Posts) -> np.ndarray:
        """Return how alike the texts of posts and of the past are, [N, T]."""
        return Entries.of(posts.texts_NV).times(self.texts_VT, len(posts))

    def votes(self, speakers: Sequence[Speakers], num_posts: int) -> Votes:
        """Return what all speakers' hashtags get for `num_posts` posts: one product, whoever speaks."""
        names: list[str] = []
        parts = []
        for some in speakers:
            rows_E, places_E, weights_E = some.entries
            parts.append(Entries(rows_E + len(names) * num_posts, places_E, weights_E))
            names += some.names
        values_KH = Entries.join(parts).times(self.uses_TH, len(names) * num_posts)
        return Votes(names=tuple(names), values_CNH=values_KH.reshape(len(names), num_posts, -1))

    @cached_property
    def videos_U(self) -> np.ndarray:
        """How many posts each user has."""
        return np.bincount(self.users_T, minlength=self.num_users)

    @cached_property
    def by_user(self) -> dict[int, np.ndarray]:
        """The places of each user's posts, ascending."""
        return _places(self.users_T)

    @cached_property
    def by_sound(self) -> dict[int, np.ndarray]:
        """The places of each sound's posts, ascending."""
        return _places(self.sounds_T)

    @cached_property
    def texts_VT(self) -> sparse.csr_matrix:
        """The texts' vectors by term."""
        return self.texts_TV.T.tocsr()

    @cached_property
    def videos_H(self) -> np.ndarray:
        """How many posts have each hashtag."""
        return np.asarray(self.uses_TH.sum(0)).ravel()

    @cached_property
    def recent_T(self) -> np.ndarray:
        """1 for the last posts, a share of `RECENT` of those with a known time; else 0."""
        known = ~np.isnan(self.times_T)
        if not known.any():
            return np.zeros(len(self), np.float32)
        first = np.quantile(self.times_T[known], 1 - RECENT)
        return (known & (self.times_T >= first)).astype(np.float32)

    @cached_property
    def recent_videos_H(self) -> np.ndarray:
        """How many of the last posts have each hashtag."""
        return self.uses_TH.T @ self.recent_T

    @cached_property
    def counts_VH(self) -> sparse.csr_matrix:
        """How many posts have each term and each hashtag."""
        return (present(self.texts_TV).T @ self.uses_TH).tocsr()

    @cached_property
    def likelihoods_VH(self) -> sparse.csr_matrix:
        """log(1 + n_vh / (s p(v))) of each term and hashtag, of posts, with s = `LIKELIHOOD_SMOOTHING`."""
        return (sparse.diags(self.rarity_V / LIKELIHOOD_SMOOTHING) @ self.counts_VH).log1p().tocsr()

    @cached_property
    def log_videos_H(self) -> np.ndarray:
        """log(1 + n_h / s) of each hashtag, of posts, with s = `LIKELIHOOD_SMOOTHING`."""
        return np.log1p(self.videos_H / LIKELIHOOD_SMOOTHING).astype(np.float32)

    @cached_property
    def together_HH(self) -> sparse.csr_matrix:
        """How many posts with hashtag g (row) have h (column) too, over the posts with g plus `SMOOTHING`."""
        counts_HH = (self.uses_TH.T @ self.uses_TH).tocsr()
        counts_HH.setdiag(0)
        counts_HH.eliminate_zeros()
        return (sparse.diags(1 / (self.videos_H + SMOOTHING)) @ counts_HH).tocsr().astype(np.float32)


def present(texts_NV: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return 1 where a text has a term, [N, V]."""
    ones = np.ones(texts_NV.nnz, np.float32)
    return sparse.csr_matrix((ones, texts_NV.indices, texts_NV.indptr), shape=texts_NV.shape)


def _places(ids_T: np.ndarray) -> dict[int, np.ndarray]:
    """Return the places, ascending, of each id that is not -1."""
    order = np.argsort(ids_T, kind="stable")
    order = order[ids_T[order] >= 0]
    ids, starts = np.unique(ids_T[order], return_index=True)
    return dict(zip(ids.tolist(), np.split(order, starts[1:]), strict=True)) if len(ids) else {}
