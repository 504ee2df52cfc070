"""How far a trained ranker should raise rare hashtags: chosen on validation, after the last epoch.

A softmax over all hashtags learns how frequent they are, and ranks the rare ones as cautiously as the mean post asks.
How much of that to take back is one number, and what it costs the mean post differs from table to table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from v2ht.dataset_inputs import DatasetInputs
from v2ht.evaluation.evaluate import LONGTAIL_THRESHOLD
from v2ht.evaluation.metrics import video_metrics
from v2ht.evaluation.subsets import longtail, overall
from v2ht.models.v2ht_memory import V2HTMemory
from v2ht.nn.top_k import top_k
from v2ht.training.ranking import batches, model_scorer

LIFTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
K = 10


def choose_lift(model: V2HTMemory, posts: DatasetInputs, *, tail_weight: float) -> dict[str, Any]:
    """Set the model's lift; return it with what was tried.

    It is the one of `LIFTS` with the largest recall@10 + NDCG@10 over the validation videos, plus `tail_weight` times
    the same on their hashtags of fewer than 20 train videos; of equal ones the smallest.
    """
    rows = posts.dataset.rows("valid")
    model.lift.zero_()
    score = model_scorer(model, posts)
    log_videos_H = model.log_videos_H[: posts.inputs.num_hashtags].cpu()
    ranked: dict[float, list[np.ndarray]] = {lift: [] for lift in LIFTS}
    for part in batches(rows, num_hashtags=posts.inputs.num_hashtags):
        scores_BH = score(part)
        for lift, found in ranked.items():
            found.append(top_k(scores_BH - lift * log_videos_H, K)[0].numpy())
    tried = [{"lift": lift, **_numbers(np.concatenate(found), rows, posts)} for lift, found in ranked.items()]
    chosen = best(tried, tail_weight=tail_weight)["lift"]
    model.lift.fill_(chosen)
    return {"chosen": chosen, "tail_weight": tail_weight, "tried": tried}


def best(tried: Sequence[dict[str, float]], *, tail_weight: float) -> dict[str, float]:
    """Return the best of what was tried, in the order of lifts: the first of equal ones."""
    return max(tried, key=lambda line: line["overall"] + tail_weight * line["longtail"])


def _numbers(ranked_NK: np.ndarray, rows: np.ndarray, posts: DatasetInputs) -> dict[str, float]:
    """Return recall@10 + NDCG@10 over all true hashtags, and over the long tail's (0 where no video has one)."""
    truth, frequency_H = posts.truth.take(rows), posts.inputs.hashtags["train_videos"].to_numpy()
    sums = {}
    for subset in (overall(truth), longtail(truth, train_frequency_H=frequency_H, threshold=LONGTAIL_THRESHOLD)):
        found = video_metrics(ranked_NK[subset.positions], subset.truth, ks=[K], num_hashtags=len(frequency_H))
        total = (found[f"recall@{K}"] + found[f"ndcg@{K}"]).sum()
        sums[subset.name] = round(float(total / max(len(subset.positions), 1)), 6)
    return sums
