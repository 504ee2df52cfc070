"""Tokens: prompts and targets as the paper lays them out, hashtags back from tokens, damaged files."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.files import InputError
from v2ht.models.ggm.tokens import IGNORED, HashtagTokenizer

TEXTS = ["my dog runs in the rain", "a kid dancer and his dog", "rain rain go away", "kid dancer", "dog", "rain"] * 3


@pytest.fixture(scope="module")
def tokenizer() -> HashtagTokenizer:
    return HashtagTokenizer.train(TEXTS, size=320)


def test_a_prompt_is_the_description_then_the_guidance(tokenizer: HashtagTokenizer) -> None:
    hashtags = [tokenizer.hashtag(["dog"]), tokenizer.hashtag(["kid", "dancer"])]
    text = tokenizer.text("My DOG https://example.org runs", limit=10)
    assert text == tokenizer.text("my dog runs", limit=10)
    prompts = tokenizer.prompts([text, []], [[1, 0], []], hashtags, limit=100)
    expected = [tokenizer.bos, *text, tokenizer.sep, *hashtags[1], tokenizer.sep, *hashtags[0], tokenizer.eos]
    assert prompts.tokens_BL[0].tolist() == expected
    assert prompts.tokens_BL[1].tolist() == [tokenizer.bos, tokenizer.eos, *[tokenizer.pad] * (len(expected) - 2)]
    assert prompts.real_BL.sum(1).tolist() == [len(expected), 2]
    of_hashtag = prompts.hashtags_BL[0].tolist()
    start = 1 + len(text)
    assert of_hashtag[: start + 1] == [-1] * (start + 1)
    assert of_hashtag[start + 1 : start + 1 + len(hashtags[1])] == [1] * len(hashtags[1])
    assert of_hashtag[-2:] == [0, -1]
    short = tokenizer.prompts([text], [[1, 0]], hashtags, limit=6)
    assert short.tokens_BL[0].tolist() == [*expected[:5], tokenizer.eos]


def test_targets_are_hashtags_with_separators_and_an_end(tokenizer: HashtagTokenizer) -> None:
    dog, dancer = tokenizer.hashtag(["dog"]), tokenizer.hashtag(["kid", "dancer"])
    read, wanted = tokenizer.targets([[dancer, dog], [dog]], limit=50)
    full = [*dancer, tokenizer.sep, *dog, tokenizer.eos]
    assert wanted[0].tolist() == full
    assert read[0].tolist() == [tokenizer.bos, *full[:-1]]
    assert wanted[1].tolist() == [*dog, tokenizer.eos, *[IGNORED] * (len(full) - len(dog) - 1)]
    _, cut = tokenizer.targets([[dancer, dog]], limit=len(dancer) + 1)
    assert cut[0].tolist() == ([*dancer, tokenizer.eos] if len(dancer) <= len(dog) else [*dog, tokenizer.eos])


words = st.text(st.sampled_from("abcdogkidrain 東京é"), min_size=1, max_size=8).map(str.split).filter(bool)


@given(st.lists(words, min_size=1, max_size=4))
def test_written_hashtags_are_read_back(hashtags: list[list[str]]) -> None:
    """Any words, in any script; the mean log probability counts the token that ends a hashtag."""
    tokenizer = HashtagTokenizer.train(TEXTS, size=300)
    tokens = [tokenizer.hashtag(row) for row in hashtags]
    (_, wanted) = tokenizer.targets([tokens], limit=500)
    found = tokenizer.written(wanted[0].tolist(), [-1.0] * wanted.shape[1])
    assert [item.words for item in found] == [tuple(row) for row in hashtags]
    assert [item.log_probability for item in found] == pytest.approx([-1.0] * len(hashtags))
    pieces = tokenizer.pieces()
    for row, ids in zip(hashtags, tokens, strict=True):
        assert b"".join(pieces[token] for token in ids).decode() == "".join(row)


def test_a_hashtag_that_was_cut_off_is_left_out(tokenizer: HashtagTokenizer) -> None:
    dog, dancer = tokenizer.hashtag(["dog"]), tokenizer.hashtag(["kid", "dancer"])
    row = [*dog, tokenizer.sep, *dancer]
    assert [item.words for item in tokenizer.written(row, [-2.0] * len(row))] == [("dog",)]
    assert tokenizer.written([tokenizer.sep, tokenizer.eos], [-1.0, -1.0]) == []


def test_it_is_saved_and_read_back(tokenizer: HashtagTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    again = HashtagTokenizer.load(tmp_path / "tokenizer.json")
    assert len(again) == len(tokenizer) <= 320
    assert again.text("Kid dancer 東京", limit=50) == tokenizer.text("kid dancer 東京", limit=50)
    assert again.pieces() == tokenizer.pieces()
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json is no tokenizer \(.*\); give a whole folder"):
        HashtagTokenizer.load(tmp_path / "tokenizer.json")
    with pytest.raises(InputError, match="does not exist; give a whole folder"):
        HashtagTokenizer.of_folder(tmp_path / "nowhere")


def test_training_again_gives_the_same_tokens(tokenizer: HashtagTokenizer) -> None:
    again = HashtagTokenizer.train(TEXTS, size=320)
    assert [again.text(text, limit=99) for text in TEXTS] == [tokenizer.text(text, limit=99) for text in TEXTS]
    assert torch.equal(
        *(one.prompts([one.text("dog", limit=9)], [[]], [], limit=9).tokens_BL for one in (again, tokenizer))
    )
