"""Peers: values worked out by hand, slow twins, no leak, and the study around them. Those that need packages of their
own are run by `make bench-peers`."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmarks.peers.catalogue import PEERS, search
from benchmarks.peers.counting import LatestPosts, NaiveBayes, Neighbours, Popularity, UserHistory
from benchmarks.peers.embedding import BagOfWords, _lines
from benchmarks.peers.factors import Ease, LightGcn
from benchmarks.peers.linear import Ridge, TextAndUser, _as_text
from benchmarks.peers.posts import Peer, Posts, TrainPosts
from benchmarks.peers.run import run_system, slug, table
from data.dataset import HASHTAGS_SCHEMA, USERS_SCHEMA, VIDEOS_SCHEMA, Dataset
from data.files import InputError, write_json
from experiments.real.ceiling import ceiling, repeated
from experiments.real.compare import best_peer, compare, difference
from experiments.real.run import split_by_user
from experiments.real.said import known_terms
from v2ht.evidence.texts import _terms, tokens

START = datetime(2025, 1, 1, tzinfo=UTC)
Row = tuple[int, int | None, str, list[int], str]  # user, day, text, hashtag ids, split
ROWS: list[Row] = [
    (0, 0, "red apple", [0, 1], "train"),
    (0, 5, "green pear", [0], "train"),
    (0, 9, "red sky", [2], "train"),
    (1, 1, "blue sky", [2, 3], "train"),
    (0, 10, "red apple", [1], "test"),
    (2, 10, "blue", [3], "test"),  # a user whom train does not know
    (1, None, "nothing known", [2], "valid"),
]


def make(rows: list[Row], *, num_users: int = 3, num_hashtags: int = 5) -> Dataset:
    """Make a dataset in memory."""
    videos = pl.DataFrame(
        {
            "video_id": [f"v{row}" for row in range(len(rows))],
            "user_id": [row[0] for row in rows],
            "time": [None if row[1] is None else START + timedelta(days=row[1]) for row in rows],
            "text": [row[2] for row in rows],
            "hashtag_ids": [row[3] for row in rows],
            "split": [row[4] for row in rows],
        },
        schema=VIDEOS_SCHEMA,
    )
    names = [f"tag{number}" for number in range(num_hashtags)]
    train = [tag for row in rows if row[4] == "train" for tag in row[3]]
    columns = {
        "hashtag": names,
        "words": [[name] for name in names],
        "train_videos": [train.count(number) for number in range(num_hashtags)],
    }
    users = pl.DataFrame({"user": [f"user{number}" for number in range(num_users)]}, schema=USERS_SCHEMA)
    return Dataset(videos=videos, hashtags=pl.DataFrame(columns, HASHTAGS_SCHEMA), users=users, manifest={})


SMALL = make(ROWS)
SHARES = np.array([2, 1, 2, 1, 0]) / 4


def fitted(peer: Peer, dataset: Dataset = SMALL) -> Callable[[list[int]], np.ndarray]:
    """Fit on train; return the scorer of rows."""
    peer.fit(TrainPosts.of(dataset))
    return lambda rows: peer.scores(Posts.of(dataset, np.array(rows)))


# --- values worked out by hand ----------------------------------------------------------------------------------


def test_history_counts_and_popularity_settles_ties() -> None:
    scores = fitted(UserHistory())([4, 5])
    assert scores == pytest.approx(np.stack([[2, 1, 1, 0, 0] + 0.5 * SHARES, 0.5 * SHARES]))
    assert fitted(Popularity())([5])[0] == pytest.approx(SHARES)


def test_the_newest_of_the_history_weighs_most() -> None:
    """Day 10: rank 0 is the post of day 9 (tag 2), rank 1 that of day 5 (0), rank 2 that of day 0 (0, 1)."""
    scores = fitted(UserHistory(decay=0.5, backing=0.0))([4])
    assert scores[0] == pytest.approx([0.5 + 0.25, 0.25, 1, 0, 0])


def test_a_post_of_unknown_time_weighs_all_posts_alike() -> None:
    assert fitted(UserHistory(decay=0.5, backing=0.0))([6])[0] == pytest.approx([0, 0, 1, 1, 0])


def test_nearest_texts_vote_with_shares() -> None:
    """Only "red" and "sky" are in two train texts; "red apple" is as near to itself as "red sky" is by cosine."""
    scores = fitted(Neighbours(neighbours=3, power=1.0, backing=0.0))([4])[0]
    near = 1 / np.sqrt(2)  # "red sky" holds red and sky, equally rare
    assert scores == pytest.approx(np.array([1, 1, near, 0, 0]) / (1 + near))
    nearest = fitted(Neighbours(neighbours=1, power=1.0, backing=0.0))([4])[0]
    assert nearest == pytest.approx([1, 1, 0, 0, 0])


def test_neighbours_take_history_and_popularity_beside_them() -> None:
    text = fitted(Neighbours(neighbours=3, backing=0.0))([4])[0]
    both = fitted(Neighbours(neighbours=3, backing=0.1, history=3.0))([4])[0]
    assert both == pytest.approx(text + 3 * np.array([2, 1, 1, 0, 0]) / 3 + 0.1 * SHARES)


def test_the_latest_posts_are_those_of_others_that_are_not_newer() -> None:
    """For user 0 on day 10 that is one post (tags 2, 3); for user 2 first day 9 (2), then 5 (0)."""
    scores = fitted(LatestPosts(count=2, fading=0.5, backing=0.1))([4, 5, 6])
    assert scores[0] == pytest.approx([0, 0, 1, 1, 0] + 0.1 * SHARES)
    assert scores[1] == pytest.approx(np.array([0.5, 0, 1, 0, 0]) / 1.5 + 0.1 * SHARES)
    assert scores[2] == pytest.approx(0.1 * SHARES)  # of unknown time
    at_once = make([*ROWS, (2, 5, "x", [4], "test"), (2, 4, "x", [4], "test")])
    found = fitted(LatestPosts(count=1, backing=0.0), at_once)([7, 8])
    assert found == pytest.approx(np.array([[1, 0, 0, 0, 0], [0, 0, 1, 1, 0]]))
    text = fitted(Neighbours(neighbours=3, backing=0.0))([5])[0]
    both = fitted(Neighbours(neighbours=3, backing=0.0, latest=3.0, fading=0.5))([5])[0]
    last = np.array([0.5 + 0.125, 0.125, 1 + 0.25, 0.25, 0]) / 1.875  # days 9 (2), 5 (0), 1 (2, 3) and 0 (0, 1)
    assert both == pytest.approx(text + 3 * last)


def test_naive_bayes_equals_its_formula() -> None:
    """Train words in two texts: red (tags 0, 1, 2) and sky (2, 3 and 2); each is half of the words."""
    peer = NaiveBayes(text=0.5, smoothing=4.0, prior=2.0)
    found = fitted(peer)([4])[0]
    own = np.array([2, 1, 1, 0, 0]) + 2 * (SHARES + 1e-9)
    with_red, lengths = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 3, 1, 0])
    word = np.log(((with_red + 4 * 0.5) / (lengths + 4)) / 0.5)  # p(red | h) / p(red)
    assert found == pytest.approx(np.log(own) + 0.5 * word, rel=1e-5)


# --- slow twins -------------------------------------------------------------------------------------------------


def test_ridge_equals_the_normal_equations() -> None:
    train = TrainPosts.of(SMALL)
    features = TextAndUser(0.5)
    own_TF = features.fit(train).toarray().astype(np.float64)
    weights_FH = np.linalg.solve(own_TF.T @ own_TF + 0.3 * np.eye(own_TF.shape[1]), own_TF.T @ train.uses_TH.toarray())
    expected = features(Posts.of(SMALL, np.array([4, 5]))).toarray() @ weights_FH
    assert fitted(Ridge(user=0.5, penalty=0.3))([4, 5]) == pytest.approx(expected, abs=1e-5)


def planted(*, num_users: int = 20, posts: int = 6) -> Dataset:
    """Even users post even hashtags, with an even word, odd ones odd ones; everybody leaves some of them out."""
    random = np.random.default_rng(0)
    rows: list[Row] = []
    for user in range(num_users):
        for post in range(posts):
            tags = sorted((2 * random.choice(5, 2, replace=False) + user % 2).tolist())
            text = f"{'even' if user % 2 == 0 else 'odd'} word{random.integers(5)}"
            rows.append((user, post, text, tags, "train" if post < posts - 1 else "test"))
    return make(rows, num_users=num_users, num_hashtags=10)


def test_ease_equals_regressing_each_hashtag_on_the_others() -> None:
    dataset, penalty = planted(), 3.0
    uses_UH = (TrainPosts.of(dataset).counts_UH > 0).toarray().astype(float)
    rows = dataset.rows("test")
    found = fitted(Ease(penalty=penalty), dataset)(rows.tolist())
    for hashtag in range(10):
        others = np.delete(uses_UH, hashtag, axis=1)
        weights = np.linalg.solve(others.T @ others + penalty * np.eye(9), others.T @ uses_UH[:, hashtag])
        assert found[:, hashtag] == pytest.approx((others @ weights)[dataset.videos["user_id"].to_numpy()[rows]])


@pytest.mark.parametrize("peer", [BagOfWords(dim=16, epochs=30, learning_rate=0.01), LightGcn(dim=16, epochs=30)])
def test_what_learns_finds_the_planted_halves(peer: Peer) -> None:
    dataset = planted()
    rows = dataset.rows("test")
    best = np.argsort(-fitted(peer, dataset)(rows.tolist()), axis=1)[:, :5]
    parity = dataset.videos["user_id"].to_numpy()[rows] % 2
    assert (best % 2 == parity[:, None]).mean() > 0.95


def test_users_whom_train_does_not_know() -> None:
    for peer in (Ease(), LightGcn(epochs=1)):
        assert fitted(peer)([5])[0] == pytest.approx(SHARES)
    bag = BagOfWords(epochs=1)
    scores = fitted(bag)([5, 4])
    assert np.isfinite(scores).all()
    assert bag._ids(Posts.of(SMALL, np.array([5])))[1].tolist() == [3]  # nobody


# --- no leak ----------------------------------------------------------------------------------------------------

WITH_OWN_PACKAGES = {"omikuji (Parabel)", "fastText", "LightFM (WARP)", "ALS", "BPR"}


@pytest.mark.parametrize("system", sorted(set(PEERS) - WITH_OWN_PACKAGES))
def test_what_is_true_of_other_splits_changes_nothing(system: str) -> None:
    changed = make([(*row[:3], row[3] if row[4] == "train" else [4], row[4]) for row in ROWS])
    small = {name: value for name, value in (("epochs", 2),) if name in PEERS[system].grid}
    settings = {name: values[0] for name, values in PEERS[system].grid.items()} | small
    scores = [fitted(PEERS[system].peer(settings, seed=3), dataset)([4, 5, 6]) for dataset in (SMALL, changed)]
    assert scores[0].shape == (3, 5)
    assert scores[0].dtype == np.float32
    assert np.array_equal(*scores)


def test_files_that_other_libraries_read() -> None:
    train = TrainPosts.of(SMALL)
    lines = _as_text(TextAndUser(1.0).fit(train), train.uses_TH).splitlines()
    assert lines[:3] == ["4 5 5", "0,1 0:1 2:1", "0 2:1"]  # "red" and "sky" are terms, then three users
    assert _lines(train.posts)[3] == "__user__1 blue sky"


# --- tuning and running -----------------------------------------------------------------------------------------


def test_search_tries_one_setting_at_a_time_beside_the_best() -> None:
    values = {(1, 1): 0.2, (2, 1): 0.5, (3, 1): 0.5, (2, 5): 0.4, (2, 7): 0.6}
    tried = search({"a": (1, 2, 3), "b": (1, 5, 7)}, lambda settings: values[settings["a"], settings["b"]])
    assert tried[0] == ({"a": 2, "b": 7}, 0.6)
    assert len(tried) == 5  # never (3, 5): 2 came first


def test_a_system_runs_once_and_a_failure_is_kept(world_folder: Path, tmp_path: Path) -> None:
    line = run_system(world_folder, "popularity", tmp_path, seed=3)
    assert line["evaluation"]["overall"]["recall@10"] > 0
    assert line["peak_gib"] > 0
    videos = pl.read_parquet(tmp_path / "popularity.parquet").filter(pl.col("subset") == "overall")
    assert videos["recall@10"].mean() == pytest.approx(line["evaluation"]["overall"]["recall@10"], abs=1e-5)
    (tmp_path / "popularity.parquet").unlink()
    assert run_system(world_folder, "popularity", tmp_path, seed=3) == line
    assert not (tmp_path / "popularity.parquet").exists()
    write_json(tmp_path / "popularity.json", {"settings": {}, "tried": []})  # killed between tuning and ranking
    assert run_system(world_folder, "popularity", tmp_path, seed=3)["evaluation"] == line["evaluation"]
    if importlib.util.find_spec("omikuji") is None:
        failed = run_system(world_folder, "omikuji (Parabel)", tmp_path, seed=3)
        assert failed["failed"].startswith("ModuleNotFoundError")
        assert "omikuji" in table([failed])
    with pytest.raises(InputError, match="system 'nobody' is unknown; choose among v2ht_memory, v2ht, popularity"):
        run_system(world_folder, "nobody", tmp_path, seed=3)


def test_a_peer_that_was_tuned_keeps_its_settings_while_its_grid_is_the_same(
    world_folder: Path, tmp_path: Path
) -> None:
    system = "history, newest first"
    first = run_system(world_folder, system, tmp_path, seed=3)
    chosen = {"settings": {**first["settings"], "decay": 0.3}, "tried": [{"settings": {}, "recall@10": 0.5}]}
    kept = run_system(world_folder, system, tmp_path, seed=3, again=True, tuned={**first, **chosen})
    assert {key: kept[key] for key in chosen} == chosen
    assert kept["asked"] == first["asked"]
    other = {**first, **chosen, "asked": {"decay": [0.3]}}
    assert run_system(world_folder, system, tmp_path, seed=3, again=True, tuned=other)["settings"] == first["settings"]


# --- the study --------------------------------------------------------------------------------------------------


def test_users_are_dealt_to_one_split_each() -> None:
    split = split_by_user(planted(num_users=50), seed=1)
    users = planted(num_users=50).videos.select("video_id", "user_id").join(split, on="video_id")
    assert users.group_by("user_id").agg(pl.col("split").n_unique())["split"].max() == 1
    assert dict(split.group_by("split").len().iter_rows()) == {"train": 240, "valid": 30, "test": 30}


def line_of(system: str, seed: int, recall: float) -> dict[str, Any]:
    numbers = {"videos": 2, "recall@10": recall, "ndcg@10": recall}
    subsets = {"overall": numbers, "longtail": None, "new_to_user": None, "cold_user": None}
    return {"table": "t", "protocol": "p", "system": system, "seed": seed, "evaluation": subsets}


def test_comparison_pairs_videos_over_seeds(tmp_path: Path) -> None:
    """A peer without seeds of its own stands against the mean of ours over them."""
    lines = [line_of("popularity", 10, 0.1), line_of("history", 10, 0.4)]
    lines += [line_of("v2ht_memory", seed, 0.6) for seed in (10, 11)]
    values = {("popularity", 10): [0.1, 0.1], ("history", 10): [0.3, 0.5]}
    values |= {("v2ht_memory", 10): [0.5, 0.5], ("v2ht_memory", 11): [0.7, 0.7]}
    for (system, seed), numbers in values.items():
        (tmp_path / "lines" / f"t-p-{seed}").mkdir(parents=True, exist_ok=True)
        columns = {"subset": "overall", "video": ["a", "b"], "recall@10": numbers, "ndcg@10": numbers}
        pl.DataFrame(columns).write_parquet(tmp_path / "lines" / f"t-p-{seed}" / f"{slug(system)}.parquet")
    rows = compare("t", "p", lines, tmp_path)
    assert [(row["subset"], row["metric"], row["peer"]) for row in rows] == [
        ("overall", "recall@10", "history"),
        ("overall", "ndcg@10", "history"),
    ]
    assert rows[0]["difference"] == pytest.approx(0.2)
    assert rows[0]["interval"] == pytest.approx([0.1, 0.3])
    (tmp_path / "lines" / "t-p-11" / "v2ht_memory.parquet").unlink()
    with pytest.raises(InputError, match="is gone; measure it again"):
        compare("t", "p", lines, tmp_path)


def test_no_best_peer_where_a_subset_is_empty() -> None:
    systems = {"popularity": [line_of("popularity", 10, 0.1)], "v2ht_memory": [line_of("v2ht_memory", 10, 0.6)]}
    assert best_peer(systems, "overall", "recall@10") == "popularity"  # ours is no peer
    assert best_peer(systems, "cold_user", "recall@10") is None
    one = pl.DataFrame({"video": ["a"], "value": [1.0]})
    with pytest.raises(ValueError, match="different videos"):
        difference(one, one.with_columns(video=pl.lit("b")))


def test_the_ceiling_counts_what_others_gave_the_same_text() -> None:
    dataset = make(
        [
            (0, 0, "band", [0, 1], "train"),
            (1, 0, "band", [1, 2], "train"),
            (2, 0, "other", [3], "train"),
            (2, 1, "band", [1, 2, 3, 4], "test"),  # new: 1, 2 and 4, of which others gave the band 1 and 2
            (0, 1, "nobody", [0, 3], "test"),  # new: 3, found by popularity
            (1, 1, "band", [1, 2], "test"),  # nothing new
        ]
    )
    assert ceiling(dataset) == {
        "posts": 2,
        "oracle": pytest.approx((2 / 3 + 0) / 2),
        "counted": pytest.approx((2 / 3 + 1) / 2),
        "unseen": 0.5,
    }


def test_repeated_is_the_share_of_rare_hashtags_that_their_users_used_in_train() -> None:
    dataset = make(
        [
            (0, 0, "", [0, 1], "train"),
            (1, 0, "", [0, 2], "train"),
            (0, 1, "", [0, 1, 2], "test"),  # rare: 1 and 2, of which the user repeats 1
            (1, 1, "", [2, 3], "test"),  # rare: 2, repeated, and 3, which train does not have
            (1, 1, "", [0], "test"),  # none is rare
        ]
    )
    assert repeated(dataset, threshold=2) == {"posts": 2, "share": 0.5}


def test_known_terms_are_those_of_two_train_texts(world: Dataset) -> None:
    train, test = (world.videos["text"].gather(world.rows(split)).to_list() for split in ("train", "test"))
    counts: Counter[str] = Counter()
    for text in train:
        counts.update(set(_terms(tokens(text))))
    expected = [sum(counts[term] > 1 for term in set(_terms(tokens(text)))) for text in test]
    assert known_terms(world)["terms"].to_list() == expected
    assert 0 in expected
    assert max(expected) > 1
