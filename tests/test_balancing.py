"""The balanced dataset: what is cut, what stays, and that chance alone decides which."""

from collections import Counter
from math import log
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.balancing import balance, normalised_entropy
from data.dataset import Dataset
from data.files import InputError
from data.importing import ImportSettings, import_table


def posts_of(tags: list[list[str]]) -> pl.DataFrame:
    numbers = range(len(tags))
    return pl.DataFrame(
        {"row": numbers, "video_id": [f"v{n:03}" for n in numbers], "hashtags": tags},
        schema={"row": pl.UInt32, "video_id": pl.String, "hashtags": pl.List(pl.String)},
    )


def uses(posts: pl.DataFrame) -> Counter[str]:
    return Counter(tag for tags in posts["hashtags"].to_list() for tag in tags)


def test_the_most_frequent_come_down_to_the_next_one() -> None:
    tags = [["a", "b"]] * 6 + [["a", "c"]] * 4 + [["c", "d"]] * 1 + [["d"]] * 2
    posts = posts_of(tags)
    assert uses(posts) == {"a": 10, "b": 6, "c": 5, "d": 3}
    after, counts = balance(posts, most_frequent=2, seed=0)
    assert uses(after) == {"a": 5, "b": 5, "c": 5, "d": 3}
    assert counts == {"hashtags_cut": 2, "uses_kept_each": 5, "uses_removed": 6}
    assert after.select("row", "video_id").equals(posts.select("row", "video_id"))
    tied, counts = balance(posts_of([["a", "b"], ["a", "b"], ["c"]]), most_frequent=1, seed=0)
    assert uses(tied) == {"a": 2, "b": 2, "c": 1}
    assert counts == {"hashtags_cut": 0, "uses_kept_each": 2, "uses_removed": 0}


def test_there_must_be_a_next_hashtag() -> None:
    posts = posts_of([["a", "b"], ["a"]])
    balance(posts, most_frequent=1, seed=0)
    for most_frequent in (2, 150):
        message = f"balance is {most_frequent}, but only 2 hashtags are left after cleaning; choose a smaller one"
        with pytest.raises(InputError, match=message):
            balance(posts, most_frequent=most_frequent, seed=0)


TAGS = st.lists(st.lists(st.sampled_from("abcdefg"), unique=True, max_size=5), min_size=1, max_size=40)


@given(tags=TAGS, most_frequent=st.integers(0, 6), seed=st.integers(0, 9), shuffle=st.integers(0, 99))
def test_laws(tags: list[list[str]], most_frequent: int, seed: int, shuffle: int) -> None:
    """Nothing is added or reordered, the rest is untouched, and the order of the rows decides nothing."""
    posts = posts_of(tags)
    before = uses(posts)
    if most_frequent >= len(before):
        return
    after, counts = balance(posts, most_frequent=most_frequent, seed=seed)
    kept = sorted(before.values(), reverse=True)[most_frequent]
    assert uses(after) == {tag: min(count, kept) for tag, count in before.items()}
    for old, new in zip(tags, after["hashtags"].to_list(), strict=True):
        assert [tag for tag in old if tag in new] == new
    assert counts["uses_removed"] == before.total() - uses(after).total()
    mixed, _ = balance(posts.sample(fraction=1, shuffle=True, seed=shuffle), most_frequent=most_frequent, seed=seed)
    assert mixed.sort("row").equals(after)


def test_chance_alone_decides_which_uses_stay() -> None:
    """Over many seeds every one of ten uses stays about as often: 3 of 10."""
    posts = posts_of([["a"]] * 10 + [["b"]] * 3)
    stayed: Counter[int] = Counter()
    for seed in range(400):
        after, _ = balance(posts, most_frequent=1, seed=seed)
        stayed.update(after.filter(pl.col("hashtags").list.contains("a"))["row"].to_list())
    assert sum(stayed.values()) == 1200
    assert all(80 < stayed[row] < 160 for row in range(10))  # mean 120, deviation 9


def test_normalised_entropy_by_hand() -> None:
    assert normalised_entropy(posts_of([["a", "b"], ["c", "d"]])) == 1
    assert normalised_entropy(posts_of([["a"], ["a"], ["a", "b"]])) == round(
        -(0.75 * log(0.75) + 0.25 * log(0.25)) / log(2), 4
    )
    assert normalised_entropy(posts_of([["a"]])) == 1


def table() -> pl.DataFrame:
    """Return 60 posts of six users: all have "all", two in three "most"; v00 to v11 have "t0" or "t1" too."""
    numbers = range(60)
    tags = [["all", *(["most"] if n % 3 else []), *([f"t{n % 2}"] if n < 12 else [])] for n in numbers]
    return pl.DataFrame(
        {
            "item_id": [f"v{n:02}" for n in numbers],
            "user_id": [f"user {n % 6}" for n in numbers],
            "text": "",
            "hashtags": tags,
        }
    )


def imported(folder: Path, posts: pl.DataFrame, out: str, **settings: Any) -> Dataset:
    posts.write_parquet(folder / "t.parquet")
    chosen = ImportSettings(**{"min_hashtag_videos": 2, "min_user_videos": 1, **settings})
    return import_table(folder / "t.parquet", chosen, out=folder / out)


def test_import_balances_before_it_splits_and_accounts_for_it(tmp_path: Path) -> None:
    dataset = imported(tmp_path, table(), "out", balance=2)
    steps = {step["step"]: step for step in dataset.manifest["cleaning"]}
    assert list(steps)[-3:] == ["minimum_counts", "balance", "minimum_counts_after_balance"]
    step = steps["balance"]
    assert (step["hashtags_cut"], step["uses_kept_each"], step["uses_removed"]) == (2, 6, 60 + 40 - 12)
    assert (step["uses_before"], step["uses_after"]) == (112, 24)
    assert step["entropy_before"] < 0.8
    assert step["entropy_after"] == 1
    assert step["videos_after"] == dataset.videos.height < 60
    assert steps["minimum_counts_after_balance"]["entropy_after"] == 1
    names = dataset.hashtags["hashtag"].to_list()
    found = Counter(names[tag] for tags in dataset.videos["hashtag_ids"].to_list() for tag in tags)
    assert found == dict.fromkeys(["all", "most", "t0", "t1"], 6)
    assert dataset.manifest["settings"]["balance"] == 2
    shares = dataset.manifest["counts"]["train"] / dataset.videos.height
    assert 0.7 < shares <= 0.8


def test_minimum_counts_are_taken_again_until_nothing_changes(tmp_path: Path) -> None:
    """With "all" cut, users of too few videos go, and then hashtags that had been frequent enough."""
    dataset = imported(tmp_path, table(), "out", balance=1, min_hashtag_videos=3, min_user_videos=5)
    names = dataset.hashtags["hashtag"].to_list()
    found = Counter(names[tag] for tags in dataset.videos["hashtag_ids"].to_list() for tag in tags)
    assert min(found.values()) >= 3
    assert dataset.videos["user_id"].value_counts()["count"].to_numpy().min() >= 5
    with pytest.raises(InputError, match=r"t\.parquet: no hashtag is left with at least 2 videos per hashtag and 9"):
        imported(tmp_path, table(), "none", balance=2, min_user_videos=9)
    assert not (tmp_path / "none").exists()


def test_the_seed_decides_and_the_order_of_rows_does_not(tmp_path: Path) -> None:
    first = imported(tmp_path, table(), "a", balance=2)
    mixed = table().sample(fraction=1, shuffle=True, seed=3)
    assert imported(tmp_path, mixed, "b", balance=2).fingerprint == first.fingerprint
    other = imported(tmp_path, table(), "c", balance=2, seed=1)
    assert set(other.videos["video_id"]) != set(first.videos["video_id"])
    plain = imported(tmp_path, table(), "d")
    assert [step["step"] for step in plain.manifest["cleaning"]][-1] == "minimum_counts"


def test_a_number_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="balance is -1; it must be at least 0"):
        ImportSettings(balance=-1)
    with pytest.raises(InputError, match=r"t\.parquet: balance is 4, but only 4 hashtags are left"):
        imported(tmp_path, table(), "out", balance=4)


def test_youtube_comes_close_to_uniform(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "youtube_trending_2017_us_gb_ca.parquet"
    settings = ImportSettings(format="youtube", balance=150)
    dataset = import_table(source, settings, out=tmp_path / "out")
    steps = {step["step"]: step for step in dataset.manifest["cleaning"]}
    assert steps["balance"]["hashtags_cut"] == 140  # ten others had that frequency already
    assert steps["balance"]["entropy_before"] < 0.96
    assert steps["minimum_counts_after_balance"]["entropy_after"] > 0.98
    assert dataset.num_hashtags > 150
