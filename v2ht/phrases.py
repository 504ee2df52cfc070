"""Phrases of a description that are likely hashtags, though no hashtag of the vocabulary: a second source of new ones.

How likely is learned from the train posts of a run: import keeps, beside the vocabulary, the hashtags that are too rare
for it (`RARE_TABLE`), and a logistic regression tells phrases that were such a hashtag of their post from those
that were not. It reads how a phrase is written and where, and how often its words stand in other texts and in hashtags.

RUN/phrases/
  model.json       the features' names and weights, and what was counted
  counts.parquet   words | texts: in how many train texts a phrase stands, if in two or more

Shapes: N phrases, F features.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from data.dataset import RARE_TABLE, Dataset
from data.files import InputError, new_folder, read_json, write_json
from data.hashtags import is_english
from data.phrases import LONGEST, Phrase, Word, joined, phrases_of, places_of, words_in_place
from graph_builders.wordnet import noun_senses

FOLDER = "phrases"
SOME = 2  # other texts that a phrase must stand in to count as used there
FITTED = 5_000  # train posts, at most, that the weights are fitted on
LEAST_TRUE = 20  # phrases that were hashtags; from fewer nothing is learned
WRITTEN = (
    "capital", "capital among lower", "upper among lower", "cut left", "cut right", "whole name",
    "starts part", "ends part", "whole part", "quoted", "first line", "early", "around known",
)  # fmt: skip
COUNTED = (
    "words", "times", "rarest word", "commonest word", "other texts", "together", "in hashtags", "all in hashtags",
    "not English", "digit", "letters", "length of text", "stop word inside",
    "noun at start", "noun at end", "not in WordNet", "senses",
)  # fmt: skip
FEATURES = tuple(f"{name}, {kind}" for kind in ("one word", "several") for name in ("bias", *WRITTEN, *COUNTED))


@dataclass(frozen=True, kw_only=True)
class TextCounts:
    """In how many train texts phrases stand, in how many known hashtags words do, and which hashtags are known."""

    texts: int
    phrases: dict[str, int]  # by words joined with a space
    hashtag_words: dict[str, int]
    known: frozenset[str]  # joined, as `Phrase.hashtag`

    @staticmethod
    def of(texts: Iterable[Sequence[Word]], hashtags: Iterable[Sequence[str]]) -> TextCounts:
        """Count texts, and the words of known hashtags."""
        phrases: Counter[str] = Counter()
        number = 0
        for words in texts:
            number += 1
            phrases.update({" ".join(phrase.words) for phrase in phrases_of(words)})
        some = {phrase: count for phrase, count in phrases.items() if count >= SOME}
        return TextCounts.with_hashtags(number, some, hashtags)

    @staticmethod
    def with_hashtags(texts: int, phrases: dict[str, int], hashtags: Iterable[Sequence[str]]) -> TextCounts:
        """Take counts of texts as they are; count the words of known hashtags."""
        hashtags = [tuple(words) for words in hashtags]
        return TextCounts(
            texts=texts,
            phrases=phrases,
            hashtag_words=dict(Counter(word for words in hashtags for word in set(words))),
            known=frozenset(joined(words) for words in hashtags),
        )

    def elsewhere(self, words: Sequence[str], *, own: int) -> int:
        """Return in how many texts words stand together, but for `own` ones; one alone says nothing."""
        count = self.phrases.get(" ".join(words), 0) - own
        return count if count >= SOME else 0


class PhraseModel:
    """Says of each phrase of a text how likely it is a hashtag of the post.

    Args:
        counts: of the train texts.
        weights_F: of the features, in the order of `FEATURES`.
    """

    def __init__(self, counts: TextCounts, weights_F: np.ndarray) -> None:
        self.counts, self.weights_F = counts, weights_F

    @staticmethod
    def fit(dataset: Dataset, rare: Sequence[Sequence[str]], *, seed: int) -> PhraseModel | None:
        """Learn from the train videos, `rare` being each video's hashtags outside the vocabulary.

        Returns None where fewer than `LEAST_TRUE` phrases of the train texts were such hashtags.
        """
        rows = dataset.rows("train")
        chosen = np.sort(np.random.default_rng([seed, 2]).permutation(rows)[:FITTED])
        if sum(len(rare[row]) for row in chosen.tolist()) < LEAST_TRUE:
            return None  # without reading a text
        texts = dict(zip(rows.tolist(), _read(dataset, rows), strict=True))
        counts = TextCounts.of(texts.values(), trained_hashtags(dataset.hashtags))
        found = [describe(texts[row], counts, own=True) for row in chosen.tolist()]
        features_NF = np.concatenate([rows_NF for _, rows_NF in found])
        names = [{joined([hashtag]) for hashtag in rare[row]} for row in chosen.tolist()]
        true_N = np.array([item.hashtag in own for (items, _), own in zip(found, names, strict=True) for item in items])
        if true_N.sum() < LEAST_TRUE or true_N.all():
            return None
        scale_F = np.maximum(np.abs(features_NF).max(0), 1e-6)  # a weight is as dear as the feature is wide
        fitted = LogisticRegression(fit_intercept=False, C=10.0, max_iter=5000).fit(features_NF / scale_F, true_N)
        return PhraseModel(counts, fitted.coef_[0] / scale_F)

    def likely(self, text: str) -> list[tuple[Phrase, float]]:
        """Return the phrases of a text that are no known hashtag, each with its probability, the likeliest first."""
        phrases, features_NF = describe(words_in_place(text), self.counts)
        probabilities_N = expit(features_NF @ self.weights_F)
        order = np.argsort(-probabilities_N, kind="stable").tolist()
        return [(phrases[place], float(probabilities_N[place])) for place in order]

    def save(self, folder: Path) -> None:
        """Write the folder, whole or not at all."""
        with new_folder(folder, overwrite=True) as temporary:
            ordered = sorted(self.counts.phrases.items())
            table = pl.DataFrame(ordered, schema={"words": pl.String, "texts": pl.Int32}, orient="row")
            table.write_parquet(temporary / "counts.parquet", compression="zstd")
            weights = dict(zip(FEATURES, self.weights_F.tolist(), strict=True))
            write_json(temporary / "model.json", {"texts": self.counts.texts, "weights": weights})

    @staticmethod
    def load(folder: Path, hashtags: Iterable[Sequence[str]]) -> PhraseModel:
        """Read the folder; `hashtags` are the words of those that the run was trained on.

        Raises `InputError` when it is damaged.
        """
        try:
            content: dict[str, Any] = read_json(folder / "model.json")
            table = pl.read_parquet(folder / "counts.parquet")
            counts = dict(zip(table["words"].to_list(), table["texts"].to_list(), strict=True))
            weights_F = np.array([content["weights"][name] for name in FEATURES], np.float64)
            return PhraseModel(TextCounts.with_hashtags(int(content["texts"]), counts, hashtags), weights_F)
        except (OSError, KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise InputError(f"{folder} is missing or damaged ({error}); train again") from None


def trained_hashtags(hashtags: pl.DataFrame) -> list[list[str]]:
    """Return the words of the hashtags that train videos have."""
    return list(hashtags.filter(pl.col("train_videos") > 0)["words"].to_list())


def read_rare(folder: Path, dataset: Dataset) -> list[list[str]] | None:
    """Return each video's hashtags that were too rare for the vocabulary; None of a dataset that was imported without.

    Raises `InputError` when the table is of other videos.
    """
    path = Path(folder) / RARE_TABLE
    if not path.is_file():
        return None
    table = pl.read_parquet(path)
    if table.columns != ["video_id", "hashtags"] or table["video_id"].to_list() != dataset.videos["video_id"].to_list():
        raise InputError(f"{path} is not of this dataset's videos; import again")
    return list(table["hashtags"].to_list())


def describe(words: Sequence[Word], counts: TextCounts, *, own: bool = False) -> tuple[list[Phrase], np.ndarray]:
    """Return the phrases of a text that are no known hashtag and no part of one, once each, with features [N, F].

    A phrase that stands in several places has the largest value of each feature of `WRITTEN`. `own` says that the text
    is one of the counted, and is left out of the counts.
    """
    places: defaultdict[str, list[Phrase]] = defaultdict(list)
    for phrase in phrases_of(words):
        places[phrase.hashtag].append(phrase)
    known = places_of(words, counts.known)
    lines: defaultdict[int, list[Word]] = defaultdict(list)
    for word in words:
        if not word.is_stop:
            lines[word.line].append(word)
    new = [
        same
        for name, same in places.items()
        if name not in counts.known
        and not all(any(left <= item.start and item.end <= right for left, right in known) for item in same)
    ]
    features_NF = np.zeros((len(new), len(FEATURES)))
    half = len(FEATURES) // 2
    for row, same in enumerate(new):
        written = np.max([_written(phrase, words, lines[words[phrase.start].line], known) for phrase in same], axis=0)
        start = half * (len(same[0].words) > 1)
        features_NF[row, start : start + half] = [1, *written, *_counted(same, words, counts, own=own)]
    return [same[0] for same in new], features_NF


def _written(
    phrase: Phrase, words: Sequence[Word], line: Sequence[Word], known: Sequence[tuple[int, int]]
) -> list[float]:
    """Return the features `WRITTEN` of a phrase in one place; `line` has the words of its line but for stop words."""
    start, end = phrase.start, phrase.end
    own = [word for word in words[start:end] if not word.is_stop]
    part = own[0].part
    before = words[start - 1] if start and words[start - 1].part == part else None
    after = words[end] if end < len(words) and words[end].part == part else None
    capital, upper = all(word.is_capital for word in own), all(word.is_upper for word in own)
    cut_left, cut_right = (word is not None and word.is_capital and not word.is_stop for word in (before, after))
    others = max(len(line) - len(own), 1)
    lower = sum(not word.is_capital for word in line) if capital else 0
    not_upper = sum(not word.is_upper for word in line) if upper else 0
    return [
        capital,
        lower / others,
        not_upper / others,
        -(capital and cut_left),
        -(capital and cut_right),
        capital and not cut_left and not cut_right,
        before is None,
        after is None,
        before is None and after is None,
        own[0].after_quote and own[-1].before_quote,
        own[0].line == words[0].line,
        -log(1 + start),
        any(start <= left and right <= end for left, right in known),
    ]


def _counted(same: Sequence[Phrase], words: Sequence[Word], counts: TextCounts, *, own: bool) -> list[float]:
    """Return the features `COUNTED` of a phrase, given with its places."""
    phrase = same[0].words
    each = [counts.elsewhere([word], own=own) for word in phrase]
    together = counts.elsewhere(phrase, own=own)
    in_hashtags = [counts.hashtag_words.get(word, 0) for word in phrase]
    rarity = [log((1 + counts.texts) / (1 + count)) for count in each]
    return [
        len(phrase) / LONGEST,
        log(len(same)),
        max(rarity),
        min(rarity),
        log(1 + together),
        log(1 + together) / log(2 + min(each)),
        float(np.mean([log(1 + count) for count in in_hashtags])),
        all(in_hashtags),
        float(np.mean([not is_english(word) for word in phrase])),
        any(character.isdigit() for word in phrase for character in word),
        sum(map(len, phrase)) / 10,
        log(1 + len(words)),
        any(word.is_stop for word in words[same[0].start : same[0].end]),
        *_in_wordnet(phrase),
    ]


def _in_wordnet(phrase: Sequence[str]) -> list[float]:
    """Return how much of a noun the first and the last word are, which share of words is in no dictionary, and how
    many senses the last one has.
    """
    senses = [noun_senses(word) for word in phrase]
    nouns = [noun / every if every else 0.5 for noun, every in senses]
    return [nouns[0], nouns[-1], float(np.mean([not every for _, every in senses])), log(1 + senses[-1][1])]


def _read(dataset: Dataset, rows: np.ndarray) -> list[list[Word]]:
    return [words_in_place(text) for text in dataset.videos["text"].gather(rows).fill_null("").to_list()]
