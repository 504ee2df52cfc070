"""The extraction of features from a dataset's clips: resumable, on all cores, and one bad file is one line of a report.

Worker processes decode, this process encodes, one video at a time: what is stored of a file then depends on the file
alone. So a killed and resumed extraction ends in the same bytes as one that ran through.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from data.dataset import Dataset, listed_features, read_manifest
from data.features.contents import CONTENTS_FILE, Contents, Media, identify, read_media
from data.features.pool import Failure, Workers
from data.features.reading import Prepared, Stamp, prepare
from data.features.shards import Entry
from data.features.store import STORE_FOLDER, Store, account, locked
from data.progress import Report

if TYPE_CHECKING:
    from data.features.extractors import Extractor

PASSING = ("missing", "changed")  # causes that say nothing about the bytes of a file, so it is read again
SHOWN = 3  # failures of a cause that the text of a report names
Job = tuple[Path, Stamp]


@dataclass(frozen=True, kw_only=True)
class FailedVideo:
    """A video without features because its file could not be used."""

    video_id: str
    path: str
    cause: str
    message: str


@dataclass(frozen=True, kw_only=True)
class ExtractionReport:
    """What an extraction did, and how the dataset stands after it."""

    modality: str
    videos: int  # that have a file
    distinct: int  # files with different bytes
    extracted_now: int  # distinct files
    failures: tuple[FailedVideo, ...]  # of the dataset as it stands, in the order of its videos
    seconds: float  # of work
    hours: float  # of video extracted now, as the files claim
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the report for people: one line of counts, then failures by cause, then notes."""
        good = self.videos - len(self.failures)
        lines = [f"{self.modality}: {good:,} of {self.videos:,} videos are done, {self.distinct:,} different files"]
        if self.extracted_now:
            speed = f"{self.extracted_now / self.seconds:.1f} videos/s, {_hours_an_hour(self.hours, self.seconds)}"
            lines.append(f"extracted {self.extracted_now:,} now in {self.seconds:.0f} s ({speed})")
        else:
            lines.append("nothing had to be extracted")
        for cause, count in Counter(failure.cause for failure in self.failures).most_common():
            lines.append(f"failed, {cause}: {count:,}")
            shown = [failure for failure in self.failures if failure.cause == cause][:SHOWN]
            lines += [f"  {failure.video_id} ({failure.path}): {failure.message}" for failure in shown]
            lines += [f"  and {count - SHOWN:,} more; --json lists all"] * (count > SHOWN)
        return "\n".join([*lines, *self.notes]) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Return the report with all failures."""
        causes = Counter(failure.cause for failure in self.failures)
        return {
            **vars(self),
            "failures_by_cause": dict(sorted(causes.items())),
            "failures": [vars(failure) for failure in self.failures],
            "notes": list(self.notes),
        }


def extract(
    dataset_folder: Path,
    extractor: Extractor,
    *,
    workers: int,
    timeout: float,
    report: Report = lambda line, done, total: None,
    retry_failed: bool = False,
    media_folder: Path | None = None,
) -> ExtractionReport:
    """Give a dataset the features of `extractor`, and return what happened.

    Only what is not there yet is extracted: files are known by the hash of their bytes, so copies are done once, and
    asking again does nothing. Features of the same modality with other settings are replaced when the new ones are
    whole. When it is killed, what it has done so far stays for the next call, which continues.

    Args:
        workers: processes that decode.
        timeout: seconds after which a file is given up.
        report: told what is going on (see `data.progress.Report`).
        retry_failed: try files again that failed when the dataset's present features were made.
        media_folder: where the files are, if no longer where the dataset was imported from.

    Raises `InputError` when the dataset cannot be used or written, or another extraction is at work on it.
    """
    started = time.monotonic()
    folder = Path(dataset_folder)
    read_manifest(folder)  # refuses what is no dataset before anything is written into it
    hours, notes = 0.0, []
    with locked(folder), Workers(processes=workers, timeout=timeout) as pool:
        manifest = read_manifest(folder)
        media = read_media(folder, manifest, media_folder=media_folder)
        store = Store(folder, extractor)
        contents = identify(media, pool, table=folder / STORE_FOLDER / CONTENTS_FILE, report=report)
        known = store.known(manifest)
        jobs = _jobs(media, contents, known, retry_failed=retry_failed)
        if jobs or not store.is_current(account(media, contents, known), manifest):
            Dataset.load(folder)  # a dataset whose files have changed gets no new fingerprint
            hours = _work(store, extractor, pool, jobs=jobs, report=report) / 3600
            known = store.known(manifest)
            notes = _commit(store, account(media, contents, known), known, manifest)
        else:
            store.tidy(manifest)
    videos = account(media, contents, known)
    return _report(store, videos, extracted=len(jobs), hours=hours, seconds=time.monotonic() - started, notes=notes)


def _jobs(media: Media, contents: Contents, known: Mapping[str, Entry], *, retry_failed: bool) -> dict[str, Job]:
    """Return a file for every content that is to be extracted, in the order of the videos."""
    jobs: dict[str, Job] = {}
    for path, content in contents.hashes.items():
        stamp = contents.stamps.get(path)
        entry = known.get(content)
        failure = entry.failure if entry is not None else None
        wanted = entry is None or (failure is not None and (retry_failed or failure.cause in PASSING))
        if wanted and stamp is not None:
            jobs.setdefault(content, (media.folder / path, stamp))
    return jobs


def _work(store: Store, extractor: Extractor, pool: Workers, *, jobs: Mapping[str, Job], report: Report) -> float:
    """Extract the files of `jobs` into shards; return how many seconds of video they are."""
    content_of = {path: content for content, (path, _) in jobs.items()}
    preparation = partial(prepare, extractor.preparation())
    started, seconds = time.monotonic(), 0.0
    decoded = pool.run(preparation, list(jobs.values()))
    try:
        for done, ((path, _), outcome) in enumerate(decoded, 1):
            if isinstance(outcome, Failure):
                store.shards.add(content_of[path], outcome, seconds=0.0)
            else:
                store.shards.add(content_of[path], _encode(extractor, outcome), seconds=outcome.seconds)
                seconds += outcome.seconds
            elapsed = time.monotonic() - started
            speed = f"{done / elapsed:.1f} videos/s, {_hours_an_hour(seconds / 3600, elapsed)}"
            report(f"{extractor.modality}: {speed}", done, len(jobs))
    finally:
        store.shards.flush()  # also when it is interrupted
    return seconds


def _encode(extractor: Extractor, prepared: Prepared) -> np.ndarray | Failure:
    """Return one video's steps, float16 [T, *step_shape]: alone, so that no other video changes its last bits."""
    shape = tuple(extractor.step_shape)
    if not len(prepared.steps):
        return np.empty((0, *shape), np.float16)
    (steps,) = extractor.encode([prepared.steps])
    if steps.dtype != np.float16 or steps.shape[1:] != shape:
        raise ValueError(f"{extractor.name} gave {steps.dtype} {steps.shape}, expected float16 (steps, *{shape})")
    if not np.isfinite(steps).all():
        return Failure("not finite", "the extractor made numbers of it that are infinite or no numbers")
    return steps


def _commit(store: Store, videos: pl.DataFrame, known: Mapping[str, Entry], manifest: dict[str, Any]) -> list[str]:
    """Make the features the dataset's, unless there are none at all; return notes for the report."""
    good = videos.filter(pl.col("cause").is_null())["content"].drop_nulls()
    if not any(known[content].length for content in good):
        return [f"no video has {store.modality} features, so the dataset stays as it is"]
    before = listed_features(store.folder, manifest).get(store.modality)
    store.commit(videos, known, fingerprint=manifest["fingerprint"])
    store.tidy(read_manifest(store.folder))
    if before is None or before.get("key") == store.key:
        return []
    return [f"the {store.modality} features that were there had other settings ({before.get('extractor')}): replaced"]


def _report(
    store: Store, videos: pl.DataFrame, *, extracted: int, hours: float, seconds: float, notes: list[str]
) -> ExtractionReport:
    failed = videos.filter(pl.col("cause").is_not_null()).select("video_id", "path", "cause", "message")
    return ExtractionReport(
        modality=store.modality,
        videos=videos["path"].count(),
        distinct=videos["content"].drop_nulls().n_unique(),
        extracted_now=extracted,
        failures=tuple(FailedVideo(**row) for row in failed.iter_rows(named=True)),
        seconds=seconds,
        hours=hours,
        notes=tuple(notes),
    )


def _hours_an_hour(hours: float, seconds: float) -> str:
    return f"{hours * 3600 / seconds:.1f} hours of video per hour"
