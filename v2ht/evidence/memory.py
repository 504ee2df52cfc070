"""The train posts as a memory: what it keeps of them, and the evidence that it gives for any posts.

Shapes: N posts to judge, T train posts, H hashtags, V terms, F features of the ridge regressions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import polars as pl
from scipy import sparse

from data.dataset import Dataset
from graph_builders.hashtag_graph import HashtagGraph
from v2ht.evidence import ridge
from v2ht.evidence.evidence import COLUMNS, PASSING_ON, Evidence, Pairs
from v2ht.evidence.history import history
from v2ht.evidence.likelihood import likelihood
from v2ht.evidence.moment import moment
from v2ht.evidence.neighbours import nearest, neighbours
from v2ht.evidence.popularity import popularity
from v2ht.evidence.posts import Past, Posts
from v2ht.evidence.relatives import relatives, static_shares
from v2ht.evidence.sounds import sounds
from v2ht.evidence.texts import TextIndex, tokens
from v2ht.evidence.votes import Entries, Votes, blocks
from v2ht.evidence.words import NamedHashtags

SCALE = 0.2  # brings logarithms of counts near 1
CELLS = 2**22  # of a block, at most: posts whose evidence is gathered at a time, with all that one may get
MOST_PERIODS = 20  # each fits ridge regressions of its own
Predict = Callable[[Posts], Mapping[str, np.ndarray]]  # the columns ridge.text and ridge.user of some posts, [N, H]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Judges posts by train posts.

    For valid, test and new posts all train posts speak. A train post is judged as if it had not been there: by all
    others, or, in a split by time, by those of earlier periods (`periods_T`): at test all that is known is older than
    the post, and by as much.
    """

    texts: TextIndex
    named: NamedHashtags
    sounds: Sequence[str]  # name of each sound id
    shares_GH: sparse.csr_matrix  # see `static_shares`
    past: Past
    periods_T: np.ndarray | None  # int64 number of each train post's period; None: all others speak
    ridges: Mapping[str, sparse.csr_matrix]  # weights [F, H] of the columns ridge.text and ridge.user

    @staticmethod
    def of(dataset: Dataset, graph: HashtagGraph) -> Memory:
        """Remember the train split of a dataset."""
        rows = dataset.rows("train")
        words = [tokens(text) for text in dataset.videos["text"].gather(rows).to_list()]
        index = TextIndex.of(words)
        named = NamedHashtags(dataset.hashtags["hashtag"].to_list(), dataset.hashtags["words"].to_list())
        names = _sounds(dataset).gather(rows)
        sounds = names.drop_nulls().unique().sort()
        past = Past(
            users_T=dataset.videos["user_id"].to_numpy()[rows].astype(np.int64),
            times_T=seconds(dataset.videos["time"])[rows],
            sounds_T=_ids(names, sounds),
            texts_TV=index.vectors(words),
            uses_TH=_uses(dataset, rows),
            rarity_V=np.exp(index.idf_V - 1),
            num_users=dataset.num_users,
        )
        return Memory(
            texts=index,
            named=named,
            sounds=sounds.to_list(),
            shares_GH=static_shares(graph),
            past=past,
            periods_T=_periods(dataset),
            ridges=_ridges(past),
        )

    def posts(
        self,
        users_N: np.ndarray,
        times_N: np.ndarray,
        texts: Sequence[str],
        sounds: Sequence[str | None],
        *,
        places_N: np.ndarray | None = None,
    ) -> Posts:
        """Return posts as evidence reads them; `places_N` says which train post each is, -1 or None: none."""
        words = [tokens(text) for text in texts]
        return Posts(
            users_N=users_N,
            times_N=times_N,
            sounds_N=np.array([-1 if name is None else self._sound_ids.get(name, -1) for name in sounds], np.int64),
            texts_NV=self.texts.vectors(words),
            lengths_N=np.array([len(row) for row in words], np.int64),
            named_NH=self.named(words),
            places_N=np.full(len(users_N), -1) if places_N is None else places_N,
        )

    def of_new(self, users_N: np.ndarray, texts: Sequence[str], sounds: Sequence[str | None]) -> Pairs:
        """Return the evidence of posts from outside, which are newer than all that is remembered."""
        posts = self.posts(users_N, np.full(len(users_N), self._now), texts, sounds)
        return Pairs.stack(list(_gather(self.past, posts, self.shares_GH, partial(_predict, self.past, self.ridges))))

    def of_rows(self, dataset: Dataset, rows: np.ndarray) -> Evidence:
        """Return the evidence of rows of the dataset that are not in train."""
        return self.evidence(self._posts_of(dataset, rows))

    def of_train(self, dataset: Dataset) -> Evidence:
        """Return the evidence of all train posts, each judged as if it had not been there."""
        rows = dataset.rows("train")
        posts = self._posts_of(dataset, rows, places_N=np.arange(len(rows)))
        if self.periods_T is None:
            return self.evidence(posts)
        parts = []
        for period in range(int(self.periods_T.max()) + 1):
            own = np.flatnonzero(self.periods_T == period)
            past = self.past.take(np.flatnonzero(self.periods_T < period))
            part = posts.take(own, np.full(len(own), -1))
            parts.append(_packed(past, part, self.shares_GH, partial(_predict, past, _ridges(past))))
        order = np.argsort(np.argsort(self.periods_T, kind="stable"), kind="stable")
        return Evidence.stack(parts).take(order)

    def evidence(self, posts: Posts) -> Evidence:
        """Return the evidence that all train posts give; all or none of the posts must be train posts themselves."""
        if posts.any_past:
            predict = partial(_left_out, _left_out_predictions(self.past))
        else:
            predict = partial(_predict, self.past, self.ridges)
        return _packed(self.past, posts, self.shares_GH, predict)

    def nearest_uses(self, text: str, *, count: int = 5) -> sparse.csr_matrix:
        """Return the hashtags of the train posts with the nearest texts, at most `count`, [posts, H]."""
        post = self.posts(np.array([-1]), np.array([self._now]), [text], [None])
        return self.past.uses_TH[nearest(self.past.cosines(post), post, count=count).places_E]

    def sound_uses(self, sound: str) -> sparse.csr_matrix:
        """Return the hashtags of the train posts with a sound, [posts, H]."""
        places = self.past.by_sound.get(self._sound_ids.get(sound, -1), np.empty(0, np.int64))
        return self.past.uses_TH[places]

    @cached_property
    def _sound_ids(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.sounds)}

    @cached_property
    def _now(self) -> float:
        known = self.past.times_T[~np.isnan(self.past.times_T)]
        return float(known.max()) + 1 if len(known) else float("nan")

    def _posts_of(self, dataset: Dataset, rows: np.ndarray, *, places_N: np.ndarray | None = None) -> Posts:
        videos = dataset.videos[rows]
        users_N = videos["user_id"].to_numpy().astype(np.int64)
        names = _sounds(dataset).gather(rows).to_list()
        return self.posts(users_N, seconds(videos["time"]), videos["text"].to_list(), names, places_N=places_N)


def seconds(times: pl.Series) -> np.ndarray:
    """Return times as float64 seconds, NaN where null."""
    return times.dt.epoch("us").cast(pl.Float64).fill_null(float("nan")).to_numpy() / 1e6


def _sounds(dataset: Dataset) -> pl.Series:
    """Return the name of each video's sound, null where it has none."""
    if "sound" in dataset.videos.columns:
        return dataset.videos["sound"]
    return pl.Series("sound", [None] * dataset.videos.height, dtype=pl.String)


def _ids(names: pl.Series, sounds: pl.Series) -> np.ndarray:
    """Return the place of each name in `sounds`, sorted; -1 where null."""
    places = sounds.search_sorted(names.fill_null("")).to_numpy().astype(np.int64)  # unsigned ones have no -1
    return np.where(names.is_null().to_numpy(), -1, places)


def _uses(dataset: Dataset, rows: np.ndarray) -> sparse.csr_matrix:
    ids = dataset.hashtag_ids().take(rows)
    ones = np.ones(len(ids.values), np.float32)
    uses_TH = sparse.csr_matrix((ones, ids.values, ids.offsets), shape=(len(rows), dataset.num_hashtags))
    uses_TH.sum_duplicates()
    uses_TH.data[:] = 1
    return uses_TH


def _periods(dataset: Dataset) -> np.ndarray | None:
    """Cut train into periods of as many posts as valid has, at most `MOST_PERIODS`; None unless it is a split by time.

    It is one if all train posts have a time, and no valid or test post is older than the last of them.
    """
    times = seconds(dataset.videos["time"])
    train, valid, test = (times[dataset.rows(split)] for split in ("train", "valid", "test"))
    later = np.concatenate([valid, test])
    if np.isnan(train).any() or np.isnan(later).any() or not len(later) or later.min() < train.max():
        return None
    if train.min() == later.max():  # nothing is older than anything
        return None
    ranks = np.argsort(np.argsort(train, kind="stable"), kind="stable")
    count = min(max(1, round(len(train) / max(len(valid), 1))), MOST_PERIODS)
    return ranks * count // len(train)


def _features(past: Past) -> dict[str, sparse.csr_matrix]:
    both = ridge.features(past.texts_TV, past.users_T, num_users=past.num_users)
    return {"ridge.text": past.texts_TV, "ridge.user": both}


def _ridges(past: Past) -> dict[str, sparse.csr_matrix]:
    return {name: ridge.fit(features, past.uses_TH) for name, features in _features(past).items()}


def _left_out_predictions(past: Past) -> dict[str, sparse.csr_matrix]:
    return {name: ridge.left_out(features, past.uses_TH) for name, features in _features(past).items()}


def _left_out(predictions: Mapping[str, sparse.csr_matrix], posts: Posts) -> dict[str, np.ndarray]:
    """Return what `_left_out_predictions` gave some past posts, [N, H]."""
    return {name: predictions_TH[posts.places_N].toarray() for name, predictions_TH in predictions.items()}


def _predict(past: Past, weights: Mapping[str, sparse.csr_matrix], posts: Posts) -> dict[str, np.ndarray]:
    """Return what ridge regressions say, [N, H]."""
    terms = Entries.of(posts.texts_NV)
    known = np.flatnonzero(posts.users_N >= 0)
    users = Entries(known, past.texts_TV.shape[1] + posts.users_N[known], np.ones(len(known)))
    features = {"ridge.text": terms, "ridge.user": Entries.join([terms, users])}
    return {name: ridge.predict(features[name], own_FH, len(posts)) for name, own_FH in weights.items()}


def _packed(past: Past, posts: Posts, shares_GH: sparse.csr_matrix, predict: Predict) -> Evidence:
    return Evidence.stack([Evidence.of(pairs) for pairs in _gather(past, posts, shares_GH, predict)])


def _gather(past: Past, posts: Posts, shares_GH: sparse.csr_matrix, predict: Predict) -> Iterator[Pairs]:
    """Yield the evidence of posts in blocks of as many as fit into `CELLS`."""
    size = max(1, CELLS // max(len(past), len(COLUMNS) * past.uses_TH.shape[1]))
    if len(posts) <= size:
        yield _gather_block(past, posts, shares_GH, predict(posts))
        return
    for rows in blocks(np.arange(len(posts)), size):
        part = posts.take(rows, posts.places_N[rows])
        yield _gather_block(past, part, shares_GH, predict(part))


def _gather_block(
    past: Past, posts: Posts, shares_GH: sparse.csr_matrix, predictions: Mapping[str, np.ndarray]
) -> Pairs:
    cosines_NT = past.cosines(posts)
    near = nearest(cosines_NT, posts)
    speakers = (
        history(past, posts, cosines_NT),
        neighbours(near, num_posts=len(posts)),
        sounds(past, posts),
        moment(past, posts),
    )
    votes = past.votes(speakers, len(posts))
    named_NH = posts.named_NH.toarray()
    passing = (votes["history.share"], votes["neighbours.near"], named_NH)
    single = {
        "words.named": named_NH,
        "words.likely": likelihood(past, posts),
        "ridge.text": predictions["ridge.text"],
        "ridge.user": predictions["ridge.user"] * ((posts.users_N >= 0) & (posts.lengths_N > 0))[:, None],
    }
    all_votes = [
        votes,
        *(Votes(names=(name,), values_CNH=values_NH[None]) for name, values_NH in single.items()),
        relatives(past, posts, shares_GH, dict(zip(PASSING_ON, passing, strict=True))),
    ]
    return Pairs.of(all_votes, partial(popularity, past, posts), _context(past, posts, near, votes))


def _context(past: Past, posts: Posts, near: Entries, votes: Votes) -> np.ndarray:
    """Return the columns of `CONTEXT`, each about in [0, 1]."""
    other_N = np.where(posts.users_N >= 0, past.videos_U[posts.users_N], 0) - (posts.places_N >= 0)
    nearest_N = np.zeros(len(posts), np.float32)
    np.maximum.at(nearest_N, near.rows_E, near.weights_E)
    return np.stack(
        [
            SCALE * np.log1p(other_N),
            other_N > 0,
            nearest_N,
            SCALE * np.log1p(posts.lengths_N),
            votes["history.share"].max(1),
            votes["history.similar"].max(1),
        ],
        axis=1,
    )
