"""Pictures of runs and of the hashtag graph, made from the files that the other commands wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data.files import new_file
from graph_builders.exports import to_networkx
from graph_builders.hashtag_graph import RELATIONS, HashtagGraph

RELATION_COLOURS = dict(zip(RELATIONS, ("tab:blue", "tab:green", "tab:orange", "silver"), strict=True))


def training_curves(runs: Mapping[str, Path], path: Path) -> None:
    """Draw the validation NDCG@10 of every epoch of each run, from its log.jsonl."""
    figure, axes = _figure(7.0, 4.0)
    for name, run in runs.items():
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        axes.plot([line["epoch"] for line in lines], [line["valid_ndcg@10"] for line in lines], label=name)
    axes.set(xlabel="epoch", ylabel="validation NDCG@10", title="Training", ylim=(0, None))
    axes.legend(frameon=False)
    _save(figure, path)


def results_bars(comparison: Mapping[str, Any], path: Path, *, metric: str = "recall@10") -> None:
    """Draw one metric of all systems with its 95 % interval, a panel for each subset that has videos."""
    subsets = [name for name in ("overall", "longtail", "new_to_user", "cold_user") if comparison[name]]
    figure = Figure(figsize=(3.2 * len(subsets) + 1.4, 3.6), layout="constrained")
    panels = figure.subplots(1, len(subsets), sharey=True, squeeze=False)[0]
    for axes, subset in zip(panels, subsets, strict=True):
        title = subset.replace("_", " ").replace("longtail", "long tail")
        systems = comparison[subset]["systems"]
        names = list(reversed(systems))
        means = [systems[name][metric]["mean"] for name in names]
        errors = [systems[name][metric]["half_width"] for name in names]
        axes.barh(names, means, xerr=errors, color="tab:blue", alpha=0.75)
        axes.set(
            title=f"{title} ({comparison[subset]['videos']:,} videos)",
            xlabel=metric,
        )
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def neighbourhood(graph: HashtagGraph, hashtags: Sequence[str], centre: int, path: Path, *, most: int = 24) -> None:
    """Draw a hashtag with its strongest neighbours and the edges among them, coloured by relation."""
    nodes = [centre, *(neighbour.hashtag_id for neighbour in graph.neighbours(centre)[:most])]
    part = to_networkx(graph, hashtags).subgraph(nodes)
    figure, axes = _figure(8.0, 6.0)
    places = nx.spring_layout(part, seed=0, k=1.2)
    for relation, colour in RELATION_COLOURS.items():
        edges = [(one, other) for one, other, kind in part.edges(data="relation") if kind == relation]
        nx.draw_networkx_edges(part, places, edgelist=edges, edge_color=colour, ax=axes, width=1.5)
        axes.plot([], [], color=colour, label=relation)
    sizes = [700 if node == centre else 250 for node in part.nodes]
    nx.draw_networkx_nodes(part, places, node_size=sizes, node_color="whitesmoke", edgecolors="grey", ax=axes)
    nx.draw_networkx_labels(part, places, {node: hashtags[node] for node in part.nodes}, font_size=8, ax=axes)
    axes.set_title(f"Neighbours of #{hashtags[centre]}")
    axes.legend(frameon=False, loc="lower left")
    axes.set_axis_off()
    _save(figure, path)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    with new_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
