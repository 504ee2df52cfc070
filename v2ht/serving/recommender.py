"""Hashtags for a post that was just written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.files import InputError
from v2ht.bundle import Bundle
from v2ht.inputs import Batch, Post
from v2ht.models.contract import GraphRanker
from v2ht.serving.clips import ClipReader, SentenceReader
from v2ht.serving.explain import Explainer, Reason
from v2ht.serving.novel import NEAR_DUPLICATES, NovelHashtags, Writer, to_write
from v2ht.serving.safety import WordFilter
from v2ht.serving.shelves import SHELVES, best, shelf

BATCH = 32  # posts scored together: more do not fit into the processor's cache


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """One hashtag for one post."""

    hashtag: str
    score: float  # higher is better; of a model trained with the log loss, log-odds against its negatives
    known: bool  # in the vocabulary that the model was trained on
    reasons: list[Reason] = field(default_factory=list)  # strongest first; filled on request
    near: str | None = None  # the hashtag that a new one nearly is
    origin: str | None = None  # of a new one: "in the text" or "written by the generator"

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object, with `near` and `origin` only where they are set."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is recommended for one post, and what became of other candidates: see `NovelHashtags.find`.

    Known hashtags are counted as unsafe or blocked where they would have been among the k.
    """

    items: list[Recommendation]
    counts: Counter[str]


class Recommender:
    """A run that ranks all its hashtags for any post, and new ones that a writer writes.

    An unknown user, a post without text and missing features are normal: the model was trained with stand-ins. What
    `WordFilter` refuses is never shown.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        weights: str | None = None,
        sentences: Path | None = None,
        writer: Writer | None = None,
        block: Path | None = None,
        run: Path | None = None,
    ) -> None:
        self.bundle = bundle
        self._run = run
        self._writer = writer
        self._filter = WordFilter.read(block)
        phrases = bundle.inputs.hashtags["words"].to_list()
        refused = {number: self._filter.refuses(phrase) for number, phrase in enumerate(phrases)}
        self._refused = {number: kind for number, kind in refused.items() if kind is not None}
        self._refused_R = torch.tensor(list(self._refused), dtype=torch.int64)
        self._novel: NovelHashtags | None = None
        self._making = Lock()  # what is made on first use is made once, whichever thread comes first
        self._weights = weights
        self._clips: ClipReader | None = None
        self._sentences: SentenceReader | None = None
        if "sentence" in bundle.model.modalities:
            self._sentences = SentenceReader(bundle.record["features"]["sentence"], sentences)
        self._names = bundle.inputs.hashtags["hashtag"].to_list()
        with torch.inference_mode():
            self._hashtags_HD = bundle.model.hashtag_embeddings()
        if bundle.inputs.memory is not None:  # what evidence counts and compiles once is there before the first post
            bundle.inputs.memory.of_new(np.array([-1]), [""], [None])
        self._explainer = Explainer(bundle, self._hashtags_HD, refused=self._refused)

    @staticmethod
    def load(
        run: Path | str,
        *,
        weights: str | None = None,
        sentences: Path | None = None,
        writer: Writer | Path | str | None = None,
        block: Path | None = None,
    ) -> Recommender:
        """Load a run folder. Raises `InputError` when it is none or is damaged.

        Args:
            run: the folder.
            weights: where the visual network's weights lie, if the run's features were made with a file's or folder's.
            sentences: the sentence encoder's folder, if the run reads sentence vectors.
            writer: where new hashtags come from: a run (phrases that it learned, and the generator of a `ggm` run), or
                anything that can `write`; by default the run itself.
            block: a text file of hashtags, words or phrases that are not shown, one in a line.
        """
        if isinstance(writer, Path | str):
            from v2ht.serving.writer import writer_of  # its libraries are slow to import

            writer = writer_of(writer)
        return Recommender(
            Bundle.load(Path(run)), weights=weights, sentences=sentences, writer=writer, block=block, run=Path(run)
        )

    def read_clip(self, path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Return a clip's features as this run reads them, by modality, and the seconds of each stage.

        Raises `InputError` (`ClipError`) when the file is no clip, or the run reads no clips.
        """
        with self._making:
            self._clips = self._clips or ClipReader(
                self.bundle.record.get("features", {}), self.bundle.model.modalities, weights=self._weights
            )
        return self._clips.read(Path(path))

    def unknown(self, attributes: Mapping[str, str]) -> list[str]:
        """Return those of the attributes whose value no train user has. Raises `InputError` as `recommend` does."""
        known = self.bundle.inputs.attributes
        return [name for name, value in attributes.items() if not all(known.given({name: value}).values())]

    def recommend(
        self,
        *,
        video: Path | str | Mapping[str, np.ndarray] | None = None,
        user: str | None = None,
        description: str | None = None,
        attributes: Mapping[str, str] | None = None,
        sound: str | None = None,
        k: int = 10,
        new_only: bool = False,
        explain: bool = False,
        novel: int = 0,
        near_duplicates: str = "demote",
        diversity: float = 0.0,
    ) -> list[Recommendation]:
        """Return the k best hashtags for one post, best first, and among them up to `novel` that it does not know.

        Args:
            video: a clip's path; or feature sequences by modality, each [steps, size], as the run was trained on;
                None without.
            user: the author's name; None or an unknown name for somebody new.
            description: what the author wrote.
            attributes: gender, age (years or a band) or country of the author, as far as the run was trained with them;
                they stand over what the run knows. A value that no train user has counts as unknown.
            sound: the name of the post's sound, as the table that the run learned from names sounds.
            k: how many, at least 1; fewer come back when the vocabulary is smaller.
            new_only: leave out what the user used in train ("new for you").
            explain: fill `reasons`.
            novel: how many new hashtags, beside the k known ones, at most; they need a source and a graph to join.
            near_duplicates: of new hashtags: "demote" them behind all others, "merge" them into what they repeat, or
                "keep" them where they are.
            diversity: from 0 to below 1, how much a known hashtag counts less that says what one before it says.
        """
        features = self.read_clip(video)[0] if isinstance(video, Path | str) else dict(video or {})
        post = Post(
            text=description or "", user=user, features=features, attributes=dict(attributes or {}), sound=sound
        )
        (shown,) = self.show(
            [post],
            k=k,
            new_only=new_only,
            explain=explain,
            novel=novel,
            near_duplicates=near_duplicates,
            diversity=diversity,
        )
        return shown.items

    def recommend_batch(
        self, posts: Sequence[Post], *, k: int = 10, new_only: bool = False, explain: bool = False
    ) -> list[list[Recommendation]]:
        """Return `recommend` of each post. Raises `InputError` when k, features or attributes are unfit."""
        return [shown.items for shown in self.show(posts, k=k, new_only=new_only, explain=explain)]

    def show(
        self,
        posts: Sequence[Post],
        *,
        k: int = 10,
        new_only: bool = False,
        explain: bool = False,
        novel: int = 0,
        near_duplicates: str = "demote",
        diversity: float = 0.0,
    ) -> list[Shown]:
        """Return what `recommend` returns of each post, with the counts of what is not shown."""
        for name, value, least in (("k", k, 1), ("novel", novel, 0)):
            _check_count(name, value, least)
        if near_duplicates not in NEAR_DUPLICATES:
            raise InputError(f"near_duplicates is {near_duplicates!r}; choose one of {', '.join(NEAR_DUPLICATES)}")
        found: list[Shown] = []
        for start in range(0, len(posts), BATCH):
            part = [self.complete(post) for post in posts[start : start + BATCH]]
            batch = self.bundle.inputs.batch(part)
            scores_BH = self._scores(batch)
            if new_only:
                scores_BH = shelf("new for you", scores_BH, self._used(batch))
            shown = self._known(part, scores_BH, k=k, explain=explain, diversity=diversity)
            if novel:
                new = self._new(part, batch, scores_BH, n=novel, near_duplicates=near_duplicates, explain=explain)
                last = near_duplicates == "demote"
                shown = [_merged(*pair, last=last) for pair in zip(shown, new, strict=True)]
            found += shown
        return found

    def shelves(
        self, posts: Sequence[Post], *, k: int = 10, explain: bool = False, diversity: float = 0.0
    ) -> list[dict[str, list[Recommendation]]]:
        """Return for each post the k best hashtags that its author used in train ("yours"), and that he did not yet.

        Both shelves come from the same scores. That of somebody unknown has nothing on the first.
        """
        _check_count("k", k, 1)
        found: list[dict[str, list[Recommendation]]] = []
        for start in range(0, len(posts), BATCH):
            part = [self.complete(post) for post in posts[start : start + BATCH]]
            batch = self.bundle.inputs.batch(part)
            scores_BH, used = self._scores(batch), self._used(batch)
            on = {
                name: self._known(part, shelf(name, scores_BH, used), k=k, explain=explain, diversity=diversity)
                for name in SHELVES
            }
            found += [{name: shown[row].items for name, shown in on.items()} for row in range(len(part))]
        return found

    def complete(self, post: Post) -> Post:
        """Return the post with the vector of its text, unless it has one or the run reads none."""
        if self._sentences is None or "sentence" in post.features:
            return post
        return replace(post, features={**post.features, "sentence": self._sentences.read(post.text)})

    def _scores(self, batch: Batch) -> Tensor:
        """Return the scores of all known hashtags, [B, H]."""
        with torch.no_grad():
            return self.bundle.model.scores(batch, self._hashtags_HD)

    def _used(self, batch: Batch) -> list[np.ndarray]:
        return [self.bundle.inputs.known_hashtags(user) for user in batch.user_B.tolist()]

    def _embeddings(self, diversity: float) -> Tensor | None:
        """Return the propagated hashtags, [H, D], by which they are compared; None where nothing is compared."""
        if not 0 <= diversity < 1:
            raise InputError(f"diversity is {diversity}; choose a number from 0 to below 1")
        if not diversity:
            return None
        model = self.bundle.model
        if not isinstance(model, GraphRanker):
            raise InputError(
                f"diversity compares embeddings of hashtags, which {self.bundle.model_name} does not have; leave it out"
            )
        with torch.inference_mode():
            initial_HD = model.initial_embeddings()
            return initial_HD if model.gcn is None else model.gcn(initial_HD)

    def _known(
        self, posts: Sequence[Post], scores_BH: Tensor, *, k: int, explain: bool, diversity: float
    ) -> list[Shown]:
        """Return the hashtags to show of each post; `scores_BH` gets -inf where one may not be shown."""
        refused_BR = scores_BH[:, self._refused_R]
        scores_BH[:, self._refused_R] = float("-inf")
        ids_BK, values_BK = best(scores_BH, k, diversity=diversity, embeddings_HD=self._embeddings(diversity))
        results = []
        for row, post in enumerate(posts):
            ids = [number for number in ids_BK[row].tolist() if number >= 0]
            reasons = self._explainer.reasons(post, scores_BH[row], ids) if explain else [[] for _ in ids]
            items = [
                Recommendation(
                    hashtag=self._names[number],
                    score=round(score, 4),
                    known=number < self.bundle.inputs.num_trained,
                    reasons=why,
                )
                for number, score, why in zip(ids, values_BK[row].tolist(), reasons, strict=False)
            ]
            missed = (refused_BR[row] > values_BK[row].min()).tolist()
            counts = Counter(kind for kind, out in zip(self._refused.values(), missed, strict=True) if out)
            results.append(Shown(items=items, counts=counts))
        return results

    def _new(
        self,
        posts: Sequence[Post],
        batch: Batch,
        scores_BH: Tensor,
        *,
        n: int,
        near_duplicates: str,
        explain: bool,
    ) -> list[Shown]:
        """Return the n best new hashtags of each post. Raises `InputError` without a writer."""
        with self._making:
            self._novel = self._novel or NovelHashtags(self.bundle, self._filter)
            self._writer = self._writer or self._own_writer()
        written = self._writer.write(posts, to_write(n))
        nodes, found, counts = self._novel.find(written, batch, n=n, near_duplicates=near_duplicates)
        results = []
        for row, (post, candidates) in enumerate(zip(posts, found, strict=True)):
            places = [candidate.place for candidate in candidates]
            of_new = self._explainer.reasons_of_new
            reasons = of_new(post, scores_BH[row], nodes, places) if explain and places else [[] for _ in places]
            items = [
                Recommendation(
                    hashtag=nodes.hashtags[candidate.place],
                    score=round(candidate.score, 4),
                    known=False,
                    reasons=why,
                    near=candidate.near,
                    origin=candidate.origin,
                )
                for candidate, why in zip(candidates, reasons, strict=True)
            ]
            results.append(Shown(items=items, counts=counts[row]))
        return results

    def _own_writer(self) -> Writer:
        if self._run is None:
            raise InputError("new hashtags need somebody who writes them; name a run with --writer")
        from v2ht.serving.writer import writer_of  # its libraries are slow to import

        return writer_of(self._run, bundle=self.bundle)


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} is {value!r}; ask for a whole number of hashtags, at least {least}")


def _merged(known: Shown, new: Shown, *, last: bool) -> Shown:
    """Return both as one list: a new hashtag before the first known one of a smaller score; near-duplicates `last`."""
    items = list(known.items)  # in their order, which diversity may have changed
    for item in sorted(new.items, key=lambda item: (last and item.near is not None, -item.score)):
        behind = last and item.near is not None
        smaller = (place for place, other in enumerate(items) if other.score < item.score and not behind)
        items.insert(next(smaller, len(items)), item)
    return Shown(items=items, counts=known.counts + new.counts)
