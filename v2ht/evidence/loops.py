"""A loop as machine code, which Numba makes on first use, in a second or a few, and keeps on disk.

The same by SciPy takes two to six times as long for a post that comes alone (`benchmarks/evidence.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit


def _compiled(loop: Callable[..., None]) -> Callable[..., None]:
    try:
        compiled: Callable[..., None] = njit(cache=True)(loop)
    except RuntimeError:  # no folder that may be written to: then each process compiles for itself
        compiled = njit(loop)
    return compiled


@_compiled
def add_products(
    rows_E: np.ndarray,
    places_E: np.ndarray,
    weights_E: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    data: np.ndarray,
    sums_KH: np.ndarray,
) -> None:
    """Add each entry's weight times the row at its place, of a matrix in compressed rows, to its own row of sums."""
    for entry in range(len(rows_E)):
        row, place, weight = rows_E[entry], places_E[entry], weights_E[entry]
        for inside in range(indptr[place], indptr[place + 1]):
            sums_KH[row, indices[inside]] += weight * data[inside]
