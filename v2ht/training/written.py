"""What a `ggm` run writes for a whole split, and its numbers (GGM 4.4, 5.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data.files import new_file
from data.hashtags import words
from data.progress import Report
from v2ht.bundle import Bundle
from v2ht.dataset_inputs import DatasetInputs
from v2ht.evaluation.generation import GenerationEvaluation, GenerationInput, evaluate_generation
from v2ht.models.ggm.settings import RETRIEVER, GGMSettings
from v2ht.training.generation import write_rows
from v2ht.writing import CLASSIFIED, HashtagWriter

SEED = 0  # of the order in which ROUGE reads written hashtags
OPEN_POOL = "with_unseen_pool"  # name of the second pool: unseen hashtags may be guidance too


@dataclass(frozen=True, kw_only=True)
class WrittenSplit:
    """The numbers, ready for JSON; and each system's evaluation of every video, by the system's name."""

    content: dict[str, Any]
    evaluations: dict[str, GenerationEvaluation]


def evaluate_written(
    run: Path,
    bundle: Bundle,
    posts: DatasetInputs,
    split: str,
    *,
    bert_folder: Path | None = None,
    report: Report | None = None,
) -> WrittenSplit:
    """Write hashtags for a split and return their numbers; `run` gets written-SPLIT.parquet.

    Where the vocabulary has hashtags of no train video, as after `--split unseen`, a guided generator and the retriever
    alone are evaluated a second time with these in their pool too (the paper's tables 4 and 5).
    Raises `InputError` as `HashtagWriter.load` and `evaluate_generation` do.
    """
    settings: GGMSettings = bundle.model_settings
    rows = posts.dataset.rows(split)
    pools: dict[str, np.ndarray | None] = {bundle.model_name: None}
    if (settings.guides or settings.kind == RETRIEVER) and _is_unseen(posts).any():
        pools[OPEN_POOL] = np.arange(posts.inputs.num_hashtags)
    evaluations, tables = {}, []
    for name, pool in pools.items():
        written = write_rows(HashtagWriter.load(run, bundle, pool=pool), posts, rows, report=report)
        evaluations[name] = evaluate_generation(as_input(posts, rows, written), bert_folder=bert_folder)
        ids = posts.dataset.videos["video_id"].gather(rows)
        tables.append(pl.DataFrame({"system": [name] * len(rows), "video_id": ids, "hashtags": written}))
    with new_file(Path(run) / f"written-{split}.parquet") as temporary:
        pl.concat(tables).write_parquet(temporary, compression="zstd")
    first, *others = (evaluation.summary for evaluation in evaluations.values())
    return WrittenSplit(
        content={**first, "decoding": decoding(settings), OPEN_POOL: others[0] if others else None},
        evaluations=evaluations,
    )


def decoding(settings: GGMSettings) -> str:
    """Return in words how hashtags were written."""
    if settings.writes is None:
        return f"{settings.kind}: the {CLASSIFIED} best of its ranking"
    guidance = f"{settings.guides} hashtags of guidance by {settings.guidance}" if settings.guides else "no guidance"
    return f"{settings.kind}: {settings.beams} beams, {settings.max_length} tokens at most, {guidance}"


def _is_unseen(posts: DatasetInputs) -> np.ndarray:
    unseen: np.ndarray = posts.inputs.hashtags["train_videos"].to_numpy() == 0
    return unseen


def as_input(posts: DatasetInputs, rows: np.ndarray, written: list[list[str]]) -> GenerationInput:
    """Return what was written for a dataset's rows, beside their truth, as `evaluate_generation` reads it."""
    names = posts.inputs.hashtags["hashtag"].to_list()
    known = dict(zip(names, map(tuple, posts.inputs.hashtags["words"].to_list()), strict=True))
    unseen_H = _is_unseen(posts)
    texts = posts.dataset.videos["text"].fill_null("")
    return GenerationInput(
        generated=written,
        truth=[[names[number] for number in posts.truth[row]] for row in rows],
        descriptions=texts.gather(rows).to_list(),
        train_hashtags={name for name, unseen in zip(names, unseen_H, strict=True) if not unseen},
        unseen_hashtags={name for name, unseen in zip(names, unseen_H, strict=True) if unseen},
        words=lambda hashtag: known[hashtag] if hashtag in known else words(hashtag),
        seed=SEED,
        train_words={
            word for text in texts.gather(posts.dataset.rows("train")) for word in re.findall(r"\w+", text.lower())
        },
    )
