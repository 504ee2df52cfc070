"""Rankings in, numbers out: every subset, every metric, for one system on one split.

Shapes: N videos, K and J places of the two rankings, H hashtags in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.dataset import Ragged
from data.files import InputError
from v2ht.evaluation import subsets
from v2ht.evaluation.metrics import check_ks, check_ranked, check_truth, corpus_f1, coverage, hit_matrix, video_metrics
from v2ht.evaluation.pair import pair_metrics
from v2ht.evaluation.subsets import Subset

LONGTAIL_THRESHOLD = 20  # train videos


@dataclass(frozen=True, kw_only=True)
class EvaluationInput:
    """What a system ranked, and what is true. Checked when made: raises ValueError that names the field.

    `rows` int [N]: the videos' row numbers in the dataset, each once. `truth`: their true hashtag ids (a row may be
    empty). `ranked` int [N, K]: hashtag ids, best first, `PADDING` after a list's end; K as `ranking_depth` says.
    `ranked_new` int [N, J]: the same with the user's train hashtags left out. `known`: for each video its user's train
    hashtag ids. `cold` bool [N]: the user has no train video. `train_frequency` int [H]: train videos of each hashtag.
    """

    rows: np.ndarray
    truth: Ragged
    ranked: np.ndarray
    ranked_new: np.ndarray
    known: Ragged
    cold: np.ndarray
    train_frequency: np.ndarray

    def __post_init__(self) -> None:
        _check_lengths(self)
        check_truth(self.truth, num_hashtags=self.num_hashtags)
        check_truth(self.known, num_hashtags=self.num_hashtags, name="known")
        check_ranked(self.ranked, num_hashtags=self.num_hashtags)
        check_ranked(self.ranked_new, num_hashtags=self.num_hashtags, name="ranked_new")
        own = hit_matrix(self.ranked_new, self.known, num_hashtags=self.num_hashtags)
        if own.any():
            video, place = np.argwhere(own)[0]
            hashtag = self.ranked_new[video, place]
            raise ValueError(
                f"ranked_new holds hashtag {hashtag} that the user of video {video} (from 0) knows; leave it out"
            )
        if (self.cold & (self.known.lengths > 0)).any():
            video = int(np.argmax(self.cold & (self.known.lengths > 0)))
            raise ValueError(f"cold is True for video {video} (from 0), but known has train hashtags of its user")

    @property
    def num_hashtags(self) -> int:
        return len(self.train_frequency)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """`summary`: numbers ready for JSON. `per_video`: subset -> `row` and one float64 array per metric, same order.

    A subset without videos is None in `summary` and absent from `per_video`.
    """

    summary: dict[str, Any]
    per_video: dict[str, dict[str, np.ndarray]]

    def columns(self) -> dict[str, np.ndarray]:
        """Return `per_video` as the columns of one table: `subset`, `row` (dataset row number), then the metrics."""
        names = [np.full(len(table["row"]), name) for name, table in self.per_video.items()]
        keys = ["row", *metric_keys(self.summary["ks"])]
        stacked = {key: [table[key] for table in self.per_video.values()] for key in keys}
        return {key: np.concatenate(parts) for key, parts in {"subset": names, **stacked}.items() if parts}

    @staticmethod
    def from_columns(summary: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> Evaluation:
        """Undo `columns`. Raises `InputError` when a column that `summary` promises is missing."""
        keys = ["row", *metric_keys(summary["ks"])]
        missing = sorted({"subset", *keys} - set(columns)) if columns else []
        if missing:
            raise InputError(
                f"the table of single videos lacks the columns {', '.join(missing)}; evaluate the run again"
            )
        present = [name for name in subsets.SUBSETS if columns and (columns["subset"] == name).any()]
        tables = {name: {key: columns[key][columns["subset"] == name] for key in keys} for name in present}
        return Evaluation(summary=dict(summary), per_video=tables)


def metric_keys(ks: Sequence[int]) -> list[str]:
    """Return the names of the metrics that every single video has."""
    return [f"{name}@{k}" for k in ks for name in ("recall", "ndcg", "precision", "f1")]


def evaluate(
    given: EvaluationInput, *, ks: Sequence[int] = (5, 10), longtail_threshold: int = LONGTAIL_THRESHOLD
) -> Evaluation:
    """Return every metric of `docs/metrics.md` for every subset, and the pair protocol.

    `longtail_threshold` is in train videos: rarer hashtags are the long tail. Raises `InputError` on a bad k or
    threshold and ValueError when a ranking is too short to be exact.
    """
    check_ks(ks)
    if longtail_threshold < 1:
        raise InputError(f"the long-tail threshold is {longtail_threshold} train videos, expected at least 1")
    parts = _subsets(given, longtail_threshold=longtail_threshold)
    summary: dict[str, Any] = {
        "videos": len(given.rows),
        "hashtags": given.num_hashtags,
        "ks": [int(k) for k in ks],
        "longtail_threshold": int(longtail_threshold),
    }
    per_video = {}
    for part in parts:
        summary[part.name] = None
        if len(part.positions):
            ranked = (given.ranked_new if part.without_known else given.ranked)[part.positions]
            metrics = video_metrics(ranked, part.truth, ks=ks, num_hashtags=given.num_hashtags)
            per_video[part.name] = {"row": given.rows[part.positions], **metrics}
            summary[part.name] = _means(metrics, ranked, ks=ks, num_hashtags=given.num_hashtags)
    if summary["longtail"]:
        summary["longtail"]["threshold"] = int(longtail_threshold)
    summary["pair"] = _pair(given, {part.name: part for part in parts}, ks=ks)
    return Evaluation(summary=summary, per_video=per_video)


def _subsets(given: EvaluationInput, *, longtail_threshold: int) -> list[Subset]:
    frequency = given.train_frequency
    return [
        subsets.overall(given.truth),
        subsets.longtail(given.truth, train_frequency_H=frequency, threshold=longtail_threshold),
        subsets.new_to_user(given.truth, known=given.known),
        subsets.cold_user(given.truth, cold_N=given.cold),
        subsets.unseen(given.truth, train_frequency_H=frequency),
    ]


def _means(
    metrics: Mapping[str, np.ndarray], ranked: np.ndarray, *, ks: Sequence[int], num_hashtags: int
) -> dict[str, Any]:
    means: dict[str, Any] = {"videos": len(ranked), **{name: float(values.mean()) for name, values in metrics.items()}}
    for k in ks:
        means[f"corpus_f1@{k}"] = corpus_f1(metrics[f"precision@{k}"], metrics[f"recall@{k}"])
        means[f"coverage@{k}"] = coverage(ranked, k=k, num_hashtags=num_hashtags)
    return means


def _pair(given: EvaluationInput, parts: Mapping[str, Subset], *, ks: Sequence[int]) -> dict[str, Any] | None:
    whole, tail = (
        pair_metrics(given.ranked[part.positions], part.truth, ks=ks, num_hashtags=given.num_hashtags)
        for part in (parts["overall"], parts["longtail"])
    )
    return {**whole, "longtail": tail} if whole else None


def _check_lengths(given: EvaluationInput) -> None:
    videos = len(given.rows)
    for name in ("truth", "ranked", "ranked_new", "known", "cold"):
        found = len(getattr(given, name))
        if found != videos:
            raise ValueError(f"{name} has {found} videos, rows has {videos}; give the same videos to both")
    if given.cold.dtype != np.bool_ or given.cold.ndim != 1:
        raise ValueError(f"cold is {given.cold.dtype} {given.cold.shape}, expected bool ({videos},)")
    if given.rows.ndim != 1 or len(np.unique(given.rows)) < videos:
        raise ValueError("rows names a video twice; give each video once")
    if given.train_frequency.ndim != 1 or given.num_hashtags == 0 or (given.train_frequency < 0).any():
        raise ValueError("train_frequency must hold one count from 0 up per hashtag, for one or more hashtags")
