"""Some columns of evidence in one sparse matrix. Shapes: N posts, H hashtags, K rows: N for each column."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import sparse


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
