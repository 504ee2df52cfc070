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

SOURCES = ("history", "neighbours", "words", "likelihood", "sound", "ridge", "relatives")
PASSING_ON = ("history", "neighbours", "words")  # sources whose votes relatives in the graph get a part of


@dataclass(frozen=True, kw_only=True)
class Column:
    """One kind of evidence."""

    name: str
    source: str  # one of `SOURCES`
    user: bool  # whether it says something of the user's other posts
    text: bool  # whether it says something of the text


def _entries(votes: Votes, num_posts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows, the places in `Evidence.packed` and the values of all votes."""
    stacked_KH = votes.stacked_KH
    rows = np.repeat(np.arange(stacked_KH.shape[0]), np.diff(stacked_KH.indptr))
    blocks, rows = np.divmod(rows, max(num_posts, 1))
    numbers = np.array([COLUMN_NAMES.index(name) for name in votes.names])
    return rows, stacked_KH.indices.astype(np.int64) * _WIDTH + numbers[blocks], stacked_KH.data


def _different(keys: np.ndarray) -> np.ndarray:
    """Return each key once, ascending, as np.unique does, but many times as fast as its hash table."""
    keys = np.sort(keys)
    first = np.ones(len(keys), bool)
    first[1:] = keys[1:] != keys[:-1]
    return keys[first]


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
        parts = [_entries(some, num_posts) for some in votes]
        rows, places, values = (np.concatenate(own) for own in zip(*parts, strict=True))
        rows_E, hashtags_E = np.divmod(_different(rows * num_hashtags + places // _WIDTH), num_hashtags)
        own_places_ES = hashtags_E[:, None] * _WIDTH + len(COLUMNS) + np.arange(len(STATISTICS))
        packed = sparse.csr_matrix(
            (
                np.concatenate([values, statistics(rows_E, hashtags_E).ravel()]).astype(np.float32),
                (
                    np.concatenate([rows, np.repeat(rows_E, len(STATISTICS))]),
                    np.concatenate([places, own_places_ES.ravel()]),
                ),
            ),
            shape=(num_posts, num_hashtags * _WIDTH),
        )
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
        hashtags, columns = np.divmod(self.packed.indices.astype(np.int64), _WIDTH)
        first = np.ones(len(rows), bool)
        first[1:] = (rows[1:] != rows[:-1]) | (hashtags[1:] != hashtags[:-1])
        values_EJ = np.zeros((int(first.sum()), _WIDTH), np.float32)
        values_EJ[np.cumsum(first) - 1, columns] = self.packed.data
        return rows[first], hashtags[first], values_EJ

    def column(self, name: str) -> sparse.csr_matrix:
        """Return one column of `COLUMN_NAMES`, [N, H]. Raises ValueError on an unknown name."""
        return self.packed[:, COLUMN_NAMES.index(name) :: _WIDTH]
