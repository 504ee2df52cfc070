"""Words of a description: what the text encoder reads and what Word2Vec learns from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import simplemma
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")  # letters and digits of any script, inner apostrophes kept
_ADDRESS = re.compile(r"(?<!\S)[^\s@]++@\S+|(?:https?://|www\.)\S+|@\w+")  # e-mail addresses, links, mentions


def text_words(text: str) -> list[str]:
    """Return the words of `text` in order: lower case, no links or mentions, no English stop words, lemmatised.

    V2HT section 4.2. Departs from the paper: words of other languages stay (they are looked up like any other), where
    the paper drops everything that is not English.
    """
    found = _WORD.findall(without_addresses(text).lower())
    return [_lemma(word) for word in found if word not in ENGLISH_STOP_WORDS]


def without_addresses(text: str) -> str:
    """Return `text` with e-mail addresses, links and mentions replaced by a space."""
    return _ADDRESS.sub(" ", text)


@lru_cache(maxsize=200_000)
def _lemma(word: str) -> str:
    return str(simplemma.lemmatize(word, lang="en")).lower() if word.isascii() and len(word) <= 40 else word


def hashtag_words(words_of_hashtag: Sequence[str]) -> list[str]:
    """Return a hashtag's own words in the form in which `text_words` gives a description's."""
    return [_lemma(word.lower()) for word in words_of_hashtag]
