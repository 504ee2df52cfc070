"""Formats of sources: which column of a table means what."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import polars as pl

from data.dataset import ATTRIBUTE_NAMES, FEATURE_NAMES
from data.files import InputError
from data.times import parse_times

FIELDS = ("id", "user", "text", "hashtags", "time", "sound", "path", *FEATURE_NAMES, *ATTRIBUTE_NAMES)
OPTIONAL_FIELDS = ("text", "time", "sound")
JOINED_FIELDS = ("text", *FEATURE_NAMES)
Columns = Mapping[str, tuple[str, ...]]
"""Field -> names of the columns that hold it; several only for text, joined by a space, and for features.

Of a format's several columns for another field, the first one that a table has is read.
"""

_COMMON = {
    "id": ("item_id",),
    "user": ("user_id",),
    "text": ("text",),  # never a caption, which may hold the hashtags themselves
    "hashtags": ("hashtags",),
    "time": ("created_at",),
}
SONG = "borrowed_music_title"
# "News on TikTok" (Wedel, Mayer, Batzner; GESIS 2023): what coders saw and heard, 0 or 1 but for `NEWS_SET_UP`.
NEWS_SET_UP = "v6_visual_set_up"  # 1, 2 or 3, which are names
_NEWS_VISUAL = (
    NEWS_SET_UP,
    "v7a_images",
    "v7b_text",
    "v7c_screenshots_and_recordings",
    "v7d_graphs_maps_infoanimations",
    "v7e_news_brand_elements",
    "v7f_outlet_related_endcard",
)
_NEWS_ACOUSTIC = (
    "v8a_journalists_moderators_voice",
    "v8b_other_peoples_voice",
    "v8c_voice_other_effect",
    "v8d_music",
    "v8e_ambient",
)
FORMATS: Mapping[str, Columns] = MappingProxyType(
    {
        "table": _COMMON,
        "youtube": {**_COMMON, "text": ("title", "description")},
        "tiktok": {**_COMMON, "sound": ("music_id", SONG)},  # after `name_songs`
        "lastfm": _COMMON,  # after `group_taggings`
        "clips": {**_COMMON, "path": ("path",)},
        "tiktok_news": {  # after `name_codes`
            **_COMMON,
            "text": ("topic_text",),
            "visual": _NEWS_VISUAL,
            "acoustic": _NEWS_ACOUSTIC,
            "sound": ("music_id",),
            "country": ("country",),  # of the outlet
        },
    }
)
TAGGING_COLUMNS = ("user_id", "item_id", "artist", "tag", "date")


def parse_columns(text: str) -> dict[str, tuple[str, ...]]:
    """Read `id=item_id,user=user_id,text=title+description`. Raises `InputError` on an unknown or repeated field."""
    columns: dict[str, tuple[str, ...]] = {}
    for part in text.split(","):
        field, equals, names = (piece.strip() for piece in part.partition("="))
        if not equals or not field or not names:
            raise InputError(f"columns part {part!r} is not FIELD=COLUMN; fields are {', '.join(FIELDS)}")
        if field in columns:
            raise InputError(f"columns names the field {field!r} twice; join several columns as text=a+b")
        columns[field] = tuple(name.strip() for name in names.split("+"))
    check_columns(columns)
    return columns


def check_columns(columns: Columns) -> None:
    """Raise `InputError` on an unknown field, an empty column name, or several columns where one is read."""
    for field, names in columns.items():
        if field not in FIELDS:
            raise InputError(f"columns names an unknown field {field!r}; fields are {', '.join(FIELDS)}")
        if not names or not all(names):
            raise InputError(f"columns gives the field {field!r} an empty column name")
        if len(names) > 1 and field not in JOINED_FIELDS:
            raise InputError(
                f"columns gives the field {field!r} {len(names)} columns; only {', '.join(JOINED_FIELDS)} join several"
            )


def resolve_columns(given: Columns, *, format: str, present: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the columns to read: those `given`, else those of the format.

    Columns of the format's optional fields (text, time, sound) are left out where the table lacks them; any other
    missing column raises `InputError` that names it and the columns there are.
    """
    resolved: dict[str, tuple[str, ...]] = {}
    for field, names in {**FORMATS[format], **given}.items():
        if field in OPTIONAL_FIELDS and field not in given:
            found = tuple(name for name in names if name in present)
            names = found if field in JOINED_FIELDS else found[:1]
        missing = [name for name in names if name not in present]
        if missing:
            hint = "" if field in given else f"; name another with --columns {field}=..."
            raise InputError(
                f"there is no column {missing[0]!r} for {field}; the columns are {', '.join(present)}{hint}"
            )
        if names:
            resolved[field] = names
    return resolved


def reshape(table: pl.DataFrame, *, format: str) -> pl.DataFrame:
    """Return the table as the columns of `FORMATS` expect it."""
    changes = {"lastfm": group_taggings, "tiktok": name_songs, "tiktok_news": name_codes}
    return changes[format](table) if format in changes else table


def name_songs(table: pl.DataFrame) -> pl.DataFrame:
    """Give a TikTok table the column `SONG`: its `music_title`, by which sounds are known where `music_id` is missing.

    A sound that an author made for the post ("original sound") gets no name: `music_original` has to say which these
    are, as a truth value, or as the word or number for one.
    """
    if SONG in table.columns or not {"music_title", "music_original"} <= set(table.columns):
        return table
    told = pl.col("music_original").cast(pl.String).str.strip_chars().str.to_lowercase()
    borrowed = told.is_in(["false", "0", "0.0"])  # a gap makes a table's 0 a 0.0
    return table.with_columns(pl.when(borrowed).then(pl.col("music_title")).alias(SONG))


def group_taggings(table: pl.DataFrame) -> pl.DataFrame:
    """Turn Last.fm taggings (one row per user, artist and tag) into one post per user and artist.

    The post's id is "user:item", its text the artist's name, its hashtags the tags in the order of the table. Its time
    is the latest date: a split by time then never trains on a tag that was given after its posts.
    """
    missing = [name for name in TAGGING_COLUMNS if name not in table.columns]
    if missing:
        raise InputError(
            f"there is no column {missing[0]!r} for format lastfm; the columns are {', '.join(table.columns)}"
        )
    item = pl.concat_str(pl.col("user_id", "item_id").cast(pl.String).fill_null(""), separator=":")
    return (
        table.with_columns(parse_times(table["date"]))
        .group_by("user_id", "item_id", maintain_order=True)
        .agg(
            pl.col("artist").drop_nulls().first().alias("text"),
            pl.col("tag").alias("hashtags"),
            pl.col("date").max().alias("created_at"),
        )
        .with_columns(item.alias("item_id"))
    )


def name_codes(table: pl.DataFrame) -> pl.DataFrame:
    """Turn the set-up of a "News on TikTok" table from numbers into names: 1, 2 and 3 have no order.

    Raises `InputError` with the row of a set-up that is no whole number.
    """
    if NEWS_SET_UP not in table.columns:
        return table
    given = table[NEWS_SET_UP]
    texts = given.cast(pl.String).str.strip_chars().replace("", None)
    codes = texts.cast(pl.Float64, strict=False)
    wrong = (texts.is_not_null() & (codes.is_null() | codes.is_infinite() | (codes != codes.round()))).arg_true()
    if len(wrong):
        raise InputError(
            f"column {NEWS_SET_UP!r}, row {wrong[0] + 1}: {str(given[wrong[0]])[:60]!r} is no whole number "
            f"({len(wrong)} such rows); give the coders' number of the set-up, or leave it empty"
        )
    whole = codes.fill_nan(None).cast(pl.Int64)
    return table.with_columns(whole.cast(pl.String).cast(pl.Categorical).alias(NEWS_SET_UP))
