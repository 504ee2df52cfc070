"""Splits and vocabulary numbers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.files import InputError
from data.splits import assign_by_time, assign_random, assign_unseen, keep_named, parse_split, read_split_file
from data.vocabulary import number_hashtags, number_users, number_videos

START = datetime(2025, 1, 1, tzinfo=UTC)


def make_posts(
    count: int, *, hashtags: list[list[str]] | None = None, days: list[int | None] | None = None
) -> pl.DataFrame:
    """Return posts v0, v1, ... of users u0, u1, u2; one a day, each with the hashtag "all" unless given."""
    given_days = days if days is not None else list(range(count))
    times = [None if day is None else START + timedelta(days=day) for day in given_days]
    return pl.DataFrame(
        {
            "row": pl.Series(range(1, count + 1), dtype=pl.UInt32),
            "video_id": [f"v{number}" for number in range(count)],
            "user": [f"u{number % 3}" for number in range(count)],
            "time": pl.Series(times, dtype=pl.Datetime("us", "UTC")),
            "text": [f"text {number}" for number in range(count)],
            "hashtags": pl.Series(hashtags or [["all"]] * count, dtype=pl.List(pl.String)),
        }
    )


def sizes(posts: pl.DataFrame) -> list[int]:
    return [(posts["split"] == name).sum() for name in ("train", "valid", "test")]


@given(st.integers(1, 60), st.integers(0, 5), st.randoms())
def test_random_split_has_its_sizes_and_ignores_the_order_of_rows(count: int, seed: int, random: object) -> None:
    posts = make_posts(count)
    split = assign_random(posts, seed=seed)
    assert split.drop("split").equals(posts)
    assert sizes(split) == [count * 8 // 10, count * 9 // 10 - count * 8 // 10, count - count * 9 // 10]
    rows = list(range(count))
    random.shuffle(rows)  # type: ignore[attr-defined]
    again = assign_random(posts[rows], seed=seed)
    assert dict(again.select("video_id", "split").rows()) == dict(split.select("video_id", "split").rows())


def test_random_split_depends_on_the_seed() -> None:
    posts = make_posts(100)
    assert assign_random(posts, seed=1)["split"].to_list() != assign_random(posts, seed=2)["split"].to_list()


def test_time_split_puts_the_newest_last_and_breaks_ties_by_id() -> None:
    days = [5, 5, 0, 1, 2, 3, 4, 4, 4, 4]
    split = assign_by_time(make_posts(10, days=days)).sort("row")
    assert split["split"].to_list() == ["valid", "test"] + ["train"] * 8
    ties = assign_by_time(make_posts(10, days=[0] * 10).reverse()).sort("row")
    assert ties["split"].to_list() == ["train"] * 8 + ["valid", "test"]


def test_time_split_needs_times() -> None:
    posts = make_posts(3, days=[1, None, None])
    with pytest.raises(InputError, match=r"2 of 3 videos have no time, which split=time needs; name a time column"):
        assign_by_time(posts)


UNSEEN_POSTS = [["all", f"tag{number % 40}"] for number in range(400)]


def test_unseen_hashtags_are_in_no_train_video_and_valid_stays() -> None:
    posts = make_posts(400, hashtags=UNSEEN_POSTS)
    base = dict(assign_random(posts, seed=3).select("video_id", "split").rows())
    split, note = assign_unseen(posts, seed=3, num_hashtags=2)
    unseen = set(note["unseen_hashtags"])
    assert len(unseen) == 2
    assert "all" not in unseen  # true of this seed; if it were chosen, train would be empty
    for video_id, hashtags, part in split.select("video_id", "hashtags", "split").rows():
        hidden = bool(unseen & set(hashtags)) and base[video_id] == "train"
        assert part == ("test" if hidden else base[video_id])
    has = [bool(unseen & set(hashtags)) for hashtags in UNSEEN_POSTS]
    parts = split["split"].to_list()
    assert note["unseen_test_videos"] == sum(h and p == "test" for h, p in zip(has, parts, strict=True))
    assert note["seen_test_videos"] == sum(not h and p == "test" for h, p in zip(has, parts, strict=True))
    assert note["valid_videos_with_unseen"] == sum(h and p == "valid" for h, p in zip(has, parts, strict=True)) > 0
    assert note["moved_from_train"] == sum(base[f"v{i}"] == "train" and has[i] for i in range(400)) > 0


def test_unseen_hashtags_are_at_most_a_twentieth_of_the_train_hashtags() -> None:
    _, note = assign_unseen(make_posts(400, hashtags=UNSEEN_POSTS), seed=3, num_hashtags=500)
    assert len(note["unseen_hashtags"]) == 2  # 5 % of 41
    assert note["unseen_hashtags_asked"] == 500


def test_parse_split() -> None:
    assert parse_split("time") == "time"
    assert parse_split("mine.csv") == Path("mine.csv")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_split_file(tmp_path: Path, suffix: str) -> None:
    table = pl.DataFrame({"split": ["test", "train"], "video_id": ["v2", "v0"], "more": [1, 2]})
    path = tmp_path / f"split{suffix}"
    (table.write_csv if suffix == ".csv" else table.write_parquet)(path)
    kept = keep_named(make_posts(3), read_split_file(path), path=path)
    assert kept.select("video_id", "split").rows() == [("v0", "train"), ("v2", "test")]


def test_split_file_with_number_ids(tmp_path: Path) -> None:
    pl.DataFrame({"video_id": [7, 8], "split": ["test", "train"]}).write_parquet(tmp_path / "s.parquet")
    assert read_split_file(tmp_path / "s.parquet")["video_id"].to_list() == ["7", "8"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,split\nv0,train\n", "has no column 'video_id'; its columns are id, split"),
        ("video_id,split\nv0,train\nv1,dev\n", "row 2: split 'dev' is not one of train, valid, test"),
        ("video_id,split\nv0,train\nv1,\n", "row 2: split '' is not one of"),
        ("video_id,split\nv0,train\nv0,test\n", "row 1: id 'v0' is named more than once"),
    ],
)
def test_broken_split_file(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_split_file(path)


def test_split_file_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"split 'randon' is neither a file nor one of random, time, unseen"):
        read_split_file(Path("randon"))


def test_split_file_with_unknown_videos(tmp_path: Path) -> None:
    splits = pl.DataFrame({"video_id": ["v1", "zz", "yy"], "split": ["train"] * 3})
    with pytest.raises(
        InputError, match=r"s\.csv, row 2: the source has no video 'zz' \(2 such rows\); use the split file made"
    ):
        keep_named(make_posts(3), splits, path=Path("s.csv"))


def test_vocabulary_by_hand() -> None:
    posts = make_posts(4, hashtags=[["b", "a"], ["a"], ["c"], ["a", "c"]], days=[3, None, 1, 1])
    posts = posts.with_columns(split=pl.Series(["train", "train", "valid", "test"]))
    hashtags = number_hashtags(posts, {"a": ("a",), "b": ("b", "x"), "c": ("c",)}, seed=0)
    assert sorted(hashtags.rows()) == [("a", ["a"], 2), ("b", ["b", "x"], 1), ("c", ["c"], 0)]
    users = number_users(posts)
    assert users["user"].to_list() == ["u0", "u1", "u2"]
    videos = number_videos(posts, hashtags, users)
    assert videos["video_id"].to_list() == ["v2", "v3", "v0", "v1"]
    assert videos["user_id"].to_list() == [2, 0, 0, 1]
    names = hashtags["hashtag"].to_list()
    found = [[names[number] for number in row] for row in videos["hashtag_ids"]]
    assert found == [["c"], ["a", "c"], ["b", "a"], ["a"]]


def test_hashtag_ids_are_a_seeded_shuffle() -> None:
    names = [f"h{number:02}" for number in range(30)]
    posts = make_posts(30, hashtags=[[name] for name in names]).with_columns(split=pl.lit("train"))
    words = {name: (name,) for name in names}
    orders = [number_hashtags(posts, words, seed=seed)["hashtag"].to_list() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == names != orders[0]
