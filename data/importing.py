"""Make a dataset of a table: read, clean, split, number, write. The result depends on rows and settings alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data import cleaning, merging, presets, splits, vocabulary
from data.attributes import attribute_values
from data.balancing import balance, normalised_entropy
from data.column_features import feature_sequences, feature_steps
from data.dataset import ATTRIBUTE_NAMES, FEATURE_NAMES, FORMAT, MEDIA_TABLE, RARE_TABLE, Dataset, Ragged
from data.files import InputError, file_fingerprint, new_folder, read_json
from data.hashtags import words
from data.posts import to_posts
from data.tables import read_table


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """How a table becomes a dataset."""

    format: str = "table"  # one of presets.FORMATS
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # field -> columns, over the format's own
    min_hashtag_videos: int = 10  # videos that a hashtag needs
    min_user_videos: int = 5  # videos that a user needs
    balance: int = 0  # cut the so many most frequent hashtags down to the frequency of the next one (UHMAN 3.1)
    split: str | Path = "random"  # random, time, unseen, or a file with video_id and split
    unseen_hashtags: int = 500  # hashtags that split=unseen keeps out of train (at most 5 % of all)
    seed: int = 0  # of the split, of the hashtags' order and of what balancing cuts
    segment: bool = True  # cut hashtags into English words
    spell_check: bool = False  # correct slips, merge what becomes the same
    lemmatize: bool = False  # merge hashtags with the same lemmas
    merge_spellings: bool = False  # merge hashtags with the same words ('hip hop', 'hiphop', 'hip-hop')
    max_text_chars: int = 20_000  # longer texts are cut

    def __post_init__(self) -> None:
        if self.format not in presets.FORMATS:
            raise InputError(f"format {self.format!r} is unknown; choose one of {', '.join(presets.FORMATS)}")
        presets.check_columns(self.columns)
        if self.columns and self.format == "lastfm":
            raise InputError("columns cannot be chosen with format lastfm; use format table for another layout")
        if isinstance(self.split, str) and self.split not in splits.SPLIT_KINDS:
            raise InputError(
                f"split {self.split!r} is unknown; choose one of {', '.join(splits.SPLIT_KINDS)} or a file"
            )
        for name in ("min_hashtag_videos", "min_user_videos", "unseen_hashtags", "max_text_chars"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("seed", "balance"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0")

    def as_json(self) -> dict[str, Any]:
        """Return the settings for the manifest."""
        columns = {name: list(value) for name, value in self.columns.items()}
        return {
            **vars(self),
            "columns": columns,
            "split": str(self.split) if isinstance(self.split, str) else self.split.name,
        }


def import_table(
    source: Path,
    settings: ImportSettings,
    *,
    out: Path,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """Import the table `source` as a dataset folder `out`, whole or not at all, and return the dataset.

    `progress` is called with one line per step. Raises `InputError` when the source, a setting or `out` cannot be used.
    """
    source, out = Path(source), Path(out)
    _check_out(out, overwrite=overwrite)
    table = read_table(source)
    log = cleaning.CleaningLog(progress)
    if progress is not None:
        progress(f"read {table.height:,} rows of {source.name}")
    try:
        posts, columns, dimensions = _read_posts(table, settings)
        posts = _clean_rows(posts, settings, log=log)
        posts, hashtag_words, rare = _clean_hashtags(posts, settings, log=log)
        posts, split = _split(posts, settings)
        _check_media(posts, folder=source.parent)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    manifest = {
        "source": {"file": source.name, "rows": table.height, "fingerprint": file_fingerprint([source])},
        "settings": {**settings.as_json(), "columns": {name: list(value) for name, value in columns.items()}},
        "cleaning": log.steps,
        "split": split,
    }
    if "path" in posts.columns:
        manifest["media_folder"] = str(source.parent.resolve())
    hashtags = vocabulary.number_hashtags(posts, hashtag_words, seed=settings.seed)
    users = vocabulary.number_users(posts)
    videos = vocabulary.number_videos(posts, hashtags, users)
    features, manifest["features"] = _features(posts, videos, columns, dimensions)
    dataset = Dataset(videos=videos, hashtags=hashtags, users=users, manifest=manifest, features=features)
    empty = [name for name in ("valid", "test") if name not in videos["split"]]
    if empty and progress is not None:
        progress(f"note: no video is in {' and '.join(empty)}; training needs valid, evaluation needs test")
    return _save(dataset, posts, rare, out=out, overwrite=overwrite)


def read_more(
    source: Path, settings: Mapping[str, Any], hashtags: pl.DataFrame
) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """Read another table as a dataset's own was read; return its posts, and what cleaning counted.

    The columns, the normal form of hashtags and the cleaning of texts are the dataset's. Nothing is dropped for being
    rare. Feature columns and paths of media are not read. Where import merged hashtags, one of the same words as a
    known hashtag becomes that one; slips that only `spell_check` would see, and forms that are new, stay as they are.

    Args:
        source: the table.
        settings: of the dataset's manifest.
        hashtags: the dataset's.

    Raises `InputError` as `import_table` does, and when the dataset was not made of a table.
    """
    names = ("format", "segment", "spell_check", "lemmatize", "merge_spellings", "max_text_chars")
    if not {*names, "columns"} <= set(settings):
        raise InputError(f"{source} cannot be read: the run's dataset was not imported from a table")
    columns = {field: tuple(own) for field, own in settings["columns"].items() if field not in (*FEATURE_NAMES, "path")}
    chosen = ImportSettings(**{name: settings[name] for name in names})
    table, log = read_table(source), cleaning.CleaningLog()
    try:
        posts = _clean_rows(_read_plain(table, columns, format=chosen.format), chosen, log=log)
        after, changed = cleaning.normalise_hashtags(posts)
        posts = log.add("normalise", before=posts, after=after, **changed)
        posts = log.add("without_hashtags", before=posts, after=cleaning.drop_without_hashtags(posts))
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    if chosen.spell_check or chosen.lemmatize or chosen.merge_spellings:
        posts = merging.rename_hashtags(posts, _known_forms(posts, hashtags, chosen))
    return posts, log.steps


def _read_plain(table: pl.DataFrame, columns: presets.Columns, *, format: str) -> pl.DataFrame:
    """Return the posts with the attributes of their users, read from the columns that the dataset's came from."""
    table = presets.reshape(table, format=format)
    missing = [name for names in columns.values() for name in names if name not in table.columns]
    if missing:
        raise InputError(
            f"there is no column {missing[0]!r}, which the run's dataset was read from; "
            f"the columns are {', '.join(table.columns)}"
        )
    posts = to_posts(table, columns)
    attributes = [name for name in ATTRIBUTE_NAMES if name in columns]
    return posts.with_columns(attribute_values(table[columns[name][0]], name).alias(name) for name in attributes)


def _known_forms(posts: pl.DataFrame, hashtags: pl.DataFrame, settings: ImportSettings) -> dict[str, str]:
    """Return unknown hashtag -> the known one of the same words."""
    known = {tuple(parts): name for name, parts in zip(hashtags["hashtag"], hashtags["words"].to_list(), strict=True)}
    unknown = set(merging.hashtag_uses(posts)) - set(known.values())
    found: merging.Words = {hashtag: words(hashtag, segment=settings.segment) for hashtag in unknown}
    if settings.lemmatize:
        found = merging.lemmatise(found)
    return {hashtag: known[parts] for hashtag, parts in found.items() if parts in known}


def _check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse before the work begins; never replace something that is not a dataset."""
    if not out.exists():
        return
    if not overwrite:
        raise InputError(f"{out} exists already; choose another folder or pass --overwrite")
    manifest = out / "manifest.json"
    if not (manifest.is_file() and read_json(manifest).get("format") == FORMAT):
        raise InputError(f"{out} exists and is not a dataset, so it is not overwritten; choose another folder")


def _read_posts(
    table: pl.DataFrame, settings: ImportSettings
) -> tuple[pl.DataFrame, presets.Columns, dict[str, list[str]]]:
    """Return the posts with all that is read of them, the columns it came from, and each modality's dimensions."""
    table = presets.reshape(table, format=settings.format)
    columns = presets.resolve_columns(settings.columns, format=settings.format, present=table.columns)
    posts, dimensions = to_posts(table, columns), {}
    for name in ATTRIBUTE_NAMES:
        if name in columns:
            posts = posts.with_columns(attribute_values(table[columns[name][0]], name).alias(name))
    for name in FEATURE_NAMES:
        if name in columns:
            steps, dimensions[name] = feature_steps([table[column] for column in columns[name]])
            posts = posts.with_columns(steps.alias(name))
    return posts, columns, dimensions


def _clean_rows(posts: pl.DataFrame, settings: ImportSettings, *, log: cleaning.CleaningLog) -> pl.DataFrame:
    """Drop the rows that cannot be used, and mend texts."""
    posts = log.add("repeated_rows", before=posts, after=cleaning.drop_repeated_rows(posts))
    if isinstance(settings.split, Path):
        named = splits.keep_named(posts, splits.read_split_file(settings.split), path=settings.split)
        posts = log.add("not_in_split_file", before=posts, after=named)
    posts = log.add("without_user", before=posts, after=cleaning.drop_without_user(posts))
    mended, changed = cleaning.clean_text(posts, max_chars=settings.max_text_chars)
    return log.add("text", before=posts, after=mended, **changed)


def _clean_hashtags(
    posts: pl.DataFrame, settings: ImportSettings, *, log: cleaning.CleaningLog
) -> tuple[pl.DataFrame, merging.Words, pl.DataFrame]:
    """Normalise, merge and cut hashtags.

    Returns the posts that remain, the words of their hashtags, and the hashtags of each that were cut for being rare.
    """
    after, changed = cleaning.normalise_hashtags(posts)
    posts = log.add("normalise", before=posts, after=after, **changed)
    posts = log.add("without_hashtags", before=posts, after=cleaning.drop_without_hashtags(posts))
    merged_words: merging.Words = {}
    if settings.spell_check or settings.lemmatize or settings.merge_spellings:
        posts, merged_words = _merge(posts, settings, log=log)
    uncut = posts.select("video_id", "hashtags")
    minimum = _minimum_counts(settings)
    after = cleaning.apply_minimum_counts(posts, **minimum)
    posts = log.add("minimum_counts", before=posts, after=after, **minimum)
    if settings.balance:
        posts = _balance(posts, settings, log=log)
    hashtags = merging.hashtag_uses(posts)
    rare = uncut.with_columns(pl.col("hashtags").list.filter(~pl.element().is_in(list(hashtags))))
    return posts, {h: merged_words.get(h) or words(h, segment=settings.segment) for h in hashtags}, rare


def _balance(posts: pl.DataFrame, settings: ImportSettings, *, log: cleaning.CleaningLog) -> pl.DataFrame:
    """Cut the most frequent hashtags, drop videos left without any, and take the minimum counts again."""
    after, counts = balance(posts, most_frequent=settings.balance, seed=settings.seed)
    after = after.filter(pl.col("hashtags").list.len() > 0)
    entropy = {"entropy_before": normalised_entropy(posts), "entropy_after": normalised_entropy(after)}
    posts = log.add("balance", before=posts, after=after, **counts, **entropy)
    minimum = _minimum_counts(settings)
    after = cleaning.apply_minimum_counts(posts, **minimum)
    entropy = {"entropy_after": normalised_entropy(after)}
    return log.add("minimum_counts_after_balance", before=posts, after=after, **minimum, **entropy)


def _minimum_counts(settings: ImportSettings) -> dict[str, int]:
    return {"hashtag_videos": settings.min_hashtag_videos, "user_videos": settings.min_user_videos}


def _merge(
    posts: pl.DataFrame, settings: ImportSettings, *, log: cleaning.CleaningLog
) -> tuple[pl.DataFrame, merging.Words]:
    """Run the merging steps that were chosen, in this order; each merges hashtags whose words are then the same."""
    current: merging.Words = {h: words(h, segment=settings.segment) for h in merging.hashtag_uses(posts)}
    for step in ("spell_check", "lemmatize", "merge_spellings"):
        if not getattr(settings, step):
            continue
        changed = current
        if step == "spell_check":
            changed = merging.correct_spelling(current, merging.hashtag_uses(posts))
        elif step == "lemmatize":
            changed = merging.lemmatise(current)
        after, merged = merging.merge_same_words(posts, changed)
        counts = {
            "hashtags_changed": sum(changed[hashtag] != parts for hashtag, parts in current.items()),
            "hashtags_merged": len(current) - len(merged),
        }
        posts, current = log.add(step, before=posts, after=after, **counts), merged
    return posts, current


def _split(posts: pl.DataFrame, settings: ImportSettings) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return the posts with the column split, and the manifest's account of it."""
    note: dict[str, Any] = {"kind": str(settings.split), "seed": settings.seed}
    if isinstance(settings.split, Path):
        note = {"kind": "file", "file": settings.split.name, "fingerprint": file_fingerprint([settings.split])}
    elif settings.split == "time":
        note = {"kind": "time"}
        posts = splits.assign_by_time(posts)
    elif settings.split == "unseen":
        posts, counts = splits.assign_unseen(posts, seed=settings.seed, num_hashtags=settings.unseen_hashtags)
        note |= counts
    else:
        posts = splits.assign_random(posts, seed=settings.seed)
    if not (posts["split"] == "train").any():
        raise InputError(
            f"none of the {posts.height} videos that are left is in train; give more videos, or another split"
        )
    return posts, note


def _features(
    posts: pl.DataFrame, videos: pl.DataFrame, columns: presets.Columns, dimensions: Mapping[str, list[str]]
) -> tuple[dict[str, Ragged], dict[str, Any]]:
    """Return the videos' steps by modality, and the manifest's account of what they were made of."""
    features: dict[str, Ragged] = {}
    origins: dict[str, Any] = {}
    for name, names in dimensions.items():
        features[name], filled_F = feature_sequences(posts, videos, name)
        filled = {place: float(value) for place, value in zip(names, filled_F, strict=True) if not np.isnan(value)}
        origins[name] = {"columns": list(columns[name]), "dimensions": names, "missing_numbers": filled}
    return features, origins


def _check_media(posts: pl.DataFrame, *, folder: Path) -> None:
    """Refuse paths of media files that do not exist; a video without a path is fine."""
    if "path" not in posts.columns:
        return
    missing = [
        (row, path) for row, path in posts.select("row", "path").drop_nulls().rows() if not (folder / path).is_file()
    ]
    if missing:
        row, path = missing[0]
        raise InputError(
            f"row {row}: there is no file {str(folder / path)!r} ({len(missing)} such rows); "
            "paths are relative to the table; leave the path empty for a video without media"
        )


def _save(dataset: Dataset, posts: pl.DataFrame, rare: pl.DataFrame, *, out: Path, overwrite: bool) -> Dataset:
    """Write the dataset, the hashtags too rare for it and, for clips, the table of media files (video_id, path)."""
    with new_folder(out, overwrite=overwrite) as folder:
        dataset.write_into(folder)
        own = dataset.videos.select("video_id").join(rare, on="video_id", how="left", maintain_order="left")
        own.write_parquet(folder / RARE_TABLE, compression="zstd")
        if "path" in posts.columns:
            media = dataset.videos.select("video_id").join(posts.select("video_id", "path"), on="video_id", how="left")
            media.write_parquet(folder / MEDIA_TABLE)
    return Dataset.load(out)
