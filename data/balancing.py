"""The balanced dataset: the most frequent hashtags cut down to the frequency of the next one (UHMAN 3.1)."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from data.files import InputError
from data.merging import hashtag_uses, with_uses


def balance(posts: pl.DataFrame, *, most_frequent: int, seed: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """Keep of each of the `most_frequent` hashtags as many uses as the next hashtag has; return what was cut.

    Which uses stay is a seeded choice that does not depend on the order of rows. Posts may be left without hashtags.
    Hashtags of one frequency are ranked by name. Raises `InputError` when there is no next hashtag.

    Departs from the paper: it does not say which frequency it cuts to, only that the outcome is close to uniform.
    """
    uses = hashtag_uses(posts)
    ranked = sorted(uses, key=lambda hashtag: (-uses[hashtag], hashtag))
    if most_frequent >= len(ranked):
        raise InputError(
            f"balance is {most_frequent}, but only {len(ranked)} hashtags are left after cleaning; choose a smaller one"
        )
    kept = uses[ranked[most_frequent]]
    cut = sorted(hashtag for hashtag in ranked[:most_frequent] if uses[hashtag] > kept)
    generator = np.random.default_rng([seed, 3])
    all_uses = posts.select("row", "video_id", "hashtags").explode("hashtags", empty_as_null=False)
    removed = []
    for hashtag in cut:
        own = all_uses.filter(pl.col("hashtags") == hashtag).sort("video_id").select("row", "hashtags")
        removed.append(own[generator.permutation(own.height)[kept:]])
    counts = {"hashtags_cut": len(cut), "uses_kept_each": kept, "uses_removed": sum(part.height for part in removed)}
    if removed:
        all_uses = all_uses.join(pl.concat(removed), on=["row", "hashtags"], how="anti", maintain_order="left")
    return with_uses(posts, all_uses.select("row", "hashtags")), counts


def normalised_entropy(posts: pl.DataFrame) -> float:
    """Return the entropy of the uses' hashtags over its maximum, to 4 digits: 1 where all are equally frequent."""
    counts = np.array(list(hashtag_uses(posts).values()), np.float64)
    if len(counts) < 2:
        return 1.0
    shares = counts / counts.sum()
    return round(float(-(shares * np.log(shares)).sum() / math.log(len(counts))), 4)
