"""Features that the table itself holds (codes, measurements, vectors): one step of a modality per video.

Shapes: N rows, F dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from data.dataset import Ragged
from data.files import InputError
from data.posts import numbers, plain

MAX_VALUES = 256  # of a text column; with more it is prose or an id
LARGEST = float(np.finfo(np.float16).max)  # a dataset holds features in half precision


class _Block(NamedTuple):
    """What one column gives: values [N, F] with NaN for missing numbers, which rows have a value, F names."""

    values_NF: np.ndarray
    present_N: np.ndarray
    names: list[str]


def feature_steps(columns: Sequence[pl.Series]) -> tuple[pl.Series, list[str]]:
    """Return each row's step, array[f32, F], null where all columns are missing, and the names of the F dimensions.

    Numbers (also written as text) and booleans are one dimension, NaN where missing. Other text, and whatever is
    categorical, is one dimension a value, in sorted order: 1 for the row's own, all 0 where missing. Lists of numbers,
    all of one length, are a dimension a place. Raises `InputError` that names the column, and the row of a bad value.
    """
    blocks = [_block(column) for column in columns]
    values_NF = np.concatenate([block.values_NF for block in blocks], axis=1).astype(np.float32)
    present_N = pl.Series(np.any([block.present_N for block in blocks], axis=0))
    steps = pl.select(pl.when(present_N).then(pl.Series("steps", values_NF))).to_series()
    return steps, [name for block in blocks for name in block.names]


def feature_sequences(posts: pl.DataFrame, videos: pl.DataFrame, modality: str) -> tuple[Ragged, np.ndarray]:
    """Return the steps of `posts[modality]` in the order of `videos`, and what stands for a missing number, [F].

    That is the mean over the train videos, 0 where none of them has the number; NaN in a dimension never missing.
    """
    own = posts.select("video_id", step=modality)
    joined = videos.select("video_id", "split").join(own, on="video_id", how="left", maintain_order="left")
    has = joined["step"].is_not_null()
    steps_NF = joined["step"].drop_nulls().to_numpy().astype(np.float32)
    missing_NF = np.isnan(steps_NF)
    train_NF = steps_NF[(joined["split"].filter(has) == "train").to_numpy()]
    counts_F = np.maximum((~np.isnan(train_NF)).sum(0), 1)
    means_F = (np.nansum(train_NF, axis=0, dtype=np.float64) / counts_F).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(has.to_numpy())]).astype(np.int64)
    filled = Ragged(values=np.where(missing_NF, means_F, steps_NF), offsets=offsets)
    return filled, np.where(missing_NF.any(0), means_F, np.nan)


def _block(column: pl.Series) -> _Block:
    if column.null_count() < len(column):
        found = numbers(column)
        if isinstance(column.dtype, pl.List | pl.Array):
            block = _vectors(column)
        else:
            block = _categories(column) if found is None else _numbers(found.to_frame())
        if block.present_N.any():
            return block
    raise InputError(f"column {column.name!r} has no value in any row; leave it out")


def _categories(column: pl.Series) -> _Block:
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise InputError(f"column {column.name!r} holds {column.dtype}; expected numbers, text or lists of numbers")
    texts = plain(column).str.strip_chars().replace("", None)
    values = texts.drop_nulls().unique().sort()
    if len(values) > MAX_VALUES:
        raise InputError(
            f"column {column.name!r} has {len(values)} different values, a feature at most {MAX_VALUES}; "
            "give categories, numbers, or a list column of numbers"
        )
    present_N = texts.is_not_null().to_numpy()
    values_NF = np.zeros((len(texts), len(values)), np.float32)
    values_NF[np.flatnonzero(present_N), values.search_sorted(texts.drop_nulls())] = 1
    return _Block(values_NF, present_N, [f"{column.name}={value}" for value in values])


def _vectors(column: pl.Series) -> _Block:
    if not (column.dtype.inner.is_numeric() or column.dtype.inner == pl.Boolean):  # type: ignore[attr-defined]
        raise InputError(f"column {column.name!r} holds {column.dtype}; expected lists of numbers")
    lists = column.cast(pl.List(pl.Float64))
    lengths = lists.list.len()
    length = int(lengths.drop_nulls()[0])
    other = ((lengths != length) | (lengths == 0)).fill_null(False).arg_true()
    if len(other):
        raise InputError(
            f"column {column.name!r}, row {other[0] + 1}: a list of {lengths[other[0]]} numbers, where the first has "
            f"{length}; give lists of one length, null where there is none"
        )
    return _numbers(pl.DataFrame([lists.list.get(place).alias(f"{column.name}[{place}]") for place in range(length)]))


def _numbers(columns: pl.DataFrame) -> _Block:
    """Return the columns (f64) as dimensions."""
    values_NF = columns.select(pl.all().fill_null(np.nan)).to_numpy()
    rows, places = np.nonzero(np.abs(values_NF) > LARGEST)
    if len(rows):
        raise InputError(
            f"column {columns.columns[places[0]]!r}, row {rows[0] + 1}: {values_NF[rows[0], places[0]]:g} is no "
            f"feature; expected numbers within {LARGEST:g} of 0, so scale them or take logarithms"
        )
    return _Block(values_NF, ~np.isnan(values_NF).all(1), columns.columns)
