"""A loop as machine code, which Numba makes on first use, in a second or a few, and keeps on disk.

The same by SciPy takes two to six times as long for a post that comes alone (`benchmarks/evidence.py`).
"""

from __future__ import annotations

import numpy as np
from numba import njit


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


def _compile() -> None:
    """Compile the loop for the types that it is called with; other threads go on while it runs."""
    global add_products
    plain = add_products
    none, numbers = np.empty(0, np.int64), np.empty(0, np.float32)
    pointers = np.zeros(1, np.int32)
    try:
        add_products = njit(cache=True, nogil=True)(plain)
        add_products(none, none, numbers, pointers, pointers[:0], numbers, np.empty((0, 0), np.float32))
    except (RuntimeError, OSError):  # nowhere to keep it: then each process compiles for itself
        add_products = njit(nogil=True)(plain)


_compile()
