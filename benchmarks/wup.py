"""WUP similarity against NLTK: equal number for number, and how much faster: `python -m benchmarks.wup`.

Four comparisons: synset pairs and word pairs, each at random and near each other. A word pair is compared twice: its
similarity, and whether the sparse pass links it exactly when NLTK's similarity reaches the threshold.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.machine import machine
from data.dataset import Ragged
from graph_builders.wordnet import NounSenses, open_wordnet, read_nouns
from graph_builders.wup import subsumer_distances, wup_edges, wup_of_pairs

# From two arrays of ids to the similarity of each pair.
Similarity = Callable[[np.ndarray, np.ndarray], np.ndarray]


def near_synsets(nouns: NounSenses, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` pairs of synsets that share an ancestor at most 3 steps above both."""
    synset = np.repeat(np.arange(len(nouns)), nouns.ancestors.lengths)
    close = np.flatnonzero(nouns.up <= 3)
    close = close[np.argsort(nouns.ancestors.values[close], kind="stable")]
    shared = nouns.ancestors.values[close]
    first = rng.integers(len(close), size=count)
    start, end = np.searchsorted(shared, shared[first]), np.searchsorted(shared, shared[first], side="right")
    second = start + rng.integers(0, end - start)
    return synset[close[first]], synset[close[second]]


def all_senses(one: Ragged, other: Ragged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every pair of senses of the word pairs (row i of both), and the number i of its word pair."""
    pair = np.repeat(np.arange(len(one)), one.lengths)
    partners = other.take(pair)
    repeat = np.repeat(np.arange(len(pair)), partners.lengths)
    return one.values[repeat], partners.values, pair[repeat]


def word_similarity(nouns: NounSenses, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the similarity of pairs of words, by looking at all their senses in both orders."""
    left, right, pair = all_senses(nouns.senses.take(one), nouns.senses.take(other))
    distance = subsumer_distances(nouns)
    result = np.zeros(len(one))
    for a, b in ((left, right), (right, left)):
        np.maximum.at(result, pair, wup_of_pairs(nouns, distance, one=a, other=b))
    return result


def compare(
    name: str, one: np.ndarray, other: np.ndarray, *, ours: Similarity, nltk: Similarity
) -> tuple[np.ndarray, int]:
    """Print how many similarities differ, and both times; return NLTK's similarities and the number that differ."""
    start = time.perf_counter()
    found = ours(one, other)
    middle = time.perf_counter()
    expected = nltk(one, other)
    seconds, nltk_seconds = middle - start, time.perf_counter() - middle
    mismatches = int((found != expected).sum())
    print(
        f"{name:<16} {len(found):>9,} pairs   mismatches = {mismatches}   ours {seconds:.2f} s   "
        f"NLTK {nltk_seconds:.1f} s   ({nltk_seconds / seconds:,.0f} times)",
        flush=True,
    )
    return expected, mismatches


def compare_synsets(nouns: NounSenses, count: int, rng: np.random.Generator) -> int:
    """Compare `count` random and `count` near pairs of synsets; return how many differ."""
    synsets = [open_wordnet().synset(name) for name in nouns.names]

    def ours(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return wup_of_pairs(nouns, subsumer_distances(nouns), one=one, other=other)

    def nltk(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.array([synsets[a].wup_similarity(synsets[b]) for a, b in zip(one, other, strict=True)])

    random = rng.integers(len(nouns), size=(2, count))
    near = near_synsets(nouns, count, rng)
    _, random_mismatches = compare("synsets, random", *random, ours=ours, nltk=nltk)
    _, near_mismatches = compare("synsets, near", *near, ours=ours, nltk=nltk)
    return random_mismatches + near_mismatches


def compare_words(nouns: NounSenses, count: int, threshold: float, rng: np.random.Generator) -> int:
    """Compare `count` random and `count` near pairs of words, near: similar enough for a lower threshold."""
    synsets = [open_wordnet().synset(name) for name in nouns.names]

    def nltk(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        result = np.zeros(len(one))
        for row, (a, b) in enumerate(zip(one, other, strict=True)):
            senses = ([synsets[i] for i in nouns.senses[a]], [synsets[i] for i in nouns.senses[b]])
            result[row] = max(max(x.wup_similarity(y), y.wup_similarity(x)) for x in senses[0] for y in senses[1])
        return result

    close = wup_edges(nouns, threshold=threshold - 0.15)
    chosen = rng.choice(len(close), size=min(count, len(close)), replace=False)
    random = rng.integers(len(nouns.senses), size=count)
    another = (random + rng.integers(1, len(nouns.senses), size=count)) % len(nouns.senses)
    linked = pair_keys(nouns, *(getattr(wup_edges(nouns, threshold=threshold), end) for end in ("source", "target")))
    total = 0
    for name, one, other in (
        ("words, random", random, another),
        ("words, near", close.source[chosen], close.target[chosen]),
    ):
        expected, mismatches = compare(name, one, other, ours=partial(word_similarity, nouns), nltk=nltk)
        wrong = int((np.isin(pair_keys(nouns, one, other), linked) != (expected >= threshold)).sum())
        print(f"{'':<16} linked at {threshold} by the sparse pass exactly when NLTK says so: mismatches = {wrong}")
        total += mismatches + wrong
    return total


def pair_keys(nouns: NounSenses, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return one number per unordered pair of words."""
    return np.minimum(one, other).astype(np.int64) * len(nouns.senses) + np.maximum(one, other)


def time_vocabulary(nouns: NounSenses, seconds: float, thresholds: tuple[float, ...]) -> None:
    """Print the seconds of the sparse pass over the whole vocabulary; reading WordNet took `seconds`."""
    print(f"{len(nouns.senses):,} nouns read in {seconds:.2f} s ({len(nouns):,} synsets with all above them)")
    for threshold in thresholds:
        start = time.perf_counter()
        edges = wup_edges(nouns, threshold=threshold)
        taken = time.perf_counter() - start
        print(
            f"  all pairs at {threshold}: {taken:.2f} s, {2 * len(edges) / len(nouns.senses):.1f} neighbours per noun"
        )


def main() -> int:
    """Run; return 0 when nothing differs from NLTK, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000, help="pairs per comparison (default: %(default)s)")
    parser.add_argument("--nouns", type=int, default=15_719, help="size of the vocabulary (default: %(default)s)")
    parser.add_argument("--threshold", type=float, default=0.9, help="of the sparse pass (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    print(machine())
    lemmas = sorted(open_wordnet().all_lemma_names("n"))
    words = [[lemmas[i]] for i in rng.choice(len(lemmas), options.nouns, replace=False)]
    start = time.perf_counter()
    nouns = read_nouns(words)
    time_vocabulary(nouns, time.perf_counter() - start, (0.95, 0.9, 0.8, 0.7))
    # Synset pairs are drawn from every noun of WordNet, not only those of the vocabulary.
    every_noun = read_nouns([[lemma] for lemma in lemmas])
    mismatches = compare_synsets(every_noun, options.pairs, rng)
    mismatches += compare_words(nouns, options.pairs, options.threshold, rng)
    print(f"mismatches in all: {mismatches}")
    return int(mismatches > 0)


if __name__ == "__main__":
    sys.exit(main())
