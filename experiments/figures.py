"""The figures of the experiments, as PNG files made of recorded lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from data.files import new_file
from experiments.summary import Line


def frequencies(recorded: Path, path: Path) -> None:
    """Draw the train videos of each dataset's hashtags over their rank, both axes logarithmic."""
    lines = {line["dataset"]: line for line in map(json.loads, recorded.read_text(encoding="utf-8").splitlines())}
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.subplots()
    for name, line in lines.items():
        counts = np.maximum(line["train_videos"], 0.5)  # a hashtag without train videos lies on the lowest line
        axes.loglog(np.arange(1, len(counts) + 1), counts, label=name)
    axes.set(xlabel="hashtag, by rank", ylabel="train videos")
    axes.legend(frameon=False)
    save(figure, path)


def curves(lines: Sequence[Line], systems: Sequence[str], datasets: Sequence[str], path: Path) -> None:
    """Draw the validation NDCG@10 after each epoch, a panel for each dataset, one line for each system and seed."""
    figure = Figure(figsize=(4.2 * len(datasets), 3.6), layout="constrained")
    colours = dict(zip(systems, ("tab:blue", "tab:orange", "tab:green", "dimgrey", "tab:red"), strict=False))
    for axes, dataset in zip(figure.subplots(1, len(datasets), squeeze=False)[0], datasets, strict=True):
        for line in lines:
            if line["dataset"] == dataset and line["system"] in colours:
                epochs = range(1, len(line["curve"]) + 1)
                axes.plot(epochs, line["curve"], color=colours[line["system"]], linewidth=1.2, alpha=0.8)
        axes.set(title=dataset, xlabel="epoch", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.axes[0].set_ylabel("validation NDCG@10")
    handles = [figure.axes[0].plot([], [], color=colour, label=name)[0] for name, colour in colours.items()]
    figure.axes[0].legend(handles=handles, frameon=False, loc="lower right", fontsize=8)
    save(figure, path)


def sweeps(found: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]], path: Path) -> None:
    """Draw panels: title -> label of a line -> size -> numbers of its seeds; bars show one standard deviation."""
    figure = Figure(figsize=(4.6 * len(found), 3.6), layout="constrained")
    for axes, (title, panel) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        for label, points in panel.items():
            sizes = sorted(size for size, numbers in points.items() if numbers)
            means = [np.mean(points[size]) for size in sizes]
            axes.errorbar(
                sizes, means, yerr=[np.std(points[size]) for size in sizes], label=label, marker="o", capsize=3
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set(title=title, ylim=(0, None))
        axes.legend(frameon=False)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    with new_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
