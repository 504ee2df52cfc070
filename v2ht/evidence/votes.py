"""Votes of a block of posts for all hashtags, and the sums that they are made of.

A block is dense, [C, N, H]: with some thousand hashtags a sparse matrix costs more to make than a post's votes to
count (with 30,000 it is the other way round). Shapes: C columns, N posts of a block, H hashtags, K rows, E entries, M
rows of a matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse

KEPT = 100  # hashtags that one column names for a post, at most, where a source votes for many


class Entries(NamedTuple):
    """What a sparse matrix holds, without one being made."""

    rows_E: np.ndarray
    places_E: np.ndarray
    weights_E: np.ndarray

    @staticmethod
    def of(matrix: sparse.csr_matrix) -> Entries:
        """Return those of a matrix, row by row."""
        return Entries(np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices, matrix.data)

    @staticmethod
    def join(parts: list[Entries]) -> Entries:
        """Return all parts as one, first come first."""
        rows_E, places_E, weights_E = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Entries(rows_E, places_E, weights_E)

    def times(self, matrix_MH: sparse.csr_matrix, num_rows: int) -> np.ndarray:
        """Return the product with a matrix, dense, float32 [K, H]. Raises ValueError when it has too few rows.

        Adds in the order of the entries, as SciPy's product of sparse matrices does, to the same bits.
        """
        from v2ht.evidence.loops import add_products  # slow to import

        if len(self.places_E) and self.places_E.max() >= matrix_MH.shape[0]:  # the loop itself looks at no bounds
            raise ValueError(f"an entry stands at {self.places_E.max()} of a matrix with {matrix_MH.shape[0]} rows")
        found_KH = np.zeros((num_rows, matrix_MH.shape[1]), np.float32)
        add_products(
            np.ascontiguousarray(self.rows_E, np.int64),  # of any other types it would be compiled again
            np.ascontiguousarray(self.places_E, np.int64),
            np.ascontiguousarray(self.weights_E, np.float32),
            matrix_MH.indptr,
            matrix_MH.indices,
            matrix_MH.data,
            found_KH,
        )
        return found_KH


@dataclass(frozen=True, kw_only=True)
class Speakers:
    """Past posts that vote for their hashtags, for some columns: column c of post n is row c * N + n."""

    names: tuple[str, ...]
    entries: Entries


@dataclass(frozen=True, kw_only=True)
class Votes:
    """Some columns of evidence, numbers of at least 0."""

    names: tuple[str, ...]
    values_CNH: np.ndarray

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one column, [N, H]."""
        column_NH: np.ndarray = self.values_CNH[self.names.index(name)]
        return column_NH


def largest(scores_KH: np.ndarray, *, least: float = 0.0) -> np.ndarray:
    """Keep the `KEPT` largest values of each row that are above 0 and not below `least`; change `scores_KH` to them.

    Of equal ones at the cut those with the lowest ids are kept.
    """
    from v2ht.evidence.loops import keep_largest  # slow to import

    keep_largest(scores_KH, np.float32(least), KEPT)
    return scores_KH


def blocks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Cut rows into blocks of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
