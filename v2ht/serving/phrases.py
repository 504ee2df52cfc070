"""Phrases of a post's own text as new hashtags, beside what a generator writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from data.hashtags import normalise
from v2ht.inputs import Post
from v2ht.phrases import PhraseModel
from v2ht.serving.novel import Writer
from v2ht.writing import Written

LEAST = 0.25  # probability below which a phrase is not proposed; chosen on validation posts (experiments/ggm/README.md)


@dataclass(frozen=True, kw_only=True)
class InText(Written):
    """A new hashtag that stands in the post's text; its score is its probability."""

    origin: ClassVar[str] = "in the text"


class PhraseWriter:
    """Proposes phrases of posts; of phrases that share a word only the likeliest.

    Args:
        model: how likely a phrase is a hashtag.
        least: probability below which none is proposed.
    """

    def __init__(self, model: PhraseModel, *, least: float = LEAST) -> None:
        self._model, self._least = model, least

    def write(self, posts: Sequence[Post], n: int) -> list[list[Written]]:
        """Return phrases of each post that are no known hashtag, the likeliest first, at most n."""
        return [self._of(post.text)[:n] for post in posts]

    def _of(self, text: str) -> list[Written]:
        kept: list[Written] = []
        taken: set[str] = set()
        for phrase, probability in self._model.likely(text):
            if probability < self._least:
                break
            hashtag = normalise(phrase.hashtag)
            if hashtag and taken.isdisjoint(phrase.words):
                kept.append(InText(hashtag=hashtag, words=phrase.words, score=probability, known=False))
                taken.update(phrase.words)
        return kept


class Together:
    """Several writers as one: what the first writes stands before what the next one writes."""

    def __init__(self, *writers: Writer) -> None:
        self._writers = writers

    def write(self, posts: Sequence[Post], n: int) -> list[list[Written]]:
        """Return what all write for each post, at most n."""
        rows = zip(*(writer.write(posts, n) for writer in self._writers), strict=True)
        return [[item for part in parts for item in part][:n] for parts in rows]
