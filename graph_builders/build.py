"""From a vocabulary and the train posts to the hashtag graph: four relations, one edge per pair (V2HT 3.2.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.dataset import Dataset, Ragged
from data.files import InputError
from graph_builders.composition import composition_edges
from graph_builders.cooccurrence import cooccurrence_edges
from graph_builders.edges import Edges
from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from graph_builders.hypernym import hypernym_edges
from graph_builders.wordnet import read_nouns
from graph_builders.wup import wup_edges

GRAPH_FILE = "graph.parquet"  # in a dataset's folder


@dataclass(frozen=True, kw_only=True)
class GraphSettings:
    """What may be linked. Raises `InputError` on a value out of range.

    hypernym_steps            most WordNet steps between a kind and what it is a kind of, 1 or more
    wup_threshold             smallest Wu-Palmer similarity that links, in [0.5, 1]
    cooccurrence_count        fewest shared train videos that link, 1 or more
    cooccurrence_neighbours   a pair must be among so many strongest of either end, 0 (no such edges) or more
    """

    hypernym_steps: int = 3
    wup_threshold: float = 0.9
    cooccurrence_count: int = 2
    cooccurrence_neighbours: int = 10

    def __post_init__(self) -> None:
        # Under 0.5 nearly any two things are alike: the graph would be dense and no longer fit in memory.
        if not 0.5 <= self.wup_threshold <= 1.0:
            raise InputError(
                f"wup_threshold is {self.wup_threshold}, expected a number in [0.5, 1]; 0.9 is the default"
            )
        for name, least in (("hypernym_steps", 1), ("cooccurrence_count", 1), ("cooccurrence_neighbours", 0)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"{name} is {value}, expected {least} or more")


def build_dataset_graph(
    dataset: Dataset, settings: GraphSettings, *, progress: Callable[[str], None] | None = None
) -> HashtagGraph:
    """Build the graph of a dataset's vocabulary; co-occurrence sees the train split only."""
    return build_graph(
        dataset.hashtags["words"].to_list(),
        dataset.hashtag_ids().take(dataset.rows("train")),
        settings=settings,
        dataset_fingerprint=dataset.tables_fingerprint,
        progress=progress,
    )


def load_dataset_graph(folder: Path, dataset: Dataset) -> HashtagGraph:
    """Read the graph that `v2ht graph` wrote into a dataset's folder.

    Raises `InputError` when there is none, or when it was built from another dataset.
    """
    path = Path(folder) / GRAPH_FILE
    if not path.is_file():
        raise InputError(f"{folder} has no hashtag graph yet; build it with `v2ht graph {folder}`")
    graph = HashtagGraph.load(path)
    if graph.dataset_fingerprint != dataset.tables_fingerprint or graph.num_hashtags != dataset.num_hashtags:
        raise InputError(f"{path} was built from another dataset; build it again with `v2ht graph {folder}`")
    return graph


def build_graph(
    words: Sequence[Sequence[str]],
    train_hashtag_ids: Ragged,
    *,
    settings: GraphSettings,
    dataset_fingerprint: str = "",
    progress: Callable[[str], None] | None = None,
) -> HashtagGraph:
    """Build the four relations and keep for each pair the one that comes first in RELATIONS.

    `words[i]` are the words of hashtag i; `train_hashtag_ids[v]` the hashtags of train video v. `progress` gets a line
    after each step. Raises `InputError` when WordNet is not installed.
    """
    if not words:
        raise InputError("the vocabulary has no hashtags; lower the minimum counts and import again")
    say = progress or (lambda line: None)
    parts = [composition_edges(words)]
    say(f"composition: {len(parts[0]):,} edges")
    nouns = read_nouns(words)
    say(f"WordNet: {np.count_nonzero(nouns.senses.lengths):,} of {len(words):,} hashtags are nouns")
    parts.append(hypernym_edges(nouns, max_steps=settings.hypernym_steps))
    say(f"hypernym: {len(parts[1]):,} edges")
    parts.append(wup_edges(nouns, threshold=settings.wup_threshold))
    say(f"wup: {len(parts[2]):,} edges")
    parts.append(
        cooccurrence_edges(
            train_hashtag_ids,
            len(words),
            min_count=settings.cooccurrence_count,
            max_neighbours=settings.cooccurrence_neighbours,
        )
    )
    say(f"cooccurrence: {len(parts[3]):,} edges")
    return merge(parts, num_hashtags=len(words), settings=settings, dataset_fingerprint=dataset_fingerprint)


def merge(
    parts: Sequence[Edges], *, num_hashtags: int, settings: GraphSettings, dataset_fingerprint: str = ""
) -> HashtagGraph:
    """Join the edges of the relations, given in the order of RELATIONS; the first relation of a pair wins."""
    relation = np.repeat(np.arange(len(RELATIONS), dtype=np.int8), [len(part) for part in parts])
    source, target, weight = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("source", "target", "weight")
    )
    # The index that np.unique returns is that of the first occurrence: the relation of highest priority.
    _, first = np.unique(source.astype(np.int64) * num_hashtags + target, return_index=True)
    return HashtagGraph(
        num_hashtags=num_hashtags,
        source=source[first],
        target=target[first],
        relation=relation[first],
        weight=weight[first],
        settings=asdict(settings),
        dataset_fingerprint=dataset_fingerprint,
    )
