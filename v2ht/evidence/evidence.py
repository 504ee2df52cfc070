"""All evidence of some posts, and the context that says how far to trust it: as pairs, and packed.

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
class Pairs:
    """Evidence of N posts: of each, the hashtags with a vote in some column."""

    rows_E: np.ndarray  # by row, then hashtag
    hashtags_E: np.ndarray
    values_EJ: np.ndarray  # [E, J + S]: `COLUMNS`, then `STATISTICS`
    context_NX: np.ndarray
    num_hashtags: int

    @staticmethod
    def of(
        votes: Sequence[Votes],
        statistics: Callable[[np.ndarray, np.ndarray], np.ndarray],
        context_NX: np.ndarray,
    ) -> Pairs:
        """Take the pairs of a block's votes, and the statistics [E, S] of rows [E] and hashtags [E]."""
        num_hashtags = votes[0].values_CNH.shape[2]
        names = [name for some in votes for name in some.names]
        all_votes = np.concatenate([some.values_CNH.reshape(len(some.names), -1) for some in votes])
        cells_E = np.flatnonzero(all_votes.max(0) > 0)
        rows_E, hashtags_E = np.divmod(cells_E, num_hashtags)
        values_EJ = np.zeros((len(cells_E), _WIDTH), np.float32)
        values_EJ[:, [COLUMN_NAMES.index(name) for name in names]] = all_votes[:, cells_E].T
        values_EJ[:, len(COLUMNS) :] = statistics(rows_E, hashtags_E)
        return Pairs(
            rows_E=rows_E,
            hashtags_E=hashtags_E,
            values_EJ=values_EJ,
            context_NX=context_NX.astype(np.float32),
            num_hashtags=num_hashtags,
        )

    def __len__(self) -> int:
        return len(self.context_NX)

    @staticmethod
    def stack(parts: Sequence[Pairs]) -> Pairs:
        """Return the posts of all parts, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        starts = np.cumsum([0, *map(len, parts)])
        return Pairs(
            rows_E=np.concatenate([part.rows_E + start for part, start in zip(parts, starts, strict=False)]),
            hashtags_E=np.concatenate([part.hashtags_E for part in parts]),
            values_EJ=np.concatenate([part.values_EJ for part in parts]),
            context_NX=np.concatenate([part.context_NX for part in parts]),
            num_hashtags=parts[0].num_hashtags,
        )


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Evidence of many posts, kept small: most pairs have votes in few columns.

    `packed` [N, H * (J + S)] holds the value of column j for hashtag h at h * (J + S) + j, so that one row's entries of
    one hashtag stand together.
    """

    packed: sparse.csr_matrix
    context_NX: np.ndarray

    @staticmethod
    def of(pairs: Pairs) -> Evidence:
        """Pack pairs."""
        pair, column = np.nonzero(pairs.values_EJ)
        places = pairs.hashtags_E[pair] * _WIDTH + column
        indptr = np.searchsorted(pairs.rows_E[pair], np.arange(len(pairs) + 1))
        shape = (len(pairs), pairs.num_hashtags * _WIDTH)
        packed = sparse.csr_matrix((pairs.values_EJ[pair, column], places, indptr), shape=shape)
        return Evidence(packed=packed, context_NX=pairs.context_NX)

    def __len__(self) -> int:
        return len(self.context_NX)

    @property
    def num_hashtags(self) -> int:
        return int(self.packed.shape[1]) // _WIDTH

    def take(self, rows: np.ndarray) -> Evidence:
        """Return the evidence of some posts, in the given order."""
        return Evidence(packed=self.packed[rows], context_NX=self.context_NX[rows])

    @staticmethod
    def stack(parts: Sequence[Evidence]) -> Evidence:
        """Return the posts of all parts, one part after the other."""
        return Evidence(
            packed=sparse.vstack([part.packed for part in parts], format="csr"),
            context_NX=np.concatenate([part.context_NX for part in parts]),
        )

    def pairs(self) -> Pairs:
        """Unpack all pairs."""
        rows = np.repeat(np.arange(len(self)), np.diff(self.packed.indptr))
        hashtags, columns = np.divmod(self.packed.indices, _WIDTH)
        first = np.ones(len(rows), bool)
        first[1:] = (rows[1:] != rows[:-1]) | (hashtags[1:] != hashtags[:-1])
        values_EJ = np.zeros((int(first.sum()), _WIDTH), np.float32)
        values_EJ[np.cumsum(first) - 1, columns] = self.packed.data
        return Pairs(
            rows_E=rows[first],
            hashtags_E=hashtags[first].astype(np.int64),
            values_EJ=values_EJ,
            context_NX=self.context_NX,
            num_hashtags=self.num_hashtags,
        )

    def column(self, name: str) -> sparse.csr_matrix:
        """Return one column of `COLUMN_NAMES`, [N, H]. Raises ValueError on an unknown name."""
        return self.packed[:, COLUMN_NAMES.index(name) :: _WIDTH]
