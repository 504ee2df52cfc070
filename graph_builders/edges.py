"""Edges of one relation: what every relation file returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Edges:
    """E links between hashtags, each pair once, sorted: `source` < `target` (int32), `weight` > 0 (float32)."""

    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.source)


def undirected(one: np.ndarray, other: np.ndarray, *, weight: np.ndarray) -> Edges:
    """Make edges of pairs in any order: loops leave, a pair that occurs often keeps its largest weight."""
    keep = one != other
    source = np.minimum(one, other)[keep].astype(np.int32)
    target = np.maximum(one, other)[keep].astype(np.int32)
    weight = weight[keep].astype(np.float32)
    order = np.lexsort((-weight, target, source))
    source, target, weight = source[order], target[order], weight[order]
    first = np.ones(len(source), bool)
    first[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
    return Edges(source=source[first], target=target[first], weight=weight[first])


def union(parts: list[Edges]) -> Edges:
    """Return the edges of all parts; a pair in several keeps its largest weight."""
    if not parts:
        return Edges(source=np.empty(0, np.int32), target=np.empty(0, np.int32), weight=np.empty(0, np.float32))
    return undirected(
        np.concatenate([part.source for part in parts]),
        np.concatenate([part.target for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
    )
