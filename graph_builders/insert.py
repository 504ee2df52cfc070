"""Edges of new hashtags to the hashtags of a graph: those that the bulk builders would give them (V2HT 3.2.2).

Composition, hypernym and WUP edges follow from a hashtag's words alone; co-occurrence needs train videos, which a new
hashtag has none of. Shapes: H known hashtags, N new ones, S known synsets, A entries of their ancestors, P pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from data.dataset import Ragged
from graph_builders.build import GraphSettings, merge
from graph_builders.edges import Edges, undirected, union
from graph_builders.hashtag_graph import HashtagGraph
from graph_builders.wordnet import NounSenses, read_nouns
from graph_builders.wup import NearSenses, subsumer_distances, wup_of_pairs


class Inserter:
    """A vocabulary, prepared for new hashtags: seconds once, milliseconds for each hashtag.

    Args:
        words: `words[i]` are the words of known hashtag i.
        settings: those that the graph of the known hashtags was built with.

    Raises `InputError` when WordNet is not installed.
    """

    def __init__(self, words: Sequence[Sequence[str]], settings: GraphSettings) -> None:
        self.num_hashtags = len(words)
        self.settings = settings
        self._spellings: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        self._wholes: defaultdict[str, list[int]] = defaultdict(list)
        for number, phrase in enumerate(map(_folded, words)):
            self._spellings[phrase].append(number)
            for word in set(phrase) if len(phrase) > 1 else ():
                self._wholes[word].append(number)
        self._nouns = read_nouns(words)
        self._id_of = {name: number for number, name in enumerate(self._nouns.names)}
        self._distance_A = subsumer_distances(self._nouns)
        self._near = NearSenses.of(self._nouns, self._distance_A, settings.wup_threshold)
        self._kinds = _kinds(self._nouns, settings.hypernym_steps)

    @staticmethod
    def of(graph: HashtagGraph, words: Sequence[Sequence[str]]) -> Inserter:
        """Prepare the vocabulary of a graph, with the settings that it was built with."""
        names = {field.name for field in fields(GraphSettings)}
        return Inserter(words, GraphSettings(**{key: value for key, value in graph.settings.items() if key in names}))

    def edges(self, new_words: Sequence[Sequence[str]]) -> HashtagGraph:
        """Return a graph of H + N hashtags that holds the edges of the new ones, H..H+N-1, to known ones only.

        `new_words[n]` are the words of new hashtag H + n. New hashtags are not linked with each other, so that what
        one of them gets does not depend on its company. A pair keeps the relation that comes first in RELATIONS.
        """
        new = read_nouns(new_words)
        known_S = np.array([self._id_of.get(name, -1) for name in new.names], np.int64)
        parts = [self._composition(new_words), self._hypernym(new, known_S), self._wup(new, known_S), union([])]
        return merge(parts, num_hashtags=self.num_hashtags + len(new_words), settings=self.settings)

    def _composition(self, new_words: Sequence[Sequence[str]]) -> Edges:
        pairs = []
        for number, phrase in enumerate(map(_folded, new_words), self.num_hashtags):
            linked = [*self._spellings.get(phrase, [])] if phrase else []
            for word in set(phrase) if len(phrase) > 1 else ():
                linked += self._spellings.get((word,), [])
            if len(phrase) == 1:
                linked += self._wholes.get(phrase[0], [])
            pairs += [(known, number) for known in linked]
        pairs_P2 = np.array(pairs, np.int64).reshape(-1, 2)
        return undirected(pairs_P2[:, 0], pairs_P2[:, 1], weight=np.ones(len(pairs_P2)))

    def _hypernym(self, new: NounSenses, known_S: np.ndarray) -> Edges:
        """Link new hashtags with what they are kinds of, and with their kinds."""
        sense_A = np.repeat(np.arange(len(new)), new.ancestors.lengths)
        above_A = known_S[new.ancestors.values]
        up = np.flatnonzero((new.up >= 1) & (new.up <= self.settings.hypernym_steps) & (above_A >= 0))
        parts = [self._linked(new, sense_A[up], above_A[up], weight=1.0 / new.up[up])]
        above, below, steps = self._kinds
        sense, place = _runs(np.searchsorted(above, known_S), np.searchsorted(above, known_S, side="right"))
        return union([*parts, self._linked(new, sense, below[place], weight=1.0 / steps[place])])

    def _wup(self, new: NounSenses, known_S: np.ndarray) -> Edges:
        """Link new hashtags with similar ones, by the same function as in bulk."""
        new_A = subsumer_distances(new)
        nouns, distance_A, id_S = self._with_senses(new, known_S, new_A)
        sense_A = np.repeat(np.arange(len(new)), new.ancestors.lengths)
        met = np.flatnonzero((known_S[new.ancestors.values] >= 0) & (new.owners.lengths[sense_A] > 0))
        subsumer, away = known_S[new.ancestors.values[met]], new_A[met]
        entry, place = _runs(np.searchsorted(self._near.subsumer, subsumer), self._near.ends(subsumer, away))
        pairs_P2 = np.unique(np.stack([sense_A[met[entry]], self._near.synset[place]], axis=1), axis=0)
        sense_P, other_P = pairs_P2[:, 0], pairs_P2[:, 1]
        value_P = np.maximum(
            wup_of_pairs(nouns, distance_A, one=id_S[sense_P], other=other_P),
            wup_of_pairs(nouns, distance_A, one=other_P, other=id_S[sense_P]),
        )
        keep = value_P >= self.settings.wup_threshold
        return self._linked(new, sense_P[keep], other_P[keep], weight=value_P[keep])

    def _with_senses(
        self, new: NounSenses, known_S: np.ndarray, new_A: np.ndarray
    ) -> tuple[NounSenses, np.ndarray, np.ndarray]:
        """Return the known synsets with the unknown ones of `new` behind them, their distances, and new id -> id.

        An unknown synset is above no known one, so the rows of the unknown list known ancestors only; then two rows
        still show their common ancestors in falling order.
        """
        unknown_S = known_S < 0
        sense_A = np.repeat(np.arange(len(new)), new.ancestors.lengths)
        listed_A = unknown_S[sense_A] & (known_S[new.ancestors.values] >= 0)
        lengths = np.bincount(sense_A[listed_A], minlength=len(new))[unknown_S]
        old = self._nouns.ancestors
        nouns = replace(
            self._nouns,
            names=self._nouns.names + tuple(new.names[number] for number in np.flatnonzero(unknown_S)),
            min_depth=np.concatenate([self._nouns.min_depth, new.min_depth[unknown_S]]),
            max_depth=np.concatenate([self._nouns.max_depth, new.max_depth[unknown_S]]),
            ancestors=Ragged(
                values=np.concatenate([old.values, known_S[new.ancestors.values[listed_A]]]),
                offsets=np.concatenate([old.offsets, old.offsets[-1] + np.cumsum(lengths)]),
            ),
        )
        id_S = np.where(unknown_S, len(self._nouns) + np.cumsum(unknown_S) - 1, known_S)
        return nouns, np.concatenate([self._distance_A, new_A[listed_A]]), id_S

    def _linked(self, new: NounSenses, sense: np.ndarray, other: np.ndarray, *, weight: np.ndarray) -> Edges:
        """Turn links of synsets, new and known, into links of all new and known hashtags that have these as senses."""
        owners = new.owners.take(sense)
        pair = np.repeat(np.arange(len(sense)), owners.lengths)
        partners = self._nouns.owners.take(other[pair])
        repeat = np.repeat(np.arange(len(pair)), partners.lengths)
        return undirected(partners.values, self.num_hashtags + owners.values[repeat], weight=weight[pair[repeat]])


def _folded(phrase: Sequence[str]) -> tuple[str, ...]:
    return tuple(word.casefold() for word in phrase)


def _kinds(nouns: NounSenses, max_steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (synset, sense below it, steps between) for at most `max_steps`, sorted by the first."""
    below_A = np.repeat(np.arange(len(nouns)), nouns.ancestors.lengths)
    near = np.flatnonzero((nouns.up >= 1) & (nouns.up <= max_steps) & (nouns.owners.lengths[below_A] > 0))
    near = near[np.argsort(nouns.ancestors.values[near], kind="stable")]
    return nouns.ancestors.values[near], below_A[near], nouns.up[near]


def _runs(first: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (run, place) for every place of every run from `first` to before `end`."""
    lengths = np.maximum(end - first, 0)
    run = np.repeat(np.arange(len(first)), lengths)
    return run, np.arange(len(run)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + first[run]
