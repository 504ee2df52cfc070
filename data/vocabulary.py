"""Numbers for hashtags and users, and the dataset's tables made of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from data.attributes import most_frequent
from data.dataset import ATTRIBUTE_NAMES, HASHTAGS_SCHEMA, VIDEOS_SCHEMA


def number_hashtags(posts: pl.DataFrame, words: Mapping[str, tuple[str, ...]], *, seed: int) -> pl.DataFrame:
    """Return hashtag, words, train_videos; a hashtag's id is its row, from a seeded shuffle of the names in order.

    `train_videos` is the number of train videos that use it, 0 for one that is only in valid or test.
    """
    uses = posts.select("split", hashtag="hashtags").explode("hashtag", empty_as_null=False)
    counted = uses.group_by("hashtag").agg(train_videos=(pl.col("split") == "train").sum().cast(pl.Int32))
    counted = counted.sort("hashtag")
    shuffled = counted[np.random.default_rng([seed, 2]).permutation(counted.height)]
    word_lists = pl.Series("words", [words[hashtag] for hashtag in shuffled["hashtag"]], dtype=pl.List(pl.String))
    return shuffled.with_columns(word_lists).select(HASHTAGS_SCHEMA.names())


def number_users(posts: pl.DataFrame) -> pl.DataFrame:
    """Return the users in order of name, with the attributes that the posts tell of them; a user's id is the row."""
    users = posts.select("user").unique().sort("user")
    for name in ATTRIBUTE_NAMES:
        if name in posts.columns:
            users = users.join(most_frequent(posts, name), on="user", how="left", maintain_order="left")
    return users


def number_videos(posts: pl.DataFrame, hashtags: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    """Return the videos with the ids of their users and hashtags, by time (those without one last), then by id."""
    user_ids = users.select("user").with_row_index("user_id")
    hashtag_ids = hashtags.select("hashtag").with_row_index("hashtag_ids")
    lists = (
        posts.select("row", hashtag="hashtags")
        .explode("hashtag", empty_as_null=False)
        .join(hashtag_ids, on="hashtag", how="left", maintain_order="left")
        .group_by("row", maintain_order=True)
        .agg(pl.col("hashtag_ids").cast(pl.Int32))
    )
    videos = posts.join(user_ids, on="user", how="left").join(lists, on="row", how="left")
    videos = videos.with_columns(pl.col("user_id").cast(pl.Int32)).sort("time", "video_id", nulls_last=True)
    sound = ["sound"] if "sound" in posts.columns else []
    return videos.select([*VIDEOS_SCHEMA.names(), *sound])
