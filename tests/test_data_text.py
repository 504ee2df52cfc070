"""Words of descriptions."""

import time

import pytest

from data.text import hashtag_words, text_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("My cats are dancing in the Park!", ["cat", "dance", "park"]),
        ("look http://a.b/c?d www.x.y mail me.you@c.org @friend now", ["look", "mail"]),
        ("Bao nhiêu người nhớ bạn ý nhỉ?", ["bao", "nhiêu", "người", "nhớ", "bạn", "ý", "nhỉ"]),
        ("東京 タワー 🎉 2024", ["東京", "タワー", "2024"]),
        ("snake_case don't", ["snake", "case", "don't"]),
        ("", []),
        ("\0 \t", []),
    ],
)
def test_words_are_lower_case_lemmas_without_stop_words_links_and_mentions(text: str, words: list[str]) -> None:
    assert text_words(text) == words


def test_words_of_hashtags_meet_those_of_texts() -> None:
    assert hashtag_words(["Dancing", "Cats"]) == text_words("Dancing Cats") == ["dance", "cat"]


@pytest.mark.parametrize("text", ["a" * 300_000, "a@" * 150_000, "www." * 75_000, "'" * 300_000, "a'" * 150_000])
def test_time_grows_with_the_text_and_no_faster(text: str) -> None:
    """A text made to be slow is read in about the time of a tenth of it, ten times; quadratic would be a hundred."""
    text_words(text[: len(text) // 10])
    started = time.perf_counter()
    text_words(text[: len(text) // 10])
    short = time.perf_counter() - started
    started = time.perf_counter()
    text_words(text)
    assert time.perf_counter() - started < 50 * max(short, 0.001)
