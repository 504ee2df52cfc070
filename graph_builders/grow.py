"""A hashtag graph after more posts: what co-occurs counted anew, new hashtags linked with the known ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from data.dataset import Ragged
from graph_builders.build import GraphSettings, merge
from graph_builders.cooccurrence import cooccurrence_edges
from graph_builders.edges import Edges, union
from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from graph_builders.insert import Inserter

COOCCURRENCE = RELATIONS.index("cooccurrence")


def grow(graph: HashtagGraph, words: Sequence[Sequence[str]], hashtag_ids: Ragged, *, known: int) -> HashtagGraph:
    """Return the graph of `words`, whose first `known` hashtags are known, after the posts with `hashtag_ids`.

    Among known hashtags it is what `build_graph` would build of these posts. A new hashtag has the edges that
    `Inserter` finds, and those of co-occurrence, with known hashtags only. A relation that `graph` has no edge of stays
    away: no model has learned to weigh it.

    Args:
        graph: of the known hashtags; edges of others in it are forgotten.
        words: of each hashtag, the known ones first.
        hashtag_ids: of all posts that count, those that the graph was built from too.
        known: how many are known.

    Raises `InputError` when there are new hashtags and WordNet is not installed.
    """
    names = {field.name for field in fields(GraphSettings)}
    settings = GraphSettings(**{key: value for key, value in graph.settings.items() if key in names})
    new = Inserter(words[:known], settings).edges(words[known:]) if len(words) > known else None
    parts = [
        union([_of_relation(graph, number, below=known), *([] if new is None else [_of_relation(new, number)])])
        for number in range(COOCCURRENCE)
    ]
    together = [_together(_below(hashtag_ids, known), known, settings)]
    if new is not None:
        every = _together(hashtag_ids, len(words), settings)
        together.append(_taken(every, (every.source < known) & (every.target >= known)))
    parts.append(union(together))
    learned = set(graph.relation.tolist())
    return merge(
        [part if number in learned else union([]) for number, part in enumerate(parts)],
        num_hashtags=len(words),
        settings=settings,
        dataset_fingerprint=graph.dataset_fingerprint,
    )


def _of_relation(graph: HashtagGraph, number: int, *, below: int | None = None) -> Edges:
    own = graph.relation == number
    if below is not None:
        own &= graph.target < below
    return Edges(source=graph.source[own], target=graph.target[own], weight=graph.weight[own])


def _taken(edges: Edges, kept: np.ndarray) -> Edges:
    return Edges(source=edges.source[kept], target=edges.target[kept], weight=edges.weight[kept])


def _together(hashtag_ids: Ragged, num_hashtags: int, settings: GraphSettings) -> Edges:
    return cooccurrence_edges(
        hashtag_ids,
        num_hashtags,
        min_count=settings.cooccurrence_count,
        max_neighbours=settings.cooccurrence_neighbours,
    )


def _below(hashtag_ids: Ragged, known: int) -> Ragged:
    kept = hashtag_ids.values < known
    offsets = np.concatenate([[0], np.cumsum(kept)])[hashtag_ids.offsets]
    return Ragged(values=hashtag_ids.values[kept], offsets=offsets.astype(np.int64))
