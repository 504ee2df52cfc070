"""Evidence: values by hand, leaving a post out against recomputing without it, no leaks, save and load."""

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from data.dataset import Dataset
from graph_builders.build import GraphSettings, build_dataset_graph
from graph_builders.hashtag_graph import HashtagGraph
from v2ht.evidence import loops, ridge
from v2ht.evidence import memory as memory_module
from v2ht.evidence import votes as votes_module
from v2ht.evidence.evidence import COLUMN_NAMES, COLUMNS, CONTEXT, STATISTICS, Evidence, Pairs
from v2ht.evidence.history import history
from v2ht.evidence.likelihood import PRIOR, likelihood
from v2ht.evidence.memory import Memory
from v2ht.evidence.moment import DECAYS, KEPT, LEAST_WEIGHT, LOOKED_AT, moment
from v2ht.evidence.neighbours import nearest, neighbours
from v2ht.evidence.popularity import popularity
from v2ht.evidence.posts import Past, Posts
from v2ht.evidence.relatives import relatives, static_shares
from v2ht.evidence.sounds import sounds
from v2ht.evidence.store import memory_arrays, memory_of
from v2ht.evidence.texts import TextIndex, _terms, tokens
from v2ht.evidence.votes import Entries, Speakers, Votes, largest
from v2ht.evidence.words import NamedHashtags


@pytest.fixture(scope="module")
def graph(world: Dataset) -> HashtagGraph:
    return build_dataset_graph(world, GraphSettings())


@pytest.fixture(scope="module")
def memory(world: Dataset, graph: HashtagGraph) -> Memory:
    return Memory.of(world, graph)


@pytest.fixture(scope="module")
def of_train(world: Dataset, memory: Memory) -> Evidence:
    return memory.of_train(world)


def of_new(memory: Memory, users: list[int], texts: list[str], sounds: list[str | None]) -> Evidence:
    """Return the evidence of posts from outside, packed."""
    return Evidence.of(memory.of_new(np.array(users), texts, sounds))


def dense(evidence: Evidence) -> np.ndarray:
    """Return all columns and statistics, [N, H, J + S]."""
    return evidence.packed.toarray().reshape(len(evidence), evidence.num_hashtags, -1)


def with_hashtags(dataset: Dataset, rows: np.ndarray, ids: list[int]) -> Dataset:
    """Return the dataset with other hashtags in some rows."""
    changed = pl.Series(np.isin(np.arange(dataset.videos.height), rows))
    other = pl.when(changed).then(pl.lit(ids, pl.List(pl.Int32()))).otherwise(pl.col("hashtag_ids"))
    return replace(dataset, videos=dataset.videos.with_columns(hashtag_ids=other))


def by_time(dataset: Dataset) -> Dataset:
    """Return the dataset with the first posts in train and the last in test."""
    times = pl.Series("time", np.arange(dataset.videos.height) * 1_000_000).cast(pl.Datetime("us", "UTC"))
    split = ["train"] * 240 + ["valid"] * 30 + ["test"] * (dataset.videos.height - 270)
    return replace(dataset, videos=dataset.videos.with_columns(time=times, split=pl.Series(split)))


# By hand: three posts of user 0 and one of user 1; hashtags 0, 1, 2.


def past_by_hand() -> Past:
    return Past(
        users_T=np.array([0, 0, 0, 1]),
        times_T=np.array([10.0, 20.0, 40.0, 50.0]),
        sounds_T=np.array([-1, 0, 0, 0]),
        texts_TV=sparse.csr_matrix(np.array([[1, 0], [0.6, 0.8], [0, 1], [0, 1]], np.float32)),
        uses_TH=sparse.csr_matrix(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1]], np.float32)),
        rarity_V=np.array([5 / 3, 5 / 4], np.float32),
        num_users=2,
    )


def post_by_hand(*, user: int, time: float, text: list[float], sound: int = -1, place: int = -1) -> Posts:
    return Posts(
        users_N=np.array([user]),
        times_N=np.array([time]),
        sounds_N=np.array([sound]),
        texts_NV=sparse.csr_matrix(np.array([text], np.float32)),
        lengths_N=np.array([2]),
        named_NH=sparse.csr_matrix((1, 3), dtype=np.float32),
        places_N=np.array([place]),
    )


def votes_of(past: Past, speakers: Speakers, *, posts: int = 1) -> Votes:
    return past.votes([speakers], posts)


def with_sounds(dataset: Dataset) -> Dataset:
    """Return the dataset with sounds a, b, ... of up to seven posts each, and some posts without."""
    names = [
        None if row % 5 == 0 else "abcdefghijklmnopqrstuvwxyz"[row % 26] * (1 + row // 180)
        for row in range(dataset.videos.height)
    ]
    return replace(dataset, videos=dataset.videos.with_columns(sound=pl.Series(names, dtype=pl.String)))


def test_sounds_by_hand() -> None:
    past = past_by_hand()
    found = votes_of(past, sounds(past, post_by_hand(user=0, time=60, text=[0, 1], sound=0)))
    np.testing.assert_allclose(found["sound.share"], [[1 / 4, 2 / 4, 1 / 4]])
    own = votes_of(past, sounds(past, post_by_hand(user=1, time=50, text=[0, 1], sound=0, place=3)))
    np.testing.assert_allclose(own["sound.share"], [[1 / 3, 1 / 3, 0]])
    for unknown in (-1, 7):
        assert not len(sounds(past, post_by_hand(user=0, time=60, text=[0, 1], sound=unknown)).entries.places_E)


def test_posts_with_a_sound_of_train_have_its_votes(world: Dataset, graph: HashtagGraph) -> None:
    dataset = with_sounds(world)
    memory = Memory.of(dataset, graph)
    names = dataset.videos["sound"].to_list()
    in_train = {names[row] for row in dataset.rows("train")} - {None}
    rows = dataset.rows("test")
    shown = np.diff(memory.of_rows(dataset, rows).column("sound.share").indptr) > 0
    assert shown.tolist() == [names[row] in in_train for row in rows]
    assert 0 < shown.sum() < len(rows)
    assert memory.sound_uses("unheard").shape == (0, dataset.num_hashtags)
    assert not of_new(memory, [-1], [""], ["unheard"]).column("sound.share").nnz
    assert of_new(memory, [-1], [""], [min(in_train)]).column("sound.share").nnz


def history_by_hand(post: Posts) -> Votes:
    past = past_by_hand()
    return votes_of(past, history(past, post, past.cosines(post)))


def test_history_by_hand() -> None:
    found = history_by_hand(post_by_hand(user=0, time=41, text=[0, 1]))
    np.testing.assert_allclose(found["history.share"], [[2 / 3, 2 / 3, 0]], rtol=1e-6)
    total = 1 + 0.7 + 0.49  # the post at 40 is nearest, then 20, then 10
    np.testing.assert_allclose(found["history.recent"], [[1.19 / total, 1.49 / total, 0]], rtol=1e-6)
    total = 1 + 0.3 + 0.09
    np.testing.assert_allclose(found["history.latest"], [[0.39 / total, 1.09 / total, 0]], rtol=1e-6)
    np.testing.assert_allclose(found["history.similar"], [[0.8 / 2, 1 / 2, 0]], rtol=1e-6)


def test_history_of_a_past_post_leaves_it_out_and_one_without_time_weighs_all_alike() -> None:
    own = history_by_hand(post_by_hand(user=0, time=20, text=[0.6, 0.8], place=1))
    np.testing.assert_allclose(own["history.share"], [[0.5, 1, 0]])
    timeless = history_by_hand(post_by_hand(user=0, time=float("nan"), text=[0, 1]))
    np.testing.assert_allclose(timeless["history.recent"], timeless["history.share"])
    assert not history_by_hand(post_by_hand(user=-1, time=20, text=[0, 1])).values_CNH.any()


def test_neighbours_by_hand() -> None:
    past, post = past_by_hand(), post_by_hand(user=1, time=50, text=[0, 1], place=3)
    cosines = past.cosines(post)
    np.testing.assert_allclose(cosines, [[0, 0.8, 1, 1]])
    near = nearest(cosines, post)
    assert near.places_E.tolist() == [2, 1]  # not itself
    np.testing.assert_allclose(near.weights_E, [1, 0.8])
    found = votes_of(past, neighbours(near, num_posts=1))
    np.testing.assert_allclose(found["neighbours.votes"], [[0.8 / 1.9, 1 / 1.9, 0]], rtol=1e-6)
    total = 1 + 0.8**3 + 0.05
    np.testing.assert_allclose(found["neighbours.near"], [[0.8**3 / total, 1 / total, 0]], rtol=1e-6)
    assert nearest(cosines, post, count=1).places_E.tolist() == [2]
    assert nearest(cosines, post_by_hand(user=1, time=50, text=[0, 1]), count=1).places_E.tolist() == [2]  # first come


def test_likelihood_by_hand() -> None:
    """Terms 0 and 1 stand in 2 and 3 of the 4 texts of `past_by_hand`; 5 / 3 and 5 / 4 is how rare they are."""
    past = past_by_hand()
    new = likelihood(past, post_by_hand(user=0, time=60, text=[1, 0]))[0]
    ratio = np.log((1 + np.array([2, 1, 0]) * 5 / 3 / 10) / (1 + np.array([2, 3, 1]) / 10))
    np.testing.assert_allclose(new, np.maximum(ratio, 0) / (1 + PRIOR), rtol=1e-5)
    assert (new > 0).tolist() == [True, False, False]
    own = likelihood(past, post_by_hand(user=0, time=20, text=[0.6, 0.8], place=1))[0]
    left_out = [(1, 0, 1), (1, 2, 3), (0, 1, 1)]  # other posts: with term 0 and h, with term 1 and h, with h
    ratio = np.array([np.log1p(a / 6) + np.log1p(b / 8) - 2 * np.log1p(n / 10) for a, b, n in left_out])
    np.testing.assert_allclose(own, np.maximum(ratio, 0) / (2 + PRIOR), rtol=1e-5)


def test_words_by_hand() -> None:
    named = NamedHashtags(
        ["kiddancer", "c++", "Đà Nẵng", "dance"], [["kid", "dancer"], ["c"], ["đà", "nẵng"], ["dance"]]
    )
    texts = [tokens(text) for text in ("My KID dancer dances", "in đà nẵng", "", "kid, x, dancer")]
    assert named(texts).toarray().tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_words_of_any_script_are_told_apart_and_met_however_they_are_typed() -> None:
    hashtags = ["कला", "केला", "काला", "má", "ma", "tiếngviệt", "fit", "strasse"]
    named = NamedHashtags(hashtags, [[hashtag] for hashtag in hashtags])

    def said(text: str) -> list[str]:
        return [hashtags[number] for number in named([tokens(text)]).indices]

    assert said("मुझे केला पसंद है") == ["केला"]
    assert said(unicodedata.normalize("NFD", "Má")) == ["má"]
    assert said(unicodedata.normalize("NFD", "tiếng việt")) == ["tiếngviệt"]
    assert said("ＦＩＴ, Straße") == ["fit", "strasse"]


def test_relatives_by_hand() -> None:
    """Hashtag 0 is part of 2. Of the 3 posts with 1, one has 0 and another one 2; a post leaves itself out of both."""
    edges = _graph([0], [2], [0], [1])
    votes = {"x": np.array([[0.5, 1, 0]], np.float32)}
    new = post_by_hand(user=0, time=0, text=[0, 1])
    found = relatives(past_by_hand(), new, static_shares(edges), votes)
    np.testing.assert_allclose(found["composition.x"], [[0, 0, 0.5]])
    np.testing.assert_allclose(found["cooccurrence.x"], [[1 / 8, 0.5 / 7, 1 / 8]], rtol=1e-6)
    own = post_by_hand(user=0, time=0, text=[0, 1], place=0)
    left_out = relatives(past_by_hand(), own, static_shares(edges), votes)
    np.testing.assert_allclose(left_out["cooccurrence.x"], [[0, 0, 1 / 7]], rtol=1e-6)


def _graph(source: list[int], target: list[int], relation: list[int], weight: list[int]) -> HashtagGraph:
    return HashtagGraph(
        num_hashtags=3,
        source=np.array(source, np.int32),
        target=np.array(target, np.int32),
        relation=np.array(relation, np.int8),
        weight=np.array(weight, np.float32),
    )


def test_popularity_by_hand() -> None:
    past, rows, hashtags = past_by_hand(), np.zeros(3, np.int64), np.arange(3)
    new = popularity(past, post_by_hand(user=0, time=0, text=[0, 1]), rows, hashtags)
    np.testing.assert_allclose(new[:, 0], 0.2 * np.log([3, 4, 2]), rtol=1e-6)
    np.testing.assert_allclose(new[:, 1], np.log([1 / 1.3, 2 / 1.45, 2 / 1.15]), rtol=1e-6)  # the last post is recent
    own = popularity(past, post_by_hand(user=0, time=0, text=[0, 1], place=3), rows, hashtags)
    np.testing.assert_allclose(own[:, 0], 0.2 * np.log([3, 3, 1]), rtol=1e-6)
    np.testing.assert_allclose(own[:, 1], np.log([1 / 1.3, 1 / 1.3, 1]), rtol=1e-6, atol=1e-7)


# Moment.


def dense_moment(past: Past, posts: Posts) -> np.ndarray:
    """Return `moment.share` and `moment.recent`, [2, N, H]."""
    return votes_of(past, moment(past, posts), posts=len(posts)).values_CNH


def test_moment_by_hand() -> None:
    """Somebody else's posts that are not newer speak, whoever reads."""
    past = past_by_hand()
    new = dense_moment(past, post_by_hand(user=1, time=45, text=[0, 1]))
    np.testing.assert_allclose(new[0], [[2 / 3, 2 / 3, 0]], rtol=1e-6)
    total = 1 + 0.8 + 0.64
    np.testing.assert_allclose(new[1], [[1.44 / total, 1.64 / total, 0]], rtol=1e-6)
    at_once = dense_moment(past, post_by_hand(user=1, time=20, text=[0, 1]))
    np.testing.assert_allclose(at_once[0], [[1, 0.5, 0]])
    assert not dense_moment(past, post_by_hand(user=0, time=45, text=[0, 1])).any()  # all three are the author's own
    assert not dense_moment(past, post_by_hand(user=1, time=float("nan"), text=[0, 1])).any()
    assert not dense_moment(past.take(np.arange(0)), post_by_hand(user=1, time=45, text=[0, 1])).any()


def moment_by_loops(past: Past, posts: Posts) -> np.ndarray:
    found = np.zeros((2, len(posts), past.uses_TH.shape[1]))
    uses_TH = past.uses_TH.toarray()
    for row, (user, time, place) in enumerate(zip(posts.users_N, posts.times_N, posts.places_N, strict=True)):
        before = [other for other in range(len(past)) if past.times_T[other] <= time and other != place]
        latest = sorted(before, key=lambda other: (past.times_T[other], other))[::-1][:LOOKED_AT]
        latest = [other for other in latest if past.users_T[other] != user][:KEPT]
        for number, decay in enumerate(DECAYS.values()):
            weights = decay ** np.arange(len(latest))
            kept = weights / weights.sum() > LEAST_WEIGHT if len(latest) else np.zeros(0, bool)
            for other, weight in zip(np.array(latest, int)[kept], weights[kept], strict=True):
                found[number, row] += weight / weights.sum() * uses_TH[other]
    return found


def test_moment_is_that_of_loops_and_leaves_a_past_post_out() -> None:
    rng = np.random.default_rng(0)
    size = 300
    past = Past(
        users_T=rng.choice(4, size, p=[0.7, 0.1, 0.1, 0.1]),  # the first user's own posts crowd the last ones
        times_T=np.where(rng.random(size) < 0.05, np.nan, rng.integers(0, 90, size).astype(float)),
        sounds_T=np.full(size, -1),
        texts_TV=sparse.csr_matrix((size, 2), dtype=np.float32),
        uses_TH=sparse.csr_matrix((rng.random((size, 9)) < 0.2).astype(np.float32)),
        rarity_V=np.ones(2, np.float32),
        num_users=4,
    )
    posts = Posts(
        users_N=past.users_T,
        times_N=past.times_T,
        sounds_N=past.sounds_T,
        texts_NV=past.texts_TV,
        lengths_N=np.zeros(size, np.int64),
        named_NH=sparse.csr_matrix((size, 9), dtype=np.float32),
        places_N=np.arange(size),
    )
    found = dense_moment(past, posts)
    np.testing.assert_allclose(found, moment_by_loops(past, posts), atol=1e-5)
    for place in range(0, size, 7):
        others = past.take(np.flatnonzero(np.arange(size) != place))
        alone = dense_moment(others, posts.take(np.array([place]), np.array([-1])))
        np.testing.assert_allclose(alone[:, 0], found[:, place], atol=1e-6)


def test_a_new_post_is_newer_than_all(memory: Memory) -> None:
    last_T = np.argsort(memory.past.times_T, kind="stable")[-KEPT:]
    shares_H = memory.past.uses_TH[last_T].mean(0)
    found = of_new(memory, [-1], [""], [None]).column("moment.share")
    np.testing.assert_allclose(found.toarray(), shares_H, atol=1e-6)


# Ridge.


def regression(*, rows: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    rng = np.random.default_rng(0)
    features = sparse.random(rows, 40, density=0.2, rng=rng, format="csr", dtype=np.float32)
    uses = sparse.random(rows, 7, density=0.3, rng=rng, format="csr", dtype=np.float32)
    uses.data[:] = 1
    return features, uses


@pytest.mark.parametrize("exact", [4000, 0], ids=["inverse", "conjugate gradients"])
def test_ridge_is_that_of_scikit_learn(exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "EXACT", exact)
    monkeypatch.setattr(ridge, "TOLERANCE", 1e-5)
    features, uses = regression(rows=60)
    plain = Ridge(alpha=1.0, fit_intercept=False).fit(features.toarray(), uses.toarray())
    monkeypatch.setattr(ridge, "LEAST_WEIGHT", 0)
    np.testing.assert_allclose(ridge.fit(features, uses).toarray(), plain.coef_.T, atol=1e-4)
    monkeypatch.setattr(ridge, "LEAST_WEIGHT", 0.1)
    expected = np.where(np.abs(plain.coef_.T) >= 0.1, plain.coef_.T, 0)
    np.testing.assert_allclose(ridge.fit(features, uses).toarray(), expected, atol=1e-4)


def test_leaving_one_out_is_fitting_again_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    features, uses = regression(rows=30)
    monkeypatch.setattr(ridge, "LEAST_WEIGHT", 0)
    found = ridge.left_out(features, uses).toarray()
    for row in range(30):
        others = np.arange(30) != row
        plain = ridge.predict(Entries.of(features[[row]]), ridge.fit(features[others], uses[others]), 1)
        np.testing.assert_allclose(found[[row]], plain, atol=1e-5)


def test_beyond_the_exact_size_folds_are_predicted_by_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "EXACT", 0)
    features, uses = regression(rows=40)
    found = ridge.left_out(features, uses)
    fold = np.random.default_rng(0).permutation(40) % ridge.FOLDS
    for number in range(ridge.FOLDS):
        own = fold == number
        plain = ridge.predict(Entries.of(features[own]), ridge.fit(features[~own], uses[~own]), int(own.sum()))
        np.testing.assert_array_equal(found[np.flatnonzero(own)].toarray(), plain)


@pytest.mark.parametrize("exact", [4000, 0], ids=["inverse", "conjugate gradients"])
def test_threads_change_no_bit(exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "EXACT", exact)
    monkeypatch.setattr(ridge, "COLUMNS", 2)  # of seven hashtags: four blocks, the last one smaller
    features, uses = regression(rows=60)
    found = []
    for threads in (1, 4):
        monkeypatch.setattr(ridge, "THREADS", threads)
        found.append((ridge.fit(features, uses).toarray(), ridge.left_out(features, uses).toarray()))
    np.testing.assert_array_equal(*(weights for weights, _ in found))
    np.testing.assert_array_equal(*(predictions for _, predictions in found))
    assert found[0][0].shape == (40, 7)


def test_only_the_largest_predictions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(votes_module, "KEPT", 2)
    weights = sparse.csr_matrix(np.array([[0.3, -1, 0.2, 0.3, 0.1]], np.float32))
    found = ridge.predict(Entries(np.array([0]), np.array([0]), np.array([1.0])), weights, 1)
    np.testing.assert_allclose(found, [[0.3, 0, 0, 0.3, 0]])


def test_the_largest_are_those_of_a_stable_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(votes_module, "KEPT", 5)
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=(50, 30)), 1).astype(np.float32) * (rng.random((50, 30)) < rng.random((50, 1)))
    expected = np.zeros_like(scores)
    for row, values in enumerate(scores):
        best = np.argsort(-values, kind="stable")[:5]
        expected[row, best] = np.maximum(values[best], 0)
    np.testing.assert_array_equal(largest(scores.copy()), expected)
    some = largest(scores.copy(), least=0.4)
    np.testing.assert_array_equal(some, np.where(expected >= np.float32(0.4), expected, 0))


def test_products_are_those_of_scipy_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    for rows, density in ((1, 0.3), (40, 0.1), (3, 0.0)):
        one = sparse.random(rows, 50, density=density, rng=rng, format="csr", dtype=np.float32)
        other = sparse.random(50, 70, density=0.2, rng=rng, format="csr", dtype=np.float32)
        np.testing.assert_array_equal(Entries.of(one).times(other, rows), (one @ other).toarray())
    with pytest.raises(ValueError, match="an entry stands at 50 of a matrix with 50 rows"):
        Entries(np.array([0]), np.array([50]), np.array([1.0])).times(other, 1)
    for loop in (loops.add_products, loops.keep_largest):
        assert len(loop.signatures) == 1  # compiled once, whatever types entries have


def test_pairs_are_the_hashtags_with_a_vote_and_packing_keeps_them() -> None:
    rng = np.random.default_rng(0)
    num_posts, num_hashtags, width = 40, 6, len(COLUMNS) + len(STATISTICS)
    votes = [
        Votes(names=names, values_CNH=rng.random((len(names), num_posts, num_hashtags)) * _few(rng, num_posts))
        for names in (COLUMN_NAMES[7:9], COLUMN_NAMES[:3])
    ]
    plain = np.zeros((num_posts, num_hashtags, width), np.float32)
    for some in votes:
        for name in some.names:
            plain[:, :, COLUMN_NAMES.index(name)] = some[name]
    rows, hashtags = np.nonzero(plain.any(2))
    assert 0 < len(set(rows)) < num_posts  # some have no vote at all
    plain[rows, hashtags, len(COLUMNS) :] = _marks(rows, hashtags)
    pairs = Pairs.of(votes, _marks, np.zeros((num_posts, 1)))
    packed = Evidence.of(pairs)
    packed.packed.check_format()
    np.testing.assert_array_equal(dense(packed), plain)
    halves = (
        Evidence.of(Pairs.of([_of_rows(some, part) for some in votes], _marks, np.zeros((len(part), 1))))
        for part in (np.arange(20), np.arange(20, 40))
    )
    stacked = Pairs.stack([half.pairs() for half in halves])
    for found, columns in ((pairs, width), (packed.pairs(), width), (stacked, len(COLUMNS))):  # halves count rows anew
        np.testing.assert_array_equal(found.rows_E, rows)
        np.testing.assert_array_equal(found.hashtags_E, hashtags)
        np.testing.assert_array_equal(found.values_EJ[:, :columns], plain[rows, hashtags][:, :columns])
    two = packed.take(np.array([4, 2])).pairs()
    expected = [plain[row, hashtags[rows == row]] for row in (4, 2)]
    np.testing.assert_array_equal(two.values_EJ, np.concatenate(expected))


def _few(rng: np.random.Generator, num_posts: int) -> np.ndarray:
    """Return 1 for about a twelfth of some votes, else 0, [num_posts, 6]."""
    few: np.ndarray = (rng.random((num_posts, 6)) < 0.08).astype(np.float32)
    return few


def _of_rows(votes: Votes, rows: np.ndarray) -> Votes:
    return Votes(names=votes.names, values_CNH=votes.values_CNH[:, rows])


def _marks(rows: np.ndarray, hashtags: np.ndarray) -> np.ndarray:
    return np.stack([rows + 1.0, hashtags + 1.0], axis=1)


# Leaving out, leaks, periods.


def evidence_of(past: Past, posts: Posts, memory: Memory) -> Evidence:
    """Return what a past gives posts that are not in it."""
    return memory_module._packed(
        past, posts, memory.shares_GH, partial(memory_module._predict, past, memory_module._ridges(past))
    )


def test_each_train_post_is_judged_as_if_it_had_not_been_there(
    world: Dataset, memory: Memory, of_train: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All columns but the trend, whose boundary in time may move: see the next test."""
    monkeypatch.setattr(ridge, "LEAST_WEIGHT", 0)
    posts = memory._posts_of(world, world.rows("train"))
    found, checked = dense(of_train), np.zeros(len(COLUMNS))
    for place in range(0, len(memory.past), 3):
        others = memory.past.take(np.flatnonzero(np.arange(len(memory.past)) != place))
        part = posts.take(np.array([place]), np.array([-1]))
        plain = evidence_of(others, part, memory)
        np.testing.assert_allclose(found[place, :, :-1], dense(plain)[0, :, :-1], atol=1e-5)
        np.testing.assert_allclose(of_train.context_NX[place], plain.context_NX[0], atol=1e-6)
        checked += (found[place, :, : len(COLUMNS)] > 0).any(0)
    silent = {COLUMN_NAMES[number] for number in np.flatnonzero(checked == 0)}
    assert not {name for name in silent if name.startswith(("history", "neighbours", "ridge", "words", "cooc"))}


@pytest.mark.parametrize("exact", [4000, 0], ids=["leave one out", "folds"])
def test_its_own_hashtags_never_enter_the_evidence_of_a_train_post(
    exact: int, world: Dataset, graph: HashtagGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Give four posts other hashtags, one at a time: the evidence of the post stays, that of others changes."""
    monkeypatch.setattr(ridge, "EXACT", exact)
    before = dense(Memory.of(world, graph).of_train(world))
    train = world.rows("train")
    for place in (0, 50, 111, 180):
        changed = with_hashtags(world, train[[place]], [0, 1, 2])
        after = dense(Memory.of(changed, graph).of_train(changed))
        np.testing.assert_allclose(after[place], before[place], atol=1e-5)
        assert np.abs(after - before).max() > 0.1


def test_valid_and_test_hashtags_leave_no_trace(world: Dataset, graph: HashtagGraph, of_train: Evidence) -> None:
    later = np.concatenate([world.rows("valid"), world.rows("test")])
    changed = with_hashtags(world, later, [0])
    memory = Memory.of(changed, graph)
    np.testing.assert_array_equal(dense(memory.of_train(changed)), dense(of_train))
    np.testing.assert_array_equal(
        dense(memory.of_rows(changed, later)), dense(Memory.of(world, graph).of_rows(world, later))
    )


def test_in_a_split_by_time_only_earlier_periods_speak(world: Dataset, graph: HashtagGraph) -> None:
    dataset = by_time(world)
    memory = Memory.of(dataset, graph)
    assert memory.periods_T is not None
    assert np.bincount(memory.periods_T).tolist() == [30] * 8
    before = memory.of_train(dataset)
    changed = with_hashtags(dataset, np.arange(90, 240), [0, 1, 2])  # from the fourth period on
    after = Memory.of(changed, graph).of_train(changed)
    np.testing.assert_allclose(dense(after)[:120], dense(before)[:120], atol=1e-6)
    assert (np.abs(dense(after) - dense(before))[120:].max((1, 2)) > 1e-3).mean() > 0.9
    ridges = ("ridge.text", "ridge.user")
    assert not any(before.column(name)[:30].nnz for name in COLUMN_NAMES if not name.endswith(("named", "words")))
    assert all(before.column(name)[30:].nnz for name in ridges)
    first = memory.past.take(np.arange(210))
    last = memory._posts_of(dataset, np.arange(210, 240))
    plain = evidence_of(first, last, memory)
    np.testing.assert_allclose(dense(before)[210:240], dense(plain), atol=1e-6)


def test_a_random_split_has_no_periods(world: Dataset, memory: Memory) -> None:
    assert memory.periods_T is None
    at_once = pl.Series("time", [1_000_000] * world.videos.height).cast(pl.Datetime("us", "UTC"))
    assert memory_module._periods(replace(world, videos=world.videos.with_columns(time=at_once))) is None


def test_few_valid_posts_do_not_make_many_periods(world: Dataset) -> None:
    dataset = by_time(world)
    split = ["train"] * 280 + ["valid"] + ["test"] * (dataset.videos.height - 281)
    periods_T = memory_module._periods(replace(dataset, videos=dataset.videos.with_columns(split=pl.Series(split))))
    assert periods_T is not None
    counts = np.bincount(periods_T)
    assert counts.tolist() == [14] * memory_module.MOST_PERIODS


def test_evidence_gathered_in_blocks_is_the_same(
    world: Dataset, graph: HashtagGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    for dataset in (with_sounds(world), by_time(world)):
        found = []
        for cells in (2**30, 7 * max(300, len(COLUMNS) * dataset.num_hashtags)):
            monkeypatch.setattr(memory_module, "CELLS", cells)
            memory = Memory.of(dataset, graph)
            found.append((memory.of_train(dataset), memory.of_rows(dataset, dataset.rows("test"))))
        for whole, in_blocks in zip(*found, strict=True):
            for name in ("data", "indices", "indptr"):
                np.testing.assert_array_equal(getattr(in_blocks.packed, name), getattr(whole.packed, name))
            np.testing.assert_array_equal(in_blocks.context_NX, whole.context_NX)


# Posts from outside, batches, files.


def test_a_batch_is_its_posts_one_by_one(world: Dataset, memory: Memory) -> None:
    rows = world.rows("test")[:12]
    together = memory.of_rows(world, rows)
    for place, row in enumerate(rows):
        alone = memory.of_rows(world, np.array([row]))
        np.testing.assert_allclose(dense(together)[place], dense(alone)[0], atol=1e-6)
        np.testing.assert_allclose(together.context_NX[place], alone.context_NX[0], atol=1e-6)


def test_unknown_users_and_empty_texts_have_no_evidence_of_them(world: Dataset, memory: Memory) -> None:
    text = world.videos["text"][int(world.rows("test")[0])]
    found = of_new(memory, [3, -1, 3, -1], [text, text, "", ""], [None] * 4)
    assert np.isfinite(found.packed.data).all()
    for column in COLUMNS:
        seen = np.diff(found.column(column.name).indptr) > 0
        assert not (column.user and seen[[1, 3]].any())
        assert not (column.text and seen[[2, 3]].any())
    assert found.column("history.share")[0].nnz
    assert found.column("neighbours.votes")[1].nnz
    only_moment = {column.name for column in COLUMNS if found.column(column.name)[3].nnz}
    assert only_moment == {"moment.share", "moment.recent"}
    known = CONTEXT.index("known")
    assert found.context_NX[:, known].tolist() == [1, 0, 1, 0]
    assert not found.context_NX[3].any()


def loaded_again(arrays: dict[str, np.ndarray], memory: Memory, world: Dataset, graph: HashtagGraph) -> Memory:
    return memory_of(
        arrays,
        terms=memory.texts.terms,
        sounds=memory.sounds,
        hashtags=world.hashtags["hashtag"].to_list(),
        words=world.hashtags["words"].to_list(),
        num_users=world.num_users,
        graph=graph,
    )


def test_a_saved_memory_says_the_same(world: Dataset, graph: HashtagGraph) -> None:
    world = with_sounds(world)
    memory = Memory.of(world, graph)
    loaded = loaded_again(memory_arrays(memory), memory, world, graph)
    rows = world.rows("test")
    np.testing.assert_array_equal(dense(loaded.of_rows(world, rows)), dense(memory.of_rows(world, rows)))
    assert memory.past.sounds_T.min() == loaded.past.sounds_T.min() == -1


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("users", lambda users_T: users_T.astype(np.float64), "users is float64"),
        ("users", lambda users_T: np.where(users_T == 3, 10**12, users_T), "users of posts are not in 0 to"),
        ("times", lambda times_T: times_T[:-3], "times is float64 of shape"),
        ("uses.indptr", lambda indptr: indptr[:-3], "uses has"),
        ("ridge.user.data", lambda data: np.full_like(data, np.nan), "ridge.user holds numbers"),
        ("texts.data", lambda data: -data, "texts holds numbers"),
        ("uses.indices", lambda indices: indices + 10_000, "indices must be"),
    ],
)
def test_a_memory_that_does_not_fit_is_refused(
    name: str,
    change: Callable[[np.ndarray], np.ndarray],
    message: str,
    world: Dataset,
    memory: Memory,
    graph: HashtagGraph,
) -> None:
    arrays = memory_arrays(memory)
    with pytest.raises(ValueError, match=message):
        loaded_again({**arrays, name: change(arrays[name])}, memory, world, graph)


def test_a_world_without_texts_or_times_has_evidence_too(world: Dataset, graph: HashtagGraph) -> None:
    empty = world.videos.with_columns(text=pl.lit(""), time=pl.lit(None, pl.Datetime("us", "UTC")))
    dataset = replace(world, videos=empty)
    memory = Memory.of(dataset, graph)
    assert memory.texts.terms == []
    found = memory.of_train(dataset)
    assert np.isfinite(found.packed.data).all()
    assert found.column("history.share").nnz
    assert not any(found.column(column.name).nnz for column in COLUMNS if column.text)


def test_vectors_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.choice(list("abcdef"), size=rng.integers(0, 9)).tolist() for _ in range(40)]
    index = TextIndex.of(texts)
    plain = TfidfVectorizer(analyzer=_terms, vocabulary=index.terms, sublinear_tf=True, dtype=np.float32)
    plain.idf_ = index.idf_V
    np.testing.assert_allclose(index.vectors(texts).toarray(), plain.transform(texts).toarray(), rtol=1e-6)


def test_terms_of_a_single_text_are_left_out() -> None:
    index = TextIndex.of([tokens(text) for text in ("a b c", "A b", "d")])
    assert index.terms == ["a", "a b", "b"]
    np.testing.assert_allclose(index.idf_V, np.log(4 / 3) + 1, rtol=1e-6)
    vectors = index.vectors([["a", "b"], ["d"], ["a", "a"]]).toarray()
    np.testing.assert_allclose(vectors, [[3**-0.5] * 3, [0] * 3, [1, 0, 0]], rtol=1e-6)
