"""Numbers that describe a hashtag graph."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from graph_builders.hashtag_graph import HashtagGraph
from graph_builders.wordnet import noun_share

# Lower ends of the bars of the degree histogram; each bar ends before the next one begins.
DEGREE_BARS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def graph_statistics(graph: HashtagGraph, words: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return counts, degrees, connected components and the share of hashtags that WordNet knows as nouns.

    `words[i]` are the words of hashtag i. All values can be written as JSON. Raises ValueError when the vocabulary is
    not the graph's, `InputError` when WordNet is not installed.
    """
    if len(words) != graph.num_hashtags:
        raise ValueError(f"{len(words)} hashtags for a graph of {graph.num_hashtags}; give the graph's own vocabulary")
    degrees = graph.degrees()
    components, largest = _components(graph)
    return {
        "hashtags": graph.num_hashtags,
        "edges": len(graph),
        "relations": graph.counts(),
        "degree": {
            "min": int(degrees.min()),
            "median": float(np.median(degrees)),
            "mean": float(degrees.mean()),
            "max": int(degrees.max()),
            "histogram": _histogram(degrees),
        },
        "isolated": len(graph.isolated()),
        "components": components,
        "largest_component": largest,
        "wordnet_coverage": noun_share(words),
    }


def _components(graph: HashtagGraph) -> tuple[int, int]:
    """Return the number of connected components and the hashtags in the largest one."""
    shape = (graph.num_hashtags, graph.num_hashtags)
    links = sparse.coo_matrix((np.ones(len(graph), np.int8), (graph.source, graph.target)), shape=shape)
    count, component = connected_components(links, directed=False)
    return int(count), int(np.bincount(component).max())


def _histogram(degrees: np.ndarray) -> dict[str, int]:
    """Return how many hashtags have a degree in each bar, named as "4-7"; empty bars stay."""
    place = np.searchsorted(DEGREE_BARS, degrees, side="right") - 1
    counts = np.bincount(place, minlength=len(DEGREE_BARS))
    names = []
    for start, end in pairwise(DEGREE_BARS):
        names.append(f"{start}-{end - 1}" if end - start > 1 else str(start))
    return {name: int(count) for name, count in zip([*names, f"{DEGREE_BARS[-1]}+"], counts, strict=True)}
