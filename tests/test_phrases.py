"""Phrases of descriptions as hashtags: how they are cut, what is learned, what is shown."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from data.dataset import HASHTAGS_SCHEMA, RARE_TABLE, USERS_SCHEMA, VIDEOS_SCHEMA, Dataset
from data.files import InputError
from data.phrases import joined, phrases_of, words_in_place
from graph_builders.build import GraphSettings, build_dataset_graph
from test_cli import v2ht
from v2ht.inputs import Post
from v2ht.phrases import FEATURES, PhraseModel, TextCounts, describe, read_rare
from v2ht.serving import Recommender
from v2ht.serving.phrases import InText, PhraseWriter, Together
from v2ht.serving.writer import writer_of
from v2ht.training.train import Plan, train
from v2ht.writing import Written

NAMES = ["Zorba Quill", "Mira Tolk", "Vexoria", "Ostrava Nine", "Kelp Riders", "Jun Baro", "Talvik", "Nemo Strand"]
PLACES = ["park", "garden", "street", "kitchen", "office"]


def spelled(text: str) -> list[str]:
    return [phrase.hashtag for phrase in phrases_of(words_in_place(text))]


@pytest.fixture(scope="module")
def planted() -> tuple[Dataset, list[list[str]]]:
    """Posts of which each names somebody in capitals, and nothing else; the names are the rare hashtags."""
    rng = np.random.default_rng(0)
    rows, rare = [], []
    for number in range(120):
        name, (one, other) = NAMES[int(rng.integers(len(NAMES)))], rng.permutation(PLACES)[:2]
        text = f"we watched {name} walk from the {one} to the {other} again"
        rows.append((f"v{number}", 0, None, text, [0], "train" if number < 100 else "valid"))
        rare.append([name.lower().replace(" ", "")])
    return Dataset(
        videos=pl.DataFrame(rows, schema=VIDEOS_SCHEMA, orient="row"),
        hashtags=pl.DataFrame([("park", ["park"], 50), ("later", ["later"], 0)], schema=HASHTAGS_SCHEMA, orient="row"),
        users=pl.DataFrame({"user": ["ann"]}, schema=USERS_SCHEMA),
        manifest={},
    ), rare


@pytest.fixture(scope="module")
def model(planted: tuple[Dataset, list[list[str]]]) -> PhraseModel:
    fitted = PhraseModel.fit(*planted, seed=0)
    assert fitted is not None
    return fitted


# --- phrases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Harrison Ford", ["harrison", "harrisonford", "ford"]),
        ("the game of thrones", ["game", "gameofthrones", "thrones"]),  # no stop word at an end
        ("one, two! cats | dogs", ["cats", "dogs"]),  # nothing crosses punctuation; "one" and "two" are stop words
        ("cats\ndogs", ["cats", "dogs"]),
        ("Iran-Iraq", ["iran", "iraniraq", "iraq"]),
        ("Hela's crown", ["hela", "helascrown", "crown"]),  # a possessive ends where the phrase does
        ("Don't buy they've", ["buy"]),
        ("see https://a.b/c me@x.org @friend Cassini", ["cassini"]),
        ("12 2017", []),
        ("iPhone 8", ["iphone", "iphone8"]),
        ("हिन्दी फ़िल्म", ["हिन्दी", "हिन्दीफ़िल्म", "फ़िल्म"]),
        ("東京タワー。夜景", ["東京タワー", "夜景"]),
        ("漢" * 31, []),  # a clause, not a word
        ("", []),
        ("\0 … 🎉 ' ’s", []),
    ],
)
def test_phrases_are_runs_of_words_of_any_script(text: str, expected: list[str]) -> None:
    assert spelled(text) == [joined([name]) for name in expected]


def test_long_texts_are_read_in_part() -> None:
    assert len(words_in_place("word " * 1000)) == 120


def test_a_text_is_left_out_of_its_own_counts() -> None:
    texts = [words_in_place(text) for text in ("blue moon", "blue moon", "blue moon", "red moon")]
    counts = TextCounts.of(texts, [["moon", "walk"], ["sun"]])
    assert counts.phrases == {"blue": 3, "moon": 4, "blue moon": 3}
    assert [counts.elsewhere(["blue"], own=own) for own in (0, 1)] == [3, 2]
    assert counts.elsewhere(["red"], own=0) == 0
    assert counts.hashtag_words == {"moon": 1, "walk": 1, "sun": 1}
    phrases, features_NF = describe(words_in_place("red sun"), counts)
    assert [phrase.hashtag for phrase in phrases] == ["red", "redsun"]  # "sun" is known
    assert features_NF.shape == (2, len(FEATURES))


def test_a_known_hashtag_and_what_stands_inside_it_is_no_phrase() -> None:
    counts = TextCounts.of([], [["late", "night", "show"]])
    assert [phrase.hashtag for phrase in describe(words_in_place("Late Night Show"), counts)[0]] == []
    found = [phrase.hashtag for phrase in describe(words_in_place("Late Night Show, night shift"), counts)[0]]
    assert found == ["night", "nightshift", "shift"]  # "night" also stands elsewhere


# --- what is learned -----------------------------------------------------------------------------------------------


def test_capital_names_are_learned_where_they_are_the_hashtags(model: PhraseModel) -> None:
    """The names were in no train text."""
    for name in ("Orla Benz", "Quimby"):
        found = model.likely(f"we saw {name} walk to the museum")
        (phrase, probability), *others = found
        assert phrase.hashtag == name.lower().replace(" ", "")
        assert probability > 0.5
        assert all(other < 0.5 for _, other in others)
        assert "park" not in [phrase.hashtag for phrase, _ in model.likely("a park")]


def test_fitting_twice_gives_the_same_weights_and_loading_the_same_answers(
    planted: tuple[Dataset, list[list[str]]], model: PhraseModel, tmp_path: Path
) -> None:
    again = PhraseModel.fit(*planted, seed=0)
    assert again is not None
    assert np.array_equal(again.weights_F, model.weights_F)
    model.save(tmp_path / "phrases")
    assert {path.name for path in (tmp_path / "phrases").iterdir()} == {"model.json", "counts.parquet"}
    loaded = PhraseModel.load(tmp_path / "phrases", [["park"]])
    text = "we watched Talvik walk from the park"
    assert loaded.likely(text) == model.likely(text)


def test_nothing_is_learned_from_few_examples(planted: tuple[Dataset, list[list[str]]]) -> None:
    dataset, rare = planted
    assert PhraseModel.fit(dataset, [[] for _ in rare], seed=0) is None


def test_a_damaged_model_and_a_foreign_table_are_said_in_one_line(
    planted: tuple[Dataset, list[list[str]]], model: PhraseModel, tmp_path: Path
) -> None:
    model.save(tmp_path / "phrases")
    content = json.loads((tmp_path / "phrases" / "model.json").read_text())
    del content["weights"][FEATURES[3]]
    (tmp_path / "phrases" / "model.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"phrases is missing or damaged .*train again"):
        PhraseModel.load(tmp_path / "phrases", [])
    assert read_rare(tmp_path, planted[0]) is None
    table = pl.DataFrame({"video_id": ["other"], "hashtags": [["a"]]})
    table.write_parquet(tmp_path / RARE_TABLE)
    with pytest.raises(InputError, match="is not of this dataset's videos; import again"):
        read_rare(tmp_path, planted[0])


# --- what is proposed ----------------------------------------------------------------------------------------------


def test_of_phrases_that_share_a_word_the_likeliest_is_proposed(model: PhraseModel) -> None:
    posts = [Post(text="we watched Orla Benz and Quimby again"), Post(), Post(text="漢字 😀")]
    found, *others = PhraseWriter(model, least=0.2).write(posts, 5)
    assert {item.hashtag for item in found} == {"orlabenz", "quimby"}
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
    assert all(isinstance(item, InText) and item.origin == "in the text" and not item.known for item in found)
    assert len(PhraseWriter(model, least=0.2).write(posts, 1)[0]) == 1
    assert PhraseWriter(model, least=1.1).write(posts, 5) == [[], [], []]
    assert others[0] == []


def test_several_writers_stand_one_after_the_other() -> None:
    class Says:
        def __init__(self, *hashtags: str) -> None:
            self.hashtags = hashtags

        def write(self, posts: list[Post], n: int) -> list[list[Written]]:
            items = [Written(hashtag=name, words=(name,), score=0.5, known=False) for name in self.hashtags[:n]]
            return [items for _ in posts]

    rows = Together(Says("a", "b"), Says("c", "d")).write([Post(), Post()], 3)
    assert [[item.hashtag for item in row] for row in rows] == [["a", "b", "c"]] * 2


# --- every model's run ---------------------------------------------------------------------------------------------


@pytest.fixture
def posts(planted: tuple[Dataset, list[list[str]]], tmp_path: Path) -> Path:
    """The planted posts as a folder with a graph, which has no edges, and with their rare hashtags."""
    dataset, rare = planted
    saved = dataset.save(tmp_path / "posts")
    build_dataset_graph(saved, GraphSettings()).save(tmp_path / "posts" / "graph.parquet")
    table = pl.DataFrame({"video_id": saved.videos["video_id"], "hashtags": rare})
    table.write_parquet(tmp_path / "posts" / RARE_TABLE)
    return tmp_path / "posts"


@pytest.mark.parametrize("name", ["v2ht", "v2ht_memory"])
def test_a_run_of_any_model_shows_phrases_of_the_text_beside_its_known_hashtags(
    name: str, posts: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    v2ht("train", posts, "--model", name, "--out", run, "--set", "epochs=1")
    words = ("recommend", run, "--text", "we saw Orla Benz walk to the museum", "--user", "ann", "-k", 2, "--json")
    found = json.loads(v2ht(*words, "--novel", 3).stdout)
    new = [item for item in found["recommendations"] if not item["known"]]
    assert [(item["hashtag"], item["origin"]) for item in new] == [("orlabenz", "in the text")]
    assert found["counts"] == {"in the text": 1}
    known = [item for item in found["recommendations"] if item["known"]]
    assert known == json.loads(v2ht(*words).stdout)["recommendations"]
    assert [item.hashtag for item in Recommender.load(run).recommend(description="met Quimby", k=1, novel=1)][1:] == [
        "quimby"
    ]


def test_a_model_without_a_graph_lends_its_phrases_but_takes_no_new_hashtags(posts: Path, tmp_path: Path) -> None:
    for name in ("bilinear", "v2ht"):
        train(posts, tmp_path / name, Plan.of(name, ["epochs=1"], seed=0))
    with pytest.raises(InputError, match="bilinear has no hashtag graph that new hashtags could join"):
        Recommender.load(tmp_path / "bilinear").recommend(description="met Quimby", novel=1)
    lent = Recommender.load(tmp_path / "v2ht", writer=tmp_path / "bilinear")
    assert "quimby" in [item.hashtag for item in lent.recommend(description="met Quimby", novel=1)]


def test_an_old_run_gets_phrases_when_it_is_resumed_and_says_so_until_then(posts: Path, tmp_path: Path) -> None:
    rare = (posts / RARE_TABLE).read_bytes()
    (posts / RARE_TABLE).unlink()
    plan, told = Plan.of("v2ht", ["epochs=1"], seed=0), []
    train(posts, tmp_path / "run", plan)
    with pytest.raises(InputError, match="has learned no phrases and has no generator"):
        writer_of(tmp_path / "run")
    few = pl.DataFrame({"video_id": [f"v{number}" for number in range(120)], "hashtags": [["quimby"]] * 120})
    few.write_parquet(posts / RARE_TABLE)
    train(posts, tmp_path / "run", plan, resume=True, report=lambda what, done, total: told.append(what))
    assert told[-1] == "train texts hold too few rare hashtags to learn phrases from"
    (posts / RARE_TABLE).write_bytes(rare)
    weights = (tmp_path / "run" / "model.safetensors").read_bytes()
    train(posts, tmp_path / "run", plan, resume=True)
    assert isinstance(writer_of(tmp_path / "run"), PhraseWriter)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == weights
