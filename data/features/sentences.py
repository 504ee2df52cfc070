"""Descriptions as vectors of a local sentence-transformers model: the modality `sentence`, one step of a video.

The model is an optional part (`pip install 'v2ht[sentences]'`). It comes from a folder; nothing is downloaded, and no
code that a folder brings is run.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl

from data.dataset import Dataset, read_manifest
from data.features.pool import Failure
from data.features.shards import SHARD_CONTENTS, Entry
from data.features.store import VIDEOS_SCHEMA, Store, locked
from data.features.torchvision_models import import_torchvision
from data.features.weights import quiet
from data.files import InputError, file_fingerprint
from data.progress import Report

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from data.features.extractors import Extractor

MODALITY = "sentence"
PROBE = "a dog runs on the beach"
MODULES = "modules.json"  # lists the parts of a model; the library takes a folder without it for a plain transformer


class SentenceEncoder:
    """A sentence-transformers model of a local folder: texts -> one float16 step each.

    Raises `InputError` when the library is not installed, or the folder holds no whole model.
    """

    name = "sentence_transformers"
    modality = MODALITY

    def __init__(self, model_folder: Path) -> None:
        self._folder = Path(model_folder)
        self._fingerprint = model_fingerprint(self._folder)
        self._model = _load(self._folder, seed=0)
        self.step_shape: tuple[int, ...] = self._vectors([PROBE]).shape[1:]

    def settings(self) -> dict[str, Any]:
        """Return everything that changes the numbers, as JSON."""
        return {
            "extractor": self.name,
            "weights": f"folder {self._folder.resolve().name}",
            "weights_fingerprint": self._fingerprint,
        }

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return float16 [1, D] for each text, [0, D] for one of white space alone."""
        rows = [row for row, text in enumerate(texts) if text.strip()]
        steps = [np.empty((0, *self.step_shape), np.float16) for _ in texts]
        vectors_ND = self._vectors([texts[row] for row in rows]) if rows else np.empty((0, *self.step_shape))
        for row, vector_D in zip(rows, vectors_ND, strict=True):
            with np.errstate(over="ignore"):  # beyond float16 it is infinite, which whoever takes it refuses
                steps[row] = vector_D[None].astype(np.float16)
        return steps

    def check_whole(self) -> None:
        """Raise `InputError` when weights are missing, which the library fills with random numbers."""
        again = _load(self._folder, seed=1)
        if not np.array_equal(_encoded(again, [PROBE]), self._vectors([PROBE])):
            raise InputError(
                f"{self._folder} lacks some of its model's weights; save the model again, or copy it whole"
            )

    def _vectors(self, texts: Sequence[str]) -> np.ndarray:
        return _encoded(self._model, texts)


def encode_sentences(model_folder: Path, texts: Sequence[str]) -> list[np.ndarray]:
    """Return float16 [1, D] for each text, [0, D] for an empty one. Many calls: keep a `SentenceEncoder` instead."""
    return SentenceEncoder(model_folder).encode(texts)


def check_encoder(model_folder: Path, recorded: Mapping[str, Any]) -> None:
    """Raise `InputError` unless `model_folder` holds the model that made features; `recorded` are their settings."""
    found, wanted = model_fingerprint(Path(model_folder)), recorded.get("weights_fingerprint")
    if found != wanted:
        raise InputError(
            f"{model_folder} (fingerprint {found}) is not the sentence encoder that the features were made with "
            f"({recorded.get('weights')}, fingerprint {wanted}); give that one"
        )


def extract_sentences(
    dataset_folder: Path, model_folder: Path, *, report: Report = lambda line, done, total: None
) -> dict[str, Any]:
    """Give a dataset the features `sentence` and return counts; a video without a description has no step.

    Equal descriptions are encoded once, and asking again encodes nothing. When it is killed, what it has done stays for
    the next call: descriptions are encoded in fixed groups, so that it ends in the same bytes. Features of another
    model are replaced when the new ones are whole.

    Raises `InputError` when the dataset cannot be used or written, or has no descriptions, and as `SentenceEncoder`.
    """
    started = time.monotonic()
    folder = Path(dataset_folder)
    read_manifest(folder)
    encoder = SentenceEncoder(model_folder)
    with locked(folder):
        dataset = Dataset.load(folder)
        texts = _distinct(dataset)
        store = Store(folder, cast("Extractor", encoder))  # of an extractor it reads what it is, not how it works
        known = store.known(dataset.manifest)
        jobs = [group for group in _groups(texts) if any(content not in known for content in group)]
        if jobs:
            encoder.check_whole()
            _work(store, encoder, jobs, report=report)
            known = store.known(dataset.manifest)
        videos = _account(dataset, known)
        if not store.is_current(videos, dataset.manifest):
            store.commit(videos, known, fingerprint=dataset.fingerprint)
        store.tidy(read_manifest(folder))
    return {
        "modality": MODALITY,
        "videos": videos.height,
        "videos_with_text": videos["content"].count(),
        "distinct": len(texts),
        "encoded_now": sum(map(len, jobs)),
        "failed": videos["cause"].count(),
        "dimension": encoder.step_shape[0],
        "seconds": time.monotonic() - started,
    }


def model_fingerprint(model_folder: Path) -> str:
    """Return a hexadecimal digest (32 digits) of the files of the model's parts; notes (.md) may change.

    Raises `InputError` when the folder is no sentence-transformers folder.
    """
    folder = Path(model_folder)
    if not (folder / MODULES).is_file():
        raise InputError(f"{folder} is no local sentence-transformers folder (it has no {MODULES}); give one's path")
    try:
        parts = {folder / part["path"] for part in json.loads((folder / MODULES).read_text(encoding="utf-8"))}
        files = [path for part in {folder, *parts} for path in part.iterdir() if path.is_file()]
        return file_fingerprint(
            sorted(path for path in files if path.suffix != ".md" and not path.name.startswith("."))
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: a part of the model cannot be read ({error}); copy it whole") from None


def _load(folder: Path, *, seed: int) -> SentenceTransformer:
    """Read a model; `seed` is what random numbers in place of missing weights would come from."""
    import torch

    kind = _library()
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = kind(
                str(folder.resolve()),
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"dtype": torch.float32},
            )
        except Exception as error:  # files missing, broken or of other shapes: the library has an error for each
            text = " ".join(str(error).split())[:200]
            raise InputError(f"{folder} cannot be read as a sentence encoder ({text}); save the model again") from None
    return model.eval()


def _library() -> type[SentenceTransformer]:
    import_torchvision()  # transformers imports it
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise InputError(
            f"sentence encoders need an optional part ({error}); install it: pip install 'v2ht[sentences]'"
        ) from None
    return SentenceTransformer


def _encoded(model: SentenceTransformer, texts: Sequence[str]) -> np.ndarray:
    """Return float32 [N, D]."""
    vectors_ND = model.encode(list(texts), batch_size=SHARD_CONTENTS, show_progress_bar=False, convert_to_numpy=True)
    return np.asarray(vectors_ND, np.float32)


def _distinct(dataset: Dataset) -> dict[str, str]:
    """Return the descriptions by their hashes. Raises `InputError` when there are none."""
    texts = {content: text for text in dataset.videos["text"].to_list() if (content := _content(text)) is not None}
    if not texts:
        raise InputError("the dataset has no descriptions to encode; import it with --columns text=...")
    return texts


def _content(text: str) -> str | None:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest() if text.strip() else None


def _groups(texts: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield a shard's worth of descriptions at a time, texts of about one length together: less padding."""
    ordered = sorted(texts.items(), key=lambda item: (len(item[1]), item[1]))
    for start in range(0, len(ordered), SHARD_CONTENTS):
        yield dict(ordered[start : start + SHARD_CONTENTS])


def _work(store: Store, encoder: SentenceEncoder, jobs: Sequence[Mapping[str, str]], *, report: Report) -> None:
    """Encode groups of descriptions, each into a shard."""
    done, total = 0, sum(map(len, jobs))
    for group in jobs:
        for content, steps_TD in zip(group, encoder.encode(list(group.values())), strict=True):
            finite = bool(np.isfinite(steps_TD).all())
            failure = Failure("not finite", "the encoder made numbers of it that are infinite or no numbers")
            store.shards.add(content, steps_TD if finite else failure, seconds=0.0)
        store.shards.flush()
        done += len(group)
        report(f"{MODALITY}: encoding descriptions", done, total)


def _account(dataset: Dataset, known: Mapping[str, Entry]) -> pl.DataFrame:
    """Return the table of all videos: what its description is known as, and why it has no features if it failed."""
    rows = []
    for video_id, text in dataset.videos.select("video_id", "text").iter_rows():
        content = _content(text)
        failure = known[content].failure if content is not None else None
        why = (failure.cause, failure.message) if failure is not None else (None, None)
        rows.append((video_id, None, content, 0.0, *why))
    return pl.DataFrame(rows, schema=VIDEOS_SCHEMA, orient="row")
