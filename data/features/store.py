"""The feature store of a dataset: one memory-mapped float16 array a modality, with offsets and an account of failures.

    DATASET/features/
      MODALITY-EDITION.npy             float16 [steps of all videos, ...]
      MODALITY-EDITION.offsets.npy     int64 [videos + 1]; a video without features has no steps, and is masked
      MODALITY-EDITION.videos.parquet  video_id | path | content | seconds | cause | message   (row = video)
      MODALITY-EDITION.json            extractor, settings, counts, failures, for people
    DATASET/store/                     shards of unfinished work (shards.py), what is known of the files (contents.py)

KEY is the hash of extractor and settings, EDITION of KEY and of all videos' contents and failures. So new files never
take the place of files in use: a dataset changes by the rename of its manifest, from one whole state to another.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from data.dataset import commit_features, listed_features, read_features, read_manifest
from data.features.contents import Contents, Media
from data.features.pool import Failure
from data.features.shards import Entry, Shards, write_array
from data.files import InputError, new_file, write_json

if TYPE_CHECKING:
    from data.features.extractors import Extractor

STORE_FORMAT = 1
STORE_FOLDER = "store"
VIDEOS_SCHEMA = pl.Schema(
    {
        "video_id": pl.String(),
        "path": pl.String(),
        "content": pl.String(),
        "seconds": pl.Float64(),
        "cause": pl.String(),
        "message": pl.String(),
    }
)


@contextmanager
def locked(dataset_folder: Path) -> Iterator[None]:
    """Keep other extractions out of a dataset; the lock goes with the process, however that ends."""
    path = dataset_folder / STORE_FOLDER / "lock"
    try:
        path.parent.mkdir(exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); make the dataset's folder writable") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another extraction is at work on {dataset_folder}; wait until it ends") from None
        yield


class Store:
    """The features of one modality of a dataset, made by one extractor with its settings."""

    def __init__(self, dataset_folder: Path, extractor: Extractor) -> None:
        self.folder = dataset_folder
        self.modality = extractor.modality
        self.step_shape = tuple(extractor.step_shape)
        self.about = {
            "format": STORE_FORMAT,
            "extractor": extractor.name,
            "modality": extractor.modality,
            "step_shape": list(extractor.step_shape),
            "settings": extractor.settings(),
        }
        self.key = _short_hash(self.about)
        work = dataset_folder / STORE_FOLDER / f"{self.modality}-{self.key}"
        self.shards = Shards(work, step_shape=self.step_shape, about=self.about)

    def known(self, manifest: dict[str, Any]) -> dict[str, Entry]:
        """Return what is known of each content: from the dataset's present features, and from unfinished work."""
        return {**self._finished(manifest), **self.shards.entries()}

    def _finished(self, manifest: dict[str, Any]) -> dict[str, Entry]:
        """Return what the dataset's present features say of each content; nothing if other settings made them."""
        entry = listed_features(self.folder, manifest).get(self.modality, {})
        table = self._path(entry.get("file", ""), ".videos.parquet")
        if entry.get("key") != self.key or not table.is_file():
            return {}
        offsets = read_features(self.folder, entry["file"]).offsets
        found: dict[str, Entry] = {}
        for row, video in enumerate(pl.read_parquet(table).iter_rows(named=True)):
            if video["content"] is not None:
                found[video["content"]] = Entry(
                    array=self._path(entry["file"], ".npy"),
                    start=int(offsets[row]),
                    length=int(offsets[row + 1] - offsets[row]),
                    seconds=video["seconds"],
                    failure=Failure(video["cause"], video["message"]) if video["cause"] else None,
                )
        return found

    def is_current(self, videos: pl.DataFrame, manifest: dict[str, Any]) -> bool:
        """Return whether the dataset's present features are those of `videos` (see `account`)."""
        entry = listed_features(self.folder, manifest).get(self.modality, {})
        return bool(entry.get("file") == self._edition(videos))

    def _edition(self, videos: pl.DataFrame) -> str:
        return f"{self.modality}-{_short_hash([self.key, videos.rows()])}"

    def commit(self, videos: pl.DataFrame, entries: Mapping[str, Entry], *, fingerprint: str) -> None:
        """Write the features of `videos` (see `account`) and make them the dataset's.

        Raises `InputError` when the disk refuses, or `fingerprint` is no longer the dataset's.
        """
        file = self._edition(videos)
        good = pl.when(pl.col("cause").is_null()).then(pl.col("content"))
        rows = [entries[content] if content is not None else None for content in videos.select(good).to_series()]
        offsets = np.concatenate([[0], np.cumsum([row.length if row else 0 for row in rows])]).astype(np.int64)
        with new_file(self._path(file, ".npy")) as temporary:
            parts = _steps(row for row in rows if row is not None and row.length)
            write_array(temporary, parts, shape=(int(offsets[-1]), *self.step_shape))
        with new_file(self._path(file, ".offsets.npy")) as temporary, temporary.open("wb") as target:
            np.save(target, offsets)
        with new_file(self._path(file, ".videos.parquet")) as temporary:
            videos.write_parquet(temporary)
        write_json(self._path(file, ".json"), self._record(videos, offsets))
        if read_manifest(self.folder)["fingerprint"] != fingerprint:
            raise InputError(f"{self.folder} was changed while features were extracted; extract again")
        failed = videos["cause"].count()
        commit_features(self.folder, self.modality, {"file": file, "key": self.key, **self.about, "failed": failed})

    def tidy(self, manifest: dict[str, Any]) -> None:
        """Remove this modality's files that the manifest does not list, and shards whose contents are all in it."""
        listed = {entry["file"] for entry in listed_features(self.folder, manifest).values()}
        for path in (self.folder / "features").glob("*"):
            stem = path.name.removeprefix(".").split(".")[0]
            if stem not in listed and (stem == self.modality or stem.startswith(f"{self.modality}-")):
                with suppress(OSError):
                    path.unlink()
        shutil.rmtree(self.shards.folder, ignore_errors=True)

    def _path(self, file: str, suffix: str) -> Path:
        return self.folder / "features" / f"{file}{suffix}"

    def _record(self, videos: pl.DataFrame, offsets: np.ndarray) -> dict[str, Any]:
        failed = videos.filter(pl.col("cause").is_not_null()).select("video_id", "path", "cause", "message")
        return {
            **self.about,
            "key": self.key,
            "videos": videos.height,
            "videos_with_features": int((np.diff(offsets) > 0).sum()),
            "contents": videos["content"].drop_nulls().n_unique(),
            "steps": int(offsets[-1]),
            "failures": dict(sorted(Counter(failed["cause"]).items())),
            "failed": failed.to_dicts(),
        }


def account(media: Media, contents: Contents, entries: Mapping[str, Entry]) -> pl.DataFrame:
    """Return the table of all videos: the content of each, and why it has no features where something failed."""
    rows = []
    for video_id, path in zip(media.video_ids, media.paths, strict=True):
        content = contents.hashes.get(path) if path is not None else None
        entry = entries.get(content) if content is not None else None
        failure = entry.failure if entry is not None else None
        if path is not None and entry is None:
            failure = contents.failures.get(path, Failure("missing", "there is no such file"))
        why = (failure.cause, failure.message) if failure is not None else (None, None)
        rows.append((video_id, path, content, entry.seconds if entry is not None else 0.0, *why))
    return pl.DataFrame(rows, schema=VIDEOS_SCHEMA, orient="row")


def _steps(entries: Iterator[Entry]) -> Iterator[np.ndarray]:
    """Yield the rows of each entry; few arrays are open at a time, since a process may open only so many files."""
    opened = lru_cache(maxsize=8)(lambda path: np.load(path, mmap_mode="r", allow_pickle=False))
    for entry in entries:
        yield opened(entry.array)[entry.start : entry.start + entry.length]


def _short_hash(content: Any) -> str:
    """Return 16 hexadecimal digits that stand for JSON content."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
