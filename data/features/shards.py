"""Unfinished work of an extraction, kept in shards, so that a kill loses some seconds of it at most.

    DATASET/store/MODALITY-KEY/
      settings.json       what KEY is the hash of
      shard-00000.npy     float16 [steps of the shard's contents, ...], as in DATASET/features
      shard-00000.json    each content: hash, steps, seconds of video, failure; written last: the shard is whole

A content is the hash of a file's bytes. What is stored of it depends on those bytes, the extractor and its settings
alone, never on its neighbours, so it does not matter in which order, shard or run it was extracted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.features.pool import Failure
from data.files import new_file, read_json, write_json

# A shard ends with the first content that brings it to one of these.
SHARD_CONTENTS = 32
SHARD_BYTES = 64 << 20
SHARD_SECONDS = 10.0  # since its first content came


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of one content: rows `start` to `start + length` of `array`, or why there are none."""

    array: Path
    start: int
    length: int
    seconds: float  # of video, as the file claims
    failure: Failure | None = None


def write_array(path: Path, parts: Iterable[np.ndarray], *, shape: tuple[int, ...]) -> None:
    """Write the rows of `parts` as one float16 .npy file of `shape`, a part at a time.

    Plain writes, because a full disk is an error to them and a fatal signal to a memory map.
    """
    rows = 0
    with path.open("wb") as target:
        np.lib.format.write_array_header_1_0(target, {"descr": "<f2", "fortran_order": False, "shape": shape})
        for part in parts:
            target.write(np.ascontiguousarray(part, "<f2").data)
            rows += len(part)
    assert rows == shape[0], (rows, shape)


class Shards:
    """The folder of one extractor's unfinished work; `about` is what its name is the hash of."""

    def __init__(self, folder: Path, *, step_shape: tuple[int, ...], about: dict[str, Any]) -> None:
        self.folder = folder
        self.step_shape = step_shape
        self.about = about
        self._parts: list[np.ndarray] = []
        self._records: list[dict[str, Any]] = []
        self._since = 0.0

    def entries(self) -> dict[str, Entry]:
        """Return what the whole shards hold, by content; a later shard counts more."""
        found: dict[str, Entry] = {}
        for path in sorted(self.folder.glob("shard-*.json")):
            start = 0
            for record in read_json(path)["contents"]:
                failure = Failure(record["cause"], record["message"]) if record["cause"] else None
                found[record["content"]] = Entry(
                    array=path.with_suffix(".npy"),
                    start=start,
                    length=record["steps"],
                    seconds=record["seconds"],
                    failure=failure,
                )
                start += record["steps"]
        return found

    def add(self, content: str, outcome: np.ndarray | Failure, *, seconds: float) -> None:
        """Take the steps of a content, or why it has none; write a shard when there is enough for one."""
        failure = outcome if isinstance(outcome, Failure) else None
        steps = np.empty((0, *self.step_shape), np.float16) if isinstance(outcome, Failure) else outcome
        if not self._records:
            self._since = time.monotonic()
        self._parts.append(steps)
        self._records.append(
            {
                "content": content,
                "steps": len(steps),
                "seconds": seconds,
                "cause": failure.cause if failure else None,
                "message": failure.message if failure else None,
            }
        )
        size, age = sum(part.nbytes for part in self._parts), time.monotonic() - self._since
        if len(self._records) >= SHARD_CONTENTS or size >= SHARD_BYTES or age >= SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was taken and is in no shard yet. Raises `InputError` when the disk refuses."""
        if not self._records:
            return
        if not (self.folder / "settings.json").exists():
            write_json(self.folder / "settings.json", self.about)
        number = 1 + max((int(path.stem[6:]) for path in self.folder.glob("shard-*.json")), default=-1)
        path = self.folder / f"shard-{number:05}.json"
        steps = sum(record["steps"] for record in self._records)
        with new_file(path.with_suffix(".npy")) as temporary:
            write_array(temporary, self._parts, shape=(steps, *self.step_shape))
        write_json(path, {"contents": self._records})
        self._parts, self._records = [], []
