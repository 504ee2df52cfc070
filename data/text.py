"""Words of a description: what the text encoder reads and what Word2Vec learns from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import regex
import simplemma
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from data.hashtags import fold

# Letters and digits of any script, with the marks on them: accents, vowel signs. Thai, Lao, Khmer and Burmese write no
# spaces between words; there marks divide what would be one long word.
_LETTER = r"[\p{L}\p{N}]"
_MARK = r"[\p{Mn}\p{Mc}--\p{Thai}--\p{Lao}--\p{Khmer}--\p{Myanmar}--[\uFE00-\uFE0F]]"
WORD = rf"(?:{_LETTER}(?:{_LETTER}|{_MARK})*)"  # for the module regex, version 1
_WORD = regex.compile(rf"{WORD}(?:['’]{WORD})*", regex.VERSION1)  # inner apostrophes kept
_ADDRESS = re.compile(r"(?<!\S)[^\s@]++@\S+|(?:https?://|www\.)\S+|@\w+")  # e-mail addresses, links, mentions


def text_words(text: str) -> list[str]:
    """Return the words of `text` in order: case folded, no links or mentions, no English stop words, lemmatised.

    V2HT section 4.2. Departs from the paper: words of other languages stay (they are looked up like any other), where
    the paper drops everything that is not English.
    """
    found = _WORD.findall(fold(without_addresses(text)))
    return [_lemma(word) for word in found if word not in ENGLISH_STOP_WORDS]


def without_addresses(text: str) -> str:
    """Return `text` with e-mail addresses, links and mentions replaced by a space."""
    return _ADDRESS.sub(" ", text)


@lru_cache(maxsize=200_000)
def _lemma(word: str) -> str:
    return str(simplemma.lemmatize(word, lang="en")).lower() if word.isascii() and len(word) <= 40 else word


def hashtag_words(words_of_hashtag: Sequence[str]) -> list[str]:
    """Return a hashtag's own words in the form in which `text_words` gives a description's."""
    return [_lemma(fold(word)) for word in words_of_hashtag]
