"""Text metrics: values by hand, rouge-score, scikit-learn and the definition as outside checks, laws, refusals."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import precision_recall_fscore_support
from sklearn.preprocessing import MultiLabelBinarizer

from data.files import InputError
from data.hashtags import words
from v2ht.evaluation.generation import (
    METRICS,
    GenerationInput,
    compare_generation,
    evaluate_generation,
    generation_table,
)
from v2ht.evaluation.text_metrics import Rouge, exact_match, is_copied, is_known, shuffled

TAGS = ["cat", "dog", "coldweather", "phở bò", "美食", "🎉", "vlog"]
outputs = st.lists(st.lists(st.sampled_from(TAGS), max_size=5), min_size=1, max_size=6)


def written(generated, truth, **changes):
    fields = {
        "generated": generated,
        "truth": truth,
        "descriptions": [""] * len(generated),
        "train_hashtags": {"cat", "dog"},
        "unseen_hashtags": set(),
        "words": words,
        "seed": 0,
    }
    return GenerationInput(**{**fields, **changes})


def small_world(**changes):
    """Four videos: the second output is empty, the last video has no truth."""
    return written(
        **{
            "generated": [["coldweather", "cat", "cat"], [], ["dog", "mukbang"], ["xqztv", "dog"]],
            "truth": [["cat", "weather"], ["dog"], ["mukbang", "dog"], []],
            "descriptions": ["brr, cold  weather!", "", "eating", "no"],
            "unseen_hashtags": {"mukbang", "weather"},
            **changes,
        },
    )


def test_a_small_world_by_hand():
    found = evaluate_generation(small_world())
    assert found.per_video["row"].tolist() == [0, 1, 2]
    assert found.per_video["precision"].tolist() == [1 / 2, 0, 1]
    assert found.per_video["recall"].tolist() == [1 / 2, 0, 1]
    # cold weather cat cat against cat weather: two of four words, two of two.
    assert found.per_video["rouge1"] == pytest.approx([2 * 0.5 * 1 / 1.5, 0, 1])
    numbers = found.summary
    assert (numbers["videos"], numbers["videos_with_truth"]) == (4, 3)
    assert numbers["f1"] == pytest.approx((0.5 + 0 + 1) / 3)
    assert numbers["corpus_f1"] == pytest.approx(0.5)
    assert (numbers["unseen_hashtags"], numbers["unseen_recalled"], numbers["unseen_recall"]) == (2, 1, 0.5)
    assert numbers["written"] == 7
    assert numbers["empty"] == 1 / 4
    assert numbers["duplicates"] == 1 / 7
    assert numbers["novelty"] == 3 / 6  # coldweather, mukbang and xqztv of six different ones
    assert numbers["novel_hashtags"] == 3
    assert numbers["validity"] == 1 / 3  # only coldweather
    assert numbers["copied"] == 1 / 3
    assert "bert_score" not in numbers


def test_corpus_f1_is_not_the_mean_of_f1():
    found = evaluate_generation(written([["cat"], ["dog", "vlog", "🎉", "美食"]], [["cat", "dog"], ["dog"]])).summary
    precision, recall = (1 + 1 / 4) / 2, (1 / 2 + 1) / 2
    assert found["corpus_f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert found["f1"] == pytest.approx((2 / 3 + 2 / 5) / 2)


def test_train_words_make_a_novel_hashtag_valid():
    assert evaluate_generation(small_world(train_words={"mukbang", "xqztv"})).summary["validity"] == 1
    assert evaluate_generation(small_world(train_hashtags={"dog", "mukbang_cat"})).summary["validity"] == 3 / 4


def test_without_truth_or_output_nothing_is_zero():
    numbers = evaluate_generation(written([["vlog"]], [[]])).summary
    assert {numbers[name] for name in (*METRICS, "corpus_f1", "unseen_recall")} == {None}
    assert numbers["novelty"] == 1
    numbers = evaluate_generation(written([[]], [["cat"]])).summary
    assert {numbers[name] for name in (*METRICS, "corpus_f1")} == {0.0}
    assert {numbers[name] for name in ("duplicates", "novelty", "validity", "copied")} == {None}
    assert numbers["empty"] == 1
    assert evaluate_generation(written([], [])).summary["empty"] is None


def test_the_summary_is_json():
    summary = evaluate_generation(small_world()).summary
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


# --- ROUGE ---


english = st.lists(st.sampled_from(["a", "bee", "sees", "the", "sea"]), max_size=8)


@given(english, english)
def test_rouge_equals_the_library_on_plain_english(left, right):
    found = RougeScorer(["rouge1", "rouge2"]).score(" ".join(right), " ".join(left))
    assert Rouge().f1(left, right) == pytest.approx((found["rouge1"].fmeasure, found["rouge2"].fmeasure))


def test_rouge_by_hand():
    # Of the pairs "cold weather" and "weather cat" the first is true; two of three words are.
    assert Rouge().f1(["cold", "weather", "cat"], ["cold", "weather"]) == pytest.approx((4 / 5, 2 / 3))


@pytest.mark.parametrize("tag", ["ẩm thực việt nam", "美食 推荐", "🎉 👍🏽", "เที่ยว ไทย", "हिन्दी गाना"])
def test_rouge_keeps_every_script(tag):
    found = evaluate_generation(written([[tag]], [[tag]])).summary
    assert (found["rouge1"], found["rouge2"], found["f1"]) == (1, 1, 1)
    assert evaluate_generation(written([["美"]], [[tag]])).summary["rouge1"] == 0


def test_the_tokenizer_is_needed():
    alone = RougeScorer(["rouge1"])
    assert alone.score("美食 推荐", "美食 推荐")["rouge1"].fmeasure == 0
    assert alone.score("🎉", "🎉")["rouge1"].fmeasure == 0
    assert alone.score("mẹ", "má")["rouge1"].fmeasure == 1  # mother and cheek: it reads an m in both
    assert Rouge().f1(["mẹ"], ["má"]) == (0, 0)
    assert Rouge().f1(["mẹ", "ma"], ["má", "ma"]) == (0.5, 0)


def test_rouge_reads_the_hashtags_in_an_order_drawn_from_the_seed():
    tags = [f"tag{number}" for number in range(8)]
    found = {evaluate_generation(written([tags], [tags], seed=seed)).summary["rouge2"] for seed in range(10)}
    assert len(found) > 1
    assert max(found) < 1  # the right order is not drawn in ten of 40,320
    assert evaluate_generation(written([tags], [tags], seed=3)).summary["rouge1"] == 1
    assert shuffled(tags, seed=0, video=1) != shuffled(tags, seed=0, video=2)
    assert [int(tag[3:]) for tag in shuffled(tags, seed=5, video=1)] == shuffled(list(range(8)), seed=5, video=1)


# --- exact match ---


@given(outputs.filter(any), st.data())
def test_exact_match_equals_scikit_learn(truth, data):
    truth = [sorted(set(tags)) for tags in truth if tags]
    generated = data.draw(st.lists(st.lists(st.sampled_from(TAGS)), min_size=len(truth), max_size=len(truth)))
    binarise = MultiLabelBinarizer().fit([TAGS]).transform
    expected = precision_recall_fscore_support(binarise(truth), binarise(generated), average="samples", zero_division=0)
    found = np.mean([exact_match(*pair) for pair in zip(generated, truth, strict=True)], axis=0)
    assert found == pytest.approx(expected[:3])


@settings(max_examples=25)
@given(outputs, st.data())
def test_laws(generated, data):
    truth = [data.draw(st.lists(st.sampled_from(TAGS), unique=True, max_size=4)) for _ in generated]
    unseen = set(data.draw(st.lists(st.sampled_from(TAGS[2:]))))
    given = written(generated, truth, unseen_hashtags=unseen)
    found = evaluate_generation(given)
    assert all(0 <= values <= 1 for name in METRICS for values in found.per_video[name])
    shares = [found.summary[name] for name in ("empty", "duplicates", "novelty", "validity", "copied", "unseen_recall")]
    assert all(share is None or 0 <= share <= 1 for share in shares)
    twin = {tag for tag in unseen for g, t in zip(generated, truth, strict=True) if tag in g and tag in t}
    assert found.summary["unseen_recalled"] == len(twin)
    last = len(generated) - 1  # adding videos behind changes nothing before
    before = evaluate_generation(written(generated[:last], truth[:last])).per_video
    for name, values in before.items():
        np.testing.assert_array_equal(values, found.per_video[name][: len(values)])
    perfect = evaluate_generation(written(truth, truth)).per_video
    assert (perfect["f1"] == 1).all()
    assert perfect["rouge1"] == pytest.approx(np.ones(len(perfect["row"])))


# --- validity ---


@pytest.mark.parametrize(
    ("hashtag", "description", "copied"),
    [
        ("coldweather", "Such COLD weather!", True),
        ("cold_weather", "such cold-weather", True),
        ("cold weather", "such coldweather", True),
        ("coldweather", "cold and weather", False),
        ("art", "start", False),
        ("art", "st-art.", True),
        ("art", "starts with art", True),  # the first place is within a word, the second is not
        ("aa", "aaa", False),
        ("dont", "don’t", True),
        ("don't", "dont", True),
        ("aa", "ba a a", True),  # the first place begins within a word and overlaps the second
        ("2020", "12020", False),
        ("tết", "chúc mừng tết!", True),
        ("tết", "tet", False),
        ("美食", "今天的美食推荐", True),
        ("美食", "今天的食", False),
        ("🎉", "party🎉🎉", True),
        ("party", "party🎉", True),
        ("cat", "my #cat", True),
        ("_", "_ a", False),
        ("a+b", "a+b", True),
        ("cat", "", False),
    ],
)
def test_copied_from_the_description(hashtag, description, copied):
    assert is_copied(hashtag, description) == copied


def test_a_hostile_description_is_searched_quickly():
    assert not is_copied("🎉" * 30 + "x", "🎉 " * 20_000)
    assert not is_copied("a" * 30 + "b", "a" * 5_000)


def test_known_words():
    assert is_known(("cold", "weather", "2020"), known=())
    assert not is_known(("xqztv",), known=())
    assert not is_known(("cold", "xqztv"), known={"cold"})
    assert is_known(("xuhuong", "hot"), known={"xuhuong"})


# --- comparison and table ---


def test_two_systems_on_the_same_videos():
    truth = [["cat", "dog"]] * 12
    good, bad = (evaluate_generation(written([tags] * 12, truth)) for tags in (["cat", "dog"], ["cat"]))
    found = compare_generation({"bad": bad, "good": good}, seed=0)
    assert (found["reference"], found["videos"]) == ("bad", 12)
    assert set(found["systems"]["good"]) == set(METRICS)
    recall = found["systems"]["good"]["recall"]
    assert (recall["mean"], recall["difference"], recall["interval"]) == (1, 0.5, [0.5, 0.5])
    assert recall["p"] == 2 / 2**12
    assert found["systems"]["good"]["precision"]["p"] == 1
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_was_evaluated_otherwise_is_not_compared():
    first = evaluate_generation(small_world())
    for changes, what in [({"seed": 1}, "seed 1"), ({"descriptions": ["a"] * 4}, "videos [0-9a-f]{16}")]:
        with pytest.raises(InputError, match=f"second was evaluated with {what}, first with .*; evaluate both"):
            compare_generation({"first": first, "second": evaluate_generation(small_world(**changes))}, seed=0)
    with pytest.raises(InputError, match=r"nothing to compare"):
        compare_generation({}, seed=0)
    with pytest.raises(InputError, match=r"no video has a true hashtag"):
        compare_generation({"a": evaluate_generation(written([["cat"]], [[]]))}, seed=0)


def test_the_table_says_how():
    summary = evaluate_generation(small_world()).summary
    text = generation_table({"ggm": summary, "bart": summary}, decoding="beam size 5, at most 32 tokens").text()
    assert "3 of 4 videos have truth; hashtags shuffled with seed 0" in text
    assert "unseen hashtags: 2; beam size 5, at most 32 tokens" in text
    assert "BERTScore" not in text
    assert "bert_score" not in text
    table, notes = text.rsplit("\n\n", 1)
    assert table.splitlines()[-1].split() == ["bart", ".556", ".000", ".500", ".500", ".500", ".500", ".333", ".143"]
    assert [note.split(": ")[0] for note in notes.splitlines()] == table.splitlines()[0].split()  # each is defined
    markdown = generation_table({"ggm": summary}, decoding="beam size 5").markdown()
    assert markdown.endswith("| .143 |\n\n" + "\n\n".join(notes.splitlines()) + "\n")


# --- what is refused ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"truth": [["cat"]]}, r"truth has 1 videos, generated 4"),
        ({"descriptions": []}, r"descriptions has 0 videos, generated 4"),
        (
            {"generated": [["cat"], ["#Cat"], [], []]},
            r"generated of video 1 \(from 0\) holds '#Cat', expected a normal",
        ),
        ({"generated": [["cat"], [""], [], []]}, r"generated of video 1 \(from 0\) holds ''"),
        ({"generated": ["cat", [], [], []]}, r"generated of video 0 \(from 0\) is the text 'cat', expected a list"),
        ({"truth": [[], [], ["cat", "cat"], []]}, r"truth of video 2 \(from 0\) names a hashtag twice"),
        ({"unseen_hashtags": {"cat"}}, r"'cat' is in train_hashtags and in unseen_hashtags"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small_world(**changes)


def test_the_input_is_left_as_it_is():
    given = small_world()
    copy = json.dumps([given.generated, given.truth])
    evaluate_generation(given)
    assert json.dumps([given.generated, given.truth]) == copy
    assert evaluate_generation(dataclasses.replace(given)).summary == evaluate_generation(given).summary
