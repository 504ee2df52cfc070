"""Cleaning steps over posts (see `data.posts`): each returns the posts that remain and what it counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from data.files import InputError
from data.hashtags import normalise
from data.merging import hashtag_uses, rename_hashtags, with_uses

HASHTAG_IN_TEXT = r"[#＃][\w\p{M}\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}\u{200D}]+"


class CleaningLog:
    """Counts of posts and hashtag uses before and after each step, for the manifest; also reports progress."""

    def __init__(self, progress: Callable[[str], None] | None = None) -> None:
        self.steps: list[dict[str, Any]] = []
        self._progress = progress

    def add(self, step: str, *, before: pl.DataFrame, after: pl.DataFrame, **details: Any) -> pl.DataFrame:
        """Note a step and return `after`."""
        entry: dict[str, Any] = {"step": step}
        for when, posts in (("before", before), ("after", after)):
            entry |= {f"videos_{when}": posts.height, f"uses_{when}": int(posts["hashtags"].list.len().sum())}
        self.steps.append({**entry, **details})
        if self._progress is not None:
            self._progress(f"{step}: {before.height:,} -> {after.height:,} videos{_said(before, after, details)}")
        return after


def _said(before: pl.DataFrame, after: pl.DataFrame, details: dict[str, Any]) -> str:
    """Say which row was the first to go, and the counts that are not zero."""
    said = []
    if after.height < before.height:
        gone = before.join(after, on="row", how="anti")["row"].to_list()
        said.append(f"the first left out is row {min(gone)}")
    counts = [(name.replace("_", " "), value) for name, value in details.items() if isinstance(value, int) and value]
    return "".join(f", {part}" for part in [*said, *(f"{name} {value:,}" for name, value in counts)])


def drop_repeated_rows(posts: pl.DataFrame) -> pl.DataFrame:
    """Drop rows that equal an earlier one. Raises `InputError` when two rows share an id but not the rest."""
    different = posts.unique(subset=[c for c in posts.columns if c != "row"], keep="first", maintain_order=True)
    conflicts = different.filter(pl.col("video_id").is_duplicated())
    if conflicts.height:
        video_id = conflicts["video_id"][0]
        first, second = conflicts.filter(pl.col("video_id") == video_id)["row"].head(2)
        raise InputError(
            f"rows {first} and {second} both have the id {video_id!r} but differ "
            f"({conflicts['video_id'].n_unique()} such ids); give every video its own id"
        )
    return different


def drop_without_user(posts: pl.DataFrame) -> pl.DataFrame:
    """Drop posts without a user; raises `InputError` if none is left."""
    kept = posts.filter(pl.col("user").is_not_null())
    if not kept.height:
        raise InputError(f"none of the {posts.height} rows has a user; name the right column with --columns user=...")
    return kept


def clean_text(posts: pl.DataFrame, *, max_chars: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """Remove NUL characters and hashtags from texts and cut them at `max_chars` characters; return counts of posts.

    A hashtag in the text would tell the model what it is to recommend.
    """
    with_nul = posts["text"].str.contains("\0", literal=True)
    text = posts["text"].str.replace_all("\0", "", literal=True)
    with_hashtag = text.str.contains(HASHTAG_IN_TEXT)
    text = text.str.replace_all(HASHTAG_IN_TEXT, " ")
    too_long = text.str.len_chars() > max_chars
    changed = {"texts_with_nul": int(with_nul.sum()), "texts_with_hashtag": int(with_hashtag.sum())}
    changed |= {"texts_cut": int(too_long.sum()), "max_chars": max_chars}
    return posts.with_columns(text.str.head(max_chars).alias("text")), changed


def normalise_hashtags(posts: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Normalise every hashtag, drop empty ones and repetitions within a post; return the counts of uses."""
    uses = hashtag_uses(posts)
    normal = {hashtag: normalise(hashtag) for hashtag in uses}
    changed = sum(uses[old] for old, new in normal.items() if new not in ("", old))
    empty = sum(uses[old] for old, new in normal.items() if new == "")
    after = rename_hashtags(posts, normal)
    repeated = sum(uses.values()) - empty - int(after["hashtags"].list.len().sum())
    return after, {"uses_changed": changed, "uses_empty": empty, "uses_repeated": repeated}


def drop_without_hashtags(posts: pl.DataFrame) -> pl.DataFrame:
    """Drop posts without hashtags; raises `InputError` if none is left."""
    kept = posts.filter(pl.col("hashtags").list.len() > 0)
    if not kept.height:
        raise InputError(
            f"none of the {posts.height} rows has a hashtag; name the right column with --columns hashtags=..."
        )
    return kept


def apply_minimum_counts(posts: pl.DataFrame, *, hashtag_videos: int, user_videos: int) -> pl.DataFrame:
    """Keep hashtags with at least `hashtag_videos` posts and users with at least `user_videos` posts.

    Posts left without hashtags go, and both counts are taken again until nothing changes (V2HT 4.1, which cuts once).
    Raises `InputError` with the largest counts if nothing is left.
    """
    all_uses = posts.select("row", "user", "hashtags").explode("hashtags", empty_as_null=False)
    uses, before = all_uses, -1
    while uses.height != before:
        before = uses.height
        uses = uses.filter(pl.len().over("hashtags") >= hashtag_videos)
        uses = uses.filter(pl.col("row").n_unique().over("user") >= user_videos)
    if not uses.height:
        most_used = all_uses["hashtags"].value_counts()["count"].to_numpy().max()
        busiest = posts["user"].value_counts()["count"].to_numpy().max()
        raise InputError(
            f"no hashtag is left with at least {hashtag_videos} videos per hashtag and {user_videos} per user: before "
            f"this cut the most used hashtag has {most_used} and the busiest user {busiest}; lower the minimum counts"
        )
    return with_uses(posts, uses.select("row", "hashtags")).filter(pl.col("hashtags").list.len() > 0)
