"""One hashtag at a time: its normal form, which is its identity, and the words that it is made of."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import wordninja
from spellchecker import SpellChecker

ZERO_WIDTH_JOINER = "\u200d"
JOINERS = ("\u200c", ZERO_WIDTH_JOINER)
EMOJI_SELECTORS = ("\ufe0e", "\ufe0f")
KEYCAP = "\u20e3"
BLACK_FLAG = "\U0001f3f4"
VIRAMA_CLASS = 9
# Letters, marks and symbols that nobody sees; all other invisible characters have category Cc or Cf.
BLANK_CHARACTERS = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0")
LEADING_HASHES = re.compile(r"^(?:#(?!\ufe0f?\u20e3)|\s)+")  # but the keycap emoji # stays
WORD_BREAKS = re.compile(r"[\s_\-]+")
LATIN_TOKEN = re.compile(r"[a-z0-9]+")
MIN_MEAN_PIECE = 3  # characters
# Occurrences in the spelling dictionary's corpus that make a word common. Short ones are often names or remnants.
MIN_COUNT = 100
MIN_COUNT_SHORT = 1000
SHORT = 4  # characters


def normalise(hashtag: str) -> str:
    """Return the hashtag's normal form, which may be empty; normalising it again changes nothing.

    NFKC and case folding; no leading '#', no invisible or control characters, white space collapsed. Joiners and
    variation selectors stay inside emoji, and joiners after a virama (Indic scripts spell with them).
    """
    before = None
    while before != hashtag:  # a dropped character can bring two together that compose
        before = hashtag
        hashtag = LEADING_HASHES.sub("", " ".join(_drop_invisible(fold(hashtag)).split()))
    return hashtag


def fold(text: str) -> str:
    """Return the text in NFKC with case folded, the form in which texts and hashtags are compared."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _drop_invisible(text: str) -> str:
    kept: list[str] = []
    for place, character in enumerate(text):
        previous, following = (kept[-1] if kept else ""), text[place + 1 : place + 2]
        if _is_visible(character) or _has_a_task(previous, character, following):
            kept.append(character)
    return "".join(kept)


def _is_visible(character: str) -> bool:
    if "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef":  # variation selectors
        return False
    if character.isspace():
        return True
    return unicodedata.category(character) not in ("Cc", "Cf") and character not in BLANK_CHARACTERS


def _has_a_task(previous: str, character: str, following: str) -> bool:
    """Whether an invisible character is needed: in an emoji sequence, or as a joiner after a virama."""
    if character in EMOJI_SELECTORS:
        return following == KEYCAP or _is_symbol(previous)
    if "\U000e0020" <= character <= "\U000e007f":  # the letters of flags such as Scotland's
        return previous == BLACK_FLAG or "\U000e0020" <= previous <= "\U000e007e"
    if character in JOINERS and previous and unicodedata.combining(previous) == VIRAMA_CLASS:
        return True
    after_emoji = _is_symbol(previous) or previous in EMOJI_SELECTORS
    return character == ZERO_WIDTH_JOINER and after_emoji and _is_symbol(following)


def _is_symbol(character: str) -> bool:
    """Whether this can be part of an emoji: a symbol, or unassigned here (an emoji newer than this Python)."""
    return character != "" and (unicodedata.category(character)[0] == "S" or unicodedata.category(character) == "Cn")


def words(hashtag: str, *, segment: bool = True) -> tuple[str, ...]:
    """Return the words of a normalised hashtag, at least one.

    It is split at white space, '_' and '-'; then, with `segment`, each part of Latin letters and digits is cut into
    English words ('kiddancer' -> 'kid', 'dancer'). Other scripts stay as they are.
    """
    tokens = [token for token in WORD_BREAKS.split(hashtag) if token]
    if not segment:
        return tuple(tokens) or (hashtag,)
    return tuple(piece for token in tokens for piece in _segment(token)) or (hashtag,)


def _segment(token: str) -> list[str]:
    """Cut a token into English words, or keep it whole where the cut makes no sense.

    The word splitter shatters other languages and names ('xuhuong' -> 'xu', 'huon', 'g'; 'mukbang' -> 'muk', 'bang').
    So every piece must be a number or a common English word, and long enough on average.
    """
    if not LATIN_TOKEN.fullmatch(token):
        return [token]
    pieces: list[str] = wordninja.split(token)
    english = all(len(piece) > 1 and (piece.isdigit() or is_english(piece)) for piece in pieces)
    sensible = english and len(token) >= MIN_MEAN_PIECE * len(pieces) and "".join(pieces) == token
    return pieces if sensible else [token]


def is_english(word: str) -> bool:
    """Whether a word in lower case is a common one of the English spelling dictionary."""
    return int(dictionary()[word]) >= (MIN_COUNT_SHORT if len(word) <= SHORT else MIN_COUNT)


@lru_cache(maxsize=1)
def dictionary() -> SpellChecker:
    """Return the English spelling dictionary (edit distance 1); loading it takes half a second, once."""
    return SpellChecker(language="en", distance=1)
