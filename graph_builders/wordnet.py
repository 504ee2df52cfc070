"""The nouns of WordNet 3.0 as arrays. The only file that reads WordNet.

A synset's id is its place in the order (min_depth ascending, name descending) among the synsets that were read. So the
lowest common subsumer of NLTK (V2HT 3.2.2; Wu and Palmer 1994) is the common ancestor with the largest id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import RLock
from typing import Any

import numpy as np

from data.dataset import Ragged
from data.files import InputError
from graph_builders.edges import Edges, undirected

VERSION = "3.0"
_READING = RLock()  # NLTK's reader seeks in files that all threads share


@dataclass(frozen=True, kw_only=True)
class NounSenses:
    """The noun senses of H phrases, with all their hypernyms: S synsets in all. Read by `read_nouns`.

    names          S names as in NLTK, such as dog.n.01
    min_depth      int64 [S], steps of the shortest chain up to the root
    max_depth      int64 [S], steps of the longest chain up to the root
    ancestors      per synset: the ids of itself and of every hypernym above it, descending
    up             int64, aligned with `ancestors.values`: fewest steps from the synset up to that ancestor
    senses         per phrase: the ids of its senses, ascending
    owners         per synset: the phrases that have it as a sense, ascending
    """

    names: tuple[str, ...]
    min_depth: np.ndarray
    max_depth: np.ndarray
    ancestors: Ragged
    up: np.ndarray
    senses: Ragged
    owners: Ragged

    def __len__(self) -> int:
        return len(self.names)

    def locate(self, synset: np.ndarray, ancestor: np.ndarray) -> np.ndarray:
        """Return where in `ancestors.values` each `ancestor` stands in the row of `synset`; -1 where it does not."""
        size = len(self)
        rows = np.repeat(np.arange(size), self.ancestors.lengths)
        keys = rows * size + (size - 1 - self.ancestors.values)
        wanted = synset * size + (size - 1 - ancestor)
        entry = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[entry] == wanted, entry, -1)

    def edges_between(self, one: np.ndarray, other: np.ndarray, *, weight: np.ndarray) -> Edges:
        """Turn links between synsets into links between all the phrases that have these synsets as senses."""
        owners = self.owners.take(one)
        pair = np.repeat(np.arange(len(one)), owners.lengths)
        partners = self.owners.take(other[pair])
        repeat = np.repeat(np.arange(len(pair)), partners.lengths)
        return undirected(owners.values[repeat], partners.values, weight=weight[pair[repeat]])


def read_nouns(words: Sequence[Sequence[str]]) -> NounSenses:
    """Read the noun senses of each phrase (a list of words) and everything above them.

    A phrase is looked up as NLTK's `synsets(lemma, "n")` does: lower case, the form itself and its singular forms.
    Raises `InputError` when WordNet 3.0 is not installed.
    """
    with _READING:
        return _read_nouns(open_wordnet(), words)


def _read_nouns(reader: Any, words: Sequence[Sequence[str]]) -> NounSenses:
    found = [_synsets_of(reader, phrase) for phrase in words]
    parents = _with_hypernyms({synset for synsets in found for synset in synsets})
    # Sorted twice: Python's sort is stable, so the second key rules and the first one breaks its ties.
    by_name = sorted(parents, key=lambda synset: synset.name(), reverse=True)
    order = sorted(by_name, key=lambda synset: synset.min_depth())
    id_of = {synset: place for place, synset in enumerate(order)}
    rows = _ancestor_rows([[id_of[parent] for parent in parents[synset]] for synset in order])
    senses = Ragged.from_lists([sorted({id_of[synset] for synset in synsets}) for synsets in found])
    return NounSenses(
        names=tuple(synset.name() for synset in order),
        min_depth=np.array([synset.min_depth() for synset in order], np.int64),
        max_depth=np.array([synset.max_depth() for synset in order], np.int64),
        ancestors=Ragged.from_lists([list(row) for row in rows]),
        up=np.array([steps for row in rows for steps in row.values()], np.int64),
        senses=senses,
        owners=_inverse(senses, len(order)),
    )


def noun_share(words: Sequence[Sequence[str]]) -> float:
    """Return the share of the phrases that have a noun sense. Raises `InputError` when WordNet is not installed."""
    with _READING:
        reader = open_wordnet()
        return sum(bool(_synsets_of(reader, phrase)) for phrase in words) / len(words)


@lru_cache(maxsize=200_000)
def noun_senses(word: str) -> tuple[int, int]:
    """Return how many senses WordNet gives a word as a noun, and how many in all."""
    with _READING:
        found = open_wordnet().synsets(word)
    return sum(synset.pos() == "n" for synset in found), len(found)


@cache
def open_wordnet() -> Any:
    """Return NLTK's reader of WordNet 3.0, which is opened once (about 2 seconds).

    Raises `InputError` when the corpus is missing, incomplete or of another version.
    """
    from nltk.corpus import wordnet  # slow to import, and not every command needs it

    try:
        version = wordnet.get_version()
    except LookupError:
        raise InputError(
            f"WordNet {VERSION} is not installed; run `make setup` or `python -m graph_builders.install_wordnet`"
        ) from None
    except OSError as error:
        raise InputError(f"NLTK's copy of WordNet is incomplete ({error}); remove it and run `make setup`") from None
    if version != VERSION:
        raise InputError(f"NLTK finds WordNet {version}, expected {VERSION}; remove that copy and run `make setup`")
    return wordnet


def _synsets_of(reader: Any, phrase: Sequence[str]) -> list[Any]:
    """Return the senses of the first way to write the phrase that WordNet knows: hip_hop, hip-hop, hiphop."""
    if not phrase:
        return []
    for joint in ("_", "-", ""):
        if synsets := reader.synsets(joint.join(phrase), "n"):
            return list(synsets)
    return []


def _with_hypernyms(synsets: set[Any]) -> dict[Any, list[Any]]:
    """Return each synset, and each one above it, with its direct hypernyms (of classes and of instances)."""
    parents: dict[Any, list[Any]] = {}
    waiting = list(synsets)
    while waiting:
        synset = waiting.pop()
        if synset not in parents:
            parents[synset] = synset.hypernyms() + synset.instance_hypernyms()
            waiting.extend(parents[synset])
    return parents


def _ancestor_rows(parents: list[list[int]]) -> list[dict[int, int]]:
    """Return per synset its ancestors, ids descending, with the fewest steps up to each; itself with 0."""
    rows: list[dict[int, int]] = []
    for start in range(len(parents)):
        steps, level, distance = {start: 0}, [start], 0
        while level:
            distance += 1
            level = [parent for synset in level for parent in parents[synset] if parent not in steps]
            steps.update(dict.fromkeys(level, distance))
        rows.append(dict(sorted(steps.items(), reverse=True)))
    return rows


def _inverse(rows: Ragged, size: int) -> Ragged:
    """Turn `row -> values` into `value -> rows`, for values 0..size-1."""
    order = np.argsort(rows.values, kind="stable")
    owners = np.repeat(np.arange(len(rows)), rows.lengths)[order]
    counts = np.bincount(rows.values, minlength=size)
    return Ragged(values=owners, offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
