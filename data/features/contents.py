"""Which bytes every video's file holds. They are read once; then size and time of change stand for them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import polars as pl

from data.dataset import MEDIA_TABLE
from data.features.pool import Failure, Workers
from data.features.reading import Stamp, content_of, stamp_of
from data.files import InputError, new_file
from data.progress import Report

CONTENTS_FILE = "contents.parquet"
CONTENTS_SCHEMA = pl.Schema({"path": pl.String(), "size": pl.Int64(), "mtime_ns": pl.Int64(), "content": pl.String()})
SAVE_EVERY = 4096  # files hashed between two saves of the table


@dataclass(frozen=True, kw_only=True)
class Media:
    """The files of a dataset's videos, row by row as in videos.parquet; None is a video without a file."""

    folder: Path
    video_ids: list[str]
    paths: list[str | None]  # relative to `folder`


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The hash of every file's bytes, or why it has none, and the stamp of those that exist, by path."""

    hashes: dict[str, str] = field(default_factory=dict)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)


def read_media(dataset_folder: Path, manifest: dict[str, Any], *, media_folder: Path | None = None) -> Media:
    """Return the media files of a dataset; `media_folder` replaces the manifest's, for files that were moved.

    Raises `InputError` when there are none, the folder is missing, or a path is absolute or leaves the folder.
    """
    table = dataset_folder / MEDIA_TABLE
    if not table.is_file():
        raise InputError(f"{dataset_folder} names no media files; import the table again with `--format clips`")
    folder = Path(media_folder or str(manifest.get("media_folder", "")))
    if not folder.is_dir():
        raise InputError(f"the media folder {folder} does not exist; give the folder where the files are now")
    try:
        videos = pl.read_parquet(dataset_folder / "videos.parquet", columns=["video_id"])
        paths = videos.join(pl.read_parquet(table), on="video_id", how="left", maintain_order="left")["path"].to_list()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{table} cannot be read ({error}); import again") from None
    for video_id, path in zip(videos["video_id"], paths, strict=True):
        if path is not None and not _stays_inside(path):
            raise InputError(f"{table}: video {video_id!r} has the path {path!r}, which leaves the media folder")
    return Media(folder=folder, video_ids=videos["video_id"].to_list(), paths=paths)


def _stays_inside(path: str) -> bool:
    parts = PurePath(os.path.normpath(path)).parts
    return "\0" not in path and not PurePath(path).is_absolute() and parts != () and parts[0] != os.pardir


def identify(media: Media, workers: Workers, *, table: Path, report: Report) -> Contents:
    """Return the contents of all files; read those whose size or time of change is not what `table` remembers.

    A file that is gone keeps the content that is remembered: what was extracted from it is still its features.
    """
    remembered = _read(table)
    stamps = {path: stamp_of(media.folder / path) for path in dict.fromkeys(media.paths) if path is not None}
    unread = [
        p for p, stamp in stamps.items() if stamp is not None and (p not in remembered or remembered[p][0] != stamp)
    ]
    failures: dict[str, Failure] = {}
    for done, (path, outcome) in enumerate(workers.run(partial(_content, media.folder), unread), 1):
        remembered.pop(path, None)
        if isinstance(outcome, Failure):
            failures[path] = outcome
        else:
            remembered[path] = (stamps[path] or (0, 0), outcome)
        if done % SAVE_EVERY == 0 or done == len(unread):
            _write(table, remembered)
        report("reading files", done, len(unread))
    for path, stamp in stamps.items():
        if stamp is None and path not in remembered:
            failures[path] = _absent(media.folder / path)
    return Contents(
        hashes={path: remembered[path][1] for path in stamps if path in remembered},
        stamps={path: stamp for path, stamp in stamps.items() if stamp is not None},
        failures=failures,
    )


def _content(folder: Path, path: str) -> str:
    return content_of(folder / path)


def _absent(path: Path) -> Failure:
    if path.exists():
        return Failure("unreadable", "it is not a regular file")
    return Failure("missing", "there is no such file")


def _read(table: Path) -> dict[str, tuple[Stamp, str]]:
    if not table.exists():
        return {}
    try:
        found = pl.read_parquet(table)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{table} cannot be read ({error}); delete it, and files are read again") from None
    if found.schema != CONTENTS_SCHEMA:
        raise InputError(f"{table} has columns {dict(found.schema)}, expected {dict(CONTENTS_SCHEMA)}; delete it")
    return {path: ((size, mtime_ns), content) for path, size, mtime_ns, content in found.iter_rows()}


def _write(table: Path, remembered: dict[str, tuple[Stamp, str]]) -> None:
    rows = [(path, *stamp, content) for path, (stamp, content) in sorted(remembered.items())]
    with new_file(table) as temporary:
        pl.DataFrame(rows, schema=CONTENTS_SCHEMA, orient="row").write_parquet(temporary)
