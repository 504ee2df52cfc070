"""Merging of hashtags: spelling, lemmas, ways of writing."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from data.hashtags import words
from data.merging import correct_spelling, hashtag_uses, lemmatise, merge_same_words, rename_hashtags


def make_posts(hashtags: list[list[str]]) -> pl.DataFrame:
    """Return posts with these hashtags; the other columns are not looked at."""
    rows = pl.Series("row", range(1, len(hashtags) + 1), dtype=pl.UInt32)
    return pl.DataFrame([rows, pl.Series("hashtags", hashtags, dtype=pl.List(pl.String))])


def words_of(posts: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    return {hashtag: words(hashtag) for hashtag in hashtag_uses(posts)}


def test_uses_are_counted_in_order_of_name() -> None:
    assert list(hashtag_uses(make_posts([["b", "a"], [], ["b"]])).items()) == [("a", 1), ("b", 2)]


def test_spellings_merge_into_the_most_used_form() -> None:
    posts = make_posts([["hip hop"], ["hiphop", "x", "hip-hop"], ["hiphop"], ["hip_hop"]])
    merged, merged_words = merge_same_words(posts, {**words_of(posts), "hiphop": ("hip", "hop")})
    assert merged["hashtags"].to_list() == [["hiphop"], ["hiphop", "x"], ["hiphop"], ["hiphop"]]
    assert merged_words == {"hiphop": ("hip", "hop"), "x": ("x",)}


def test_a_tie_between_forms_goes_to_the_first_by_name() -> None:
    posts = make_posts([["kid_dancer"], ["kid dancer"], ["kid-dancer"]])
    merged, _ = merge_same_words(posts, words_of(posts))
    assert merged["hashtags"].to_list() == [["kid dancer"]] * 3


def test_lemmas_merge_singular_and_plural_and_keep_the_most_used_form() -> None:
    posts = make_posts([["cats"], ["cats", "cat"], ["funny cats"], ["kočky"]])
    merged, merged_words = merge_same_words(posts, lemmatise(words_of(posts)))
    assert merged["hashtags"].to_list() == [["cats"], ["cats"], ["funny cats"], ["kočky"]]
    assert merged_words == {"cats": ("cat",), "funny cats": ("funny", "cat"), "kočky": ("kočky",)}


def test_a_rare_slip_is_corrected_and_a_frequent_one_is_a_name() -> None:
    slips = {"gaming": ("gaming",), "gamming": ("gamming",), "gaming tips": ("gaming", "tips")}
    assert correct_spelling(slips, {"gaming": 20, "gamming": 2, "gaming tips": 1})["gamming"] == ("gaming",)
    assert correct_spelling(slips, {"gaming": 20, "gamming": 3, "gaming tips": 1})["gamming"] == ("gamming",)


def test_spelling_leaves_english_short_foreign_and_far_words_alone() -> None:
    parts = {name: (name,) for name in ("dancing", "dating", "funy", "funny", "gamíng", "gaming", "gmamign", "xuhuong")}
    uses = {**dict.fromkeys(parts, 1), "dancing": 50, "funny": 50, "gaming": 50}
    assert correct_spelling(parts, uses) == parts


def test_a_name_that_would_become_an_unknown_hashtag_stays() -> None:
    parts = {"jenny hagel": ("jenny", "hagel"), "hazel": ("hazel",), "hagel": ("hagel",)}
    corrected = correct_spelling(parts, {"jenny hagel": 1, "hazel": 30, "hagel": 1})
    assert corrected == {**parts, "hagel": ("hazel",)}


def test_the_most_used_neighbour_is_the_correction() -> None:
    parts = {name: (name,) for name in ("gamming", "gaming", "jamming")}
    assert correct_spelling(parts, {"gamming": 1, "gaming": 30, "jamming": 40})["gamming"] == ("jamming",)
    assert correct_spelling(parts, {"gamming": 1, "gaming": 30, "jamming": 30})["gamming"] == ("gaming",)


HASHTAG_LISTS = st.lists(st.lists(st.sampled_from(["a b", "a-b", "a_b", "c", "d e", "d-e"]), unique=True), max_size=12)


@given(HASHTAG_LISTS)
def test_merging_equals_a_plain_loop(lists: list[list[str]]) -> None:
    posts = make_posts(lists)
    merged, _ = merge_same_words(posts, words_of(posts))
    counts: dict[str, int] = {}
    for row in lists:
        for hashtag in row:
            counts[hashtag] = counts.get(hashtag, 0) + 1
    best = {
        hashtag: min((same for same in counts if words(same) == words(hashtag)), key=lambda h: (-counts[h], h))
        for hashtag in counts
    }
    assert merged["hashtags"].to_list() == [list(dict.fromkeys(best[hashtag] for hashtag in row)) for row in lists]
    assert merged["row"].to_list() == posts["row"].to_list()


def test_renaming_drops_empty_names_and_repetitions_but_keeps_the_order() -> None:
    posts = make_posts([["b", "a", "c"], ["x"], []])
    renamed = rename_hashtags(posts, {"c": "b", "x": ""})
    assert renamed["hashtags"].to_list() == [["b", "a"], [], []]
    assert renamed.schema == posts.schema
