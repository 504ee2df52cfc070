"""Guidance for train videos that is as honest as a new video's.

A ranker knows the hashtags of the videos that it was trained on, so what it retrieves for them is better than what it
retrieves for new ones, and a generator that learned from such guidance would trust it too much. So the train videos are
cut into folds, each fold is guided by a ranker trained on the others alone, for as many epochs as the run's ranker
needed, and the user's history leaves the current video out as always. Word vectors and the graph's co-occurrence
counts, which are shared, have seen all train videos; `recall_at_k` of train and validation guidance, which
generator/config.json holds, shows how near to honest the whole is.

Shapes: N videos, K hashtags of guidance, B videos of a batch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors.torch import save_file

from data.dataset import Dataset, Ragged
from data.files import InputError, new_file
from data.progress import Report
from v2ht.bundle import Bundle, read_tensors
from v2ht.dataset_inputs import DatasetInputs
from v2ht.models import entry
from v2ht.models.contract import Ranker
from v2ht.models.ggm.guide import Guide, train_pool
from v2ht.training.loop import TrainSettings, launch, train_epoch
from v2ht.writing import FOLDER

BATCH = 128  # videos guided together


def train_guidance(
    run: Path,
    bundle: Bundle,
    posts: DatasetInputs,
    *,
    settings: TrainSettings,
    epochs: int,
    seed: int,
    report: Report | None = None,
) -> np.ndarray:
    """Return the guidance of all train videos, int64 [N, K], in the order of their rows; `run` keeps it."""
    path = Path(run) / FOLDER / "guidance.safetensors"
    if path.is_file():
        return _kept(path, len(posts.dataset.rows("train")))
    rows, folds = posts.dataset.rows("train"), bundle.model_settings.guidance_folds
    fold_N = np.random.default_rng([seed, 7]).permutation(np.arange(len(rows)) % folds)
    found: np.ndarray | None = None
    for fold in range(folds):
        others = DatasetInputs(_without(posts.dataset, rows[fold_N == fold]), bundle.inputs)
        ranker = _train(bundle, others, settings=settings, epochs=epochs, seed=seed)
        own = guide_rows(ranker, posts, rows[fold_N == fold], k=bundle.model_settings.guides)
        if report is not None:
            report("guidance of train videos, fold", fold + 1, folds)
        found = np.empty((len(rows), own.shape[1]), np.int64) if found is None else found
        found[fold_N == fold] = own
    assert found is not None
    with new_file(path) as temporary:
        save_file({"ids": torch.from_numpy(found)}, temporary)
    return found


def guide_rows(ranker: Ranker, posts: DatasetInputs, rows: np.ndarray, *, k: int) -> np.ndarray:
    """Return the guidance of a dataset's rows from the hashtags of train videos, [N, K]."""
    pool = train_pool(posts.inputs.hashtags["train_videos"].to_numpy())
    guide = Guide(ranker.eval(), pool=pool, k=k)
    parts = [guide(posts.batch(rows[start : start + BATCH])) for start in range(0, len(rows), BATCH)]
    return np.concatenate(parts) if parts else np.empty((0, guide.k), np.int64)


def recall_at_k(guidance_NK: np.ndarray, truth: Ragged) -> float:
    """Return the mean share of a video's true hashtags that are in its guidance, over videos that have any."""
    shares = [np.isin(truth[row], guidance_NK[row]).mean() for row in range(len(truth)) if len(truth[row])]
    return float(np.mean(shares)) if shares else 0.0


def _train(bundle: Bundle, posts: DatasetInputs, *, settings: TrainSettings, epochs: int, seed: int) -> Ranker:
    """Return a ranker like the bundle's, trained anew on other train videos, by this process alone."""
    torch.manual_seed(seed)
    ranker = entry(bundle.model_name).build(bundle.model_settings, bundle.inputs, bundle.graph)
    settings = replace(settings, devices=1, nodes=1)
    fabric = launch(settings)
    optimizer = torch.optim.Adam(ranker.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    wrapped, optimizer = fabric.setup(ranker, optimizer)
    for epoch in range(1, epochs + 1):
        train_epoch(fabric, wrapped, optimizer, posts, settings=settings, seed=seed, epoch=epoch, report=None)
    return ranker.cpu()


def _without(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """Return the dataset with these rows out of the train split."""
    split = dataset.videos["split"].to_numpy().copy()
    split[rows] = "valid"
    return replace(dataset, videos=dataset.videos.with_columns(split=pl.Series(split, dtype=pl.String())))


def _kept(path: Path, videos: int) -> np.ndarray:
    found: np.ndarray = read_tensors(path)["ids"].numpy()
    if len(found) != videos:
        raise InputError(
            f"{path} guides {len(found):,} videos, the train split has {videos:,}; train into a new folder"
        )
    return found
