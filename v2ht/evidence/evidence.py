"""All evidence of some posts in one sparse matrix, and the context that says how far to trust it.

Shapes: N posts, H hashtags, J columns (`COLUMNS`), S statistics, X context, E pairs of a post and a hashtag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from graph_builders.hashtag_graph import RELATIONS

SOURCES = ("history", "neighbours", "words", "sound", "ridge", "relatives")
PASSED_ON = {"history": "history.share", "neighbours": "neighbours.near", "words": "words.named"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One kind of evidence."""

    name: str
    source: str  # one of `SOURCES`
    user: bool  # whether it says something of the user's other posts
    text: bool  # whether it says something of the text


def _columns() -> tuple[Column, ...]:
    own = [
        Column(name="history.share", source="history", user=True, text=False),
        Column(name="history.recent", source="history", user=True, text=False),
        Column(name="history.latest", source="history", user=True, text=False),
        Column(name="history.similar", source="history", user=True, text=True),
        Column(name="neighbours.votes", source="neighbours", user=False, text=True),
        Column(name="neighbours.near", source="neighbours", user=False, text=True),
        Column(name="words.named", source="words", user=False, text=True),
        Column(name="sound.share", source="sound", user=False, text=False),
        Column(name="ridge.text", source="ridge", user=False, text=True),
        Column(name="ridge.user", source="ridge", user=True, text=True),
    ]
    passed = [
        Column(name=f"{name}.{giver}", source="relatives", user=giver == "history", text=giver != "history")
        for giver in PASSED_ON
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
        votes: Mapping[str, sparse.csr_matrix],
        statistics: Callable[[np.ndarray, np.ndarray], np.ndarray],
        context_NX: np.ndarray,
    ) -> Evidence:
        """Pack the columns `COLUMN_NAMES` of `votes`, and the statistics [E, S] of rows [E] and hashtags [E]."""
        num_posts, num_hashtags = votes[COLUMN_NAMES[0]].shape
        columns = [votes[name] for name in COLUMN_NAMES]
        rows = np.concatenate([np.repeat(np.arange(num_posts), np.diff(column.indptr)) for column in columns])
        places = np.concatenate([column.indices.astype(np.int64) * _WIDTH + n for n, column in enumerate(columns)])
        values = np.concatenate([column.data for column in columns])
        pairs = np.unique(rows * num_hashtags + places // _WIDTH)
        rows_E, hashtags_E = np.divmod(pairs, num_hashtags)
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
