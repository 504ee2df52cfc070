"""Loops as machine code, which Numba makes on first use, in some seconds, and keeps on disk.

SciPy and NumPy take two to four times as long for a post that comes alone (`benchmarks/evidence.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit


def _add_products(
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


def _keep_largest(scores_KH: np.ndarray, least: np.float32, count: int) -> None:
    """Set a row's scores below `least` or 0 to 0, and all but the `count` largest; of equal ones the first stay."""
    above_0 = np.empty(scores_KH.shape[1] + 1, scores_KH.dtype)
    for row in range(len(scores_KH)):
        scores_H, found = scores_KH[row], 0
        for h in range(len(scores_H)):
            score = scores_H[h]
            if score < least or score < 0:
                scores_H[h] = score = 0
            above_0[found] = score
            found += score > 0
        if found <= count:
            continue
        cut = np.partition(above_0[:found], found - count)[found - count]
        room = count - np.count_nonzero(above_0[:found] > cut)
        for h in range(len(scores_H)):
            if scores_H[h] == cut and room > 0:
                room -= 1
            elif scores_H[h] <= cut:
                scores_H[h] = 0


def _compiled(plain: Callable[..., Any], *examples: object) -> Any:
    """Compile a loop for the types of `examples`, with which it is called; other threads go on while it runs."""
    try:
        loop = njit(cache=True, nogil=True)(plain)
        loop(*examples)
    except (RuntimeError, OSError):  # nowhere to keep it: then each process compiles for itself
        loop = njit(nogil=True)(plain)
    return loop


_ids, _numbers, _pointers = np.empty(0, np.int64), np.empty(0, np.float32), np.zeros(1, np.int32)
_sums = np.empty((0, 0), np.float32)
add_products = _compiled(_add_products, _ids, _ids, _numbers, _pointers, _pointers[:0], _numbers, _sums)
keep_largest = _compiled(_keep_largest, _sums, np.float32(0), 1)
