"""What spoke for a hashtag: how its score changes when one source is hidden, and what that source said.

Shapes: H hashtags, D embedding, K explained hashtags.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.text import hashtag_words
from graph_builders.explain import why
from graph_builders.hashtag_graph import RELATIONS
from v2ht.bundle import Bundle
from v2ht.inputs import Post
from v2ht.models.contract import GraphRanker
from v2ht.nn.hashtag_gcn import HashtagGCN
from v2ht.serving.novel import Nodes


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One source of evidence: what it adds to the score (negative: it spoke against), and what it said."""

    source: str  # user, text, sound (what other posts with it have), moment, visual, acoustic, graph
    effect: float
    detail: str


class Explainer:
    """Explains the scores of one bundle by leaving sources out, one at a time.

    Args:
        bundle: the run.
        hashtags_HD: its hashtags' rows.
        refused: ids of hashtags that are not named.
    """

    def __init__(self, bundle: Bundle, hashtags_HD: Tensor, *, refused: Collection[int] = ()) -> None:
        self.bundle = bundle
        self.refused = frozenset(refused)
        self.hashtags_HD = hashtags_HD
        self.names = bundle.inputs.hashtags["hashtag"].to_list()
        self.gcn: HashtagGCN | None = None
        if isinstance(bundle.model, GraphRanker) and bundle.model.gcn is not None:
            self.gcn = bundle.model.gcn
            with torch.inference_mode():
                self.shares_E = self.gcn.propagation(bundle.model.initial_embeddings())

    def reasons(self, post: Post, scores_H: Tensor, ids: Sequence[int]) -> list[list[Reason]]:
        """Return the reasons for each hashtag in `ids`, largest effect first."""
        picked = torch.as_tensor(list(ids), dtype=torch.int64)
        unlinked_KD = None
        if isinstance(self.bundle.model, GraphRanker) and self.gcn is not None:
            with torch.inference_mode():
                unlinked_KD = self.bundle.model.unlinked_embeddings(picked)
        without = self._scores_without(post, self.hashtags_HD[picked], unlinked_KD)
        return [
            _reasons(
                float(scores_H[number]),
                {source: float(scores_K[place]) for source, scores_K in without.items()},
                lambda source, number=number: self._detail(source, post, number, scores_H),  # type: ignore[misc]
            )
            for place, number in enumerate(ids)
        ]

    def reasons_of_new(self, post: Post, scores_H: Tensor, nodes: Nodes, places: Sequence[int]) -> list[list[Reason]]:
        """Return the reasons for new hashtags, given by their places in `nodes`; the graph's name what they hang on."""
        picked = torch.as_tensor(list(places), dtype=torch.int64)
        batch = self.bundle.inputs.batch([post])
        with torch.inference_mode():
            scores_K = self.bundle.model.scores(batch, nodes.rows_ND[picked])[0].tolist()
        without = self._scores_without(post, nodes.rows_ND[picked], nodes.unlinked_ND[picked])
        return [
            _reasons(
                scores_K[row],
                {source: float(hidden_K[row]) for source, hidden_K in without.items()},
                lambda source, place=place: self._detail_of_new(source, post, nodes, place, scores_H),  # type: ignore[misc]
            )
            for row, place in enumerate(places)
        ]

    @torch.inference_mode()
    def _scores_without(self, post: Post, rows_KD: Tensor, unlinked_KD: Tensor | None) -> dict[str, Tensor]:
        """Return the scores [K] of the hashtags with these rows when each source that this post has is hidden."""
        model, batch = self.bundle.model, self.bundle.inputs.batch([post])
        hidden: dict[str, Tensor] = {}
        if bool(batch.known_B.any()) or bool(batch.attributes_BA.any()):
            hidden["user"] = model.scores(batch.without("user"), rows_KD)[0]
        for name in model.modalities:
            if bool(batch.masks[name].any()) or (name == "text" and batch.evidence is not None):
                hidden[name] = model.scores(batch.without(name), rows_KD)[0]
        if post.sound is not None and batch.evidence is not None:
            hidden["sound"] = model.scores(batch.without("sound"), rows_KD)[0]
        if batch.evidence is not None:
            hidden["moment"] = model.scores(batch.without("moment"), rows_KD)[0]
        if unlinked_KD is not None:
            hidden["graph"] = model.scores(batch.without("graph"), unlinked_KD)[0]
        return hidden

    def _detail(self, source: str, post: Post, hashtag: int, scores_H: Tensor) -> str:
        if source == "user":
            return self._user_detail(post, hashtag)
        if source == "text":
            said = self._text_detail(post, self.bundle.inputs.hashtags["words"][hashtag].to_list())
            return "; ".join(part for part in (said, self._neighbours_detail(post, hashtag)) if part)
        if source == "sound":
            return self._sound_detail(post, hashtag)
        if source == "graph":
            return self._graph_detail(hashtag, scores_H)
        return self._feature_detail(source)

    def _detail_of_new(self, source: str, post: Post, nodes: Nodes, place: int, scores_H: Tensor) -> str:
        if source == "user":
            return self._user_detail(post, None)
        if source == "text":
            return self._text_detail(post, nodes.words[place])
        if source == "graph":
            return self._relatives(nodes, place, scores_H)
        return self._feature_detail(source)

    def _feature_detail(self, source: str) -> str:
        columns = self.bundle.record.get("features", {}).get(source, {}).get("columns")
        if columns:
            return f"the table's {source} columns"
        return {
            "visual": "the frames",
            "regions": "the frames",
            "acoustic": "the sound",
            "sentence": "what the text means",
            "moment": "what others posted last",
        }.get(source, source)

    def _user_detail(self, post: Post, hashtag: int | None) -> str:
        user = self.bundle.inputs.user_id(post.user)
        if not len(self.bundle.inputs.known_hashtags(user)):
            told = ", ".join(f"{name} {value}" for name, value in post.attributes.items())
            return f"users like this author ({told})" if told else "users like this author"
        uses = 0 if hashtag is None else int(self.bundle.inputs.history.counts[user, hashtag])
        if uses and self.bundle.inputs.memory is not None:
            return f"used in {uses} of {post.user}'s {len(self.bundle.inputs.memory.past.by_user[user])} posts"
        return (
            f"{post.user} used it in {uses} train {'video' if uses == 1 else 'videos'}"
            if uses
            else (f"like other hashtags of {post.user}")
        )

    def _text_detail(self, post: Post, words: Sequence[str]) -> str:
        text = self.bundle.inputs.words(post.text)
        own = set(hashtag_words(words))
        shared = [word for word in text if word in own]
        if shared:
            return f"the text says {', '.join(dict.fromkeys(shared))}"
        return f"the text's words {', '.join(dict.fromkeys(text))}" if text else ""

    def _neighbours_detail(self, post: Post, hashtag: int) -> str:
        """Say how many of the train posts with the nearest texts have the hashtag, if the model asks them."""
        memory = self.bundle.inputs.memory
        if memory is None:
            return ""
        found = memory.nearest_uses(post.text)
        uses = int(found[:, [hashtag]].sum())
        return f"in {uses} of the {found.shape[0]} nearest texts" if uses else ""

    def _sound_detail(self, post: Post, hashtag: int) -> str:
        memory = self.bundle.inputs.memory
        if memory is None or post.sound is None:
            return ""
        found = memory.sound_uses(post.sound)
        return f"in {int(found[:, [hashtag]].sum())} of the {found.shape[0]} train posts with this sound"

    def _graph_detail(self, hashtag: int, scores_H: Tensor) -> str:
        """Name the neighbours that passed on most: propagation weight times how well they fit this post themselves."""
        if self.gcn is None:
            return ""
        pattern = self.gcn.pattern
        start, end = int(pattern.pointers[hashtag]), int(pattern.pointers[hashtag + 1])
        neighbours_E = pattern.columns_E[start:end]
        passed_E = self.shares_E[start:end] * torch.sigmoid(scores_H[neighbours_E])
        best = torch.argsort(passed_E, descending=True, stable=True).tolist()
        named = [n for n in best if int(neighbours_E[n]) not in self.refused][:3]
        kinds_E = self.gcn.relation_E[start:end]
        return ", ".join(f"#{self.names[int(neighbours_E[n])]} ({RELATIONS[int(kinds_E[n])]})" for n in named)

    def _relatives(self, nodes: Nodes, place: int, scores_H: Tensor) -> str:
        """Say what a new hashtag hangs on: of its parts and relatives, the three that fit this post best themselves."""
        own = len(self.names) + place
        relatives = [n.hashtag_id for n in nodes.edges.neighbours(own) if n.hashtag_id not in self.refused]
        best = sorted(relatives, key=lambda number: -float(scores_H[number]))[:3]
        words = [*self.bundle.inputs.hashtags["words"].to_list(), *nodes.words]
        return "; ".join(f"#{self.names[number]}: {why(nodes.edges, words, one=own, other=number)}" for number in best)


def _reasons(score: float, without: dict[str, float], detail: Callable[[str], str]) -> list[Reason]:
    """Return the sources without which the score would be another, largest effect first."""
    found = [
        Reason(source=source, effect=effect, detail=said)
        for source, hidden in without.items()
        if (effect := round(score - hidden, 4)) and (said := detail(source))
    ]
    return sorted(found, key=lambda reason: -reason.effect)
