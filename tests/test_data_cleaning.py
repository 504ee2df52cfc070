"""Cleaning steps over posts."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.cleaning import (
    CleaningLog,
    apply_minimum_counts,
    clean_text,
    drop_repeated_rows,
    drop_without_hashtags,
    drop_without_user,
    normalise_hashtags,
)
from data.files import InputError

SCHEMA = {
    "row": pl.UInt32,
    "video_id": pl.String,
    "user": pl.String,
    "hashtags": pl.List(pl.String),
    "text": pl.String,
}


def make_posts(*posts: tuple[str | None, list[str]], **columns: list[Any]) -> pl.DataFrame:
    """Return posts of (user, hashtags) with ids v1, v2, ...; `columns` replaces whole columns."""
    count = len(posts)
    content = {
        "row": list(range(1, count + 1)),
        "video_id": [f"v{row}" for row in range(1, count + 1)],
        "user": [user for user, _ in posts],
        "hashtags": [hashtags for _, hashtags in posts],
        "text": [""] * count,
    }
    return pl.DataFrame({**content, **columns}, schema=SCHEMA)


def test_equal_rows_are_dropped_and_the_first_stays() -> None:
    posts = make_posts(("u", ["a"]), ("u", ["a"]), ("u", ["b"]), video_id=["x", "x", "y"])
    assert drop_repeated_rows(posts)["row"].to_list() == [1, 3]


def test_rows_with_one_id_that_differ_are_an_error_with_both_rows() -> None:
    posts = make_posts(("u", ["a"]), ("u", ["b"]), ("u", ["a", "c"]), video_id=["x", "y", "x"])
    with pytest.raises(InputError, match=r"rows 1 and 3 both have the id 'x' but differ \(1 such ids\)"):
        drop_repeated_rows(posts)


def test_posts_without_user_go_but_not_all() -> None:
    assert drop_without_user(make_posts((None, ["a"]), ("u", ["a"])))["row"].to_list() == [2]
    with pytest.raises(InputError, match="none of the 1 rows has a user"):
        drop_without_user(make_posts((None, ["a"])))


def test_posts_without_hashtags_go_but_not_all() -> None:
    assert drop_without_hashtags(make_posts(("u", []), ("u", ["a"])))["row"].to_list() == [2]
    with pytest.raises(InputError, match="none of the 2 rows has a hashtag"):
        drop_without_hashtags(make_posts(("u", []), ("u", [])))


def test_texts_lose_nul_and_are_cut_in_characters() -> None:
    posts = make_posts(("u", []), ("u", []), ("u", []), text=["a\0b\0", "ééééé", "abcd"])
    cleaned, counts = clean_text(posts, max_chars=4)
    assert cleaned["text"].to_list() == ["ab", "éééé", "abcd"]
    assert counts == {"texts_with_nul": 1, "texts_with_hashtag": 0, "texts_cut": 1, "max_chars": 4}


def test_texts_lose_their_hashtags() -> None:
    posts = make_posts(("u", []), ("u", []), ("u", []), text=["my #dog runs", "#chó_con ＃東京", "no 1 fan"])
    cleaned, counts = clean_text(posts, max_chars=50)
    assert [text.split() for text in cleaned["text"]] == [["my", "runs"], [], ["no", "1", "fan"]]
    assert counts["texts_with_hashtag"] == 2


def test_texts_lose_hashtags_of_emoji_whole() -> None:
    texts = ["nice #🔥 day", "#love❤️ it", "#kid👍🏽 #👩‍👩‍👧x #🇩🇪team", "# 🔥 50% ©"]
    cleaned, counts = clean_text(make_posts(*[("u", [])] * 4, text=texts), max_chars=50)
    assert [text.split() for text in cleaned["text"]] == [["nice", "day"], ["it"], [], ["#", "🔥", "50%", "©"]]
    assert counts["texts_with_hashtag"] == 3


def test_normalising_counts_every_use() -> None:
    posts = make_posts(("u", ["#Cat", "cat", "##", "dog"]), ("v", ["DOG", "Dog"]), ("w", []))
    after, counts = normalise_hashtags(posts)
    assert after["hashtags"].to_list() == [["cat", "dog"], ["dog"], []]
    assert counts == {"uses_changed": 3, "uses_empty": 1, "uses_repeated": 2}


def test_minimum_counts_by_hand() -> None:
    posts = make_posts(("u", ["a", "b"]), ("u", ["a"]), ("v", ["a", "c"]), ("w", ["c"]), ("w", ["c", "a"]))
    # Hashtags in 2 videos: a, c (b goes). Users with 2 videos: u, w (v goes). Now a has 3, c has 2: stable.
    kept = apply_minimum_counts(posts, hashtag_videos=2, user_videos=2)
    assert kept.select("row", "hashtags").rows() == [(1, ["a"]), (2, ["a"]), (4, ["c"]), (5, ["c", "a"])]


def test_minimum_counts_are_taken_until_nothing_changes() -> None:
    # b falls below 2, which leaves v one video, which takes c below 2, which leaves u's second video empty.
    posts = make_posts(("u", ["a"]), ("u", ["c"]), ("v", ["b"]), ("v", ["c", "a"]), ("w", ["a"]), ("w", ["a"]))
    kept = apply_minimum_counts(posts, hashtag_videos=2, user_videos=2)
    assert kept["row"].to_list() == [5, 6]


def test_an_empty_vocabulary_names_thresholds_and_largest_counts() -> None:
    posts = make_posts(("u", ["a"]), ("u", ["a", "b"]), ("v", ["b", "a"]))
    message = r"at least 4 videos per hashtag and 2 per user: .* most used hashtag has 3 and the busiest user 2; lower"
    with pytest.raises(InputError, match=message):
        apply_minimum_counts(posts, hashtag_videos=4, user_videos=2)


def plain_minimum_counts(posts: list[tuple[str, list[str]]], at_least: tuple[int, int]) -> dict[int, list[str]]:
    """Return video -> hashtags that stay, one removal at a time, which is slow but plainly right."""
    left = {number: (user, list(hashtags)) for number, (user, hashtags) in enumerate(posts, start=1) if hashtags}
    while True:
        rare = [
            (number, hashtag)
            for number, (_, hashtags) in left.items()
            for hashtag in hashtags
            if sum(hashtag in other for _, other in left.values()) < at_least[0]
        ]
        lone = [n for n, (user, _) in left.items() if sum(user == other for other, _ in left.values()) < at_least[1]]
        if rare:
            number, hashtag = rare[0]
            left[number][1].remove(hashtag)
            if not left[number][1]:
                del left[number]
        elif lone:
            del left[lone[0]]
        else:
            return {number: hashtags for number, (_, hashtags) in left.items()}


POSTS = st.lists(
    st.tuples(st.sampled_from("uvw"), st.lists(st.sampled_from("abcde"), unique=True, max_size=4)),
    min_size=1,
    max_size=14,
)


@given(POSTS, st.integers(1, 4), st.integers(1, 4))
def test_minimum_counts_equal_the_plain_loop(
    posts: list[tuple[str, list[str]]], hashtag_videos: int, user_videos: int
) -> None:
    expected = plain_minimum_counts(posts, (hashtag_videos, user_videos))
    if not expected:
        if any(hashtags for _, hashtags in posts):
            with pytest.raises(InputError, match="no hashtag is left"):
                apply_minimum_counts(make_posts(*posts), hashtag_videos=hashtag_videos, user_videos=user_videos)
        return
    kept = apply_minimum_counts(make_posts(*posts), hashtag_videos=hashtag_videos, user_videos=user_videos)
    assert dict(kept.select("row", "hashtags").rows()) == expected


def test_the_log_counts_and_reports() -> None:
    lines: list[str] = []
    before = make_posts(("u", ["a", "b"]), ("v", []))
    log = CleaningLog(lines.append)
    assert log.add("step", before=before, after=before.head(1), extra=7).height == 1
    counts = {"videos_before": 2, "uses_before": 2, "videos_after": 1, "uses_after": 2}
    assert log.steps == [{"step": "step", **counts, "extra": 7}]
    assert lines == ["step: 2 -> 1 videos, the first left out is row 2, extra 7"]
    log.add("other", before=before, after=before, some_count=12_000, nothing=0, share=0.5)
    assert lines[1] == "other: 2 -> 2 videos, some count 12,000"
