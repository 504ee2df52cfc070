"""Why two hashtags are linked, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.dataset import Ragged
from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from graph_builders.wordnet import read_nouns


def why(
    graph: HashtagGraph,
    words: Sequence[Sequence[str]],
    *,
    one: int,
    other: int,
    train_hashtag_ids: Ragged | None = None,
) -> str:
    """Say why the hashtags `one` and `other` are linked; with `train_hashtag_ids`, also in how many train videos.

    `words[i]` are the words of hashtag i. Raises IndexError on an unknown id, ValueError when the vocabulary is not the
    graph's, `InputError` when a hypernym must be looked up and WordNet is not installed.
    """
    if len(words) != graph.num_hashtags:
        raise ValueError(f"{len(words)} hashtags for a graph of {graph.num_hashtags}; give the graph's own vocabulary")
    edge = graph.edge_between(one, other)
    if edge is None:
        return f"{_name(words[one])} and {_name(words[other])} are not linked"
    relation, weight = RELATIONS[graph.relation[edge]], float(graph.weight[edge])
    if relation == "composition":
        return _composition(words[one], words[other])
    if relation == "hypernym":
        return _hypernym(words[one], words[other])
    if relation == "wup":
        return (
            f"{_name(words[one])} and {_name(words[other])} mean similar things (WordNet, WUP similarity {weight:.2f})"
        )
    together = f"{_name(words[one])} and {_name(words[other])} are used together"
    if train_hashtag_ids is None:
        return f"{together} (cosine {weight:.2f} over train videos)"
    count = shared_videos(train_hashtag_ids, one, other)
    return f"{together} in {count:,} train {'video' if count == 1 else 'videos'}"


def shared_videos(hashtag_ids: Ragged, one: int, other: int) -> int:
    """Return the number of videos (rows) that have both hashtags."""
    of_one, of_other = (
        np.searchsorted(hashtag_ids.offsets, np.flatnonzero(hashtag_ids.values == hashtag_id), side="right")
        for hashtag_id in (one, other)
    )
    return len(np.intersect1d(of_one, of_other))


def _name(phrase: Sequence[str]) -> str:
    return f"'{' '.join(phrase)}'"


def _composition(one: Sequence[str], other: Sequence[str]) -> str:
    if len(one) == len(other):
        return f"both are spellings of {_name(one)}"
    part, whole = sorted((one, other), key=len)
    return f"{_name(part)} is a word of {_name(whole)}"


def _hypernym(one: Sequence[str], other: Sequence[str]) -> str:
    """Find the pair of senses with the fewest steps; the graph itself does not keep which one is the kind."""
    nouns = read_nouns([one, other])
    ways = []
    for below, above in ((0, 1), (1, 0)):
        senses = nouns.senses[below]
        for ancestor in nouns.senses[above]:
            entry = nouns.locate(senses, np.full(len(senses), ancestor))
            ways += [(int(steps), below) for steps in nouns.up[entry[entry >= 0]] if steps > 0]
    steps, below = min(ways)
    kind, general = (one, other) if below == 0 else (other, one)
    return f"{_name(kind)} is a kind of {_name(general)} (WordNet, {steps} {'step' if steps == 1 else 'steps'})"
