"""Read a table (CSV, JSON lines or Parquet) whole; every way in which the file can be broken has a one-line error."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from pathlib import Path

import polars as pl
import pyarrow
import pyarrow.csv

from data.files import InputError

TEXT_SUFFIXES = (".csv", ".jsonl", ".ndjson")
SUFFIXES = (*TEXT_SUFFIXES, *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES), ".parquet")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CSV_BLOCK_BYTES = 1 << 28  # no row of a CSV may be larger


def read_table(path: Path) -> pl.DataFrame:
    """Return the table in `path`, at least one row; all columns of a CSV are text, with "" for an empty cell.

    A CSV has commas, double quotes, a header and UTF-8 (with or without a byte order mark). Raises `InputError` when
    the file is missing, has another suffix than `SUFFIXES`, has no rows, or is not what its suffix says.
    """
    path = Path(path)
    suffix = _suffix(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; give the path of a table ({', '.join(SUFFIXES)})")
    if not path.is_file():
        raise InputError(f"{path} is not a file; give a table ({', '.join(SUFFIXES)})")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); give a table with a row for each post")
        table = _read_parquet(path) if suffix == ".parquet" else _read_text(path, suffix=suffix)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from None
    if table.height == 0:
        raise InputError(f"{path} has columns ({', '.join(table.columns)}) but no rows; give a row for each post")
    return table


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise InputError(f"{path} has an unknown suffix {path.suffix!r}; expected one of {', '.join(SUFFIXES)}")


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} is not a whole Parquet file ({one_line(error)}); write or copy it again") from None


def _read_text(path: Path, *, suffix: str) -> pl.DataFrame:
    content = path.read_bytes()
    if suffix.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path} is not a whole gzip file ({one_line(error)}); write or copy it again") from None
    _check_utf8(content, path)
    content = content.removeprefix(BYTE_ORDER_MARK)
    if not content.strip():
        raise InputError(f"{path} is empty (nothing but white space); give a table with a row for each post")
    return _parse_csv(content, path) if suffix.startswith(".csv") else _parse_json_lines(content, path)


def _check_utf8(content: bytes, path: Path) -> None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{content[error.start]:02x} at offset {error.start}, line {line}"
        raise InputError(f"{path} is not UTF-8: {found}; save it as UTF-8") from None


def _parse_csv(content: bytes, path: Path) -> pl.DataFrame:
    """Parse with Arrow, which (unlike Polars) refuses a row that has too few cells."""
    names = _csv_header(content, path)
    if content.count(b'"') % 2:
        raise InputError(
            f'{path} has an odd number of double quotes, so one is never closed; write a quote in a cell as ""'
        )
    try:
        table = pyarrow.csv.read_csv(
            pyarrow.BufferReader(content + b"\n"),  # Arrow refuses a header without a line end
            read_options=pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pyarrow.string()), strings_can_be_null=False
            ),
        )
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"{path} is not a proper CSV table ({one_line(error)}; the header is row 1)") from None
    return pl.DataFrame(pl.from_arrow(table))


def _csv_header(content: bytes, path: Path) -> list[str]:
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    try:
        names = next(cells for cells in csv.reader(lines) if cells)
    except csv.Error as error:
        raise InputError(f"{path} has no proper header line ({one_line(error)})") from None
    for place, name in enumerate(names):
        if "\0" in name:
            raise InputError(
                f"{path} has a NUL byte in its header line, column {place + 1}: UTF-16, or no text; save it as UTF-8"
            )
        if name in names[:place]:
            raise InputError(f"{path} names column {name!r} twice; rename one of them")
    return names


def _parse_json_lines(content: bytes, path: Path) -> pl.DataFrame:
    try:
        return pl.read_ndjson(io.BytesIO(content), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} {_first_bad_line(content) or f'is not JSON lines ({one_line(error)})'}") from None


def _first_bad_line(content: bytes) -> str | None:
    """Say which line is not a JSON object. Slow, and so only used once the fast parser has refused the file."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            return f"line {number} is not JSON ({one_line(error)}); correct or remove it"
        if not isinstance(found, dict):
            return f"line {number} holds a JSON {type(found).__name__}, expected an object"
    return None


def one_line(error: Exception) -> str:
    """Return the first line of a library's message, at most 150 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
