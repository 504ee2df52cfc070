"""Hashtags that are nearly the same: cat, cats; catlover, cat lover, cat_lovers; photography, photograpy."""

from __future__ import annotations

import re
from collections.abc import Sequence

from data.hashtags import dictionary, is_english
from data.text import hashtag_words

LONG = 8  # letters; one slip in a shorter word often makes another word


class NearDuplicates:
    """Remembers hashtags and finds the one that another nearly is.

    Two hashtags are nearly the same when the lemmas of their words, joined, are equal; or when these are long, one edit
    apart (a letter left out, put in, changed, or two swapped), and not both made of English words, which differ for a
    reason (invention, intention). Numbers must be equal (summer2024, summer2025).
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, tuple[str, ...]]] = {}

    def add(self, hashtag: str, words: Sequence[str]) -> None:
        """Remember a hashtag; of several that are equal, the first."""
        self._known.setdefault(_key(words), (hashtag, tuple(words)))

    def find(self, words: Sequence[str]) -> str | None:
        """Return the remembered hashtag that one of these words nearly is, or None."""
        key = _key(words)
        if key in self._known:
            return self._known[key][0]
        if len(key) < LONG:
            return None
        slips = sorted(slip for slip in dictionary().edit_distance_1(key) if slip in self._known)
        for slip in slips:
            hashtag, other = self._known[slip]
            if len(slip) >= LONG and _digits(slip) == _digits(key) and not (_english(words) and _english(other)):
                return hashtag
        return None


def _key(words: Sequence[str]) -> str:
    return "".join(hashtag_words(words))


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _english(words: Sequence[str]) -> bool:
    return all(is_english(word.lower()) for word in words)
