"""Features of a post that was just written, made as those that the run was trained on: of its clip, of its text."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from data.features.extractors import Extractor, remake_extractor
from data.features.sentences import SentenceEncoder, check_encoder
from data.files import InputError


class ClipReader:
    """Decodes a clip and extracts what a run reads of it.

    Args:
        features: what the run records of each modality's features (`extractor` and its `settings`).
        modalities: those that the model reads.
        weights: where a weights file or folder lies now, if the features were made with one.
    """

    def __init__(
        self, features: Mapping[str, Mapping[str, Any]], modalities: Sequence[str], *, weights: str | None = None
    ) -> None:
        self._records = {name: features[name] for name in modalities if name not in ("sentence", "text")}
        for name, record in self._records.items():
            if "settings" not in record:
                raise InputError(
                    f"this run's {name} features were not made by `v2ht extract`; pass them as arrays (--features)"
                )
        self._weights = weights
        self._extractors: dict[str, Extractor] = {}
        self._loading = Lock()  # a network is loaded once, whichever thread comes first

    def read(self, path: Path) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Return float16 steps [T, ...] by modality, and the seconds of each stage.

        A clip without sound has no steps of sound. Raises `ClipError` when the file is no clip.
        """
        if not self._records:
            raise InputError("this run reads nothing of a clip but its text; leave the clip out")
        features: dict[str, np.ndarray] = {}
        seconds: dict[str, float] = {}
        for name, record in self._records.items():
            started = time.monotonic()
            extractor = self._extractor(name, record)
            loaded = time.monotonic()
            prepared = extractor.preparation()(path)
            decoded = time.monotonic()
            features[name] = extractor.encode([prepared])[0]
            ended = time.monotonic()
            seconds |= {
                f"load {name} network": loaded - started,
                f"decode {name}": decoded - loaded,
                f"extract {name}": ended - decoded,
            }
        return features, seconds

    def _extractor(self, name: str, record: Mapping[str, Any]) -> Extractor:
        """Load a modality's network at its first use."""
        with self._loading:
            if name not in self._extractors:
                self._extractors[name] = remake_extractor(record["settings"], weights=self._weights)
            return self._extractors[name]


class SentenceReader:
    """Encodes a description as the run's `sentence` features were made.

    Args:
        record: what the run records of them.
        folder: where the sentence-transformers folder lies; None raises `InputError` that says how to name it.
    """

    def __init__(self, record: Mapping[str, Any], folder: Path | None) -> None:
        if folder is None:
            raise InputError("this run reads sentence vectors; say with --sentences where their encoder's folder lies")
        check_encoder(folder, record["settings"])
        self._encoder = SentenceEncoder(folder)

    def read(self, text: str) -> np.ndarray:
        """Return float16 [1, D], [0, D] for an empty text."""
        return self._encoder.encode([text])[0]
