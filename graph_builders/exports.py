"""The hashtag graph for other programs: PyTorch Geometric, NetworkX, GraphML files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from data.files import InputError, new_file, write_json
from graph_builders.hashtag_graph import RELATIONS, HashtagGraph

if TYPE_CHECKING:
    from torch_geometric.data import Data

EXPORTS = {"graphml": "graph.graphml", "networkx": "graph.networkx.json", "pyg": "graph.pyg.safetensors"}
# Characters that XML 1.0 cannot hold, and the carriage return, which readers of XML turn into a line feed.
NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_pyg(graph: HashtagGraph, hashtags: Sequence[str]) -> Data:
    """Return a PyG `Data` with both directions of E edges, sorted by row.

    edge_index int64 [2, 2E]; edge_type int64 [2E], place in RELATIONS; edge_weight float32 [2E]; num_nodes; hashtag,
    the list of names. `data.to_heterogeneous(node_type_names=["hashtag"], edge_type_names=...)` splits it by relation.
    """
    import torch
    from torch_geometric.data import Data

    _check_names(graph, hashtags)
    both = graph.symmetric()
    rows = np.repeat(np.arange(graph.num_hashtags), np.diff(both.indptr))
    return Data(
        edge_index=torch.from_numpy(np.stack([rows, both.indices.astype(np.int64)])),
        edge_type=torch.from_numpy(graph.relation[both.edge_id].astype(np.int64)),
        edge_weight=torch.from_numpy(graph.weight[both.edge_id].astype(np.float32)),
        num_nodes=graph.num_hashtags,
        hashtag=list(hashtags),
    )


def to_networkx(graph: HashtagGraph, hashtags: Sequence[str]) -> nx.Graph:
    """Return an undirected NetworkX graph: nodes are hashtag ids with `hashtag`; edges have `relation` and `weight`."""
    _check_names(graph, hashtags)
    result = nx.Graph()
    result.add_nodes_from((hashtag_id, {"hashtag": name}) for hashtag_id, name in enumerate(hashtags))
    columns = (graph.source.tolist(), graph.target.tolist(), graph.relation.tolist(), graph.weight.tolist())
    for source, target, relation, weight in zip(*columns, strict=True):
        result.add_edge(source, target, relation=RELATIONS[relation], weight=weight)
    return result


def to_graphml(graph: HashtagGraph, hashtags: Sequence[str], *, path: Path) -> None:
    """Write GraphML, whole or not at all; attributes as in `to_networkx`.

    Characters that XML cannot hold (NUL and other control characters) are written as U+FFFD.
    """
    clean = [NOT_XML.sub("\ufffd", name) for name in hashtags]
    with new_file(path) as temporary:
        nx.write_graphml(to_networkx(graph, clean), temporary)


def _check_names(graph: HashtagGraph, hashtags: Sequence[str]) -> None:
    if len(hashtags) != graph.num_hashtags:
        raise ValueError(
            f"{len(hashtags)} hashtags for a graph of {graph.num_hashtags}; give the graph's own vocabulary"
        )


def check_export(kind: str) -> None:
    """Raise `InputError` that lists the kinds when `kind` is none of `EXPORTS`."""
    if kind not in EXPORTS:
        raise InputError(f"export {kind!r} is unknown; choose one of {', '.join(EXPORTS)}")


def export_file(graph: HashtagGraph, hashtags: Sequence[str], *, kind: str, folder: Path) -> Path:
    """Write the graph as a file of a kind in `EXPORTS` into `folder`, whole or not at all; return its path.

    networkx is node-link JSON (`networkx.node_link_graph(content, edges="edges")` reads it); pyg is safetensors with
    the arrays of `to_pyg`. Neither is pickled. Raises `InputError` on an unknown kind.
    """
    check_export(kind)
    path = Path(folder) / EXPORTS[kind]
    if kind == "graphml":
        to_graphml(graph, hashtags, path=path)
    elif kind == "networkx":
        write_json(path, nx.node_link_data(to_networkx(graph, hashtags), edges="edges"))
    else:
        from safetensors.torch import save_file

        data = to_pyg(graph, hashtags)
        with new_file(path) as temporary:
            save_file({name: data[name].contiguous() for name in ("edge_index", "edge_type", "edge_weight")}, temporary)
    return path
