"""Several systems on the same videos: intervals of each mean, and paired tests against the first system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data.files import InputError
from v2ht.evaluation.evaluate import Evaluation, metric_keys
from v2ht.evaluation.significance import bootstrap_interval, holm, sign_flip_test
from v2ht.evaluation.subsets import SUBSETS

LEVEL = 0.95


def compare(evaluations: Mapping[str, Evaluation], *, seed: int) -> dict[str, Any]:
    """Return `{"reference", "level", "ks", "longtail_threshold", "hashtags", SUBSET: None or {...}}`, ready for JSON.

    A subset holds `videos` and `systems`: name -> metric -> `mean`, `half_width` (half the 95 % bootstrap interval of
    the mean) and, but for the first system (the reference), `difference` from it, its paired `interval` [low, high] and
    `p` of the sign-flip test, adjusted by Holm over the systems compared on that subset and metric.
    Raises `InputError` when there is no system or two were not evaluated on the same videos in the same way.
    """
    if not evaluations:
        raise InputError("there is nothing to compare; give one run or more")
    _check_same(evaluations)
    reference, first = next(iter(evaluations.items()))
    shared = {key: first.summary[key] for key in ("hashtags", "ks", "longtail_threshold")}
    comparison: dict[str, Any] = {"reference": reference, "level": LEVEL, **shared}
    for subset in SUBSETS:
        tables = {name: evaluation.per_video.get(subset) for name, evaluation in evaluations.items()}
        present = {name: table for name, table in tables.items() if table is not None}
        comparison[subset] = compare_tables(present, metrics=metric_keys(shared["ks"]), seed=seed) if present else None
    return comparison


def compare_tables(tables: Mapping[str, Mapping[str, np.ndarray]], *, metrics: list[str], seed: int) -> dict[str, Any]:
    """Compare systems (C) on metrics (M) over N videos: one set of random draws serves all C x M columns.

    `tables`: system -> metric -> float64 [N], the same videos in the same order. Returns `videos` and `systems`.
    """
    values_NCM = np.stack([np.stack([table[name] for name in metrics], axis=1) for table in tables.values()], axis=1)
    videos, systems, _ = values_NCM.shape
    low, high = bootstrap_interval(values_NCM.reshape(videos, -1), seed=seed, level=LEVEL)
    half_CM = ((high - low) / 2).reshape(systems, -1)
    means_CM = values_NCM.mean(axis=0)
    numbers: dict[str, Any] = {
        system: {
            name: {"mean": float(means_CM[c, m]), "half_width": float(half_CM[c, m])} for m, name in enumerate(metrics)
        }
        for c, system in enumerate(tables)
    }
    if systems > 1:
        _add_tests(numbers, values_NCM[:, 1:] - values_NCM[:, :1], metrics=metrics, seed=seed)
    return {"videos": videos, "systems": numbers}


def _add_tests(numbers: dict[str, Any], differences_NCM: np.ndarray, *, metrics: list[str], seed: int) -> None:
    shape = differences_NCM.shape[1:]
    flat = differences_NCM.reshape(len(differences_NCM), -1)
    p_CM = np.apply_along_axis(holm, 0, sign_flip_test(flat, seed=seed).reshape(shape))
    low_CM, high_CM = (end.reshape(shape) for end in bootstrap_interval(flat, seed=seed, level=LEVEL))
    means_CM = flat.mean(axis=0).reshape(shape)
    for c, system in enumerate(list(numbers)[1:]):
        for m, name in enumerate(metrics):
            interval = [float(low_CM[c, m]), float(high_CM[c, m])]
            tests = {"difference": float(means_CM[c, m]), "interval": interval, "p": float(p_CM[c, m])}
            numbers[system][name].update(tests)


def _check_same(evaluations: Mapping[str, Evaluation]) -> None:
    reference, first = next(iter(evaluations.items()))
    for name, other in evaluations.items():
        for key in ("hashtags", "ks", "longtail_threshold"):
            if other.summary[key] != first.summary[key]:
                found = f"{key} {other.summary[key]}, {reference} with {first.summary[key]}"
                raise InputError(f"{name} was evaluated with {found}; evaluate both in the same way")
        for subset in SUBSETS:
            rows, expected = (part.per_video.get(subset, {}).get("row", np.empty(0)) for part in (other, first))
            if not np.array_equal(rows, expected):
                found = f"{len(rows)} videos of {subset}, {reference} on {len(expected)} others"
                raise InputError(f"{name} was evaluated on {found}; compare runs on one dataset and split")
