"""What spoke for a hashtag: how its score changes when one source is hidden, and what that source said.

Shapes: H hashtags, D embedding, K explained hashtags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data.text import hashtag_words
from graph_builders.hashtag_graph import RELATIONS
from v2ht.bundle import Bundle
from v2ht.inputs import Batch, Post
from v2ht.models.v2ht import V2HT
from v2ht.nn.hashtag_gcn import HashtagGCN


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One source of evidence: what it adds to the score (negative: it spoke against), and what it said."""

    source: str  # user, text, visual, acoustic, graph
    effect: float
    detail: str


class Explainer:
    """Explains the scores of one bundle by leaving sources out, one at a time."""

    def __init__(self, bundle: Bundle, hashtags_HD: Tensor) -> None:
        self.bundle = bundle
        self.hashtags_HD = hashtags_HD
        self.names = bundle.inputs.hashtags["hashtag"].to_list()
        self.gcn: HashtagGCN | None = None
        if isinstance(bundle.model, V2HT) and bundle.model.gcn is not None:
            self.gcn = bundle.model.gcn
            with torch.inference_mode():
                self.shares_E = self.gcn.propagation(bundle.model.initial_embeddings())

    def reasons(self, post: Post, scores_H: Tensor, ids: Sequence[int]) -> list[list[Reason]]:
        """Return the reasons for each hashtag in `ids`, largest effect first."""
        batch = self.bundle.inputs.batch([post])
        without = self._scores_without(batch, ids)
        explained: list[list[Reason]] = []
        for place, number in enumerate(ids):
            found = [
                Reason(source=source, effect=effect, detail=detail)
                for source, scores_K in without.items()
                if (effect := round(float(scores_H[number] - scores_K[place]), 4))
                and (detail := self._detail(source, post, number, scores_H))
            ]
            explained.append(sorted(found, key=lambda reason: -reason.effect))
        return explained

    @torch.inference_mode()
    def _scores_without(self, batch: Batch, ids: Sequence[int]) -> dict[str, Tensor]:
        """Return the scores [K] of the hashtags when each source that this post has is hidden."""
        model, picked = self.bundle.model, torch.as_tensor(list(ids), dtype=torch.int64)
        hidden: dict[str, Tensor] = {}
        if bool(batch.known_B.any()):
            nobody = replace(batch, known_B=torch.zeros_like(batch.known_B))
            hidden["user"] = model.scores(nobody, self.hashtags_HD[picked])[0]
        for name in model.modalities:
            if bool(batch.masks[name].any()):
                masks = {**batch.masks, name: torch.zeros_like(batch.masks[name])}
                hidden[name] = model.scores(replace(batch, masks=masks), self.hashtags_HD[picked])[0]
        if isinstance(model, V2HT) and self.gcn is not None:
            hidden["graph"] = model.scores(batch, model.unlinked_embeddings(picked))[0]
        return hidden

    def _detail(self, source: str, post: Post, hashtag: int, scores_H: Tensor) -> str:
        if source == "user":
            return self._user_detail(post, hashtag)
        if source == "text":
            return self._text_detail(post, hashtag)
        if source == "graph":
            return self._graph_detail(hashtag, scores_H)
        return {
            "visual": "the frames",
            "regions": "the frames",
            "acoustic": "the sound",
            "sentence": "what the text means",
        }.get(source, source)

    def _user_detail(self, post: Post, hashtag: int) -> str:
        history = self.bundle.inputs.history.counts
        uses = int(history[self.bundle.inputs.user_id(post.user), hashtag])
        return (
            f"{post.user} used it in {uses} train {'video' if uses == 1 else 'videos'}"
            if uses
            else (f"like other hashtags of {post.user}")
        )

    def _text_detail(self, post: Post, hashtag: int) -> str:
        inputs = self.bundle.inputs
        text = inputs.words(post.text)
        own = set(hashtag_words(inputs.hashtags["words"][hashtag].to_list()))
        shared = [word for word in text if word in own]
        if shared:
            return f"the text says {', '.join(dict.fromkeys(shared))}"
        return f"the text's words {', '.join(dict.fromkeys(text))}"

    def _graph_detail(self, hashtag: int, scores_H: Tensor) -> str:
        """Name the neighbours that passed on most: propagation weight times how well they fit this post themselves."""
        if self.gcn is None:
            return ""
        pattern = self.gcn.pattern
        start, end = int(pattern.pointers[hashtag]), int(pattern.pointers[hashtag + 1])
        neighbours_E = pattern.columns_E[start:end]
        passed_E = self.shares_E[start:end] * torch.sigmoid(scores_H[neighbours_E])
        best = torch.argsort(passed_E, descending=True, stable=True)[:3].tolist()
        kinds_E = self.gcn.relation_E[start:end]
        return ", ".join(f"#{self.names[int(neighbours_E[n])]} ({RELATIONS[int(kinds_E[n])]})" for n in best)
