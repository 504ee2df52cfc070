"""New hashtags for a post: written, filtered, inserted into the run's graph, scored by the run's own ranker.

No published system does the last two steps; GGM (ACL 2023) ends with what its generator writes. Shapes: B videos, H
known hashtags, N new ones, D embedding, W word vector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from data.files import InputError
from data.hashtags import normalise
from data.text import hashtag_words
from graph_builders.hashtag_graph import HashtagGraph
from graph_builders.insert import Inserter
from v2ht.bundle import Bundle
from v2ht.inputs import Batch, Post
from v2ht.models.contract import GraphRanker
from v2ht.serving.near_duplicates import NearDuplicates
from v2ht.serving.safety import WordFilter
from v2ht.writing import Written

NEAR_DUPLICATES = ("keep", "demote", "merge")
WIDTH, LEAST = 5, 20  # written for each new hashtag asked for, and in all: many are known, and some leave


class Writer(Protocol):
    """Writes hashtags for posts, best first, at most n for each."""

    def write(self, posts: Sequence[Post], n: int) -> list[list[Written]]: ...


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """New hashtags as nodes: their edges to the H known ones, and their rows for the ranker."""

    hashtags: list[str]
    words: list[tuple[str, ...]]
    edges: HashtagGraph  # of H + N hashtags; the new ones are H, H + 1, ...
    rows_ND: Tensor
    unlinked_ND: Tensor  # what the rows would be without the edges


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A new hashtag for one post."""

    place: int  # in `Nodes`
    score: float  # of the run's ranker
    near: str | None  # the hashtag that it nearly is: known, or new and written before it
    origin: str  # where it comes from, in words


class NovelHashtags:
    """Takes new hashtags into a run's graph.

    Args:
        bundle: the run; its ranker must be able to place new nodes.
        words: what may not be shown.

    Raises `InputError` when the ranker cannot, or WordNet is not installed.
    """

    def __init__(self, bundle: Bundle, words: WordFilter) -> None:
        if not isinstance(bundle.model, GraphRanker):
            raise InputError(
                f"the run's model {bundle.model_name} has no hashtag graph that new hashtags could join; "
                "use a run of v2ht_memory, v2ht or ggm"
            )
        self._model: GraphRanker = bundle.model
        self._inputs, self._filter = bundle.inputs, words
        names = bundle.inputs.hashtags["hashtag"].to_list()
        phrases = bundle.inputs.hashtags["words"].to_list()
        self._inserter = Inserter.of(bundle.graph, phrases)
        self._spellings = {*names, *(_spelling(phrase) for phrase in phrases)}
        self._known = NearDuplicates()  # those that may be shown: no other is named
        for name, phrase in zip(names, phrases, strict=True):
            if words.refuses(phrase) is None:
                self._known.add(name, phrase)

    @torch.inference_mode()
    def insert(self, hashtags: Sequence[str], words: Sequence[tuple[str, ...]]) -> Nodes:
        """Return new hashtags, given with their words, as nodes; the known ones are left as they are."""
        edges = self._inserter.edges(words)
        vectors_NW = torch.from_numpy(self._inputs.word_vectors.means([hashtag_words(phrase) for phrase in words]))
        none = replace(edges, **{name: getattr(edges, name)[:0] for name in ("source", "target", "relation", "weight")})
        return Nodes(
            hashtags=list(hashtags),
            words=list(words),
            edges=edges,
            rows_ND=self._model.new_hashtag_embeddings(vectors_NW, edges),
            unlinked_ND=self._model.new_hashtag_embeddings(vectors_NW, none),
        )

    def find(
        self, written: Sequence[Sequence[Written]], batch: Batch, *, n: int, near_duplicates: str
    ) -> tuple[Nodes, list[list[Candidate]], list[Counter[str]]]:
        """Return the written hashtags that are new, the first n of each post, and what became of the others.

        They are chosen in the writer's order: on validation posts the ranker's score, which only says where they are
        shown, told no more of which are right (experiments/ggm/README.md). Near-duplicates stand behind all others
        ("demote"), are left out ("merge"), or count as others do ("keep"). The counts name how many came
        from where, and of all what was unsafe, blocked, known (it ranks among the known), repeated, merged and demoted.
        """
        sorted_out = [self._sort_out(row, merge=near_duplicates == "merge") for row in written]
        new = dict.fromkeys((item.hashtag, item.words) for kept, _ in sorted_out for item in kept)
        nodes = self.insert([hashtag for hashtag, _ in new], [words for _, words in new])
        place = {item: number for number, item in enumerate(new)}
        with torch.inference_mode():
            scores_BN = self._model.scores(batch, nodes.rows_ND) if place else torch.zeros(len(batch), 0)
        found = []
        for (kept, counts), scores_N in zip(sorted_out, scores_BN.tolist(), strict=True):
            places = [place[item.hashtag, item.words] for item in kept]
            rows = [
                Candidate(place=number, score=scores_N[number], near=near, origin=item.origin)
                for number, (item, near) in zip(places, kept.items(), strict=True)
            ]
            last = near_duplicates == "demote"
            rows.sort(key=lambda row: last and row.near is not None)
            counts["demoted"] = sum(last and row.near is not None for row in rows)
            found.append(rows[:n])
        return nodes, found, [counts for _, counts in sorted_out]

    def _sort_out(self, written: Sequence[Written], *, merge: bool) -> tuple[dict[Written, str | None], Counter[str]]:
        """Return the new hashtags, each with the one that it nearly is, and the counts of what was written."""
        kept: dict[Written, str | None] = {}
        own, seen = NearDuplicates(), set()
        counts = Counter(item.origin for item in written)
        for item in written:
            item = replace(item, hashtag=normalise(item.hashtag))
            near = self._known.find(item.words) or own.find(item.words)
            if refused := self._filter.refuses(item.words):
                counts[refused] += 1
            elif {item.hashtag, _spelling(item.words)} & self._spellings:
                counts["known"] += 1
            elif not item.hashtag or item.hashtag in seen:
                counts["repeated"] += 1
            elif near is not None and merge:
                counts["merged"] += 1
            else:
                kept[item] = near
                seen.add(item.hashtag)
                own.add(item.hashtag, item.words)
        return kept, counts


def _spelling(words: Sequence[str]) -> str:
    return normalise("".join(words))


def to_write(n: int) -> int:
    """Return how many hashtags a writer is asked for, so that n new ones may be left."""
    return max(LEAST, WIDTH * n)
