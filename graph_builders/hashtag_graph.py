"""The hashtag graph: typed, weighted, undirected edges, each pair of hashtags once. One Parquet file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.files import InputError, new_file

# In order of priority: a pair with several relations keeps the first (V2HT 3.2.2).
RELATIONS = ("composition", "hypernym", "wup", "cooccurrence")
FORMAT = "v2ht-graph-1"
METADATA_KEY = b"v2ht"


class Adjacency(NamedTuple):
    """Both directions of E edges as compressed rows: row i holds `indices[indptr[i]:indptr[i + 1]]`, ascending.

    indptr int64 [num_hashtags + 1]; indices int32 [2E]; edge_id int32 [2E], the place in the graph's own arrays.
    """

    indptr: np.ndarray
    indices: np.ndarray
    edge_id: np.ndarray


class Neighbour(NamedTuple):
    """A hashtag linked with another one, and how."""

    hashtag_id: int
    relation: str
    weight: float


@dataclass(frozen=True, kw_only=True)
class HashtagGraph:
    """E undirected edges between hashtags, sorted by (source, target), each pair once.

    num_hashtags         H
    source, target       int32 [E], source < target, in 0..H-1
    relation             int8 [E], place in RELATIONS
    weight               float32 [E], positive; what it says depends on the relation
    settings             the settings that the graph was built with
    dataset_fingerprint  of the dataset it was built from; empty if from none

    Raises ValueError when the arrays break this.
    """

    num_hashtags: int
    source: np.ndarray
    target: np.ndarray
    relation: np.ndarray
    weight: np.ndarray
    settings: dict[str, Any] = field(default_factory=dict)
    dataset_fingerprint: str = ""

    def __post_init__(self) -> None:
        self.validate()

    def __len__(self) -> int:
        return len(self.source)

    def validate(self) -> None:
        """Raise ValueError that names the first edge which breaks the promises of the class."""
        if self.num_hashtags < 1:
            raise ValueError(f"num_hashtags is {self.num_hashtags}, expected 1 or more")
        columns = {"target": self.target, "relation": self.relation, "weight": self.weight}
        for name, column in columns.items():
            if len(column) != len(self.source):
                raise ValueError(f"{name} has {len(column)} values, source has {len(self.source)}; give one per edge")
        for name, ends in (("source", self.source), ("target", self.target)):
            self._stop_at((ends < 0) | (ends >= self.num_hashtags), f"{name} is outside 0..{self.num_hashtags - 1}")
        self._stop_at(self.source == self.target, "it links a hashtag with itself")
        self._stop_at(self.source > self.target, "source is larger than target; swap them")
        self._stop_at((self.relation < 0) | (self.relation >= len(RELATIONS)), f"relation is none of {RELATIONS}")
        self._stop_at(~(np.isfinite(self.weight) & (self.weight > 0)), "weight is not a positive number")
        key = self.source.astype(np.int64) * self.num_hashtags + self.target
        self._stop_at(np.diff(key, prepend=-1) == 0, "the pair occurs twice; keep one relation per pair")
        self._stop_at(np.diff(key, prepend=-1) < 0, "edges are not sorted by (source, target)")

    def _stop_at(self, bad: np.ndarray, problem: str) -> None:
        if bad.any():
            edge = int(np.argmax(bad))
            values = [column[edge].item() for column in (self.source, self.target, self.relation, self.weight)]
            raise ValueError(f"edge {edge} (source, target, relation, weight) = {tuple(values)}: {problem}")

    def counts(self) -> dict[str, int]:
        """Return the number of edges of each relation."""
        counts = np.bincount(self.relation, minlength=len(RELATIONS))
        return {name: int(count) for name, count in zip(RELATIONS, counts, strict=True)}

    def degrees(self) -> np.ndarray:
        """Return int64 [H], the number of edges of each hashtag."""
        return np.bincount(self.source, minlength=self.num_hashtags) + np.bincount(
            self.target, minlength=self.num_hashtags
        )

    def isolated(self) -> np.ndarray:
        """Return the ids of the hashtags without an edge, ascending."""
        return np.flatnonzero(self.degrees() == 0)

    def edge_between(self, one: int, other: int) -> int | None:
        """Return the place of the edge between two hashtags, or None. Raises IndexError on an unknown id."""
        low, high = sorted((self._known(one), self._known(other)))
        start, end = np.searchsorted(self.source, [low, low + 1])
        place = int(start + np.searchsorted(self.target[start:end], high))
        return place if place < end and self.target[place] == high else None

    def neighbours(self, hashtag_id: int) -> list[Neighbour]:
        """Return the hashtags linked with one, by falling weight, then priority, then id.

        Raises IndexError on an unknown id.
        """
        self._known(hashtag_id)
        edges = np.flatnonzero((self.source == hashtag_id) | (self.target == hashtag_id))
        others = self.source[edges] + self.target[edges] - hashtag_id
        order = np.lexsort((others, self.relation[edges], -self.weight[edges]))
        return [
            Neighbour(int(other), RELATIONS[self.relation[edge]], float(self.weight[edge]))
            for edge, other in zip(edges[order], others[order], strict=True)
        ]

    def _known(self, hashtag_id: int) -> int:
        if not 0 <= hashtag_id < self.num_hashtags:
            raise IndexError(f"hashtag id {hashtag_id} is outside 0..{self.num_hashtags - 1}")
        return hashtag_id

    def subset(self, relations: Iterable[str]) -> HashtagGraph:
        """Return the graph with only the edges of these relations. Raises ValueError on an unknown name."""
        names = list(relations)
        for name in names:
            if name not in RELATIONS:
                raise ValueError(f"relation {name!r} is unknown; choose from {', '.join(RELATIONS)}")
        keep = np.isin(self.relation, [RELATIONS.index(name) for name in names])
        return HashtagGraph(
            num_hashtags=self.num_hashtags,
            source=self.source[keep],
            target=self.target[keep],
            relation=self.relation[keep],
            weight=self.weight[keep],
            settings={**self.settings, "relations": [name for name in RELATIONS if name in names]},
            dataset_fingerprint=self.dataset_fingerprint,
        )

    def symmetric(self) -> Adjacency:
        """Return both directions of every edge as compressed rows, sorted by row, then column."""
        rows = np.concatenate([self.source, self.target])
        columns = np.concatenate([self.target, self.source])
        edge_id = np.tile(np.arange(len(self), dtype=np.int32), 2)
        order = np.lexsort((columns, rows))
        indptr = np.concatenate([[0], np.cumsum(self.degrees())]).astype(np.int64)
        return Adjacency(indptr=indptr, indices=columns[order].astype(np.int32), edge_id=edge_id[order])

    def save(self, path: Path) -> None:
        """Write one Parquet file, whole or not at all: columns source, target, relation (by name), weight."""
        about = {
            "format": FORMAT,
            "num_hashtags": self.num_hashtags,
            "dataset_fingerprint": self.dataset_fingerprint,
            "settings": self.settings,
        }
        relation = pa.DictionaryArray.from_arrays(pa.array(self.relation, pa.int8()), pa.array(RELATIONS))
        columns = {
            "source": pa.array(self.source, pa.int32()),
            "target": pa.array(self.target, pa.int32()),
            "relation": relation,
            "weight": pa.array(self.weight, pa.float32()),
        }
        table = pa.table(columns).replace_schema_metadata({METADATA_KEY: json.dumps(about, allow_nan=False).encode()})
        with new_file(Path(path)) as temporary:
            pq.write_table(table, temporary, compression="zstd")

    @staticmethod
    def load(path: Path) -> HashtagGraph:
        """Read a graph that `save` wrote. Raises `InputError` naming the file when it is missing or broken."""
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path} does not exist; build the hashtag graph with `v2ht graph`")
        try:
            table = pq.read_table(path, memory_map=False)
            about = json.loads((table.schema.metadata or {})[METADATA_KEY])
            if about["format"] != FORMAT:
                raise InputError(f"format {about['format']!r}, expected {FORMAT!r}")
            names = table["relation"].cast(pa.string()).to_numpy()
            return HashtagGraph(
                num_hashtags=int(about["num_hashtags"]),
                source=table["source"].to_numpy().astype(np.int32),
                target=table["target"].to_numpy().astype(np.int32),
                relation=_places(names),
                weight=table["weight"].to_numpy().astype(np.float32),
                settings=about["settings"],
                dataset_fingerprint=str(about["dataset_fingerprint"]),
            )
        except KeyError as error:
            raise InputError(f"{path} is no hashtag graph (it lacks {error}); build it again") from None
        except (OSError, ValueError, pa.ArrowException) as error:
            raise InputError(f"{path} cannot be read as a hashtag graph ({error}); build it again") from None


def _places(names: np.ndarray) -> np.ndarray:
    """Return the place in RELATIONS of each name, -1 for names that are not there."""
    places = np.full(len(names), -1, np.int8)
    for place, name in enumerate(RELATIONS):
        places[names == name] = place
    return places
