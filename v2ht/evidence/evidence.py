"""All evidence of some posts in one sparse matrix, and the context that says how far to trust it.

Shapes: N posts, H hashtags, J columns (`COLUMNS`), S statistics, X context, E pairs of a post and a hashtag.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from graph_builders.hashtag_graph import RELATIONS
from v2ht.evidence.votes import Votes

SOURCES = ("history", "neighbours", "words", "likelihood", "sound", "moment", "ridge", "relatives")
PASSING_ON = ("history", "neighbours", "words")  # sources whose votes relatives in the graph get a part of


@dataclass(frozen=True, kw_only=True)
class Column:
    """One kind of evidence."""

    name: str
    source: str  # one of `SOURCES`
    user: bool  # whether it says something of the user's other posts
    text: bool  # whether it says something of the text


def _sorted_entries(votes: Sequence[Votes], num_posts: int, num_hashtags: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all votes' keys, post * H * (J + S) + place in `Evidence.packed`, ascending, and their values."""
    keys, values = [], []
    for some in votes:
        stacked_KH = some.stacked_KH
        rows_K = np.arange(stacked_KH.shape[0])
        numbers_C = np.array([COLUMN_NAMES.index(name) for name in some.names])
        starts_K = rows_K % max(num_posts, 1) * num_hashtags * _WIDTH + numbers_C[rows_K // max(num_posts, 1)]
        keys.append(np.repeat(starts_K, np.diff(stacked_KH.indptr)) + stacked_KH.indices.astype(np.int64) * _WIDTH)
        values.append(stacked_KH.data)
    joined = np.concatenate(keys)
    order = np.argsort(joined, kind="stable")
    return joined[order], np.concatenate(values)[order].astype(np.float32)


def _columns() -> tuple[Column, ...]:
    own = [
        Column(name="history.share", source="history", user=True, text=False),
        Column(name="history.recent", source="history", user=True, text=False),
        Column(name="history.latest", source="history", user=True, text=False),
        Column(name="history.similar", source="history", user=True, text=True),
        Column(name="neighbours.votes", source="neighbours", user=False, text=True),
        Column(name="neighbours.near", source="neighbours", user=False, text=True),
        Column(name="words.named", source="words", user=False, text=True),
        Column(name="words.likely", source="likelihood", user=False, text=True),
        Column(name="sound.share", source="sound", user=False, text=False),
        Column(name="moment.share", source="moment", user=False, text=False),
        Column(name="moment.recent", source="moment", user=False, text=False),
        Column(name="ridge.text", source="ridge", user=False, text=True),
        Column(name="ridge.user", source="ridge", user=True, text=True),
    ]
    passed = [
        Column(name=f"{name}.{giver}", source="relatives", user=giver == "history", text=giver != "history")
        for giver in PASSING_ON
        for name in RELATIONS
    ]
    return (*own, *passed)


COLUMNS = _columns()
COLUMN_NAMES = tuple(column.name for column in COLUMNS)
STATISTICS = ("popularity", "trend")
CONTEXT = ("posts", "known", "nearest", "length", "concentration", "own_nearest")
USER_CONTEXT = np.array([True, True, False, False, True, True])
TEXT_CONTEXT = np.array([False, False, True, True, False, True])
_WIDTH = len(COLUMNS) + len(STATISTICS)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Evidence of N posts.

    `packed` [N, H * (J + S)] holds the value of column j for hashtag h at h * (J + S) + j, so that one row's entries of
    one hashtag stand together. Only pairs with a vote in some column have statistics.
    """

    packed: sparse.csr_matrix
    context_NX: np.ndarray

    @staticmethod
    def of(
        votes: Sequence[Votes],
        statistics: Callable[[np.ndarray, np.ndarray], np.ndarray],
        context_NX: np.ndarray,
    ) -> Evidence:
        """Pack the columns of `votes`, and the statistics [E, S] of rows [E] and hashtags [E]."""
        num_posts, num_hashtags = len(context_NX), votes[0].stacked_KH.shape[1]
        keys, values = _sorted_entries(votes, num_posts, num_hashtags)
        pairs = keys // _WIDTH
        last = np.ones(len(keys), bool)
        last[:-1] = pairs[1:] != pairs[:-1]
        pairs_E, ends_E = pairs[last], np.flatnonzero(last) + 1
        rows_E, hashtags_E = np.divmod(pairs_E, num_hashtags)
        own_keys_ES = pairs_E[:, None] * _WIDTH + len(COLUMNS) + np.arange(len(STATISTICS))
        # A pair's statistics follow its votes.
        own_places = (ends_E[:, None] + np.arange(own_keys_ES.size).reshape(own_keys_ES.shape)).ravel()
        voted = np.ones(len(keys) + own_keys_ES.size, bool)
        voted[own_places] = False
        places, numbers = np.empty(len(voted), np.int64), np.empty(len(voted), np.float32)
        places[voted], numbers[voted] = keys, values
        places[own_places], numbers[own_places] = own_keys_ES.ravel(), statistics(rows_E, hashtags_E).ravel()
        places %= num_hashtags * _WIDTH
        ends_N = np.searchsorted(rows_E, np.arange(num_posts), side="right")
        indptr = np.append(0, np.append(0, ends_E)[ends_N] + ends_N * len(STATISTICS))
        packed = sparse.csr_matrix((numbers, places, indptr), shape=(num_posts, num_hashtags * _WIDTH))
        return Evidence(packed=packed, context_NX=context_NX.astype(np.float32))

    def __len__(self) -> int:
        return len(self.context_NX)

    @property
    def num_hashtags(self) -> int:
        return int(self.packed.shape[1]) // _WIDTH

    def take(self, rows: np.ndarray) -> Evidence:
        """Return the evidence of some posts, in the given order."""
        return Evidence(packed=self.packed[rows], context_NX=self.context_NX[rows])

    @staticmethod
    def stack(parts: list[Evidence]) -> Evidence:
        """Return the posts of all parts, one part after the other."""
        return Evidence(
            packed=sparse.vstack([part.packed for part in parts], format="csr"),
            context_NX=np.concatenate([part.context_NX for part in parts]),
        )

    def pairs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows [E], hashtags [E] and values [E, J + S] of all pairs with a vote, by row, then hashtag."""
        rows = np.repeat(np.arange(len(self)), np.diff(self.packed.indptr))
        hashtags, columns = np.divmod(self.packed.indices, _WIDTH)
        first = np.ones(len(rows), bool)
        first[1:] = (rows[1:] != rows[:-1]) | (hashtags[1:] != hashtags[:-1])
        values_EJ = np.zeros((int(first.sum()), _WIDTH), np.float32)
        values_EJ[np.cumsum(first) - 1, columns] = self.packed.data
        return rows[first], hashtags[first].astype(np.int64), values_EJ

    def column(self, name: str) -> sparse.csr_matrix:
        """Return one column of `COLUMN_NAMES`, [N, H]. Raises ValueError on an unknown name."""
        return self.packed[:, COLUMN_NAMES.index(name) :: _WIDTH]
