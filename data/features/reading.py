"""What a worker process does with one file. Kept apart, because workers import this and should start quickly."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from data.features.media import ClipError, Limits, open_media
from data.features.pool import Failure

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds: together they stand for a file's bytes."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A decoded file: what the extractor encodes, [T, ...], and how many seconds the clip says it lasts."""

    steps: np.ndarray
    seconds: float


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of a regular file, None if there is none (a pipe, for one, would block who opens it)."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def content_of(path: Path) -> str:
    """Return the hash (32 hexadecimal digits) of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def prepare(preparation: Callable[[Path], np.ndarray], job: tuple[Path, Stamp]) -> Prepared | Failure:
    """Decode a file that had this stamp when its bytes were hashed.

    What was read of a file that has changed since says nothing about those bytes: it is a failure, whatever came out.
    """
    path, stamp = job
    error: Exception | None = None
    try:
        prepared = Prepared(steps=preparation(path), seconds=_seconds(path))
    except Exception as caught:
        error = caught
    now = stamp_of(path)
    if now is None:
        raise FileNotFoundError(path)
    if now != stamp:
        return Failure("changed", "the file changed while it was read; extract again")
    if error is not None:
        raise error
    return prepared


def _seconds(path: Path) -> float:
    """Return the length that the file claims, for the account of the work only; 0 where it claims none."""
    try:
        with open_media(path, Limits()) as container:
            return max(0.0, (container.duration or 0) / av.time_base)
    except ClipError:
        return 0.0
