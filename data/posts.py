"""The one shape that every source is brought into before cleaning: a table of posts.

row u32 (from 1, without the header) | video_id str | user str or null | time datetime[us, UTC] or null
| text str | hashtags list[str]
| path str or null (only where the source names media files), sound str or null (only where it names sounds)
| gender, age, country str or null and visual, acoustic array[f32] or null (each added where the source has it)
"""

from __future__ import annotations

import polars as pl

from data.files import InputError
from data.presets import Columns
from data.times import UTC, parse_times

NAMES = ("path", "sound")  # fields of text that a source may lack
SEPARATORS = "[;,|#]"
LIST_AS_TEXT = r"""^\s*\[(\s*["']|.*\]\s*$)"""  # ["dog", "cat"], [dog, cat] and []


def to_posts(table: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """Return the table as posts. `columns` names only columns of the table, and at least id, user and hashtags.

    Raises `InputError` that names column and row when an id is missing or a value cannot be read.
    """
    source = {field: [table[name] for name in names] for field, names in columns.items()}
    posts = pl.DataFrame(
        {
            "row": pl.int_range(1, table.height + 1, dtype=pl.UInt32, eager=True),
            "video_id": _ids(source["id"][0]),
            "user": _names(source["user"][0]),
            "hashtags": _hashtag_lists(source["hashtags"][0]),
        }
    ).with_columns(
        (parse_times(source["time"][0]) if "time" in source else pl.lit(None, dtype=UTC)).alias("time"),
        (_joined(source["text"]) if "text" in source else pl.lit("")).alias("text"),
    )
    return posts.with_columns(_names(source[field][0]).alias(field) for field in NAMES if field in source)


def plain(column: pl.Series) -> pl.Series:
    """Return a column of text or whole numbers as text."""
    dtype = column.dtype
    if not (dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null)):
        raise InputError(f"column {column.name!r} holds {dtype}; expected text or whole numbers")
    return column.cast(pl.String)


def numbers(column: pl.Series) -> pl.Series | None:
    """Return a column of numbers, booleans or text that is all numbers as f64, null where missing; else None.

    Categorical columns are never numbers: so a table says that its numbers are names.
    """
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return column.cast(pl.Float64).fill_nan(None)
    if column.dtype != pl.String:
        return None
    texts = column.str.strip_chars().replace("", None)
    found = texts.cast(pl.Float64, strict=False)
    return found.fill_nan(None) if found.is_null().equals(texts.is_null()) else None


def _names(column: pl.Series) -> pl.Series:
    """Return names without white space around them, null where there is none; a NUL character is no part of a name."""
    names = plain(column).str.strip_chars().replace("", None)
    broken = names.str.contains("\0", literal=True).fill_null(False).arg_true()
    if len(broken):
        row = broken[0]
        raise InputError(
            f"column {column.name!r}, row {row + 1}: {names[row][:60]!r} holds a NUL character "
            f"({len(broken)} such rows); remove it"
        )
    return names


def _ids(column: pl.Series) -> pl.Series:
    ids = _names(column)
    missing = ids.is_null().arg_true()
    if len(missing):
        raise InputError(
            f"column {column.name!r}, row {missing[0] + 1}: no id ({len(missing)} such rows); give every row an id"
        )
    return ids


def _joined(columns: list[pl.Series]) -> pl.Series:
    """Join text columns by a space; what is missing or empty adds nothing."""
    texts = pl.DataFrame([plain(column).str.strip_chars().replace("", None) for column in columns])
    return texts.select(pl.concat_str(pl.all(), separator=" ", ignore_nulls=True)).to_series().fill_null("")


def _hashtag_lists(column: pl.Series) -> pl.Series:
    """Return lists of text as they are, and text split at ; , | or # (also in their full-width forms)."""
    if isinstance(column.dtype, pl.List):
        plain(column.head(0).explode())
        lists = column.cast(pl.List(pl.String))
    else:
        text = plain(column).str.normalize("NFKC")
        _refuse_lists_as_text(text)
        lists = text.str.replace_all(SEPARATORS, "\n").str.split("\n")
    return lists.list.drop_nulls().fill_null(pl.Series([[]], dtype=pl.List(pl.String)))


def _refuse_lists_as_text(text: pl.Series) -> None:
    found = text.str.contains(LIST_AS_TEXT).fill_null(False).arg_true()
    if len(found):
        row = found[0]
        raise InputError(
            f"column {text.name!r}, row {row + 1}: {text[row][:60]!r} is a list written as text; "
            "write hashtags as a;b;c, or give a Parquet or JSON-lines table with a list column"
        )
