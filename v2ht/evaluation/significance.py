"""How sure a mean over videos is, and whether two systems differ on the same videos.

Shapes: N videos, M columns (systems, metrics) that share the same random draws, S random draws. Every function takes
[N] or [N, M] and answers with [] or [M]. Memory stays near `BLOCK_CELLS` numbers whatever N and S are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK_CELLS = 1 << 22


def bootstrap_means(values: np.ndarray, *, seed: int, samples: int = 2000) -> np.ndarray:
    """Return the means [S] or [S, M] of `samples` redraws of the N videos with replacement. Raises ValueError."""
    _check_values(values)
    random = np.random.default_rng(seed)
    videos = len(values)
    means = []
    for draws in _blocks(samples, videos):
        picks = random.integers(0, videos, size=(draws, videos)) + videos * np.arange(draws)[:, None]
        weights = np.bincount(picks.ravel(), minlength=draws * videos).reshape(draws, videos)
        means.append(weights @ values / videos)
    return np.concatenate(means)


def bootstrap_interval(
    values: np.ndarray, *, seed: int, samples: int = 2000, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper end of the percentile bootstrap interval of the mean over videos.

    For the difference of two systems give their differences video by video (a paired interval).
    Raises ValueError on no video, a value that is not finite, or a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a number between 0 and 1, such as 0.95")
    means = bootstrap_means(values, seed=seed, samples=samples)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def sign_flip_test(differences: np.ndarray, *, seed: int, samples: int = 10_000) -> np.ndarray:
    """Return the two-sided p-value of a paired randomisation test on the mean of `differences`.

    Under the null hypothesis each video's difference is as likely to carry the other sign. p is the share of sign
    patterns whose mean is at least as far from 0 as the observed one: over all 2^N patterns where they are no more than
    `samples` (exact), else over random ones with the observed one counted in, so that p is never 0.
    Raises ValueError on no video or a value that is not finite.
    """
    _check_values(differences)
    videos = len(differences)
    total = differences.sum(axis=0)
    # Sums that are equal on paper differ in their last digits; they must count as equal.
    bound = np.abs(total) - 1e-10 * np.abs(differences).sum(axis=0)
    exact = 2**videos <= samples
    patterns = _all_patterns(videos) if exact else _random_patterns(videos, seed=seed, samples=samples)
    as_far = np.zeros_like(total, dtype=np.int64)
    for positive in patterns:
        sums = 2 * (positive.astype(np.float64) @ differences) - total
        as_far += (np.abs(sums) >= bound).sum(axis=0)
    return as_far / 2**videos if exact else (as_far + 1) / (samples + 1)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values [C] adjusted for C comparisons by Holm's step-down method (Holm, 1979)."""
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * np.asarray(p_values)[order]))
    return adjusted


def _all_patterns(videos: int) -> Iterator[np.ndarray]:
    yield (np.arange(2**videos)[:, None] >> np.arange(videos)) & 1


def _random_patterns(videos: int, *, seed: int, samples: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(seed)
    for draws in _blocks(samples, videos):
        packed = random.integers(0, 256, size=(draws, -(-videos // 8)), dtype=np.uint8)
        yield np.unpackbits(packed, axis=1, count=videos)


def _blocks(samples: int, videos: int) -> Iterator[int]:
    if samples < 1:
        raise ValueError(f"samples is {samples}, expected at least 1")
    size = max(1, BLOCK_CELLS // videos)
    for start in range(0, samples, size):
        yield min(size, samples - start)


def _check_values(values: np.ndarray) -> None:
    if len(values) == 0:
        raise ValueError("there is no video to draw from; leave out subsets without videos")
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite; metrics of videos without truth must be left out")
