"""Text metrics of single videos: written hashtags against true ones. `docs/metrics.md` has every definition."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence

import numpy as np

from data.hashtags import WORD_BREAKS, is_english, normalise

Words = Callable[[str], tuple[str, ...]]
"""Cuts a hashtag into its words, as `data.hashtags.words` does."""

JOINTS = r"[\s_\-'’]*"  # what a hashtag leaves out between the letters of a description
APOSTROPHES = str.maketrans("", "", "'’")
WRITTEN_WITH_SPACES = ("Ll", "Lu", "Lt", "Nd")  # letters with case, digits; words of other scripts may touch


class _WholeWords:
    """The library's own tokenizer keeps a-z and 0-9 alone; here words come apart already, in whatever script."""

    def tokenize(self, words: Sequence[str]) -> Sequence[str]:
        return words


class Rouge:
    """ROUGE-1 and ROUGE-2 F1 of words, by rouge-score (Lin 2004). Needs no spaces, stems nothing."""

    def __init__(self) -> None:
        from rouge_score.rouge_scorer import RougeScorer  # loads NLTK, which takes seconds

        self._scorer = RougeScorer(["rouge1", "rouge2"], tokenizer=_WholeWords())

    def f1(self, written: Sequence[str], true: Sequence[str]) -> tuple[float, float]:
        """Return both for two lists of words; 0 where one of them has no such n-gram."""
        found = self._scorer.score(true, written)
        return float(found["rouge1"].fmeasure), float(found["rouge2"].fmeasure)


def exact_match(written: Collection[str], true: Collection[str]) -> tuple[float, float, float]:
    """Return precision, recall and F1 = 2h / (g + t) of g different written and t (at least 1) true hashtags, h shared.

    An output without hashtags has precision 0.
    """
    written, true = set(written), set(true)
    hits = len(written & true)
    return hits / max(len(written), 1), hits / len(true), 2 * hits / (len(written) + len(true))


def shuffled(hashtags: Sequence[str], *, seed: int, video: int) -> list[str]:
    """Return the hashtags in an order drawn from `seed` and the video's place: a system's own order counts nowhere.

    GGM appendix B.1. Outputs of equal length for one video are ordered alike, whoever wrote them.
    """
    order = np.random.default_rng([seed, video]).permutation(len(hashtags))
    return [hashtags[place] for place in order]


def is_known(words: Collection[str], *, known: Collection[str]) -> bool:
    """Whether each word is a number, a common English word or among the `known` ones."""
    return all(word in known or word.isdigit() or is_english(word) for word in words)


def is_copied(hashtag: str, description: str) -> bool:
    """Whether the hashtag is a run of the description's words, written together ("cold weather" -> `coldweather`).

    White space, '_', '-' and apostrophes count on neither side. Where words are written with spaces the run starts and
    ends with whole words (`art` is not copied from "start"); in Chinese, Thai or Korean it may be any part.
    """
    letters = "".join(WORD_BREAKS.split(hashtag)).translate(APOSTROPHES)
    if not letters:
        return False
    text = normalise(description)
    # JOINTS and the letters share no character, so that no description makes the search slow; the lookahead lets
    # places overlap.
    pattern = f"(?=({JOINTS.join(map(re.escape, letters))}))"
    return any(_is_apart(text, *found.span(1)) for found in re.finditer(pattern, text))


def _is_apart(text: str, start: int, end: int) -> bool:
    """Whether neither end of `text[start:end]` cuts through a word."""
    edges = [(start - 1, start)] * (start > 0) + [(end - 1, end)] * (end < len(text))
    return not any(_is_spaced(text[left]) and _is_spaced(text[right]) for left, right in edges)


def _is_spaced(character: str) -> bool:
    return unicodedata.category(character) in WRITTEN_WITH_SPACES
