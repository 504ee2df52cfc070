"""A report as one HTML file: tables, pictures and case studies from plain data.

The file needs nothing else: pictures are embedded, and it has no script, no link to other places and no font of its
own. It follows the reader's light or dark setting, fits a phone, and prints. All text is escaped; text of any direction
stays in its place. Shapes: H, W pixels of a snapshot.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from data.files import new_file
from v2ht.evaluation import report
from v2ht.evaluation.evaluate import LONGTAIL_THRESHOLD

SNAPSHOT_PIXELS = 320  # of the longer side; it is shown at about half, for dense screens
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
NUMBER = re.compile(r"[<+−-]?(?:\d[\d,]*\.?\d*|\.\d+)")
NUMERIC = re.compile(NUMBER.pattern + r"(?: ±[\d.]+)?(?: ?[%a-zA-Z/]{1,4})?")  # also with a unit: `12.5 s`
NOTHING = ("", "-")  # what stands in a cell without a number


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """A hashtag that a system ranked high, the train videos that use it, and whether it is a true one."""

    hashtag: str
    train_videos: int
    hit: bool


@dataclass(frozen=True, kw_only=True)
class Case:
    """A post with what its author chose and what each system predicts; hits are underlined, long-tail hashtags tinted.

    title        what the case shows
    user, text   who wrote the post, and what
    snapshots    uint8 RGB [H, W, 3], sizes may differ; none for a post without pictures
    times        seconds from the start of the video, one for each snapshot
    truth        true hashtags with their train videos
    predictions  system -> predicted hashtags, best first
    note         a remark below the case

    Raises ValueError when a snapshot has another shape or type, or there is not one time for each.
    """

    title: str
    user: str
    text: str
    snapshots: Sequence[np.ndarray]
    times: Sequence[float]
    truth: Sequence[tuple[str, int]]
    predictions: Mapping[str, Sequence[Predicted]]
    note: str = ""

    kind = "case"

    def __post_init__(self) -> None:
        if len(self.times) != len(self.snapshots):
            raise ValueError(f"case {self.title!r} has {len(self.snapshots)} snapshots and {len(self.times)} times")
        for image in self.snapshots:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                found = f"{image.dtype} {list(image.shape)}"
                raise ValueError(f"case {self.title!r} has a snapshot of {found}; give uint8 [height, width, 3]")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Names in the first column, then numbers or words; columns of numbers stand to the right.

    rows     as many cells as the header; a row of a single cell is a heading over the rows that follow it
    highest  header cells of the columns whose highest number is set bold, in each part between two headings
    floors   first cells of the rows that are set apart as floors
    note     a remark below the table

    Raises ValueError when the header has one cell or none, or a row has another number of cells.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    highest: Collection[str] = ()
    floors: Collection[str] = ()
    note: str = ""

    kind = "table"

    def __post_init__(self) -> None:
        if len(self.header) < 2:
            raise ValueError(f"table {self.caption!r} has {len(self.header)} columns, expected at least 2")
        for number, row in enumerate(self.rows):
            if len(row) not in (1, len(self.header)):
                raise ValueError(
                    f"table {self.caption!r}: row {number} has {len(row)} cells, the header {len(self.header)}"
                )

    @classmethod
    def of(cls, table: report.Table, *, caption: str, floors: Collection[str] = (), note: str = "") -> Table:
        """Return an evaluation's or comparison's table; the best of every metric is bold, parts without rows go."""
        rows = [row for title, part in table.sections if part for row in ([title], *part)]
        highest = {name for name in table.header[1:] if name != "p"}
        return cls(caption=caption, header=table.header, rows=rows, highest=highest, floors=floors, note=note)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG file's bytes, and what it shows. Raises ValueError when they are not PNG."""

    caption: str
    png: bytes

    kind = "picture"

    def __post_init__(self) -> None:
        if not self.png.startswith(PNG_SIGNATURE):
            raise ValueError(f"picture {self.caption!r} is not a PNG file (it begins with {self.png[:8]!r})")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page: its title, paragraphs, then tables, pictures and cases in their order."""

    title: str
    text: Sequence[str] = ()
    parts: Sequence[Table | Picture | Case] = ()


def write_page(path: Path, *, title: str, lead: str, facts: Mapping[str, str], sections: Sequence[Section]) -> None:
    """Write the page to `path`, whole or not at all.

    `lead` says in a sentence or two what was done and what came out (see `verdict`); `facts` are short names with
    short values, shown under it. Raises `InputError` when `path` cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(uri=_uri, size=_size, snapshot=_snapshot)
    html = environment.get_template("report.html.j2").render(
        title=title,
        lead=lead,
        facts=facts,
        sections=sections,
        parts_of_table=_parts_of_table,
        numeric_columns=_numeric_columns,
        long_tail=LONGTAIL_THRESHOLD,
    )
    with new_file(path) as temporary:
        temporary.write_bytes(html.encode("utf-8", errors="replace"))  # a file's name may hold half a character


def verdict(comparison: Mapping[str, Any], *, metric: str = "recall@10") -> str:
    """Return in words how the reference of a comparison stands to the best other system over all test videos.

    `comparison` is what `v2ht.evaluation.compare` returns. The difference comes with its paired interval and the
    p value that is adjusted for the number of systems. Raises KeyError when the metric was not measured, and
    ValueError when there are no videos or there is no system beside the reference.
    """
    reference = comparison["reference"]
    measured = (comparison["overall"] or {"systems": {}})["systems"]
    systems = {name: metrics[metric] for name, metrics in measured.items()}
    if len(systems) < 2:
        raise ValueError(f"{reference} is compared with no other system on any video; compare at least two")
    own = systems.pop(reference)
    rival = max(systems, key=lambda name: systems[name]["mean"])
    other = systems[rival]
    gain, low, high = (report.number(0.0 - end) for end in (other["difference"], *reversed(other["interval"])))
    ahead = "is ahead of" if other["difference"] < 0 else "is behind" if other["difference"] > 0 else "equals"
    certain = "is" if other["p"] + comparison["level"] < 1 else "is not"
    p = "p < .001" if other["p"] < 0.001 else f"p = {report.number(other['p'])}"
    return (
        f"{reference} reaches {metric} {report.number(own['mean'])} and {ahead} {rival}, the best other system, with "
        f"{report.number(other['mean'])}. The difference of {gain} ({comparison['level'] * 100:.0f} % interval {low} "
        f"to {high}, {p}) {certain} significant."
    )


def _number(cell: str) -> float | None:
    """Return the number that a cell begins with: `.723 ±.010` is 0.723; None where it begins with none."""
    found = NUMBER.match(cell)
    return float(found[0].lstrip("<+").replace("−", "-").replace(",", "")) if found else None


def _numeric_columns(table: Table) -> list[bool]:
    """Say of each column whether all its cells are numbers; the first one holds names."""
    rows = [row for row in table.rows if len(row) > 1]
    columns = zip(*rows, strict=True) if rows else [()] * len(table.header)
    numeric = [all(cell in NOTHING or NUMERIC.fullmatch(cell) for cell in column) for column in columns]
    return [False, *numeric[1:]]


def _parts_of_table(table: Table) -> list[tuple[str, list[list[dict[str, Any]]]]]:
    """Cut the rows at their headings: (heading, rows), a cell as its value, its half width and whether it is best."""
    heading_of = list(accumulate((len(row) == 1 for row in table.rows), initial=0))[1:]
    parts = []
    for part in sorted(set(heading_of)):
        rows = [row for row, owner in zip(table.rows, heading_of, strict=True) if owner == part]
        heading = rows.pop(0)[0] if part else ""
        parts.append((heading, _cells(rows, table)))
    return parts


def _cells(rows: Sequence[Sequence[str]], table: Table) -> list[list[dict[str, Any]]]:
    best: dict[int, float] = {}
    for place, name in enumerate(table.header):
        numbers = [number for row in rows if (number := _number(row[place])) is not None]
        if name in table.highest and len(numbers) > 1:  # a single number is no competition
            best[place] = max(numbers)
    cells = []
    for row in rows:
        pieces = [cell.partition(" ±") for cell in row]
        bold = [place in best and _number(cell) == best[place] for place, cell in enumerate(row)]
        cells.append(
            [
                {"value": value, "half_width": mark.strip() + half, "best": is_best}
                for (value, mark, half), is_best in zip(pieces, bold, strict=True)
            ]
        )
    return cells


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _size(png: bytes) -> tuple[int, int]:
    """Return width and height on the page in CSS pixels (1/96 inch), from the resolution that the file states."""
    with Image.open(io.BytesIO(png)) as image:
        across, down = image.info.get("dpi", (96, 96))
        return round(image.width * 96 / across), round(image.height * 96 / down)


def _snapshot(image_HW3: np.ndarray) -> bytes:
    """Return the snapshot as PNG, made smaller where it is larger than the page shows."""
    image = Image.fromarray(image_HW3)
    image.thumbnail((SNAPSHOT_PIXELS, SNAPSHOT_PIXELS))
    written = io.BytesIO()
    image.save(written, format="PNG", optimize=True)
    return written.getvalue()
