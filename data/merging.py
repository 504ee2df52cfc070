"""Merge the hashtags that are made of the same words, after correcting or lemmatising these words if wished.

V2HT 4.1 checks the spelling and lemmatises hashtags before counting them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import polars as pl
import simplemma

from data.hashtags import dictionary, is_english

Words = Mapping[str, tuple[str, ...]]
"""Hashtag -> the words that it is made of."""

MIN_CORRECTED_LENGTH = 5  # letters; shorter words have too many neighbours
MIN_USE_RATIO = 10  # uses of the correction for one use of the slip


def hashtag_uses(posts: pl.DataFrame) -> dict[str, int]:
    """Return hashtag -> number of posts that use it, in order of name."""
    uses = posts.select(pl.col("hashtags").explode(empty_as_null=False).alias("hashtag"))
    return dict(uses.group_by("hashtag").len().sort("hashtag").iter_rows())


def correct_spelling(words: Words, uses: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Return the words with slips corrected: conservative, English only.

    A word is a slip if it has at least five ASCII letters, is not in the English dictionary, and is one edit away from
    an English word of these hashtags that is used at least ten times as often; the most used such word replaces it.
    The corrected hashtag must itself be in use, at least ten times as often: most other "slips" are names.
    """
    word_uses: Counter[str] = Counter()
    for hashtag, parts in words.items():
        word_uses.update(dict.fromkeys(parts, uses[hashtag]))
    known: Counter[tuple[str, ...]] = Counter()
    for hashtag, parts in words.items():
        known[parts] += uses[hashtag]
    replacements = {word: _correction(word, word_uses) for word in word_uses}
    corrected = {hashtag: tuple(replacements[word] for word in parts) for hashtag, parts in words.items()}
    return {h: new if known[new] >= MIN_USE_RATIO * uses[h] else words[h] for h, new in corrected.items()}


def _correction(word: str, word_uses: Counter[str]) -> str:
    if len(word) < MIN_CORRECTED_LENGTH or not (word.isascii() and word.isalpha()) or dictionary()[word]:
        return word
    enough = MIN_USE_RATIO * word_uses[word]
    near = [near for near in dictionary().edit_distance_1(word) if word_uses[near] >= enough and is_english(near)]
    return min(near, key=lambda candidate: (-word_uses[candidate], candidate), default=word)


def lemmatise(words: Words) -> dict[str, tuple[str, ...]]:
    """Return the words with every word of ASCII letters as its English lemma ('cats' -> 'cat')."""
    return {
        hashtag: tuple(simplemma.lemmatize(w, lang="en") if w.isascii() and w.isalpha() else w for w in parts)
        for hashtag, parts in words.items()
    }


def merge_same_words(posts: pl.DataFrame, words: Words) -> tuple[pl.DataFrame, dict[str, tuple[str, ...]]]:
    """Merge hashtags that have the same words; return the posts and the words of the hashtags that remain.

    The form most used stays (ties: the first by name). A post that used several forms keeps the first's place.
    """
    uses = hashtag_uses(posts)
    forms: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for hashtag in uses:
        forms[words[hashtag]].append(hashtag)
    kept = {parts: min(same, key=lambda form: (-uses[form], form)) for parts, same in forms.items()}
    renamed = {hashtag: kept[words[hashtag]] for hashtag in uses if kept[words[hashtag]] != hashtag}
    return rename_hashtags(posts, renamed), {hashtag: parts for parts, hashtag in kept.items()}


def rename_hashtags(posts: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Replace hashtags by their new names; drop empty ones and, within a post, all but the first of the same."""
    renamed = (
        posts.select("row", "hashtags")
        .explode("hashtags", empty_as_null=False)
        .with_columns(pl.col("hashtags").replace(dict(names)))
        .filter(pl.col("hashtags") != "")
        .unique(maintain_order=True)
    )
    return with_uses(posts, renamed)


def with_uses(posts: pl.DataFrame, uses: pl.DataFrame) -> pl.DataFrame:
    """Return the posts with the hashtags of `uses` (row, hashtags: one use each, in order), perhaps none."""
    lists = uses.group_by("row", maintain_order=True).agg("hashtags")
    empty = pl.lit([], dtype=pl.List(pl.String))
    joined = posts.drop("hashtags").join(lists, on="row", how="left", maintain_order="left")
    return joined.with_columns(pl.col("hashtags").fill_null(empty)).select(posts.columns)
