"""A `ggm` run as a writer: hashtags, known and new, for posts that are in no dataset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data.files import InputError
from data.text import without_addresses
from v2ht.bundle import Bundle
from v2ht.evaluation.text_metrics import is_copied, is_known
from v2ht.inputs import Post
from v2ht.writing import HashtagWriter, Written

BATCH = 32  # posts written for together
ALL = 1000  # more than all outputs of a post hold

__all__ = ["Writer", "Written"]


class Writer:
    """Anything with `write(posts, n)` is a writer; this one is a run's generator.

    A small generator also writes what is no hashtag ("talktalk", "howtopgraphics"). A new one is left out when it says
    a word twice, or is made of anything but words of known hashtags, words of the post and common English words.

    Args:
        run: the folder of a `ggm` run.
        bundle: that run, if it has been read already.

    Raises `InputError` when the run is none, another model's, or has no trained generator yet.
    """

    def __init__(self, run: Path | str, *, bundle: Bundle | None = None) -> None:
        self.bundle = bundle if bundle is not None else Bundle.load(Path(run))
        self._writer = HashtagWriter.load(Path(run), self.bundle)
        self._words = {word for words in self.bundle.inputs.hashtags["words"].to_list() for word in words}

    def write(self, posts: Sequence[Post], n: int | None = None) -> list[list[Written]]:
        """Return the hashtags of each post, best first: at most `n`, or as many as the best output has."""
        if n is not None and n < 1:
            raise InputError(f"n is {n}; ask for at least 1 hashtag")
        parts = [posts[start : start + BATCH] for start in range(0, len(posts), BATCH)]
        return [row for part in parts for row in self._part(part, n)]

    def _part(self, posts: Sequence[Post], n: int | None) -> list[list[Written]]:
        own = [self._readable(post) for post in posts]
        asked = n if n is None or self._writer.generator is None else ALL  # what makes no sense leaves no gap
        written = self._writer.write([post.text for post in own], self.bundle.inputs.batch(own), n=asked)
        return [
            [item for item in items if item.known or self.makes_sense(item, post.text)][:n]
            for post, items in zip(own, written, strict=True)
        ]

    def makes_sense(self, item: Written, text: str) -> bool:
        """Whether a new hashtag is made of different words that are known, or stand in the post one after the other."""
        if len(set(item.words)) < len(item.words):
            return False
        return is_copied(item.hashtag, text) or is_known(item.words, known={*self._words, *words_of(text)})

    def _readable(self, post: Post) -> Post:
        """Leave out what this run was trained without: a post may have been read for another run, which ranks."""
        inputs = self.bundle.inputs
        return replace(
            post,
            features={name: steps for name, steps in post.features.items() if name in inputs.feature_sizes},
            attributes={name: value for name, value in post.attributes.items() if name in inputs.attributes.values},
        )


def words_of(text: str) -> set[str]:
    """Return the words of a description as they are written there, in lower case."""
    return set(re.findall(r"\w+", without_addresses(text).lower()))
