"""Some columns of evidence in one sparse matrix.

Shapes: N posts, H hashtags, K rows: N for each column, E pairs of a row and a past post.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

KEPT = 100  # hashtags that one column names for a post, at most, where a source votes for many


@dataclass(frozen=True, kw_only=True)
class Speakers:
    """Past posts that vote for their hashtags, for some columns: rows are numbered as those of `Votes`."""

    names: tuple[str, ...]
    rows_E: np.ndarray
    places_E: np.ndarray  # of the past posts
    weights_E: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Votes:
    """Columns one below the other: rows n * N to (n + 1) * N are column `names[n]`, [N, H].

    Most columns of a post are made together, and a sparse matrix costs more to make than a post's few values to count.
    """

    names: tuple[str, ...]
    stacked_KH: sparse.csr_matrix

    def __getitem__(self, name: str) -> sparse.csr_matrix:
        """Return one column, [N, H]."""
        size = self.stacked_KH.shape[0] // len(self.names)
        start = self.names.index(name) * size
        return self.stacked_KH[start : start + size]


def largest(scores_NH: sparse.csr_matrix) -> sparse.csr_matrix:
    """Keep the `KEPT` largest values of each row that are above 0; equal ones at the cut: lowest ids."""
    kept = scores_NH.data > 0
    for row in np.flatnonzero(np.diff(scores_NH.indptr) > KEPT):
        part = slice(scores_NH.indptr[row], scores_NH.indptr[row + 1])
        values = scores_NH.data[part]
        least = np.partition(values, -KEPT)[-KEPT]
        kept[part] &= values >= least
        (level,) = np.nonzero(values == least)
        room = KEPT - np.count_nonzero(values > least)
        if len(level) > room:
            kept[part.start + level[np.argsort(scores_NH.indices[part][level])[room:]]] = False
    scores_NH.data = np.where(kept, scores_NH.data, 0).astype(np.float32)
    scores_NH.eliminate_zeros()
    scores_NH.sort_indices()
    return scores_NH
