"""Human evaluation of novel hashtags (GGM 5.4, appendix B.2): a blinded sheet out, filled sheets in, numbers.

A sheet is a CSV file for a spreadsheet: a row per item, in random order, with empty columns for the ratings. The key, a
JSON file that annotators must not see, says which item is novel and which is true.
Shapes: A annotators, I items, P pairs (a novel and a true hashtag of one video).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.files import InputError, new_file, read_json, write_json
from v2ht.evaluation.agreement import ordinal_alpha
from v2ht.evaluation.significance import bootstrap_interval, sign_flip_test

QUESTIONS = ("understandability", "relevancy")
RATINGS = range(1, 6)
SOURCES = ("novel", "true")
SHEET_COLUMNS = ("item", "video_id", "clip", "description", "hashtag", *QUESTIONS)
KEY_FORMAT = "v2ht-human-1"
LEVEL = 0.95
# A spreadsheet runs a cell that starts with one of these, and cuts cells where its own separator is another one.
FORMULA_START = re.compile(r"(^|[;,|\"'])(\s*)(?=[=+\-@＝＋－＠])")
LOOKS_LIKE_NUMBER = re.compile(r"(?=.*\d)[\d.,:/eE+-]+")  # a spreadsheet would round it or make it a date


@dataclass(frozen=True, kw_only=True)
class WrittenVideo:
    """A video and what was written for it; `clip` is a path, or empty."""

    video_id: str
    description: str
    clip: str
    generated: Sequence[str]
    truth: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One hashtag to rate; `source` is one of `SOURCES`."""

    video: WrittenVideo
    hashtag: str
    source: str


def draw_items(
    videos: Sequence[WrittenVideo], *, train_hashtags: Collection[str], seed: int, pairs: int = 100
) -> list[Item]:
    """Return up to `pairs` novel hashtags and a true one of the same video each, all mixed.

    Videos are drawn at random among those with both, then one novel and one true hashtag of each. A novel hashtag that
    is true as well is drawn as neither: it would be compared with itself. Raises `InputError` when no video has both
    and ValueError when two have the same id.
    """
    if len({video.video_id for video in videos}) < len(videos):
        raise ValueError("two videos have the same video_id; give each video once")
    random = np.random.default_rng(seed)
    train = set(train_hashtags)
    items: list[Item] = []
    for place in random.permutation(len(videos)):
        video = videos[place]
        novel = sorted({*video.generated} - train - {*video.truth})
        true = sorted({*video.truth} - ({*video.generated} - train))
        if novel and true and len(items) < 2 * pairs:
            items.append(Item(video=video, hashtag=novel[random.integers(len(novel))], source="novel"))
            items.append(Item(video=video, hashtag=true[random.integers(len(true))], source="true"))
    if not items:
        raise InputError("no video has both a novel and a true hashtag, so there is nothing to rate; write more")
    return [items[place] for place in random.permutation(len(items))]


def write_sheet(items: Sequence[Item], *, sheet: Path, key: Path) -> None:
    """Write the empty sheet (CSV, UTF-8 with byte order mark) and the key (JSON). Raises `InputError` as `new_file`."""
    with new_file(sheet) as temporary, temporary.open("w", encoding="utf-8-sig", newline="") as target:
        writer = csv.writer(target, quoting=csv.QUOTE_ALL)
        writer.writerow(SHEET_COLUMNS)
        for number, item in enumerate(items, start=1):
            video = item.video
            cells = (video.video_id, video.clip, video.description, f"#{item.hashtag}")
            writer.writerow([number, *map(plain_cell, cells), *[""] * len(QUESTIONS)])
    listed = [
        {"item": number, "video_id": item.video.video_id, "hashtag": item.hashtag, "source": item.source}
        for number, item in enumerate(items, start=1)
    ]
    write_json(key, {"format": KEY_FORMAT, "items": listed})


def plain_cell(text: str) -> str:
    """Return `text` on one line, so that a spreadsheet shows it: an apostrophe before what it would compute or round.

    The guard stands also after a separator or a quote within the text, in case the file is opened with another one.
    """
    line = " ".join(text.split())
    return f"'{line}" if LOOKS_LIKE_NUMBER.fullmatch(line) else FORMULA_START.sub(r"\1\2'", line)


def read_sheets(key: Path, sheets: Sequence[Path]) -> dict[str, Any]:
    """Return what the annotators of `sheets` (one file each) said, ready for JSON.

    `annotators`, `items`, `level`, and for each question `ratings` (cells filled), `novel` and `true` (mean over items
    of the item's mean over annotators), `difference` novel - true over `pairs` whose both items are rated, its paired
    bootstrap `interval`, `p` of the paired sign-flip test, and `alpha` (Krippendorff's, ordinal). What nobody rated is
    None. An empty cell is no rating.

    Raises `InputError` that names the file, row (as a spreadsheet counts) and column of what is wrong.
    """
    items = _read_key(Path(key))
    if not sheets:
        raise InputError("there is no filled sheet to read; give one file per annotator")
    if len({Path(path).resolve() for path in sheets}) < len(sheets):
        raise InputError("a sheet is given twice; give one file per annotator")
    ratings = np.stack([_read_sheet(Path(path), items) for path in sheets])
    questions = {name: _summarise(ratings[:, :, place], items) for place, name in enumerate(QUESTIONS)}
    return {"annotators": len(sheets), "items": len(items), "level": LEVEL, **questions}


def _summarise(ratings_AI: np.ndarray, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare the sources in pairs: both hashtags of a pair belong to one video, which decides much of a rating."""
    given_AI = ~np.isnan(ratings_AI)
    rated_I = given_AI.any(axis=0)
    means_I = np.where(given_AI, ratings_AI, 0).sum(axis=0) / np.maximum(given_AI.sum(axis=0), 1)
    means_I[~rated_I] = np.nan
    place = {(item["video_id"], item["source"]): number for number, item in enumerate(items)}
    videos = dict.fromkeys(item["video_id"] for item in items)
    novel_P, true_P = (means_I[[place[video, source] for video in videos]] for source in SOURCES)
    differences_P = (novel_P - true_P)[~np.isnan(novel_P - true_P)]
    numbers: dict[str, Any] = {
        "ratings": int(given_AI.sum()),
        "novel": _mean(novel_P),
        "true": _mean(true_P),
        "pairs": len(differences_P),
        "difference": _mean(differences_P),
        "interval": None,
        "p": None,
        "alpha": ordinal_alpha(ratings_AI),
    }
    if len(differences_P):
        low, high = bootstrap_interval(differences_P, seed=0, level=LEVEL)
        numbers.update(interval=[float(low), float(high)], p=float(sign_flip_test(differences_P, seed=0)))
    return numbers


def _mean(values: np.ndarray) -> float | None:
    rated = values[~np.isnan(values)]
    return float(rated.mean()) if len(rated) else None


def _read_key(path: Path) -> list[dict[str, Any]]:
    """Return the key's items in order, checked: a novel and a true one for each video."""
    content = read_json(path)
    if content.get("format") != KEY_FORMAT:
        raise InputError(f"{path} has format {content.get('format')!r}, expected {KEY_FORMAT!r}; export again")
    items = content.get("items")
    fields = {"item": int, "video_id": str, "hashtag": str, "source": str}
    whole = isinstance(items, list) and all(
        isinstance(item, dict) and all(isinstance(item.get(name), kind) for name, kind in fields.items())
        for item in items
    )
    if not whole or not items or [item["item"] for item in items] != list(range(1, len(items) + 1)):
        raise InputError(f"{path}: its items are not numbered records of {', '.join(fields)}; export again")
    videos = dict.fromkeys(item["video_id"] for item in items)
    found = sorted((item["video_id"], item["source"]) for item in items)
    if found != sorted((video, source) for video in videos for source in SOURCES):
        raise InputError(f"{path}: not every video has one novel and one true hashtag; export again")
    return items


def _read_sheet(path: Path, items: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return float64 [I, questions] with NaN for an empty cell or a missing row."""
    rows = _rows(path)
    header = [name.strip().lower() for name in rows[0][1]]
    missing = [name for name in ("item", "hashtag", *QUESTIONS) if name not in header]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r} (found {', '.join(header)}); keep the sheet's columns")
    columns = {name: header.index(name) for name in ("item", "hashtag", *QUESTIONS)}
    ratings = np.full((len(items), len(QUESTIONS)), np.nan)
    seen: dict[int, int] = {}
    for row, cells in rows[1:]:
        cell = {name: cells[place].strip() if place < len(cells) else "" for name, place in columns.items()}
        number = _whole_number(cell["item"])
        if number is None or not 1 <= number <= len(items):
            raise InputError(f"{path}, row {row}, column item: {cell['item']!r} is no item of the key; restore the row")
        if number in seen:
            raise InputError(f"{path}, row {row}, column item: {number} stands in row {seen[number]} too; keep one")
        seen[number] = row
        wanted = plain_cell(f"#{items[number - 1]['hashtag']}")
        if cell["hashtag"] != wanted:
            found = f"item {number} is {cell['hashtag']!r}, in the key {wanted!r}"
            raise InputError(f"{path}, row {row}, column hashtag: {found}; use this sheet's own key, sort whole rows")
        ratings[number - 1] = [_rating(path, row, name, cell[name]) for name in QUESTIONS]
    if np.isnan(ratings).all():
        raise InputError(f"{path} has no rating; fill in the columns {' and '.join(QUESTIONS)} with 1 to 5")
    return ratings


def _rating(path: Path, row: int, column: str, cell: str) -> float:
    number = _whole_number(cell)
    if cell and number not in RATINGS:
        raise InputError(f"{path}, row {row}, column {column}: {cell!r} is no rating; write 1, 2, 3, 4 or 5")
    return float("nan") if number is None else float(number)


def _whole_number(cell: str) -> int | None:
    """Read 4, 4.0 or 4,0, which spreadsheets make of a 4; None for anything else."""
    found = re.fullmatch(r"([0-9]{1,9})(?:[.,]0*)?", cell)
    return int(found[1]) if found else None


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return a CSV file's rows that are not blank, each with its number from 1, the header first.

    The separator is the comma, semicolon or tab that the header has: spreadsheets save the one of their country.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8; save it as `CSV UTF-8`") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); give a filled sheet (CSV)") from None
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    try:
        parsed = enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), start=1)
        rows = [(number, cells) for number, cells in parsed if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise InputError(f"{path} is not a proper CSV table ({error}); save it as `CSV UTF-8`") from None
    if not rows:
        raise InputError(f"{path} is empty; give a filled sheet (CSV)")
    return rows
