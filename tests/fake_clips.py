"""Made-up clips and an extractor for them: text files whose first word says what reading them does.

Worker processes import this module, so it imports little.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data.features.media import ClipError

STEP_SHAPE = (2, 3)


@dataclass(frozen=True)
class ReadFake:
    """Return float32 [T, 2, 3], T and values from the text, e.g. `ok 3 x`; note each reading in `log`."""

    log: Path

    def __call__(self, path: Path) -> np.ndarray:
        word = path.read_text().split()[0]
        with self.log.open("a") as log:
            log.write(f"{path.name} {os.getpid()} {int('torch' in sys.modules)}\n")
        if word in ACTIONS:
            ACTIONS[word](path)
        return fake_steps(path.read_text()) if path.exists() else np.zeros((1, *STEP_SHAPE), np.float32)


def fake_steps(text: str) -> np.ndarray:
    """Return what reading a clip of this text gives: numbers that depend on its words."""
    steps = int(text.split()[1])
    seed = sum(place * byte for place, byte in enumerate(text.encode(), 1))
    values = np.random.default_rng(seed).normal(size=(steps, *STEP_SHAPE)).astype(np.float32)
    return values * (np.inf if text.startswith("infinite") else 1)


def _damaged(path: Path) -> None:
    raise ClipError("damaged", f"{path} cannot be decoded;\nget the file again")


def _change_and_fail(path: Path) -> None:
    path.write_text("ok 1 shorter")
    _damaged(path)


def _bug(path: Path) -> None:
    raise KeyError("nobody expected this")


def _hang(path: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def _after_a_while(end: Callable[[], Any]) -> Callable[[Path], None]:
    """Die only after the pool has noted who reads the file, so that the cause of death is told exactly."""

    def die(path: Path) -> None:
        time.sleep(0.3)
        end()

    return die


ACTIONS: dict[str, Callable[[Path], object]] = {
    "damaged": _damaged,
    "bug": _bug,
    "hang": _hang,
    "slow": lambda path: time.sleep(0.05),
    "exit": _after_a_while(lambda: os._exit(7)),
    "segfault": _after_a_while(lambda: os.kill(os.getpid(), signal.SIGSEGV)),
    "memory": lambda path: np.ones(8 << 30, np.uint8),
    "vanish": lambda path: path.unlink(),
    "change": lambda path: path.write_text("ok 2 other"),
    "change_and_fail": _change_and_fail,
}


@dataclass
class FakeExtractor:
    """Encodes a step as itself times `scale`; counts the videos."""

    log: Path
    scale: float = 1.0
    name: str = "fake"
    modality: str = "visual"
    step_shape: tuple[int, ...] = STEP_SHAPE
    encoded: list[int] = field(default_factory=list)

    def settings(self) -> dict[str, Any]:
        return {"scale": self.scale}

    def preparation(self) -> Callable[[Path], np.ndarray]:
        return ReadFake(self.log)

    def encode(self, prepared: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.encoded.append(len(prepared))
        return [(steps * self.scale).astype(np.float16) for steps in prepared]


def make_clips(folder: Path, texts: Sequence[str | None]) -> Path:
    """Write clips v00, v01, ... with these texts (None: no file) and a dataset of them; return the dataset's folder."""
    import polars as pl

    from data.dataset import HASHTAGS_SCHEMA, USERS_SCHEMA, VIDEOS_SCHEMA, Dataset

    (folder / "media").mkdir(parents=True)
    names = [f"v{number:02}" for number in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        if text is not None:
            (folder / "media" / f"{name}.mp4").write_text(text)
    rows = [(name, 0, None, "", [0], "train") for name in names]
    videos = pl.DataFrame(rows, schema=VIDEOS_SCHEMA, orient="row")
    hashtags = pl.DataFrame([("cat", ["cat"], len(names))], schema=HASHTAGS_SCHEMA, orient="row")
    users = pl.DataFrame({"user": ["ana"]}, schema=USERS_SCHEMA)
    manifest = {"media_folder": str(folder / "media")}
    Dataset(videos=videos, hashtags=hashtags, users=users, manifest=manifest).save(folder / "posts")
    paths = [f"{name}.mp4" if text is not None else None for name, text in zip(names, texts, strict=True)]
    media = pl.DataFrame({"video_id": names, "path": paths}, schema={"video_id": pl.String(), "path": pl.String()})
    media.write_parquet(folder / "posts" / "media.parquet")
    return folder / "posts"


def extract_in_this_process(dataset: str, log: str) -> None:
    """Extract with small shards; the command of the processes that tests kill."""
    from data.features import extract, shards

    shards.SHARD_CONTENTS = 4
    report = extract.extract(Path(dataset), FakeExtractor(Path(log)), workers=1, timeout=20)
    print(report.text(), flush=True)
