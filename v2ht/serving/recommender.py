"""Hashtags for a post that was just written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.files import InputError
from v2ht.bundle import Bundle
from v2ht.inputs import Post
from v2ht.nn.top_k import top_k
from v2ht.serving.clips import ClipReader, SentenceReader
from v2ht.serving.explain import Explainer, Reason

BATCH = 128  # posts scored together


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """One hashtag for one post."""

    hashtag: str
    score: float  # higher is better; of a model trained with the log loss, log-odds against its negatives
    known: bool  # in the vocabulary that the model was trained on
    reasons: list[Reason] = field(default_factory=list)  # strongest first; filled on request

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


class Recommender:
    """A run that ranks all its hashtags for any post.

    An unknown user, a post without text and missing features are normal: the model was trained with stand-ins.
    """

    def __init__(self, bundle: Bundle, *, weights: str | None = None, sentences: Path | None = None) -> None:
        self.bundle = bundle
        self._weights = weights
        self._clips: ClipReader | None = None
        self._sentences: SentenceReader | None = None
        if "sentence" in bundle.model.modalities:
            self._sentences = SentenceReader(bundle.record["features"]["sentence"], sentences)
        self._names = bundle.inputs.hashtags["hashtag"].to_list()
        with torch.inference_mode():
            self._hashtags_HD = bundle.model.hashtag_embeddings()
        self._explainer = Explainer(bundle, self._hashtags_HD)

    @staticmethod
    def load(run: Path | str, *, weights: str | None = None, sentences: Path | None = None) -> Recommender:
        """Load a run folder. Raises `InputError` when it is none or is damaged.

        Args:
            run: the folder.
            weights: where the visual network's weights lie, if the run's features were made with a file's or folder's.
            sentences: the sentence encoder's folder, if the run reads sentence vectors.
        """
        return Recommender(Bundle.load(Path(run)), weights=weights, sentences=sentences)

    def read_clip(self, path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Return a clip's features as this run reads them, by modality, and the seconds of each stage.

        Raises `InputError` (`ClipError`) when the file is no clip, or the run reads no clips.
        """
        if self._clips is None:
            self._clips = ClipReader(
                self.bundle.record.get("features", {}), self.bundle.model.modalities, weights=self._weights
            )
        return self._clips.read(Path(path))

    def recommend(
        self,
        *,
        video: Path | str | Mapping[str, np.ndarray] | None = None,
        user: str | None = None,
        description: str | None = None,
        k: int = 10,
        new_only: bool = False,
        explain: bool = False,
    ) -> list[Recommendation]:
        """Return the k best hashtags for one post, best first.

        Args:
            video: a clip's path; or feature sequences by modality, each [steps, size], as the run was trained on;
                None without.
            user: the author's name; None or an unknown name for somebody new.
            description: what the author wrote.
            k: how many, at least 1; fewer come back when the vocabulary is smaller.
            new_only: leave out what the user used in train ("new for you").
            explain: fill `reasons`.
        """
        features = self.read_clip(video)[0] if isinstance(video, Path | str) else dict(video or {})
        post = Post(text=description or "", user=user, features=features)
        return self.recommend_batch([post], k=k, new_only=new_only, explain=explain)[0]

    def recommend_batch(
        self, posts: Sequence[Post], *, k: int = 10, new_only: bool = False, explain: bool = False
    ) -> list[list[Recommendation]]:
        """Return `recommend` of each post. Raises `InputError` when k or features are unfit."""
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise InputError(f"k is {k!r}; ask for a whole number of hashtags, at least 1")
        parts = [posts[start : start + BATCH] for start in range(0, len(posts), BATCH)]
        return [found for part in parts for found in self._recommend(part, k=k, new_only=new_only, explain=explain)]

    def _with_sentence(self, post: Post) -> Post:
        """Return the post with the vector of its text, unless it has one or the run reads none."""
        if self._sentences is None or "sentence" in post.features:
            return post
        return replace(post, features={**post.features, "sentence": self._sentences.read(post.text)})

    def _recommend(self, posts: Sequence[Post], *, k: int, new_only: bool, explain: bool) -> list[list[Recommendation]]:
        posts = [self._with_sentence(post) for post in posts]
        batch = self.bundle.inputs.batch(posts)
        with torch.no_grad():
            scores_BH = self.bundle.model.scores(batch, self._hashtags_HD)
        if new_only:
            for row, user in enumerate(batch.user_B.tolist()):
                scores_BH[row, self.bundle.inputs.known_hashtags(user)] = float("-inf")
        ids_BK, values_BK = top_k(scores_BH, k)
        results = []
        for row, post in enumerate(posts):
            ids = [number for number in ids_BK[row].tolist() if number >= 0]
            reasons = self._explainer.reasons(post, scores_BH[row], ids) if explain else [[] for _ in ids]
            results.append(
                [
                    Recommendation(hashtag=self._names[number], score=round(score, 4), known=True, reasons=why)
                    for number, score, why in zip(ids, values_BK[row].tolist(), reasons, strict=False)
                ]
            )
        return results
