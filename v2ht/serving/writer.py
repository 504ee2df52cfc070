"""A `ggm` run as a writer: hashtags, known and new, for posts that are in no dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data.files import InputError
from v2ht.bundle import Bundle
from v2ht.inputs import Post
from v2ht.writing import HashtagWriter, Written

BATCH = 32  # posts written for together

__all__ = ["Writer", "Written"]


class Writer:
    """Anything with `write(posts, n)` is a writer; this one is a run's generator.

    Args:
        run: the folder of a `ggm` run.
        bundle: that run, if it has been read already.

    Raises `InputError` when the run is none, another model's, or has no trained generator yet.
    """

    def __init__(self, run: Path | str, *, bundle: Bundle | None = None) -> None:
        self.bundle = bundle if bundle is not None else Bundle.load(Path(run))
        self._writer = HashtagWriter.load(Path(run), self.bundle)

    def write(self, posts: Sequence[Post], n: int | None = None) -> list[list[Written]]:
        """Return the hashtags of each post, best first: at most `n`, or as many as the best output has."""
        if n is not None and n < 1:
            raise InputError(f"n is {n}; ask for at least 1 hashtag")
        parts = [posts[start : start + BATCH] for start in range(0, len(posts), BATCH)]
        return [row for part in parts for row in self._part(part, n)]

    def _part(self, posts: Sequence[Post], n: int | None) -> list[list[Written]]:
        own = [self._readable(post) for post in posts]
        return self._writer.write([post.text for post in own], self.bundle.inputs.batch(own), n=n)

    def _readable(self, post: Post) -> Post:
        """Leave out what this run was trained without: a post may have been read for another run, which ranks."""
        inputs = self.bundle.inputs
        return replace(
            post,
            features={name: steps for name, steps in post.features.items() if name in inputs.feature_sizes},
            attributes={name: value for name, value in post.attributes.items() if name in inputs.attributes.values},
        )
