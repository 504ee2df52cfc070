"""Phrases of a description: runs of one to four of its words, with what the writing tells of each."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from data.hashtags import WORD_BREAKS, normalise
from data.text import without_addresses

LONGEST = 4  # words
WORDS_READ = 120  # of a description; what follows is mostly links and thanks
# Of scikit-learn's list these may stand at an end of a name (Bill Nye, talk show).
CONTENT = {
    "amount", "bill", "bottom", "call", "cry", "detail", "fire", "front", "interest",
    "mill", "move", "name", "part", "show", "side", "system", "top",
}  # fmt: skip
STOP_WORDS = ENGLISH_STOP_WORDS - CONTENT
MAX_LETTERS = 30  # of a phrase; more is a clause of a script without spaces
APOSTROPHES = "'’"
CONTRACTION = re.compile(r"['’](?:t|ve|re|ll|d|m)$", re.IGNORECASE)
POSSESSIVE = re.compile(r"['’]s$", re.IGNORECASE)
_NO_APOSTROPHES = str.maketrans("", "", APOSTROPHES)
QUOTES = "\"'“”‘’«»„「」『』《》"


@dataclass(frozen=True)
class Word:
    """A word where it stands."""

    written: str
    lower: str  # its normal form, without apostrophes
    line: int
    part: int  # words of one part have nothing but spaces and hyphens between them
    after_quote: bool
    before_quote: bool

    @cached_property
    def bare(self) -> str:
        """The word without the ending of a possessive: it is no part of a name at whose end it stands."""
        return normalise(POSSESSIVE.sub("", self.written).translate(_NO_APOSTROPHES)) or self.lower

    @cached_property
    def is_capital(self) -> bool:
        """Whether it starts with a capital or a digit."""
        return self.written[0].isupper() or self.written[0].istitle() or self.written[0].isdigit()

    @cached_property
    def is_upper(self) -> bool:
        """Whether it is two letters or more, all capitals."""
        return len(self.written) > 1 and self.written.isupper()

    @cached_property
    def is_stop(self) -> bool:
        """Whether it is an English stop word, or ends like "don't", "they've" or "he'll"."""
        return self.bare in STOP_WORDS or CONTRACTION.search(self.written) is not None


@dataclass(frozen=True)
class Phrase:
    """Words `start` to `end` (excluded) of a description."""

    words: tuple[str, ...]
    start: int
    end: int

    @property
    def hashtag(self) -> str:
        """What the phrase is as a hashtag: its words joined."""
        return "".join(self.words)


def joined(words: Iterable[str]) -> str:
    """Return a hashtag's words, or its name, as `Phrase.hashtag` spells them."""
    return "".join("".join(WORD_BREAKS.split(normalise(word))) for word in words).translate(_NO_APOSTROPHES)


def words_in_place(text: str) -> list[Word]:
    """Return the first words of a description; addresses are left out, and a word may be of any script."""
    text = without_addresses(unicodedata.normalize("NFKC", text))
    found: list[Word] = []
    line = part = 0
    place = 0
    while place < len(text) and len(found) < WORDS_READ:
        if not _is_letter(text[place]):
            part += not (text[place] == "-" or (text[place].isspace() and text[place] != "\n"))
            line += text[place] == "\n"
            place += 1
            continue
        end = _end_of_word(text, place)
        lower = normalise(text[place:end].translate(_NO_APOSTROPHES))
        if lower:
            quoted = (text[max(place - 1, 0) : place], text[end : end + 1])
            left, right = (mark != "" and mark in QUOTES for mark in quoted)
            found.append(Word(text[place:end], lower, line, part, left, right))
        place = end
    return found


def phrases_of(words: Sequence[Word]) -> Iterator[Phrase]:
    """Yield every run of one to four words of one part, without stop words at its ends and not digits alone."""
    for start, first in enumerate(words):
        if first.is_stop:
            continue
        for end in range(start + 1, min(start + LONGEST, len(words)) + 1):
            last = words[end - 1]
            if last.part != first.part:
                break
            own = (*(word.lower for word in words[start : end - 1]), last.bare)
            if not last.is_stop and 1 < sum(map(len, own)) <= MAX_LETTERS and not "".join(own).isdigit():
                yield Phrase(own, start, end)


def places_of(words: Sequence[Word], hashtags: Collection[str]) -> list[tuple[int, int]]:
    """Return where runs of words of one part, stop words and all, are one of these joined hashtags."""
    found = []
    for start, first in enumerate(words):
        name = ""
        for end, last in enumerate(words[start : start + 2 * LONGEST], start + 1):
            name += last.lower
            if last.part != first.part:
                break
            if name in hashtags:
                found.append((start, end))
    return found


def _end_of_word(text: str, place: int) -> int:
    """Return where the word that starts at `place` ends; apostrophes inside belong to it."""
    while place < len(text) and (
        _is_letter(text[place])
        or (text[place] in APOSTROPHES and place + 1 < len(text) and _is_letter(text[place + 1]))
    ):
        place += 1
    return place


@lru_cache(maxsize=10_000)
def _is_letter(character: str) -> bool:
    """Whether it is a letter, a mark (vowels of many scripts are) or a digit."""
    return unicodedata.category(character)[0] in "LMN"
