"""The positive relation (V2HT 3.2.2, `po`): hashtags whose Wu-Palmer similarity in WordNet reaches a threshold.

The similarity of two noun senses a, b is NLTK's `a.wup_similarity(b)`, number for number:

    wup(a, b) = 2 depth / (distance(a, l) + distance(b, l) + 2 depth),    depth = max_depth(l) + 1

l, the subsumer, is the common ancestor of largest min_depth, ties broken by name, save that `a` itself wins a tie: so
the order of a and b can matter. distance(x, l) is the shortest way from x to l over any ancestor of l, which can be
shorter than the way straight up. Shapes: S synsets, A entries of `nouns.ancestors`, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data.dataset import Ragged
from graph_builders.edges import Edges, union
from graph_builders.wordnet import NounSenses

# Sense pairs in flight at once; about 100 bytes each.
BLOCK_PAIRS = 1_000_000


def wup_edges(nouns: NounSenses, *, threshold: float = 0.9) -> Edges:
    """Link hashtags whose similarity is at least `threshold`, in (0, 1]; weight = the similarity.

    The similarity of two hashtags is the largest over their pairs of noun senses, in both orders. Only pairs that can
    reach the threshold are looked at. Departs from the paper: it does not name its threshold.
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold is {threshold}, expected a number in (0, 1]; 0.9 is a good start")
    distance_A = subsumer_distances(nouns)
    parts = []
    for one_P, other_P in _candidates(nouns, distance_A, threshold):
        value_P = np.maximum(
            wup_of_pairs(nouns, distance_A, one=one_P, other=other_P),
            wup_of_pairs(nouns, distance_A, one=other_P, other=one_P),
        )
        keep = value_P >= threshold
        parts.append(nouns.edges_between(one_P[keep], other_P[keep], weight=value_P[keep]))
    return union(parts)


def subsumer_distances(nouns: NounSenses) -> np.ndarray:
    """Return int64 [A]: for each synset x and ancestor l, the shortest way from x to l over any ancestor of l.

    The way ends straight up at l, or one step down from a parent p of l: distance(x, l) = min(up(x, l),
    1 + distance(x, p)). Repeated until nothing shortens.
    """
    synset_A = np.repeat(np.arange(len(nouns)), nouns.ancestors.lengths)
    is_parent_A = nouns.up == 1
    counts_S = np.bincount(synset_A[is_parent_A], minlength=len(nouns))
    parents = Ragged(values=nouns.ancestors.values[is_parent_A], offsets=np.concatenate([[0], np.cumsum(counts_S)]))
    of_ancestors = parents.take(nouns.ancestors.values)
    entry = np.repeat(np.arange(len(synset_A)), of_ancestors.lengths)
    over = nouns.locate(synset_A[entry], of_ancestors.values)
    distance_A = nouns.up
    while True:
        shorter_A = distance_A.copy()
        np.minimum.at(shorter_A, entry, distance_A[over] + 1)
        if np.array_equal(shorter_A, distance_A):
            return distance_A
        distance_A = shorter_A


def wup_of_pairs(nouns: NounSenses, distance_A: np.ndarray, *, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return NLTK's `one.wup_similarity(other)` for P pairs of synset ids, float64 [P]."""
    entry_one, entry_other = _meeting_entries(nouns, one, other)
    subsumer = nouns.ancestors.values[entry_one]
    distance = distance_A[entry_one] + distance_A[entry_other]
    # The first argument wins a tie of min_depth, if it is an ancestor of the second.
    tied = np.flatnonzero((nouns.min_depth[one] == nouns.min_depth[subsumer]) & (one != subsumer))
    entry = nouns.locate(other[tied], one[tied])
    tied, entry = tied[entry >= 0], entry[entry >= 0]
    subsumer[tied] = one[tied]
    distance[tied] = distance_A[entry]
    depth = nouns.max_depth[subsumer] + 1
    return 2.0 * depth / (distance + 2 * depth)


def _meeting_entries(nouns: NounSenses, one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the entries [P] of the common ancestor with the largest id, in the rows of `one` and of `other`.

    Both rows descend, so the one that shows the larger id steps on. All nouns share a root, so they always meet.
    """
    entry_one, entry_other = nouns.ancestors.offsets[one], nouns.ancestors.offsets[other]
    apart = np.arange(len(one))
    while len(apart):
        left, right = nouns.ancestors.values[entry_one[apart]], nouns.ancestors.values[entry_other[apart]]
        entry_one[apart] += left > right
        entry_other[apart] += right > left
        apart = apart[left != right]
    return entry_one, entry_other


@dataclass(frozen=True, kw_only=True)
class NearSenses:
    """The senses b below each subsumer l with distance(b, l) <= room(l), sorted by subsumer, then distance.

    wup >= t under subsumer l needs distance(a, l) + distance(b, l) <= room(l) = 2 depth(l) (1 - t) / t; with the way
    straight up in place of the distance, pairs would be missed. The partners of a at l are a run of l's senses.
    """

    subsumer: np.ndarray
    distance: np.ndarray
    synset: np.ndarray
    room_S: np.ndarray

    @staticmethod
    def of(nouns: NounSenses, distance_A: np.ndarray, threshold: float) -> NearSenses:
        """Find them among the senses of the phrases."""
        # A little more room than exact arithmetic gives, because a pair too many does no harm.
        room_S = np.floor(2 * (nouns.max_depth + 1) * (1.0 - threshold) / threshold + 1e-6).astype(np.int64)
        synset_A = np.repeat(np.arange(len(nouns)), nouns.ancestors.lengths)
        is_sense_S = nouns.owners.lengths > 0
        near = np.flatnonzero(is_sense_S[synset_A] & (distance_A <= room_S[nouns.ancestors.values]))
        near = near[np.lexsort((distance_A[near], nouns.ancestors.values[near]))]
        return NearSenses(
            subsumer=nouns.ancestors.values[near], distance=distance_A[near], synset=synset_A[near], room_S=room_S
        )

    def ends(self, subsumer: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Return where the run of partners ends for senses this far below these subsumers."""
        span = int(self.distance.max(initial=0)) + 1
        last = np.minimum(self.room_S[subsumer] - distance, span - 1)
        return np.searchsorted(self.subsumer * span + self.distance, subsumer * span + last, side="right")


def _candidates(nouns: NounSenses, distance_A: np.ndarray, threshold: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks of pairs of senses that hold every pair whose similarity can reach the threshold."""
    senses = np.flatnonzero(nouns.owners.lengths > 0)
    yield senses, senses
    near = NearSenses.of(nouns, distance_A, threshold)
    synset, first = near.synset, np.arange(1, len(near.synset) + 1)
    counts = np.maximum(near.ends(near.subsumer, near.distance) - first, 0)
    total = np.cumsum(counts)
    start = 0
    while start < len(synset):
        done = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + BLOCK_PAIRS, side="right")))
        rows = np.repeat(np.arange(start, stop), counts[start:stop])
        place = np.arange(len(rows)) - np.repeat(total[start:stop] - counts[start:stop] - done, counts[start:stop])
        yield synset[rows], synset[first[rows] + place]
        start = stop
