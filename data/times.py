"""Points in time as tables write them: dates, ISO 8601 text, Unix seconds or milliseconds; all to UTC."""

from __future__ import annotations

import polars as pl

from data.files import InputError

UTC = pl.Datetime("us", "UTC")
MILLISECONDS_FROM = 10**11  # as Unix seconds this is the year 5138; whole numbers from here on are milliseconds
LIMIT = MILLISECONDS_FROM * 1000
ZONED_FORMATS = ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M%z")
NAIVE_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")


def parse_times(column: pl.Series) -> pl.Series:
    """Return the column as UTC times in microseconds; missing (null, "", NaN) stays null.

    Text is ISO 8601 or a whole number; numbers are Unix seconds, or milliseconds from 10^11 on; a time without a zone
    is taken as UTC. Raises `InputError` that names the first row (from 1) whose value is none of these.
    """
    column, parsed = _parse(column)
    bad = (parsed.is_null() & column.is_not_null()).arg_true()
    if len(bad):
        row = bad[0]
        raise InputError(
            f"column {column.name!r}, row {row + 1}: {str(column[row])[:60]!r} is no time ({len(bad)} such rows); "
            "expected ISO 8601 (2025-01-31T12:00:00Z) or Unix seconds"
        )
    return parsed


def _parse(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the column with every kind of missing value as null, and its times (null also where unreadable)."""
    value = pl.col(column.name)
    dtype = column.dtype
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        expression = value.cast(UTC)
    elif dtype.is_numeric():
        column = column.fill_nan(None) if dtype.is_float() else column
        expression = _from_unix(value.cast(pl.Float64 if dtype.is_float() else pl.Int64, strict=False))
    elif dtype == pl.String:
        column = column.str.strip_chars().replace("", None)
        expression = pl.coalesce(_from_unix(value.cast(pl.Int64, strict=False)), *_from_iso(value))
    elif dtype == pl.Null:
        expression = value.cast(UTC)
    else:
        raise InputError(f"column {column.name!r} holds {dtype}; expected dates, times, text or Unix seconds")
    return column, column.to_frame().select(expression)[column.name]


def _from_unix(value: pl.Expr) -> pl.Expr:
    factor = pl.when(value.abs() < MILLISECONDS_FROM).then(1_000_000).otherwise(1_000)
    valid = pl.when(value.is_between(-LIMIT, LIMIT, closed="none")).then(value)
    return (valid * factor).round().cast(pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _from_iso(value: pl.Expr) -> list[pl.Expr]:
    text = value.str.replace(r"^(\d{4}-\d\d-\d\d)[Tt]", "$1 ").str.replace(r"\s*(?:[Zz]|UTC)$", "+00:00")
    text = text.str.replace(r"\s+([+-]\d\d:?\d\d)$", "$1")
    zoned = [text.str.to_datetime(form, time_unit="us", strict=False) for form in ZONED_FORMATS]
    naive = [text.str.to_datetime(form, time_unit="us", strict=False) for form in NAIVE_FORMATS[:2]]
    naive.append(text.str.to_date(NAIVE_FORMATS[2], strict=False).cast(pl.Datetime("us")))
    return zoned + [time.dt.replace_time_zone("UTC") for time in naive]
