"""The border between tables and tensors: posts, histories and the hashtag graph as what models read.

Shapes: B videos, T steps, F features, W word vector, V visual features, U users, A attributes of users, H hashtags,
P positives, E edges.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from scipy import sparse
from torch import Tensor

from data.attributes import UserAttributes
from data.dataset import FEATURE_NAMES, Dataset, Ragged
from data.features.clip_words import clip_word_vectors
from data.files import InputError
from data.progress import Report
from data.text import hashtag_words, text_words
from data.word_vectors import WordVectors, dataset_words, read_word_vectors, train_word_vectors
from graph_builders.hashtag_graph import HashtagGraph
from v2ht.evidence.memory import Memory
from v2ht.evidence_tensors import EvidenceTensors

MODALITIES = (*FEATURE_NAMES, "sentence", "text")


@dataclass(frozen=True, kw_only=True)
class InputSettings:
    """How posts become sequences."""

    text_length: int = 6  # words kept of a description (V2HT 4.2)
    word_dimension: int = 100  # size of the Word2Vec vectors; a vectors file brings its own
    word_vectors: str = ""  # in place of Word2Vec over train: a file in word2vec format, or the folder of a CLIP
    evidence: bool = False  # whether batches hold what train posts say for each hashtag (`v2ht.evidence`)

    def __post_init__(self) -> None:
        for name in ("text_length", "word_dimension"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; choose at least 1")


@dataclass(frozen=True, kw_only=True)
class Post:
    """A post that is in no dataset. Everything may be absent; feature arrays are [steps, size]."""

    text: str = ""
    user: str | None = None
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)  # of the user; they stand over what the run knows
    sound: str | None = None  # name of its sound, as other posts name it


@dataclass(kw_only=True)  # not frozen: mixed precision casts its tensors in a copy
class Batch:
    """Videos as tensors. Masks are True at real steps; positives are padded with -1."""

    sequences: dict[str, Tensor]  # visual, acoustic: float [B, T, F]; text: word ids int64 [B, T]
    masks: dict[str, Tensor]  # bool [B, T]
    history_BF: Tensor  # of the user's other posts: [has frames, has hashtags, mean features,] mean word vector
    known_B: Tensor  # has the user any history?
    user_B: Tensor  # user id, -1 when unknown
    attributes_BA: Tensor  # int64 codes of the user's attributes, 0 when unknown
    positives_BP: Tensor
    evidence: EvidenceTensors | None = None

    def __len__(self) -> int:
        return len(self.user_B)

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`."""
        return Batch(
            sequences={name: steps.to(device) for name, steps in self.sequences.items()},
            masks={name: mask.to(device) for name, mask in self.masks.items()},
            history_BF=self.history_BF.to(device),
            known_B=self.known_B.to(device),
            user_B=self.user_B.to(device),
            attributes_BA=self.attributes_BA.to(device),
            positives_BP=self.positives_BP.to(device),
            evidence=None if self.evidence is None else self.evidence.to(device),
        )

    def without(self, source: str) -> Batch:
        """Return the batch as if it had no "user", no such modality, or no evidence of "graph", "sound" or "moment"."""
        if source == "user":
            nobody_B = torch.zeros_like(self.known_B)
            evidence = None if self.evidence is None else self.evidence.showing_users(nobody_B)
            return replace(
                self, known_B=nobody_B, attributes_BA=torch.zeros_like(self.attributes_BA), evidence=evidence
            )
        if source in ("graph", "sound", "moment"):
            return self if self.evidence is None else replace(self, evidence=self.evidence.without(source))
        masks = {**self.masks, source: torch.zeros_like(self.masks[source])}
        if source != "text" or self.evidence is None:
            return replace(self, masks=masks)
        return replace(self, masks=masks, evidence=self.evidence.without_texts())


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Shifts and scales feature steps to mean 0 and variance 1 in each dimension, as measured on train videos."""

    mean_F: np.ndarray
    scale_F: np.ndarray  # 1 / standard deviation; 0 in a dimension that never varies

    @staticmethod
    def of(sequences: Ragged, rows: np.ndarray) -> Scaling:
        """Measure the steps of the videos in `rows`, one video in memory at a time."""
        size = sequences.values.shape[-1]
        count, total_F, squares_F = 0, np.zeros(size), np.zeros(size)
        for row in rows:
            steps_NF = np.asarray(sequences[int(row)], np.float64).reshape(-1, size)
            count += len(steps_NF)
            total_F += steps_NF.sum(0)
            squares_F += (steps_NF**2).sum(0)
        mean_F = total_F / max(count, 1)
        deviation_F = np.sqrt(np.maximum(squares_F / max(count, 1) - mean_F**2, 0))
        varies_F = deviation_F > np.maximum(1e-4 * np.abs(mean_F), 1e-7)  # finer than float16 tells apart is noise
        scale_F = np.where(varies_F, 1 / np.where(varies_F, deviation_F, 1), 0)
        return Scaling(mean_F=mean_F.astype(np.float32), scale_F=scale_F.astype(np.float32))

    def __call__(self, steps: np.ndarray) -> np.ndarray:
        """Return float32 steps [..., F], scaled."""
        scaled: np.ndarray = (np.asarray(steps, np.float32) - self.mean_F) * self.scale_F
        return scaled


@dataclass(frozen=True, kw_only=True)
class GraphTensors:
    """The hashtag graph, each edge both ways, sorted by row, then column."""

    num_hashtags: int
    rows_E: Tensor
    columns_E: Tensor
    relation_E: Tensor

    @staticmethod
    def of(graph: HashtagGraph) -> GraphTensors:
        """Convert a validated graph."""
        both = graph.symmetric()
        rows = np.repeat(np.arange(graph.num_hashtags), np.diff(both.indptr))
        return GraphTensors(
            num_hashtags=graph.num_hashtags,
            rows_E=torch.from_numpy(rows.astype(np.int64)),
            columns_E=torch.from_numpy(both.indices.astype(np.int64)),
            relation_E=torch.from_numpy(graph.relation[both.edge_id].astype(np.int64)),
        )

    def keep(self, relations: Sequence[int], *, trained: int) -> GraphTensors:
        """Return the graph with the edges of these relation numbers only.

        Hashtags from number `trained` on are new: they listen to the trained ones, which are left as they were learned.
        """
        kept = torch.isin(self.relation_E, torch.as_tensor(list(relations), dtype=torch.int64))
        kept &= ~((self.rows_E < trained) & (self.columns_E >= trained))
        return GraphTensors(
            num_hashtags=self.num_hashtags,
            rows_E=self.rows_E[kept],
            columns_E=self.columns_E[kept],
            relation_E=self.relation_E[kept],
        )


@dataclass(frozen=True, kw_only=True)
class History:
    """What each user posted in train: hashtag counts [U, H], and sums of per-video mean visual features [U, V]."""

    counts: sparse.csr_matrix
    visual_UV: np.ndarray
    visual_videos_U: np.ndarray

    @staticmethod
    def of(dataset: Dataset, visual_means: np.ndarray) -> History:
        """Count the train split. `visual_means` is [videos, V], NaN where a video has no frames."""
        rows = dataset.rows("train")
        users = dataset.videos["user_id"].to_numpy()[rows]
        tags = dataset.hashtag_ids().take(rows)
        shape = (dataset.num_users, dataset.num_hashtags)
        ones = np.ones(len(tags.values), np.float32)
        counts = sparse.csr_matrix((ones, (np.repeat(users, tags.lengths), tags.values)), shape=shape)
        has_frames = ~np.isnan(visual_means[rows]).any(1) if visual_means.shape[1] else np.zeros(len(rows), bool)
        sums = np.zeros((dataset.num_users, visual_means.shape[1]), np.float32)
        np.add.at(sums, users[has_frames], visual_means[rows][has_frames])
        videos = np.bincount(users[has_frames], minlength=dataset.num_users).astype(np.float32)
        return History(counts=counts, visual_UV=sums, visual_videos_U=videos)


class Inputs:
    """All that turns posts into batches: vocabularies, word vectors, histories. Knows no dataset and no model.

    Args:
        hashtags: table with `hashtag`, `words`, `train_videos`; row = hashtag id. After `v2ht update` also with
            `new_videos`, and `trained`, which is False of the last ones: the new hashtags.
        users: user names; place = user id.
        attributes: of the users; None where nothing is known of them but their posts.
        word_vectors: of description and hashtag words.
        history: of the train split.
        scaling: of each feature modality that the dataset has.
        settings: how posts become sequences.
        memory: of the train posts; None where batches hold no evidence.
    """

    def __init__(
        self,
        *,
        hashtags: pl.DataFrame,
        users: Sequence[str],
        word_vectors: WordVectors,
        history: History,
        scaling: Mapping[str, Scaling],
        settings: InputSettings,
        attributes: UserAttributes | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.hashtags = hashtags
        self.users = list(users)
        self.attributes = attributes or UserAttributes(pl.DataFrame())
        self.word_vectors = word_vectors
        self.history = history
        self.scaling = dict(scaling)
        self.settings = settings
        self.memory = memory
        self.hashtag_vectors_HW = word_vectors.means([hashtag_words(row) for row in hashtags["words"].to_list()])
        self._word_index = word_vectors.index()
        self._user_index = {user: number for number, user in enumerate(self.users)}
        self._uses_U = np.asarray(history.counts.sum(1)).ravel()
        self._history_UW = (history.counts @ self.hashtag_vectors_HW).astype(np.float32)

    @staticmethod
    def of(
        dataset: Dataset,
        settings: InputSettings,
        *,
        seed: int,
        modalities: Collection[str] | None = None,
        graph: HashtagGraph | None = None,
        report: Report | None = None,
    ) -> Inputs:
        """Learn (or read) word vectors and count histories on the dataset's train split.

        Of the dataset's features only `modalities` are read (None: all), and the frames, which histories hold.
        Evidence, if it is set, also needs the hashtag graph.
        Raises `InputError` as `read_word_vectors` does, or when a vectors file has another dimension than was set, and
        ValueError when evidence is set and there is no graph.
        """
        if settings.evidence and graph is None:
            raise ValueError("evidence passes votes on over the hashtag graph; give the graph")
        train = dataset.rows("train")
        scaling = {
            name: Scaling.of(sequences, train)
            for name, sequences in dataset.features.items()
            if modalities is None or name in modalities or name == "visual"
        }
        return Inputs(
            hashtags=dataset.hashtags,
            users=dataset.users["user"].to_list(),
            word_vectors=_word_vectors(dataset, settings, seed=seed, report=report),
            history=History.of(dataset, visual_means(dataset, scaling)),
            scaling=scaling,
            settings=settings,
            attributes=UserAttributes.of(dataset),
            memory=Memory.of(dataset, graph) if settings.evidence and graph is not None else None,
        )

    @property
    def attribute_sizes(self) -> list[int]:
        """How many codes each attribute of users has, the unknown one included; empty where there are none."""
        return self.attributes.sizes

    @property
    def feature_sizes(self) -> dict[str, int]:
        """F of each feature modality."""
        return {name: len(scaling.mean_F) for name, scaling in self.scaling.items()}

    @property
    def num_hashtags(self) -> int:
        return self.hashtags.height

    @property
    def num_trained(self) -> int:
        """How many hashtags the model was trained on: the first ones; those that `v2ht update` found come after."""
        if "trained" not in self.hashtags.columns:
            return self.num_hashtags
        return int(self.hashtags["trained"].sum())

    @property
    def history_size(self) -> int:
        """F of `Batch.history_BF`."""
        visual = self.history.visual_UV.shape[1]
        return self.word_vectors.dimension + (visual + 2 if visual else 0)

    def user_id(self, user: str | None) -> int:
        """Return the user's id, -1 for nobody or somebody new."""
        return -1 if user is None else self._user_index.get(user, -1)

    def known_hashtags(self, user: int) -> np.ndarray:
        """Return the ids (ascending) of the hashtags that a user used in train; none for user -1."""
        if user < 0:
            return np.empty(0, np.int64)
        counts = self.history.counts
        return np.sort(counts.indices[counts.indptr[user] : counts.indptr[user + 1]].astype(np.int64))

    def words(self, text: str) -> list[str]:
        """Return the words of a description that the text encoder reads, in order."""
        return [word for word in text_words(text) if word in self._word_index][: self.settings.text_length]

    def batch(self, posts: Sequence[Post]) -> Batch:
        """Return posts from outside as a batch. Raises `InputError` on features or attributes that do not fit."""
        for post in posts:
            _check_names(post)
        users = np.array([self.user_id(post.user) for post in posts], np.int64)
        sequences = {
            name: [_scaled(post.features.get(name), name, scaling) for post in posts]
            for name, scaling in self.scaling.items()
        }
        for post in posts:
            for name in set(post.features) - set(self.feature_sizes):
                raise InputError(
                    f"features {name!r}: this run was trained without them; leave them out or train with them"
                )
        texts = [self.word_ids(post.text) for post in posts]
        nothing = Ragged.from_lists([[] for _ in posts])
        batch = self.assemble(texts, sequences, users, self.histories(users), nothing)
        if self.memory is not None:
            texts_said, sounds = [post.text for post in posts], [post.sound for post in posts]
            batch.evidence = EvidenceTensors.of(self.memory.of_new(users, texts_said, sounds))
        for row, post in enumerate(posts):
            for place, code in self.attributes.given(post.attributes).items():
                batch.attributes_BA[row, place] = code
        return batch

    def word_ids(self, text: str) -> np.ndarray:
        """Return the ids [T] of `words`."""
        return np.array([self._word_index[word] for word in self.words(text)], np.int64)

    def histories(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return each user's sums and what to divide them by: word vectors, uses, visual features, videos."""
        known = users >= 0
        parts = (self._history_UW, self._uses_U, self.history.visual_UV, self.history.visual_videos_U)
        picked = [part[users].copy() for part in parts]
        for part in picked:
            part[~known] = 0
        return picked[0], picked[1], picked[2], picked[3]

    def assemble(
        self,
        texts: Sequence[np.ndarray],
        features: Mapping[str, Sequence[np.ndarray]],
        users: np.ndarray,
        histories: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
        positives: Ragged,
    ) -> Batch:
        """Return a batch, without evidence.

        Args:
            texts: word ids of each post.
            features: steps of each post, [T, F], scaled, by modality.
            users: user ids [B], -1 for nobody known.
            histories: as `histories` gives them, perhaps less the posts' own part.
            positives: hashtag ids of each post.
        """
        tag_sum, uses, visual_sum, videos = histories
        means = [visual_sum / np.maximum(videos, 1)[:, None], tag_sum / np.maximum(uses, 1)[:, None]]
        if visual_sum.shape[1]:  # with two kinds of history, say which a user has: a zero mean is no measurement
            means.insert(0, np.stack([videos > 0, uses > 0], axis=1).astype(np.float32))
        padded = {name: _padded(rows) for name, rows in features.items()}
        padded["text"] = _padded(texts)
        positives_BP, real_BP = _padded([positives[row] for row in range(len(positives))])
        positives_BP[~real_BP] = -1
        return Batch(
            sequences={name: torch.from_numpy(values) for name, (values, _) in padded.items()},
            masks={name: torch.from_numpy(mask) for name, (_, mask) in padded.items()},
            history_BF=torch.from_numpy(np.concatenate(means, axis=1).astype(np.float32)),
            known_B=torch.from_numpy((uses > 0) | (videos > 0)),
            user_B=torch.from_numpy(users.astype(np.int64)),
            attributes_BA=torch.from_numpy(self.attributes.codes(users)),
            positives_BP=torch.from_numpy(positives_BP),
        )


def _word_vectors(dataset: Dataset, settings: InputSettings, *, seed: int, report: Report | None) -> WordVectors:
    """Learn word vectors, or read those of a file; a dimension that was set must then be the file's."""
    if not settings.word_vectors:
        return train_word_vectors(dataset, dimension=settings.word_dimension, seed=seed)
    wanted = dataset_words(dataset)
    path = Path(settings.word_vectors)
    found = clip_word_vectors(path, wanted) if path.is_dir() else read_word_vectors(path, wanted)
    if settings.word_dimension not in (found.dimension, InputSettings.word_dimension):
        raise InputError(
            f"word_dimension is {settings.word_dimension}, but the vectors of {settings.word_vectors} have "
            f"{found.dimension} numbers; leave word_dimension out"
        )
    if report is not None:
        report(f"{len(found.words):,} of {len(wanted):,} words have a vector in {settings.word_vectors}", 0, 0)
    return found


def visual_means(dataset: Dataset, scaling: Mapping[str, Scaling]) -> np.ndarray:
    """Return each video's mean visual features, float32 [videos, V], NaN without frames; V = 0 without the modality."""
    if "visual" not in dataset.features:
        return np.empty((dataset.videos.height, 0), np.float32)
    sequences = dataset.features["visual"]
    means = np.full((len(sequences), sequences.values.shape[1]), np.nan, np.float32)
    for row in np.flatnonzero(sequences.lengths):
        means[row] = scaling["visual"](sequences[int(row)]).mean(0)
    return means


def _check_names(post: Post) -> None:
    for name in ("text", "user", "sound"):
        value = getattr(post, name)
        if not isinstance(value, str) and (value is not None or name == "text"):
            raise InputError(f"{name} is {str(value)[:60]!r}, which is no text; give it as text (an id too)")


def _scaled(array: np.ndarray | None, name: str, scaling: Scaling) -> np.ndarray:
    """Return a post's steps of a modality as float32, scaled. Raises `InputError` on a wrong shape or type."""
    size, axes = len(scaling.mean_F), 3 if name == "regions" else 2
    if array is None:
        return np.empty((0, size), np.float32)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        found = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
        raise InputError(f"features {name!r}: found {found}, expected a NumPy array of real numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        steps = scaling(array) if array.shape[-1:] == (size,) else array
    if array.ndim != axes or array.shape[-1] != size or not np.isfinite(steps).all():
        shape = "steps, regions" if name == "regions" else "steps"
        raise InputError(
            f"features {name!r}: found shape {array.shape}, expected finite numbers of shape ({shape}, {size}), "
            "none too large for 32 bits"
        )
    return steps


def _padded(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Stack rows of different lengths, zero-padded to at least one step; return values and the mask of real steps."""
    lengths = np.array([len(row) for row in rows])
    steps = max(1, int(lengths.max(initial=0)))
    first = rows[0]
    values = np.zeros((len(rows), steps, *first.shape[1:]), first.dtype)
    for place, row in enumerate(rows):
        values[place, : len(row)] = row
    return values, np.arange(steps) < lengths[:, None]
