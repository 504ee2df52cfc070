"""A run as a writer: hashtags, known and new, for posts that are in no dataset."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from data.files import InputError
from data.text import without_addresses
from v2ht.bundle import Bundle
from v2ht.evaluation.text_metrics import is_copied
from v2ht.inputs import Post
from v2ht.models.ggm.settings import GGMSettings
from v2ht.phrases import FOLDER as PHRASES
from v2ht.phrases import PhraseModel, trained_hashtags
from v2ht.serving import novel
from v2ht.serving.phrases import PhraseWriter, Together
from v2ht.writing import HashtagWriter, Written

BATCH = 32  # posts written for together
ALL = 1000  # more than all outputs of a post hold
SURE = 0.3  # score of a new hashtag below which it is not recommended, as read on validation posts
FITTING = 50  # known hashtags of a post, best first, that a new one may be made of
Words = tuple[str, ...]

__all__ = ["Writer", "Written", "writer_of"]


def writer_of(run: Path | str, *, bundle: Bundle | None = None) -> novel.Writer:
    """Return who writes new hashtags for a run: phrases of the post's text first, where it has learned any, then the
    generator of a `ggm` run. Raises `InputError` when the run has neither.
    """
    bundle = bundle if bundle is not None else Bundle.load(Path(run))
    folder = Path(run) / PHRASES
    writers: list[novel.Writer] = []
    if folder.is_dir():
        writers.append(PhraseWriter(PhraseModel.load(folder, trained_hashtags(bundle.inputs.hashtags))))
    if isinstance(bundle.model_settings, GGMSettings) and bundle.model_settings.writes is not None:
        writers.append(Writer(run, bundle=bundle, least=SURE))
    if not writers:
        raise InputError(
            f"{run} has learned no phrases and has no generator, so nothing that new hashtags could come from. Phrases "
            "are learned from hashtags too rare for the vocabulary: import the table again with the same options, then "
            "`v2ht train --resume`; where train texts hold too few of these, name a ggm run with --writer"
        )
    return writers[0] if len(writers) == 1 else Together(*writers)


class Writer:
    """Anything with `write(posts, n)` is a writer; this one is a run's generator.

    A small generator also writes what is no hashtag ("talktalk", "funnydairy"). Of what is new, one word must stand in
    the post. Several words must be different, and made of parts that each stand in the post, word after word, or are
    one of the `FITTING` known hashtags that fit the post best.

    Args:
        run: the folder of a `ggm` run.
        bundle: that run, if it has been read already.
        least: score below which a new hashtag is left out.

    Raises `InputError` when the run is none, another model's, or has no trained generator yet.
    """

    def __init__(self, run: Path | str, *, bundle: Bundle | None = None, least: float = 0.0) -> None:
        self._least = least
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
        asked = n if n is None or self._writer.generator is None else ALL  # what makes no sense leaves no gap
        batch = self.bundle.inputs.batch(own)
        written = self._writer.write([post.text for post in own], batch, n=asked)
        fitting = [{item.words for item in row} for row in self._writer.ranked(batch, FITTING)]
        return [
            [
                item
                for item in items
                if item.known or (item.score >= self._least and self.makes_sense(item.words, post.text, fit))
            ][:n]
            for post, items, fit in zip(own, written, fitting, strict=True)
        ]

    def makes_sense(self, words: Words, text: str, fitting: Collection[Words]) -> bool:
        """Whether a new hashtag of these words makes sense for a post, as the class says."""
        text = without_addresses(text)
        if len(words) == 1:
            return is_copied(words[0], text)

        def stands(part: Words) -> bool:
            return part in fitting or (not ENGLISH_STOP_WORDS.issuperset(part) and is_copied("".join(part), text))

        return len(set(words)) == len(words) and _is_made_of(words, stands)

    def _readable(self, post: Post) -> Post:
        """Leave out what this run was trained without: a post may have been read for another run, which ranks."""
        inputs = self.bundle.inputs
        return replace(
            post,
            features={name: steps for name, steps in post.features.items() if name in inputs.feature_sizes},
            attributes={name: value for name, value in post.attributes.items() if name in inputs.attributes.values},
        )


def _is_made_of(words: Words, stands: Callable[[Words], bool]) -> bool:
    """Whether words can be cut into parts that all stand."""
    return not words or any(stands(words[:n]) and _is_made_of(words[n:], stands) for n in range(1, len(words) + 1))
