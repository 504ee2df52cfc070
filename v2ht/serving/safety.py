"""Hashtags that are not shown: those with a word of the built-in safety list, or of the user's block list (GGM 8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from data.files import InputError
from data.hashtags import normalise, words
from data.text import hashtag_words

UNSAFE_WORDS = Path(__file__).with_name("unsafe_words.txt")
UNSAFE, BLOCKED = "unsafe", "blocked"


class WordFilter:
    """Refuses hashtags by whole words: "scunthorpe" and "class" stay, whatever letters stand in them.

    An entry is a word or a phrase, written like a hashtag or with spaces. It refuses a hashtag when its words stand in
    the hashtag's one after the other, in any case and inflection ("Dogs" is "dog"), or run together as one word. The
    built-in list is English and short; a word that segmentation does not cut out of a hashtag is not seen.

    Args:
        blocked: the user's own entries, beside the built-in list.
    """

    def __init__(self, blocked: Iterable[str] = ()) -> None:
        self._entries: dict[tuple[str, ...], str] = {}
        for kind, lines in ((BLOCKED, blocked), (UNSAFE, UNSAFE_WORDS.read_text(encoding="utf-8").splitlines())):
            for line in lines:
                if name := normalise(line):
                    entry = tuple(hashtag_words(words(name)))
                    self._entries |= {entry: kind, ("".join(entry),): kind}
        self._longest = max(map(len, self._entries))

    @staticmethod
    def read(path: Path | None) -> WordFilter:
        """Return the filter with a block list's entries, one in a line. Raises `InputError` when it cannot be read."""
        if path is None:
            return WordFilter()
        try:
            return WordFilter(Path(path).read_text(encoding="utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"block list {path} cannot be read ({error}); give a text file, one entry in a line"
            ) from None

    def refuses(self, words_of_hashtag: Sequence[str]) -> str | None:
        """Return which list refuses a hashtag of these words, "unsafe" or "blocked"; None when it may be shown."""
        own = hashtag_words(words_of_hashtag)
        for length in range(1, min(self._longest, len(own)) + 1):
            for start in range(len(own) - length + 1):
                if kind := self._entries.get(tuple(own[start : start + length])):
                    return kind
        return None
