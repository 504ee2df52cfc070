"""Normal forms and words of single hashtags."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.hashtags import is_english, normalise, words

FAMILY = "👩\u200d👩\u200d👧\u200d👦"
SCOTLAND = "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbsct") + "\U000e007f"
SRI = "ශ්\u200dරී"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("#Dance", "dance"),
        ("## # dance", "dance"),
        ("＃ＤＡＮＣＥ", "dance"),
        ("  two \t\n words ", "two words"),
        ("\u200b#da\u200bnce\ufeff", "dance"),
        ("da\x00n\x07ce\u202e", "dance"),
        ("Straße", "strasse"),
        ("E\u0301", "\u00e9"),
        ("e\u200b\u0301", "\u00e9"),
        ("c#", "c#"),
        ("", ""),
        ("###", ""),
        ("\u200d\ufe0f\u3164", ""),
        (FAMILY, FAMILY),
        ("❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"),
        ("#🇻🇳", "🇻🇳"),
        (SCOTLAND, SCOTLAND),
        ("#1\ufe0f\u20e3", "1\ufe0f\u20e3"),
        ("#\ufe0f\u20e3", "#\ufe0f\u20e3"),
        ("👍🏽", "👍🏽"),
        ("da\ufe0fn\u200dce", "dance"),
        ("#เที่ยว", "เที่ยว"),
        ("#हिन्दी", "हिन्दी"),
        ("#مُحَمَّد", "مُحَمَّد"),
        ("#xuhướng", "xuhướng"),
        (SRI, SRI),
        ("می\u200cخواهم", "میخواهم"),
    ],
)
def test_normal_form(raw: str, expected: str) -> None:
    assert normalise(raw) == expected


LOOSE_TEXT = st.text(
    alphabet=st.one_of(
        st.characters(exclude_categories=("Cs",)), st.sampled_from("#aA ßΣ\u0345é\u0301\u200b\u200d\ufe0f👩❤ศ1\u20e3्")
    ),
    max_size=8,
)


@given(LOOSE_TEXT)
def test_normalising_twice_changes_nothing(raw: str) -> None:
    once = normalise(raw)
    assert normalise(once) == once


@given(LOOSE_TEXT)
def test_normal_form_ignores_case_hashes_and_outer_space(raw: str) -> None:
    assert normalise("# " + raw + " ") == normalise(raw)
    assert normalise(raw.casefold()) == normalise(raw)


@given(LOOSE_TEXT)
def test_normal_form_holds_no_control_character_and_no_double_space(raw: str) -> None:
    form = normalise(raw)
    assert not any(unicodedata.category(character) == "Cc" for character in form)
    assert form == " ".join(form.split())


@pytest.mark.parametrize(
    ("hashtag", "expected"),
    [
        ("kiddancer", ("kid", "dancer")),
        ("foryoupage", ("for", "you", "page")),
        ("funny cats", ("funny", "cats")),
        ("hip-hop_music", ("hip", "hop", "music")),
        ("funnyvideos 2025", ("funny", "videos", "2025")),
        ("dance2023", ("dance", "2023")),
        ("2017", ("2017",)),
        ("dance", ("dance",)),
        ("hoangbachfamily", ("hoangbachfamily",)),
        ("xuhuong", ("xuhuong",)),
        ("giaitri", ("giaitri",)),
        ("thinhhanh", ("thinhhanh",)),
        ("mukbang", ("mukbang",)),
        ("tiktok", ("tiktok",)),
        ("fyp", ("fyp",)),
        ("asmr", ("asmr",)),
        ("mp3", ("mp3",)),
        ("gamming", ("gamming",)),
        ("makeuptutorials", ("makeup", "tutorials")),
        ("xuhướng", ("xuhướng",)),
        ("精神小伙", ("精神小伙",)),
        ("👍", ("👍",)),
        ("_-_", ("_-_",)),
    ],
)
def test_words(hashtag: str, expected: tuple[str, ...]) -> None:
    assert words(hashtag) == expected


def test_words_without_segmentation_only_split_at_breaks() -> None:
    assert words("kiddancer show", segment=False) == ("kiddancer", "show")
    assert words("_-_", segment=False) == ("_-_",)


@given(st.text(alphabet="abcdefgnorstu0129 _-é", min_size=1, max_size=14).map(normalise).filter(bool))
def test_words_spell_the_hashtag(hashtag: str) -> None:
    parts = words(hashtag)
    assert all(parts)
    assert "".join(parts) == (re.sub(r"[\s_\-]", "", hashtag) or hashtag)


def test_english_words_are_common_ones() -> None:
    assert is_english("dancer")
    assert not is_english("xuhuong")
    assert not is_english("")
