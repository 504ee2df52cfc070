"""How far annotators agree: Krippendorff's alpha for ordinal ratings.

Shapes: A annotators, I items, V different ratings in ascending order.
"""

from __future__ import annotations

import numpy as np


def ordinal_alpha(ratings_AI: np.ndarray) -> float | None:
    """Return alpha = 1 - observed / expected disagreement (Krippendorff 2011); NaN is no rating.

    1 is full agreement, 0 what chance would give. The distance of two ratings is the number of ratings from one to the
    other, both ends halved, squared. None where it is undefined: no item has two ratings, or all ratings are the same.
    Raises ValueError unless `ratings_AI` has two dimensions.
    """
    if ratings_AI.ndim != 2:
        raise ValueError(f"ratings are of shape {ratings_AI.shape}, expected (annotators, items)")
    paired_AI = ratings_AI[:, (~np.isnan(ratings_AI)).sum(axis=0) >= 2]
    values_V = np.unique(paired_AI[~np.isnan(paired_AI)])
    if len(values_V) < 2:
        return None
    counts_IV = (paired_AI.T[:, :, None] == values_V).sum(axis=1)
    coincidences_VV = _coincidences(counts_IV)
    totals_V = coincidences_VV.sum(axis=0)
    distances_VV = _ordinal_distances(totals_V)
    observed = (coincidences_VV * distances_VV).sum()
    expected = (np.outer(totals_V, totals_V) * distances_VV).sum() / (totals_V.sum() - 1)
    return float(1 - observed / expected)


def _coincidences(counts_IV: np.ndarray) -> np.ndarray:
    """Count the ordered pairs of ratings of one item, each item's divided by its number of ratings less one."""
    weights_I = 1 / (counts_IV.sum(axis=1) - 1)
    return (counts_IV * weights_I[:, None]).T @ counts_IV - np.diag(weights_I @ counts_IV)


def _ordinal_distances(totals_V: np.ndarray) -> np.ndarray:
    """A rating lies at the middle of its rank interval; the distance of two is the difference of these, squared."""
    middles_V = np.cumsum(totals_V) - totals_V / 2
    return (middles_V[:, None] - middles_V[None, :]) ** 2
