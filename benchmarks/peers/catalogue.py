"""The systems of the comparison by name, with the settings that are tried on the validation split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.counting import LatestPosts, NaiveBayes, Neighbours, Popularity, UserHistory
from benchmarks.peers.embedding import BagOfWords, FastText, LightFm
from benchmarks.peers.factors import Als, Bpr, Ease, LightGcn
from benchmarks.peers.linear import Omikuji, Ridge
from benchmarks.peers.posts import Peer

Settings = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How to make a peer from settings, and its grid: the first value of each setting is where the search starts."""

    make: Callable[..., Peer]
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    seeded: bool = False  # whether it draws at random

    def peer(self, settings: Mapping[str, Any], *, seed: int) -> Peer:
        """Return the peer, not yet fitted."""
        return self.make(**settings, **({"seed": seed} if self.seeded else {}))


_NEIGHBOURS = {"terms": ("words", "chars"), "neighbours": (50, 20), "power": (1.0, 3.0), "backing": (0.1, 0.01)}
_USER = (1.0, 0.5, 2.0, 4.0)
_PENALTIES = (1.0, 0.3, 3.0, 10.0)
PEERS: dict[str, Entry] = {
    "popularity": Entry(make=Popularity),
    "history": Entry(make=UserHistory, grid={"backing": (0.5,)}),
    "history, newest first": Entry(make=UserHistory, grid={"decay": (0.7, 0.9, 0.5), "backing": (0.01, 0.1, 1.0)}),
    "latest posts": Entry(
        make=LatestPosts, grid={"count": (50, 20, 200), "fading": (0.9, 1.0, 0.7), "backing": (0.1, 0.01, 1.0)}
    ),
    "text kNN": Entry(make=Neighbours, grid=_NEIGHBOURS),
    "text kNN + history": Entry(make=Neighbours, grid={"history": (1.0, 0.3, 3.0), "decay": (1.0, 0.7), **_NEIGHBOURS}),
    "text kNN + history + latest": Entry(
        make=Neighbours,
        grid={
            "history": (1.0, 0.3, 3.0),
            "latest": (0.3, 0.1, 0.03, 1.0, 3.0),
            "fading": (0.9, 1.0, 0.7),
            **_NEIGHBOURS,
        },
    ),
    "naive Bayes + history": Entry(
        make=NaiveBayes,
        grid={
            "text": (0.3, 0.1, 0.03, 1.0),
            "smoothing": (100.0, 10.0, 1000.0, 10000.0),
            "prior": (1.0, 0.1, 10.0, 100.0),
        },
    ),
    "ridge on text": Entry(make=Ridge, grid={"user": (0.0,), "penalty": _PENALTIES}),
    "ridge on text + user": Entry(make=Ridge, grid={"penalty": _PENALTIES, "user": _USER}),
    "omikuji (Parabel)": Entry(make=Omikuji, grid={"user": _USER, "beam": (30,)}),
    "bag of words + user": Entry(
        make=BagOfWords,
        grid={"epochs": (20, 40, 10), "learning_rate": (0.003, 0.01), "dropout": (0.5, 0.0)},
        seeded=True,
    ),
    "fastText": Entry(
        make=FastText,
        grid={"loss": ("softmax", "ova"), "learning_rate": (0.5, 0.2, 1.0), "word_ngrams": (1, 2), "epochs": (25, 50)},
        seeded=True,
    ),
    "LightFM (WARP)": Entry(
        make=LightFm,
        grid={"epochs": (30, 10, 100), "user": _USER, "max_sampled": (100, 10), "dim": (64, 128)},
        seeded=True,
    ),
    "ALS": Entry(
        make=Als, grid={"alpha": (1.0, 10.0, 0.3), "factors": (64, 32, 128), "regularization": (0.1, 1.0)}, seeded=True
    ),
    "BPR": Entry(
        make=Bpr,
        grid={"learning_rate": (0.05, 0.01), "iterations": (200, 600, 2000), "factors": (64, 128)},
        seeded=True,
    ),
    "EASE": Entry(make=Ease, grid={"penalty": (100.0, 10.0, 1000.0, 1.0, 0.1)}),
    "LightGCN": Entry(
        make=LightGcn, grid={"layers": (2, 1, 3), "epochs": (100, 300), "learning_rate": (0.01, 0.003)}, seeded=True
    ),
}


def search(grid: Mapping[str, tuple[Any, ...]], value: Callable[[Settings], float]) -> list[tuple[Settings, float]]:
    """Try the grid one setting at a time, each beside the best of those before; return all that was tried, best first.

    Ties go to what was tried first.
    """
    best = {name: values[0] for name, values in grid.items()}
    tried = [(best, value(best))]
    for name, values in grid.items():
        best = max(tried, key=lambda one: one[1])[0]
        tried += [(settings, value(settings)) for settings in ({**best, name: other} for other in values[1:])]
    return sorted(tried, key=lambda one: -one[1])
