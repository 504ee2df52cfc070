"""Loops as machine code, which Numba makes on first use and keeps on disk.

The same by functions of SciPy and NumPy takes two to ten times as long for a post that comes alone
(`benchmarks/evidence.py`).
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


@_compiled
def keep_largest(scores_KH: np.ndarray, least: np.float32, count: int) -> None:
    """Set all but the `count` largest numbers of each row to 0, and those not above 0 or below `least`."""
    num_rows, num_columns = scores_KH.shape
    found = np.empty(num_columns, scores_KH.dtype)
    for row in range(num_rows):
        size = 0
        for column in range(num_columns):
            value = scores_KH[row, column]
            if value > 0 and value >= least:
                found[size] = value
                size += 1
            else:
                scores_KH[row, column] = 0
        if size <= count:
            continue
        cut = np.partition(found[:size], size - count)[size - count]
        room = count - np.sum(found[:size] > cut)
        for column in range(num_columns):
            if scores_KH[row, column] == cut:
                room -= 1
            if scores_KH[row, column] < cut or (scores_KH[row, column] == cut and room < 0):
                scores_KH[row, column] = 0
