"""Pictures of runs, of the hashtag graph and of clips, as PNG files.

Text is drawn in DejaVu Sans, which comes with matplotlib; characters that it lacks (emoji, Chinese) appear as boxes.
Shapes: T steps, B mel bands.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data.files import new_file
from graph_builders.exports import to_networkx
from graph_builders.hashtag_graph import RELATIONS, HashtagGraph

RELATION_COLOURS = dict(zip(RELATIONS, ("tab:blue", "tab:green", "tab:orange", "darkgrey"), strict=True))
REFERENCE_COLOUR, OTHER_COLOUR = "tab:blue", "lightsteelblue"
SHEET_COLUMNS = 6
HERTZ = (500, 1000, 2000, 4000, 8000)  # marked beside a spectrogram, as far as it reaches


def training_curves(runs: Mapping[str, Path], path: Path) -> None:
    """Draw the validation NDCG@10 of every epoch of each run, from its log.jsonl; a dot marks its best epoch."""
    figure, axes = _figure(7.0, 4.0)
    for name, run in runs.items():
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        epochs, values = [line["epoch"] for line in lines], [line["valid_ndcg@10"] for line in lines]
        best = max(range(len(values)), key=values.__getitem__, default=0)
        axes.plot(epochs, values, label=_plain(name), marker="o", markersize=5, markevery=[best] if values else [])
    axes.set(xlabel="epoch", ylabel="validation NDCG@10", title="Training", ylim=(0, None))
    axes.grid(axis="y", color="gainsboro", linewidth=0.7)
    axes.legend(frameon=False, loc="lower right")
    _save(figure, path)


def results_bars(comparison: Mapping[str, Any], path: Path, *, metric: str = "recall@10") -> None:
    """Draw one metric of all systems with its 95 % interval, a panel for each subset that has videos.

    The reference of the comparison is darker.
    """
    subsets = [name for name in ("overall", "longtail", "new_to_user", "cold_user") if comparison[name]]
    most = max(len(comparison[subset]["systems"]) for subset in subsets)
    figure = Figure(figsize=(3.2 * len(subsets) + 1.4, 0.36 * most + 1.1), layout="constrained")
    panels = figure.subplots(1, len(subsets), sharey=True, sharex=True, squeeze=False)[0]
    for axes, subset in zip(panels, subsets, strict=True):
        title = subset.replace("_", " ").replace("longtail", "long tail")
        _bars(axes, comparison[subset]["systems"], reference=comparison["reference"], metric=metric)
        axes.set_title(f"{title} ({comparison[subset]['videos']:,} videos)", fontsize=11)
    _save(figure, path)


def _bars(axes: Axes, systems: Mapping[str, Any], *, reference: str, metric: str) -> None:
    """Draw the systems from top to bottom, each with its interval and its mean in figures."""
    names = list(systems)[::-1]
    means = [systems[name][metric]["mean"] for name in names]
    errors = [systems[name][metric]["half_width"] for name in names]
    colours = [REFERENCE_COLOUR if name == reference else OTHER_COLOUR for name in names]
    lines = {"ecolor": "dimgrey", "elinewidth": 1.2}
    axes.barh([_plain(name) for name in names], means, xerr=errors, color=colours, height=0.7, error_kw=lines)
    for place, (mean, error) in enumerate(zip(means, errors, strict=True)):
        axes.annotate(f"{mean:.3f}", (mean + error, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set(xlabel=metric)
    axes.margins(x=0.2)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)


def neighbourhood(graph: HashtagGraph, hashtags: Sequence[str], centre: int, path: Path, *, most: int = 24) -> None:
    """Draw a hashtag with its strongest neighbours and the edges among them, coloured by relation.

    The neighbours stand on a ring, grouped by their relation with the hashtag, strongest first from the right.
    """
    strongest = graph.neighbours(centre)[:most]
    ring = [one.hashtag_id for relation in RELATIONS for one in strongest if one.relation == relation]
    angles = 2 * np.pi * np.arange(len(ring)) / max(len(ring), 1)
    places = {node: (np.cos(angle), np.sin(angle)) for node, angle in zip(ring, angles, strict=True)}
    places[centre] = (0.0, 0.0)
    figure, axes = _figure(8.0, 6.6)
    _draw_edges(axes, to_networkx(graph, hashtags).subgraph(places), places, centre=centre)
    _draw_hashtags(axes, hashtags, places, centre=centre)
    axes.set_title(_plain(f"Neighbours of #{hashtags[centre]}"))
    axes.set(xlim=(-1.6, 1.6), ylim=(-1.2, 1.2), aspect="equal")
    axes.legend(frameon=False, loc="lower left", fontsize=9)
    axes.set_axis_off()
    _save(figure, path)


def _draw_edges(axes: Axes, part: nx.Graph, places: Mapping[int, tuple[float, float]], *, centre: int) -> None:
    """Draw the centre's edges strong, above the others, which are faint, and name each relation in the legend."""
    for own, look in ((False, {"width": 0.8, "alpha": 0.45}), (True, {"width": 1.8, "alpha": 1.0})):
        edges = [edge for edge in part.edges if (centre in edge) == own]
        colours = [RELATION_COLOURS[part.edges[edge]["relation"]] for edge in edges]
        nx.draw_networkx_edges(part, places, edgelist=edges, edge_color=colours, ax=axes, **look)
    for relation, colour in RELATION_COLOURS.items():
        axes.plot([], [], color=colour, label=relation)


def _draw_hashtags(
    axes: Axes, hashtags: Sequence[str], places: Mapping[int, tuple[float, float]], *, centre: int
) -> None:
    """Draw a dot for each hashtag of the ring with its name outside, and the centre's name in the middle."""
    for node, (x, y) in places.items():
        if node == centre:
            look = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": "dimgrey"}
            axes.text(x, y, _plain(hashtags[node]), ha="center", va="center", bbox=look, fontweight="bold", zorder=4)
            continue
        axes.plot(x, y, "o", color="white", markeredgecolor="dimgrey", markersize=7, zorder=3)
        side = "center" if abs(x) < 0.05 else "left" if x > 0 else "right"
        level = "center" if side != "center" else "bottom" if y > 0 else "top"
        axes.text(1.06 * x, 1.06 * y, _plain(hashtags[node]), ha=side, va=level, fontsize=9)


def contact_sheet(images: Sequence[np.ndarray], titles: Sequence[str], path: Path) -> None:
    """Draw pictures (uint8 RGB [height, width, 3], sizes may differ) as a grid, a small title over each.

    Raises ValueError when there is no picture, or not one title for each.
    """
    if not len(images) or len(images) != len(titles):
        raise ValueError(f"{len(images)} pictures and {len(titles)} titles; give at least one, and a title for each")
    rows = -(-len(images) // SHEET_COLUMNS)
    columns = -(-len(images) // rows)  # rows as even as they can be
    figure = Figure(figsize=(1.7 * columns, 1.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, title in zip(grid, images, titles, strict=False):  # the last row may have places to spare
        axes.set_anchor("N")
        axes.imshow(image)
        axes.set_title(_plain(title), fontsize=7, pad=3)
    _save(figure, path)


def spectrogram(mel_TB: np.ndarray, path: Path, *, seconds_per_step: float, sample_rate: int) -> None:
    """Draw the levels of T steps in B mel bands up to half of `sample_rate` hertz: time to the right, low bands below.

    `seconds_per_step` is the time from one step to the next. Raises ValueError when there is no step, or a level is
    not finite.
    """
    import librosa  # takes two seconds

    if mel_TB.ndim != 2 or not mel_TB.size or not np.isfinite(mel_TB).all():
        raise ValueError(f"the levels have shape {list(mel_TB.shape)}; give finite numbers [steps, bands], one or more")
    steps, bands = mel_TB.shape
    figure, axes = _figure(7.0, 2.8)
    extent = (0.0, steps * seconds_per_step, 0.0, float(bands))
    drawn = axes.imshow(mel_TB.T, origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation="nearest")
    marks = [hertz for hertz in HERTZ if hertz < sample_rate / 2]
    places = bands * librosa.hz_to_mel(np.array(marks)) / librosa.hz_to_mel(sample_rate / 2)
    axes.set_yticks(places, [f"{hertz:,}" for hertz in marks])
    axes.set(xlabel="seconds", ylabel="hertz", ylim=(0, bands))
    figure.colorbar(drawn, ax=axes, label="level, in 100 dB", pad=0.01).outline.set_visible(False)
    _save(figure, path)


def _plain(text: str) -> str:
    """Return `text` so that matplotlib draws it as it is: a dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    with new_file(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")  # see the head of this file
        figure.savefig(temporary, format="png", dpi=130)
