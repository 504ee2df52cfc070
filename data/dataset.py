"""The dataset: a folder of Parquet tables with a manifest, and nothing that only one program can read.

    DATASET/
      manifest.json       format, counts, settings, what cleaning dropped, fingerprint
      videos.parquet      video_id str | user_id i32 | time datetime[us, UTC] or null | text str
                          | hashtag_ids list[i32] | split str | sound str or null (where the source names sounds)
      hashtags.parquet    hashtag str | words list[str] | train_videos i32            (row = hashtag_id)
      users.parquet       user str | gender, age, country str or null, each where the source has it (row = user_id)
      features/FILE.npy   float16 [steps of all videos, dimension ...], with FILE.offsets.npy int64 [videos + 1];
                          the manifest's `features` says which FILE holds which modality
      rare.parquet        video_id str | hashtags list[str], those that were too rare for hashtags.parquet
                          (row = video); not in the fingerprint
      media.parquet       only of clips: video_id str | path str, relative to the manifest's media_folder
      graph.parquet       the hashtag graph, written later by `v2ht graph`; like media.parquet not in the fingerprint
      store/              work of `v2ht extract`: what it remembers of the media files, and what it has not finished

A hashtag's id is its place in a seeded shuffle of the vocabulary, so that ties broken by id favour nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data.files import InputError, file_fingerprint, new_folder, read_json, write_json

FORMAT = "v2ht-dataset-1"
SPLITS = ("train", "valid", "test")
TABLES = ("videos", "hashtags", "users")
MEDIA_TABLE = "media.parquet"
RARE_TABLE = "rare.parquet"
FEATURE_NAMES = ("visual", "acoustic")
ATTRIBUTE_NAMES = ("gender", "age", "country")  # of users; a dataset may have any of them

VIDEOS_SCHEMA = pl.Schema(
    {
        "video_id": pl.String(),
        "user_id": pl.Int32(),
        "time": pl.Datetime("us", "UTC"),
        "text": pl.String(),
        "hashtag_ids": pl.List(pl.Int32()),
        "split": pl.String(),
    }
)
HASHTAGS_SCHEMA = pl.Schema({"hashtag": pl.String(), "words": pl.List(pl.String()), "train_videos": pl.Int32()})
USERS_SCHEMA = pl.Schema({"user": pl.String()})
_FILE = re.compile(r"\w[\w-]*")  # never a path that leaves the folder
OPTIONAL_COLUMNS = {"videos": ("sound",), "users": ATTRIBUTE_NAMES}
SCHEMAS = {"videos": VIDEOS_SCHEMA, "hashtags": HASHTAGS_SCHEMA, "users": USERS_SCHEMA}


@dataclass(frozen=True, kw_only=True)
class Ragged:
    """Rows of different lengths in one array: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Ragged:
        """Return the given rows, in the given order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        starts = np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        return Ragged(values=self.values[starts + np.arange(offsets[-1])], offsets=offsets)

    @staticmethod
    def from_lists(rows: list[Any], dtype: Any = np.int64) -> Ragged:
        """Build from a list of one-dimensional sequences."""
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        parts = [np.asarray(row, dtype=dtype) for row in rows]
        return Ragged(values=np.concatenate(parts) if parts else np.empty(0, dtype), offsets=offsets)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Videos with users, text, hashtags and a split; the vocabularies; feature sequences where there are any."""

    videos: pl.DataFrame
    hashtags: pl.DataFrame
    users: pl.DataFrame
    manifest: dict[str, Any]
    features: dict[str, Ragged] = field(default_factory=dict)

    @property
    def num_hashtags(self) -> int:
        return self.hashtags.height

    @property
    def num_users(self) -> int:
        return self.users.height

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    @property
    def tables_fingerprint(self) -> str:
        """Return the fingerprint of the tables alone, which features that come later leave as it is."""
        return str(self.manifest.get("tables_fingerprint", self.fingerprint))

    def rows(self, split: str) -> np.ndarray:
        """Return the row numbers (int64, ascending) of a split's videos. Raises ValueError on an unknown split."""
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is unknown; choose one of {', '.join(SPLITS)}")
        return np.flatnonzero(self.videos["split"].to_numpy() == split)

    def hashtag_ids(self) -> Ragged:
        """Return every video's hashtag ids (int64), in the order of `videos`."""
        column = self.videos["hashtag_ids"]
        offsets = np.concatenate([[0], np.cumsum(column.list.len().to_numpy())]).astype(np.int64)
        return Ragged(values=column.explode(empty_as_null=False).to_numpy().astype(np.int64), offsets=offsets)

    def save(self, path: Path, *, overwrite: bool = False) -> Dataset:
        """Write the folder, whole or not at all; return the dataset as it now stands (manifest with fingerprint)."""
        with new_folder(Path(path), overwrite=overwrite) as folder:
            self.write_into(folder)
        return Dataset.load(path)

    def write_into(self, folder: Path) -> None:
        """Write the files of a dataset into an empty folder, which the caller renames when it is complete."""
        check(self)
        for name in TABLES:
            getattr(self, name).write_parquet(folder / f"{name}.parquet", compression="zstd")
        if self.features:
            (folder / "features").mkdir()
        for name, sequences in self.features.items():
            np.save(folder / "features" / f"{name}.npy", sequences.values.astype(np.float16, copy=False))
            np.save(folder / "features" / f"{name}.offsets.npy", sequences.offsets)
        manifest = {**self.manifest, "format": FORMAT, "counts": counts(self)}
        origin = manifest.pop("features", {})  # how they were made, under the names of the files they were read from
        if self.features:
            manifest["features"] = {name: {**origin.get(name, {}), "file": name} for name in self.features}
        manifest["fingerprint"] = file_fingerprint(_content_files(folder, manifest))
        manifest["tables_fingerprint"] = file_fingerprint([folder / f"{name}.parquet" for name in TABLES])
        write_json(folder / "manifest.json", manifest)

    @staticmethod
    def load(path: Path) -> Dataset:
        """Read a dataset folder; features stay on disk (memory-mapped).

        Raises `InputError` when the folder is no dataset, a table cannot be read, or a file is not the one that the
        manifest's fingerprint was taken from.
        """
        path = Path(path)
        manifest = read_manifest(path)
        try:
            found = file_fingerprint(_content_files(path, manifest))
            tables = {name: pl.read_parquet(path / f"{name}.parquet") for name in TABLES}
        except (OSError, pl.exceptions.PolarsError) as error:
            raise InputError(f"{path}: a table cannot be read ({error}); import again") from None
        if found != manifest.get("fingerprint"):
            raise InputError(
                f"{path}: its files have changed since it was imported (fingerprint {found}); import again"
            )
        features = {name: read_features(path, entry["file"]) for name, entry in listed_features(path, manifest).items()}
        dataset = Dataset(**tables, manifest=manifest, features=features)
        check(dataset)
        return dataset


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a dataset's manifest. Raises `InputError` when the folder is no dataset of this format."""
    if not (folder / "manifest.json").is_file():
        raise InputError(f"{folder} is not a dataset (it has no manifest.json); make one with `v2ht import`")
    manifest = read_json(folder / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise InputError(
            f"{folder}/manifest.json has format {manifest.get('format')!r}, expected {FORMAT!r}; import again"
        )
    return manifest


def listed_features(folder: Path, manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the manifest's account of every modality: at least `file`, the name of its files without suffix.

    A manifest without such a list is of a dataset whose features are named by their modality. The order does not
    depend on the order of extraction, because the initial weights of a model follow it.
    """
    listed = manifest.get("features")
    if listed is None:
        present = [name for name in FEATURE_NAMES if (folder / "features" / f"{name}.npy").exists()]
        listed = {name: {"file": name} for name in present}
    entries = listed.values() if isinstance(listed, dict) else [listed]
    if not all(isinstance(entry, dict) and _FILE.fullmatch(str(entry.get("file", ""))) for entry in entries):
        raise InputError(f"{folder}/manifest.json: its features have no usable file names; import again")
    first = {name: place for place, name in enumerate(FEATURE_NAMES)}
    return {name: listed[name] for name in sorted(listed, key=lambda name: (first.get(name, len(first)), name))}


def read_features(folder: Path, file: str) -> Ragged:
    """Return `features/FILE.npy` memory-mapped, with its offsets. Raises `InputError` when they cannot be read."""
    path = folder / "features" / f"{file}.npy"
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        offsets = np.load(path.with_name(f"{file}.offsets.npy"), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read ({error}); extract again") from None
    return Ragged(values=values, offsets=offsets)


def commit_features(folder: Path, name: str, entry: dict[str, Any]) -> None:
    """List `entry`, whose files are complete, as the features `name`: the rename of the manifest is the one step.

    Files that the old manifest listed stay as they are; before the rename the dataset is the old one, after it the new.
    """
    manifest = read_manifest(folder)
    manifest["features"] = {**listed_features(folder, manifest), name: entry}
    manifest["fingerprint"] = file_fingerprint(_content_files(folder, manifest))
    write_json(folder / "manifest.json", manifest)


def _content_files(folder: Path, manifest: dict[str, Any]) -> list[Path]:
    stems = [entry["file"] for entry in listed_features(folder, manifest).values()]
    features = [folder / "features" / f"{stem}{suffix}" for stem in stems for suffix in (".npy", ".offsets.npy")]
    return [folder / f"{name}.parquet" for name in TABLES] + sorted(features)


def counts(dataset: Dataset) -> dict[str, Any]:
    """Return the numbers of videos (all and per split), users, hashtags and hashtag uses."""
    per_split = dict(dataset.videos.group_by("split").len().iter_rows())
    return {
        "videos": dataset.videos.height,
        **{split: int(per_split.get(split, 0)) for split in SPLITS},
        "users": dataset.num_users,
        "hashtags": dataset.num_hashtags,
        "hashtag_uses": int(dataset.videos["hashtag_ids"].list.len().sum()),
    }


def check(dataset: Dataset) -> None:
    """Raise `InputError` that names the first field that breaks the format at the top of this file."""
    for name, schema in SCHEMAS.items():
        table: pl.DataFrame = getattr(dataset, name)
        optional = OPTIONAL_COLUMNS.get(name, ())
        schema = pl.Schema({**schema, **{own: pl.String() for own in optional if own in table.columns}})
        if table.schema != schema:
            raise InputError(f"{name}.parquet has columns {dict(table.schema)}, expected {dict(schema)}; import again")
    if dataset.num_hashtags == 0 or dataset.videos.height == 0:
        raise InputError("the dataset has no videos or no hashtags; lower the minimum counts and import again")
    ids = dataset.hashtag_ids()
    if ids.values.size and not (ids.values.min() >= 0 and ids.values.max() < dataset.num_hashtags):
        raise InputError(f"videos.parquet names hashtag ids outside 0..{dataset.num_hashtags - 1}; import again")
    users = dataset.videos["user_id"]
    if users.null_count() or not (users >= 0).all() or not (users < dataset.num_users).all():
        raise InputError(f"videos.parquet names user ids outside 0..{dataset.num_users - 1}; import again")
    unknown = set(dataset.videos["split"].unique().to_list()) - set(SPLITS)
    if unknown:
        raise InputError(f"videos.parquet has unknown splits {sorted(map(str, unknown))}; expected {', '.join(SPLITS)}")
    for name, sequences in dataset.features.items():
        if len(sequences) != dataset.videos.height or sequences.offsets[-1] != len(sequences.values):
            raise InputError(f"features/{name}.npy does not match videos.parquet row by row; extract again")
