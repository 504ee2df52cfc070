"""Subsets of the evaluated videos: each keeps a part of the truth, and the videos that still have some."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.dataset import Ragged
from v2ht.evaluation.metrics import row_keys

SUBSETS = ("overall", "longtail", "new_to_user", "cold_user", "unseen")


@dataclass(frozen=True, kw_only=True)
class Subset:
    """A question put to a ranking.

    `positions` are the places (int64, ascending) of the subset's videos among the evaluated ones, `truth` has a row
    (never empty) for each of them. `without_known` says that the user's own train hashtags leave the ranking.
    """

    name: str
    positions: np.ndarray
    truth: Ragged
    without_known: bool = False


def restrict(truth: Ragged, keep: np.ndarray) -> tuple[np.ndarray, Ragged]:
    """Keep the values where `keep` (bool, one per value) is True; return the rows with any left, and what is left."""
    kept_before = np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)
    kept = Ragged(values=truth.values[keep], offsets=kept_before[truth.offsets])
    positions = np.flatnonzero(kept.lengths)
    return positions, kept.take(positions)


def overall(truth: Ragged) -> Subset:
    """All videos with at least one true hashtag."""
    return _subset("overall", truth, np.ones(len(truth.values), dtype=bool))


def longtail(truth: Ragged, *, train_frequency_H: np.ndarray, threshold: int) -> Subset:
    """Truth: the hashtags of fewer than `threshold` train videos (V2HT 4.3.2). The whole vocabulary is still ranked."""
    return _subset("longtail", truth, train_frequency_H[truth.values] < threshold)


def new_to_user(truth: Ragged, *, known: Ragged) -> Subset:
    """Truth: the hashtags absent from the user's train videos; `known` (row by row like `truth`) leaves the ranking."""
    num_hashtags = 1 + int(max(truth.values.max(initial=0), known.values.max(initial=0)))
    keys, known_keys = (row_keys(rows, num_hashtags=num_hashtags) for rows in (truth, known))
    return _subset("new_to_user", truth, ~np.isin(keys, known_keys), without_known=True)


def cold_user(truth: Ragged, *, cold_N: np.ndarray) -> Subset:
    """The videos (bool, one per row of `truth`) whose user has no train video."""
    return _subset("cold_user", truth, np.repeat(cold_N, truth.lengths))


def unseen(truth: Ragged, *, train_frequency_H: np.ndarray) -> Subset:
    """Truth: the hashtags of no train video. Only a system that names hashtags without examples can find them."""
    return _subset("unseen", truth, train_frequency_H[truth.values] == 0)


def _subset(name: str, truth: Ragged, keep: np.ndarray, *, without_known: bool = False) -> Subset:
    positions, kept = restrict(truth, keep)
    return Subset(name=name, positions=positions, truth=kept, without_known=without_known)
