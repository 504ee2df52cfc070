"""A hashtag graph in words: what `v2ht graph --stats` and `--neighbours` print."""

from __future__ import annotations

from typing import Any

from data.dataset import Dataset
from data.files import InputError
from data.hashtags import normalise
from graph_builders.explain import why
from graph_builders.hashtag_graph import HashtagGraph


def find_hashtag(dataset: Dataset, hashtag: str) -> int:
    """Return the id of a hashtag however it is written. Raises `InputError` when the dataset has no such hashtag."""
    names = dataset.hashtags["hashtag"].to_list()
    wanted = normalise(hashtag)
    if wanted not in names:
        close = [name for name in names if wanted and wanted in name][:5]
        hint = f"; there are {', '.join(close)}" if close else ""
        raise InputError(f"hashtag {wanted!r} is not in the dataset{hint}")
    return names.index(wanted)


def neighbours(graph: HashtagGraph, dataset: Dataset, hashtag: str) -> list[dict[str, Any]]:
    """Return the neighbours of a hashtag, strongest first: `hashtag`, `relation`, `weight`, `why`.

    Raises `InputError` when the dataset has no such hashtag.
    """
    one, names = find_hashtag(dataset, hashtag), dataset.hashtags["hashtag"].to_list()
    words = dataset.hashtags["words"].to_list()
    train = dataset.hashtag_ids().take(dataset.rows("train"))
    return [
        {
            "hashtag": names[other],
            "relation": relation,
            "weight": round(weight, 4),
            "why": why(graph, words, one=one, other=other, train_hashtag_ids=train),
        }
        for other, relation, weight in graph.neighbours(one)
    ]


def neighbours_text(hashtag: str, found: list[dict[str, Any]]) -> str:
    """Return `neighbours` as lines."""
    if not found:
        return f"#{hashtag.removeprefix('#')} has no neighbours\n"
    width = max(len(row["hashtag"]) for row in found)
    lines = [f"  #{row['hashtag']:<{width}}  {row['relation']:<12}  {row['weight']:.2f}  {row['why']}" for row in found]
    return "\n".join([f"neighbours of #{hashtag.removeprefix('#')}", *lines]) + "\n"


def statistics_text(statistics: dict[str, Any]) -> str:
    """Return `graph_statistics` as lines, with the degree distribution as bars."""
    degree = statistics["degree"]
    lines = [f"{statistics['hashtags']:,} hashtags, {statistics['edges']:,} edges"]
    lines += [f"  {name:<12} {count:>10,}" for name, count in statistics["relations"].items()]
    lines += [
        f"isolated hashtags {statistics['isolated']:,}; connected components {statistics['components']:,}, "
        f"the largest has {statistics['largest_component']:,} hashtags",
        f"hashtags that are WordNet nouns: {statistics['wordnet_coverage']:.1%}",
        f"degree: median {degree['median']:g}, mean {degree['mean']:.1f}, from {degree['min']} to {degree['max']}",
    ]
    most = max(degree["histogram"].values())
    for bar, count in degree["histogram"].items():
        lines.append(f"  {bar:>9} {count:>8,} {'#' * round(40 * count / most)}".rstrip())
    return "\n".join(lines) + "\n"
