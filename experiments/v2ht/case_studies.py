"""Three test posts of the made-up world with what V2HT and its ablations recommend (figure 6 of the paper)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.dataset import Dataset
from data.files import new_file
from experiments.cases import Case
from v2ht.bundle import Bundle
from v2ht.dataset_inputs import DatasetInputs
from v2ht.evaluation.evaluate import LONGTAIL_THRESHOLD

POSTS = 3
SHOWN = 10


def case_studies(cases: Sequence[Case], *, out: Path, results: Path) -> None:
    """Write the posts as one JSON file: text, user, truth and each system's ten best, all with train frequencies."""
    dataset = Dataset.load(out / "datasets" / f"{cases[0].dataset}-{cases[0].seed}")
    rows = choose(dataset)
    posts = [_post(dataset, int(row)) for row in rows]
    for case in cases:
        bundle = Bundle.load(out / "runs" / f"{case.dataset}-{case.system}-{case.seed}")
        bundle.model.eval()
        ids_NK, _ = bundle.model.rank(DatasetInputs(dataset, bundle.inputs).batch(rows), SHOWN)
        for post, ids in zip(posts, ids_NK.tolist(), strict=True):
            post["predicted"][case.system] = [_named(dataset, number) for number in ids]
    with new_file(results) as temporary:
        content = {"dataset": cases[0].dataset, "seed": cases[0].seed, "posts": posts}
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def choose(dataset: Dataset) -> np.ndarray:
    """Return the rows of the test posts with most long-tail hashtags, one a user, ties by place."""
    rows = dataset.rows("test")
    rare = dataset.hashtags["train_videos"].to_numpy() < LONGTAIL_THRESHOLD
    tails = np.array([rare[tags].sum() for tags in dataset.videos["hashtag_ids"].gather(rows).to_list()])
    ordered = rows[np.argsort(-tails, kind="stable")]
    _, first = np.unique(dataset.videos["user_id"].to_numpy()[ordered], return_index=True)
    return ordered[np.sort(first)[:POSTS]]


def _post(dataset: Dataset, row: int) -> dict[str, Any]:
    video = dataset.videos.row(row, named=True)
    return {
        "user": dataset.users["user"][video["user_id"]],
        "text": video["text"],
        "truth": [_named(dataset, number) for number in video["hashtag_ids"]],
        "predicted": {},
    }


def _named(dataset: Dataset, number: int) -> tuple[str, int]:
    return dataset.hashtags["hashtag"][number], int(dataset.hashtags["train_videos"][number])
