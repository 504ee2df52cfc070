"""Divide videos into train, valid and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data.dataset import SPLITS
from data.files import InputError
from data.posts import plain
from data.tables import read_table

SPLIT_KINDS = ("random", "time", "unseen")
MAX_UNSEEN_SHARE = 0.05  # of the train hashtags; GGM 4.1 hides 500 of 10,674


def parse_split(text: str) -> str | Path:
    """Return one of `SPLIT_KINDS` as it is, and anything else as the path of a split file."""
    return text if text in SPLIT_KINDS else Path(text)


def assign_random(posts: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    """Add the column split: 80 % of the videos to train, 10 % to valid, 10 % to test, whatever their order."""
    ordered = posts.select("row", "video_id").sort("video_id")
    shuffled = ordered[np.random.default_rng([seed, 0]).permutation(ordered.height)]
    splits = shuffled.select("row", split=_eighty_ten_ten(ordered.height))
    return posts.join(splits, on="row", how="left", maintain_order="left")


def assign_by_time(posts: pl.DataFrame) -> pl.DataFrame:
    """Add the column split: the oldest 80 % to train, the next 10 % to valid, the newest 10 % to test; ties by id."""
    missing = posts["time"].null_count()
    if missing:
        raise InputError(
            f"{missing} of {posts.height} videos have no time, which split=time needs; "
            "name a time column with --columns time=..., leave these rows out, or choose split=random"
        )
    return posts.sort("time", "video_id").with_columns(split=_eighty_ten_ten(posts.height))


def _eighty_ten_ten(height: int) -> pl.Series:
    train_end, valid_end = height * 8 // 10, height * 9 // 10
    lengths = (train_end, valid_end - train_end, height - valid_end)
    return pl.Series(np.repeat(np.array(SPLITS, dtype=object), lengths), dtype=pl.String)


def assign_unseen(posts: pl.DataFrame, *, seed: int, num_hashtags: int) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Add the column split so that some hashtags are in no train video (GGM 4.1); return what was done.

    From a random split, choose `num_hashtags` hashtags of train videos (at most 5 % of them, at least one); all train
    and test videos with any of these become test. A test video belongs to the unseen test set if it has a hashtag of
    the list `unseen_hashtags`, else to the seen one. As in the paper, valid is left as it is, so its videos may have
    unseen hashtags; their number is returned.
    """
    posts = assign_random(posts, seed=seed)
    in_train = posts.filter(pl.col("split") == "train")["hashtags"].explode(empty_as_null=False).unique().sort()
    wanted = min(num_hashtags, max(1, int(len(in_train) * MAX_UNSEEN_SHARE)))
    chosen = in_train[np.random.default_rng([seed, 1]).permutation(len(in_train))[:wanted]].sort()
    has_unseen = posts["hashtags"].list.eval(pl.element().is_in(chosen.implode())).list.any()
    moved = (posts["split"] == "train") & has_unseen
    posts = posts.with_columns(split=pl.when(moved).then(pl.lit("test")).otherwise("split"))
    return posts, {
        "unseen_hashtags": chosen.to_list(),
        "unseen_hashtags_asked": num_hashtags,
        "unseen_test_videos": int((has_unseen & (posts["split"] == "test")).sum()),
        "seen_test_videos": int((~has_unseen & (posts["split"] == "test")).sum()),
        "moved_from_train": int(moved.sum()),
        "valid_videos_with_unseen": int((has_unseen & (posts["split"] == "valid")).sum()),
    }


def read_split_file(path: Path) -> pl.DataFrame:
    """Read a table of video_id and split. Raises `InputError` on an unknown split or a repeated id."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"split {str(path)!r} is neither a file nor one of {', '.join(SPLIT_KINDS)}")
    table = read_table(path)
    for name in ("video_id", "split"):
        if name not in table.columns:
            raise InputError(f"{path} has no column {name!r}; its columns are {', '.join(table.columns)}")
    splits = pl.DataFrame([plain(table["video_id"]).str.strip_chars(), plain(table["split"]).str.strip_chars()])
    unknown = (~splits["split"].is_in(SPLITS).fill_null(False)).arg_true()
    if len(unknown):
        row = unknown[0]
        raise InputError(f"{path}, row {row + 1}: split {splits['split'][row]!r} is not one of {', '.join(SPLITS)}")
    repeated = splits["video_id"].is_duplicated().arg_true()
    if len(repeated):
        raise InputError(
            f"{path}, row {repeated[0] + 1}: id {splits['video_id'][repeated[0]]!r} is named more than once"
        )
    return splits


def keep_named(posts: pl.DataFrame, splits: pl.DataFrame, *, path: Path) -> pl.DataFrame:
    """Keep the videos that the split file names, with its column split.

    Raises `InputError` if the file names videos that are not among `posts`, so that runs stay comparable.
    """
    unknown = (~splits["video_id"].is_in(posts["video_id"].implode())).arg_true()
    if len(unknown):
        row = unknown[0]
        raise InputError(
            f"{path}, row {row + 1}: the source has no video {splits['video_id'][row]!r} ({len(unknown)} such rows); "
            "use the split file made for this source"
        )
    return posts.join(splits, on="video_id", how="inner", maintain_order="left")
