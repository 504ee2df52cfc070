"""Words of descriptions."""

import subprocess
import sys
import unicodedata

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
        ("मुझे हिन्दी पसंद", ["मुझे", "हिन्दी", "पसंद"]),  # vowel signs belong to their words
        (unicodedata.normalize("NFD", "tiếng Việt"), ["tiếng", "việt"]),
        ("ＦＩＴ 𝐓𝐈𝐌𝐄 Straße ok1️⃣", ["fit", "time", "strasse", "ok1"]),
        ("ที่รัก", ["ท", "ร", "ก"]),  # Thai: where words end nobody wrote
        ("", []),
        ("\0 \t", []),
    ],
)
def test_words_are_folded_lemmas_without_stop_words_links_and_mentions(text: str, words: list[str]) -> None:
    assert text_words(text) == words


def test_words_of_hashtags_meet_those_of_texts() -> None:
    assert hashtag_words(["Dancing", "Cats"]) == text_words("Dancing Cats") == ["dance", "cat"]


HOSTILE = """
from data.text import text_words
from v2ht.evidence.texts import tokens
for piece in ("a", "a@", "www.", "'", "a'", "a@a ", "#", "@", "_", "a_", "\u0301", "a\u0301"):
    text_words(piece * (1_000_000 // len(piece)))
    tokens(piece * (1_000_000 // len(piece)))
"""


def test_texts_made_to_be_slow_are_read_to_the_end() -> None:
    """A pattern that backtracks would take hours over a million such characters; the limit only ends a hang."""
    done = subprocess.run([sys.executable, "-c", HOSTILE], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
