"""The whole graph: validation, priority, files, explanations, statistics, exports."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.dataset import HASHTAGS_SCHEMA, USERS_SCHEMA, VIDEOS_SCHEMA, Dataset, Ragged
from data.files import InputError
from graph_builders.build import GraphSettings, build_dataset_graph, build_graph, merge
from graph_builders.edges import undirected
from graph_builders.explain import shared_videos, why
from graph_builders.exports import NOT_XML, to_graphml, to_networkx, to_pyg
from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from graph_builders.statistics import graph_statistics

WORDS = [
    ["poodle"], ["dog"], ["dog", "dance"], ["dance"], ["waltz"], ["tango"], ["танец"], ["🔥"], ["fyp"], ["DOG", "dance"]
]  # fmt: skip
VIDEOS = [[6, 7, 8], [6, 7, 8], [8, 7], [0, 1, 8], [0, 1], [4, 5], [4, 5], [3, 8]]
HASHTAGS = ["poodle", "dog", "dogdance", "dance", "waltz", "tango", "танец", "🔥", "fyp", "dog_dance"]


@pytest.fixture(scope="module")
def graph() -> HashtagGraph:
    return build_graph(WORDS, Ragged.from_lists(VIDEOS), settings=GraphSettings(), dataset_fingerprint="f00d")


def relations_of(graph: HashtagGraph) -> dict[tuple[int, int], str]:
    columns = (graph.source.tolist(), graph.target.tolist(), graph.relation.tolist())
    return {(source, target): RELATIONS[relation] for source, target, relation in zip(*columns, strict=True)}


def small(**changes: Any) -> HashtagGraph:
    """Return the graph 0-1, 0-2, 1-3 over 5 hashtags, with some fields changed."""
    fields: dict[str, Any] = {
        "num_hashtags": 5,
        "source": np.array([0, 0, 1], np.int32),
        "target": np.array([1, 2, 3], np.int32),
        "relation": np.array([0, 3, 2], np.int8),
        "weight": np.array([1.0, 0.25, 0.95], np.float32),
        "settings": {"wup_threshold": 0.9},
        "dataset_fingerprint": "abc",
    }
    return HashtagGraph(**{**fields, **changes})


def same(one: HashtagGraph, other: HashtagGraph) -> bool:
    arrays = all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in ("source", "target", "relation", "weight")
    )
    rest = ("num_hashtags", "settings", "dataset_fingerprint")
    return arrays and all(getattr(one, name) == getattr(other, name) for name in rest)


# --- building ------------------------------------------------------------------------------------------------------


def test_small_world_by_hand(graph: HashtagGraph) -> None:
    assert relations_of(graph) == {
        (0, 1): "hypernym",  # poodle, dog: also used together
        (1, 2): "composition",
        (2, 3): "composition",
        (1, 9): "composition",
        (3, 9): "composition",
        (2, 9): "composition",
        (3, 4): "hypernym",
        (3, 5): "hypernym",
        (4, 5): "wup",  # waltz, tango: also used together
        (6, 7): "cooccurrence",
        (6, 8): "cooccurrence",
        (7, 8): "cooccurrence",
    }
    assert graph.dataset_fingerprint == "f00d"
    assert graph.settings["wup_threshold"] == 0.9


@given(st.lists(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=8), min_size=4, max_size=4))
def test_merge_keeps_the_first_relation_of_each_pair(pairs: list[set[tuple[int, int]]]) -> None:
    parts, expected = [], {}
    for place, chosen in enumerate(pairs):
        ends = np.array(sorted(chosen), np.int64).reshape(-1, 2)
        parts.append(undirected(ends[:, 0], ends[:, 1], weight=np.full(len(ends), place + 1.0)))
        for one, other in chosen:
            if one != other:
                expected.setdefault((min(one, other), max(one, other)), RELATIONS[place])
    merged = merge(parts, num_hashtags=6, settings=GraphSettings())
    assert relations_of(merged) == expected
    assert merged.weight.tolist() == [place + 1.0 for place in merged.relation.tolist()]


def test_build_reports_progress() -> None:
    lines: list[str] = []
    build_graph(WORDS, Ragged.from_lists(VIDEOS), settings=GraphSettings(), progress=lines.append)
    assert [line.split(":")[0] for line in lines] == ["composition", "WordNet", "hypernym", "wup", "cooccurrence"]
    assert lines[0] == "composition: 5 edges"


def test_a_vocabulary_without_nouns_and_words_still_gets_a_graph() -> None:
    graph = build_graph([["танец"], ["🔥"], []], Ragged.from_lists([[0, 1], [1, 0]]), settings=GraphSettings())
    assert relations_of(graph) == {(0, 1): "cooccurrence"}
    assert graph.isolated().tolist() == [2]


def test_an_empty_vocabulary_is_named() -> None:
    with pytest.raises(InputError, match="the vocabulary has no hashtags"):
        build_graph([], Ragged.from_lists([]), settings=GraphSettings())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("wup_threshold", 0.4, r"wup_threshold is 0\.4, expected a number in \[0\.5, 1\]"),
        ("wup_threshold", float("nan"), "wup_threshold is nan"),
        ("hypernym_steps", 0, "hypernym_steps is 0, expected 1 or more"),
        ("cooccurrence_count", 0, "cooccurrence_count is 0, expected 1 or more"),
        ("cooccurrence_neighbours", -1, "cooccurrence_neighbours is -1, expected 0 or more"),
    ],
)
def test_settings_out_of_range_raise(name: str, value: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(GraphSettings(), **{name: value})


def dataset(splits: list[str]) -> Dataset:
    count = len(VIDEOS)
    videos = {
        "video_id": [f"v{row}" for row in range(count)],
        "user_id": [0] * count,
        "time": [datetime(2020, 1, 1, tzinfo=UTC)] * count,
        "text": [""] * count,
        "hashtag_ids": VIDEOS,
        "split": splits,
    }
    hashtags = {"hashtag": HASHTAGS, "words": WORDS, "train_videos": [1] * len(WORDS)}
    return Dataset(
        videos=pl.DataFrame(videos, schema=VIDEOS_SCHEMA),
        hashtags=pl.DataFrame(hashtags, schema=HASHTAGS_SCHEMA),
        users=pl.DataFrame({"user": ["u"]}, schema=USERS_SCHEMA),
        manifest={"fingerprint": "beef"},
    )


def test_dataset_graph_sees_the_train_split_only() -> None:
    # Videos 0 and 1 are what links the hashtags 6, 7, 8; hiding video 0 leaves only the pair 7, 8 with two videos.
    everything = build_dataset_graph(dataset(["train"] * 8), GraphSettings())
    assert {(6, 7), (6, 8), (7, 8)} <= set(relations_of(everything))
    for hidden in ("valid", "test"):
        graph = build_dataset_graph(dataset([hidden] + ["train"] * 7), GraphSettings())
        assert set(relations_of(everything)) - set(relations_of(graph)) == {(6, 7), (6, 8)}
    assert everything.dataset_fingerprint == "beef"


def test_real_tags_of_many_scripts(real_data: Path, tmp_path: Path) -> None:
    tags = pl.read_parquet(real_data / "tiktok_trending_2025.parquet")["hashtags"].drop_nulls().to_list()[:2500]
    names = sorted({tag for row in tags for tag in row})
    id_of = {name: place for place, name in enumerate(names)}
    used = Ragged.from_lists([[id_of[tag] for tag in row] for row in tags])
    graph = build_graph([name.split("_") for name in names], used, settings=GraphSettings())
    assert all(graph.counts()[name] > 10 for name in ("hypernym", "wup", "cooccurrence"))
    shared = {
        int(edge)
        for edge in np.flatnonzero(graph.relation == RELATIONS.index("cooccurrence"))[:200]
        if shared_videos(used, int(graph.source[edge]), int(graph.target[edge])) < 2
    }
    assert not shared
    assert any(not name.isascii() for name in names)
    to_graphml(graph, names, path=tmp_path / "graph.graphml")
    read = nx.read_graphml(tmp_path / "graph.graphml", node_type=int)
    assert [read.nodes[node]["hashtag"] for node in range(len(names))] == names


# --- HashtagGraph --------------------------------------------------------------------------------------------------


def test_views_by_hand() -> None:
    graph = small()
    assert graph.counts() == {"composition": 1, "hypernym": 0, "wup": 1, "cooccurrence": 1}
    assert graph.degrees().tolist() == [2, 2, 1, 1, 0]
    assert graph.isolated().tolist() == [4]
    assert graph.neighbours(1) == [(0, "composition", 1.0), (3, "wup", pytest.approx(0.95))]
    assert graph.neighbours(4) == []
    assert [graph.edge_between(*pair) for pair in ((0, 1), (3, 1), (2, 3), (4, 0), (2, 2))] == [0, 2, None, None, None]
    both = graph.symmetric()
    assert both.indptr.tolist() == [0, 2, 4, 5, 6, 6]
    assert both.indices.tolist() == [1, 2, 0, 3, 0, 1]
    assert both.edge_id.tolist() == [0, 1, 0, 2, 1, 2]


def test_subset_keeps_the_named_relations() -> None:
    graph = small().subset(["wup", "composition"])
    assert relations_of(graph) == {(0, 1): "composition", (1, 3): "wup"}
    assert graph.settings["relations"] == ["composition", "wup"]
    with pytest.raises(ValueError, match="relation 'isa' is unknown; choose from composition, hypernym"):
        small().subset(["isa"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hashtags": 3}, r"edge 2 .*= \(1, 3, 2, .*: target is outside 0\.\.2"),
        ({"num_hashtags": 0}, "num_hashtags is 0"),
        ({"source": np.array([-1, 0, 1])}, r"edge 0 .*source is outside 0\.\.4"),
        ({"target": np.array([1, 2, 1])}, "edge 2 .*links a hashtag with itself"),
        ({"target": np.array([1, 2, 0])}, "edge 2 .*source is larger than target"),
        ({"target": np.array([2, 2, 3])}, "edge 1 .*the pair occurs twice"),
        ({"target": np.array([2, 1, 3])}, "edge 1 .*not sorted"),
        ({"relation": np.array([0, 4, 2])}, "edge 1 .*relation is none of"),
        ({"relation": np.array([0, 2])}, "relation has 2 values, source has 3"),
        ({"weight": np.array([1.0, np.nan, 1.0])}, "edge 1 .*weight is not a positive number"),
        ({"weight": np.array([1.0, np.inf, 1.0])}, "edge 1 .*weight is not a positive number"),
        ({"weight": np.array([1.0, 1.0, 0.0])}, "edge 2 .*weight is not a positive number"),
    ],
)
def test_broken_graphs_raise(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


@pytest.mark.parametrize("call", [lambda g: g.neighbours(5), lambda g: g.edge_between(0, -1)])
def test_unknown_ids_raise(call: Callable[[HashtagGraph], object]) -> None:
    with pytest.raises(IndexError, match=r"hashtag id (5|-1) is outside 0\.\.4"):
        call(small())


def test_save_and_load(graph: HashtagGraph, tmp_path: Path) -> None:
    for number, written in enumerate((graph, small(), graph.subset([]))):
        written.save(tmp_path / f"{number}.parquet")
        assert same(HashtagGraph.load(tmp_path / f"{number}.parquet"), written)
    table = pl.read_parquet(tmp_path / "1.parquet")
    assert table.columns == ["source", "target", "relation", "weight"]
    assert table["relation"].cast(pl.String).to_list() == ["composition", "cooccurrence", "wup"]


def test_load_names_the_file_and_the_problem(tmp_path: Path) -> None:
    path = tmp_path / "graph.parquet"
    with pytest.raises(InputError, match=r"graph\.parquet does not exist; build the hashtag graph"):
        HashtagGraph.load(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"graph\.parquet cannot be read as a hashtag graph"):
        HashtagGraph.load(path)
    pl.DataFrame({"source": [0]}).write_parquet(path)
    with pytest.raises(InputError, match=r"graph\.parquet is no hashtag graph \(it lacks b'v2ht'\)"):
        HashtagGraph.load(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "v2ht-graph-0", "format 'v2ht-graph-0', expected 'v2ht-graph-1'"),
        ("num_hashtags", 2, r"edge 1 .*target is outside 0\.\.1"),
    ],
)
def test_load_checks_what_it_reads(key: str, value: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.parquet"
    small().save(path)
    table = pq.read_table(path, memory_map=False)
    about = {**json.loads(table.schema.metadata[b"v2ht"]), key: value}
    pq.write_table(table.replace_schema_metadata({b"v2ht": json.dumps(about).encode()}), path)
    with pytest.raises(InputError, match=message):
        HashtagGraph.load(path)


# --- explanations and statistics -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "sentence"),
    [
        (3, 2, "'dance' is a word of 'dog dance'"),
        (2, 9, "both are spellings of 'dog dance'"),
        (1, 0, "'poodle' is a kind of 'dog' (WordNet, 1 step)"),
        (0, 1, "'poodle' is a kind of 'dog' (WordNet, 1 step)"),
        (5, 3, "'tango' is a kind of 'dance' (WordNet, 3 steps)"),
        (4, 5, "'waltz' and 'tango' mean similar things (WordNet, WUP similarity 0.92)"),
        (7, 8, "'🔥' and 'fyp' are used together in 3 train videos"),
        (0, 8, "'poodle' and 'fyp' are not linked"),
    ],
)
def test_why(one: int, other: int, sentence: str, graph: HashtagGraph) -> None:
    assert why(graph, WORDS, one=one, other=other, train_hashtag_ids=Ragged.from_lists(VIDEOS)) == sentence


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=8))
def test_shared_videos_equals_plain_twin(videos: list[list[int]]) -> None:
    expected = sum(0 in video and 1 in video for video in videos)
    assert shared_videos(Ragged.from_lists(videos), 0, 1) == expected


def test_why_without_the_train_videos(graph: HashtagGraph) -> None:
    sentence = why(graph, WORDS, one=6, other=7)
    assert sentence == "'танец' and '🔥' are used together (cosine 0.82 over train videos)"  # 2 / sqrt(2 * 3)


def test_statistics_by_hand(graph: HashtagGraph) -> None:
    found = graph_statistics(graph, WORDS)
    assert found["relations"] == graph.counts()
    assert found["edges"] == 12
    assert found["degree"]["min"] == 1
    assert found["degree"]["max"] == 4
    assert found["degree"]["mean"] == 2.4
    assert {bar: count for bar, count in found["degree"]["histogram"].items() if count} == {"1": 1, "2-3": 8, "4-7": 1}
    assert (found["isolated"], found["components"], found["largest_component"]) == (0, 2, 7)
    assert found["wordnet_coverage"] == 0.5
    json.dumps(found, allow_nan=False)


def test_statistics_count_isolated_hashtags(graph: HashtagGraph) -> None:
    found = graph_statistics(graph.subset(["cooccurrence"]), WORDS)
    assert (found["isolated"], found["components"], found["largest_component"]) == (7, 8, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda g: graph_statistics(g, WORDS[:3]),
        lambda g: to_networkx(g, HASHTAGS[:3]),
        lambda g: to_pyg(g, HASHTAGS[:3]),
        lambda g: why(g, WORDS[:3], one=0, other=1),
    ],
)
def test_another_vocabulary_raises(call: Callable[[HashtagGraph], object], graph: HashtagGraph) -> None:
    with pytest.raises(ValueError, match="3 hashtags for a graph of 10"):
        call(graph)


# --- exports -------------------------------------------------------------------------------------------------------


def test_graphml_reads_back_in_networkx(graph: HashtagGraph, tmp_path: Path) -> None:
    names = [
        *HASHTAGS[:5],
        "<&\"'>",
        "танец",
        "🔥👨‍👩‍👧",
        "日本語 ไทย العربية",
        "nul\x00bell\x07cr\rtab\tend\ufffe\ud800",
    ]
    path = tmp_path / "graph.graphml"
    to_graphml(graph, names, path=path)
    read = nx.read_graphml(path, node_type=int)
    expected = [*names[:-1], "nul\ufffdbell\ufffdcr\ufffdtab\tend\ufffd\ufffd"]
    assert [read.nodes[node]["hashtag"] for node in range(10)] == expected
    assert len(read.edges) == len(graph)
    for source, target, relation, weight in zip(
        graph.source.tolist(), graph.target.tolist(), graph.relation.tolist(), graph.weight.tolist(), strict=True
    ):
        assert read.edges[source, target] == {"relation": RELATIONS[relation], "weight": weight}
    assert [file.name for file in tmp_path.iterdir()] == ["graph.graphml"]


@given(st.text(max_size=20))
def test_any_hashtag_survives_graphml(name: str) -> None:
    clean = NOT_XML.sub("\ufffd", name)
    graph = nx.Graph()
    graph.add_node(0, hashtag=clean)
    read = nx.parse_graphml("\n".join(nx.generate_graphml(graph)), node_type=int)
    assert (read.nodes[0]["hashtag"] or "") == clean
    assert len(clean) == len(name)
    if re.fullmatch(r"[\w ]*", name):
        assert clean == name


def test_networkx_has_the_same_edges_and_all_nodes() -> None:
    result = to_networkx(small(), ["a", "b", "c", "d", "e"])
    assert dict(result.nodes(data="hashtag")) == {0: "a", 1: "b", 2: "c", 3: "d", 4: "e"}
    assert {(*edge[:2], edge[2]["relation"]) for edge in result.edges(data=True)} == {
        (0, 1, "composition"),
        (0, 2, "cooccurrence"),
        (1, 3, "wup"),
    }


def test_pyg_has_both_directions_sorted() -> None:
    data = to_pyg(small(), ["a", "b", "c", "d", "e"])
    assert data.validate()
    assert data.is_undirected()
    assert data.num_nodes == 5
    assert data.edge_index.tolist() == [[0, 0, 1, 1, 2, 3], [1, 2, 0, 3, 0, 1]]
    assert data.edge_type.tolist() == [0, 3, 0, 2, 3, 2]
    assert data.edge_weight.tolist() == pytest.approx([1.0, 0.25, 1.0, 0.95, 0.25, 0.95])
    assert data.hashtag == ["a", "b", "c", "d", "e"]
