"""A `ggm` run from train to written hashtags, on the battery's planted world; and all that must not happen."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from data.dataset import Dataset
from data.files import InputError
from graph_builders.build import GraphSettings, build_dataset_graph
from test_battery import TOPICS, planted_dataset
from v2ht import cli
from v2ht.bundle import Bundle
from v2ht.dataset_inputs import DatasetInputs
from v2ht.inputs import Post
from v2ht.models.ggm.settings import GENERATORS, KINDS
from v2ht.phrases import FEATURES, PhraseModel, TextCounts
from v2ht.serving import Recommender
from v2ht.serving.writer import Writer, Written, writer_of
from v2ht.training.evaluate import evaluate_run
from v2ht.training.generation import rate_share
from v2ht.training.guidance import guide_rows, recall_at_k, train_guidance
from v2ht.training.train import Plan, train
from v2ht.writing import HashtagWriter

TINY = [
    "dim=16",
    "temperature=0.2",
    "word_dimension=16",
    "epochs=12",
    "batch_size=40",
    "learning_rate=0.02",
    "width=32",
    "layers=1",
    "heads=2",
    "dropout=0",
    "vocabulary=340",
    "text_tokens=8",
    "max_length=16",
    "guidance_k=4",
    "guidance_folds=2",
    "generator_batch=16",
    "generator_rate=0.005",
    "beams=2",
]
SHORT = ["epochs=2", "generator_epochs=6"]


def plan(*words: str) -> Plan:
    return Plan.of("ggm", [*TINY, *words], seed=0)


def write_planted(folder: Path, dataset: Dataset) -> Path:
    saved = dataset.save(folder)
    build_dataset_graph(saved, GraphSettings()).save(folder / "graph.parquet")
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_planted(tmp_path_factory.mktemp("planted") / "posts", planted_dataset(features=True))


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned; tests read it only."""
    folder = tmp_path_factory.mktemp("ggm") / "run"
    train(dataset, folder, plan("generator_epochs=30", "generator_patience=30"))
    return folder


@pytest.fixture(scope="module")
def short(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few epochs, to compare others with."""
    folder = tmp_path_factory.mktemp("ggm") / "short"
    train(dataset, folder, plan(*SHORT))
    return folder


def generator_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "generator" / "model.safetensors")


def same_weights(first: Path, second: Path) -> bool:
    one, other = generator_weights(first), generator_weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def posts_of(dataset: Path, split: str) -> tuple[list[Post], list[str]]:
    """Return a split's posts as if they came from outside, and their topics."""
    loaded = Dataset.load(dataset)
    posts, topics = [], []
    for row in loaded.rows(split):
        video = loaded.videos.row(int(row), named=True)
        features = {name: np.asarray(steps[int(row)], np.float32) for name, steps in loaded.features.items()}
        posts.append(Post(text=video["text"], user=loaded.users["user"][video["user_id"]], features=features))
        topics.append(TOPICS[video["hashtag_ids"][0]])
    return posts, topics


def test_it_learns_to_write_the_planted_hashtags(run: Path, dataset: Path) -> None:
    log = [json.loads(line) for line in (run / "generator" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < 0.3 * log[0]["loss"]
    posts, topics = posts_of(dataset, "test")
    written = Writer(run).write(posts)
    named = [topic in {item.hashtag for item in items} for topic, items in zip(topics, written, strict=True)]
    users = [{"ann", "bob", "eve", "joe", "kim"} & {item.hashtag for item in items} for items in written]
    own = [found == {post.user.removeprefix("user ")} for found, post in zip(users, posts, strict=True)]
    assert np.mean(named) > 0.8
    assert np.mean(own) > 0.6


def test_a_run_says_everything(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    config = json.loads((run / "generator" / "config.json").read_text())
    assert record["model_settings"]["guidance_k"] == 4
    assert record["training"]["generator"] == config["training"]
    assert config["training"]["epochs"] == 30
    assert config["training"]["valid_f1"] == max(
        json.loads(line)["valid_f1"] for line in (run / "generator" / "log.jsonl").read_text().splitlines()
    )
    assert {path.name for path in (run / "generator").iterdir()} == {
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "checkpoint.safetensors",
        "guidance.safetensors",
        "log.jsonl",
    }


def test_guidance_of_train_videos_is_about_as_good_as_of_new_ones(run: Path, dataset: Path) -> None:
    """And far from what the run's own ranker, which knows them, would retrieve for them at little training."""
    recall = json.loads((run / "generator" / "config.json").read_text())["guidance"]
    assert recall["train_recall"] == pytest.approx(recall["valid_recall"], abs=0.15)


def test_a_train_videos_own_hashtags_do_not_reach_its_guidance(short: Path, dataset: Path, tmp_path: Path) -> None:
    """Give the videos of one fold other hashtags: their guidance stays, the other fold's changes."""
    bundle = Bundle.load(short)
    bundle = replace(bundle, model_settings=replace(bundle.model_settings, user=False))
    loaded = Dataset.load(dataset)
    rows = loaded.rows("train")
    fold_N = np.random.default_rng([0, 7]).permutation(np.arange(len(rows)) % 2)
    lists = loaded.videos["hashtag_ids"].to_list()
    for row in rows[fold_N == 0]:
        lists[row] = [(lists[row][0] + 3) % 8]
    other = replace(loaded, videos=loaded.videos.with_columns(hashtag_ids=pl.Series(lists, dtype=pl.List(pl.Int32()))))
    guided = [
        train_guidance(
            tmp_path / name,
            bundle,
            DatasetInputs(data, bundle.inputs),
            settings=plan().train_settings,
            epochs=2,
            seed=0,
        )
        for name, data in (("one", loaded), ("two", other))
    ]
    np.testing.assert_array_equal(guided[0][fold_N == 0], guided[1][fold_N == 0])
    assert (guided[0][fold_N == 1] != guided[1][fold_N == 1]).any()


def test_recall_by_hand() -> None:
    from data.dataset import Ragged

    truth = Ragged.from_lists([[1, 2], [5], []])
    assert recall_at_k(np.array([[1, 9], [4, 5], [0, 1]]), truth) == pytest.approx((0.5 + 1) / 2)


def test_the_learning_rate_rises_and_falls_by_hand() -> None:
    """Ten steps an epoch for four epochs: twenty steps of rise; 5 % would be left after forty."""
    assert rate_share(0, 10, 4) == pytest.approx(1 / 20)
    assert rate_share(19, 10, 4) == pytest.approx(1 - 0.95 * 19 / 40)
    assert rate_share(39, 10, 4) == pytest.approx(1 - 0.95 * 39 / 40)
    assert rate_share(400, 1000, 4) == pytest.approx(1 - 0.95 * 400 / 4000)  # the rise takes 200 steps at most


def test_a_ranker_alone_writes_hashtags_of_its_pool(dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path / "run", plan("epochs=1", "kind=vlm"))
    bundle = Bundle.load(tmp_path / "run")
    posts = DatasetInputs(Dataset.load(dataset), bundle.inputs)
    names = bundle.inputs.hashtags["hashtag"].to_list()
    batch = posts.batch(posts.dataset.rows("test")[:4])
    texts = [""] * 4
    pools = {"train": None, "rest": np.array([13, 15, 16])}
    found = {
        name: {item.hashtag for row in HashtagWriter.load(tmp_path / "run", bundle, pool=pool).write(texts, batch, n=18)
               for item in row}
        for name, pool in pools.items()
    }  # fmt: skip
    assert found["train"] == set(names[:13])
    assert found["rest"] == {names[13], names[15], names[16]}
    assert evaluate_run(tmp_path / "run", split="test")["generation"]["with_unseen_pool"]["videos"] > 0


def test_other_truth_in_the_test_split_changes_nothing(short: Path, tmp_path: Path) -> None:
    plain = planted_dataset(features=True)
    shuffled = plain.videos.with_columns(
        hashtag_ids=pl.when(pl.col("split") == "test")
        .then(pl.lit([17], pl.List(pl.Int32())))
        .otherwise(pl.col("hashtag_ids"))
    )
    folder = write_planted(tmp_path / "posts", replace(plain, videos=shuffled))
    train(folder, tmp_path / "run", plan(*SHORT))
    assert same_weights(short, tmp_path / "run")


@pytest.mark.parametrize("moment", ["guidance of train videos", "generator, epoch 1", "generator, epoch 3"])
def test_an_interrupted_run_resumes_to_the_same_weights(
    moment: str, short: Path, dataset: Path, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def kill(what: str, done: int, total: int) -> None:
        if what.startswith(moment) and done == 1:
            raise Killed

    with pytest.raises(Killed):
        train(dataset, tmp_path / "run", plan(*SHORT), report=kill)
    assert "training" not in json.loads((tmp_path / "run" / "run.json").read_text())
    train(dataset, tmp_path / "run", plan(*SHORT), resume=True)
    assert same_weights(short, tmp_path / "run")
    before = (tmp_path / "run" / "generator" / "model.safetensors").read_bytes()
    train(dataset, tmp_path / "run", plan(*SHORT), resume=True)
    assert (tmp_path / "run" / "generator" / "model.safetensors").read_bytes() == before


def test_a_batch_writes_what_its_posts_get_alone(run: Path, dataset: Path) -> None:
    posts, _ = posts_of(dataset, "test")
    writer = Writer(run)
    together = writer.write(posts[:5], 4)
    for post, items in zip(posts[:5], together, strict=True):
        (alone,) = writer.write([post], 4)
        assert [item.hashtag for item in alone] == [item.hashtag for item in items]
        assert [item.score for item in alone] == pytest.approx([item.score for item in items], abs=1e-4)


def test_anything_may_be_missing_from_a_post(run: Path) -> None:
    frames = {"visual": np.eye(8, dtype=np.float32)[:1]}
    posts = [Post(), Post(text="look dog"), Post(user="nobody we know"), Post(features=frames), Post(text="東京 🎉")]
    for items in Writer(run).write(posts, 3):
        assert items
        assert all(0 < item.score <= 1 for item in items)


def test_no_hashtag_is_written_twice(run: Path, dataset: Path) -> None:
    posts, _ = posts_of(dataset, "valid")
    vocabulary = set(Dataset.load(dataset).hashtags["hashtag"])
    for items in Writer(run).write(posts, 12):
        names = [item.hashtag for item in items]
        assert len(set(names)) == len(names) <= 12
        assert [item.known for item in items] == [name in vocabulary for name in names]
        assert all(item.hashtag == "".join(item.words) for item in items)


@pytest.mark.parametrize(
    ("words", "sensible"),
    [
        (("cold",), False),  # an English word that the post does not say
        (("xqztv",), True),  # stands in the post
        (("qqwwxx",), False),
        (("xq", "ztv", "day"), True),  # stand in the post, one after the other
        (("sleeping", "dog"), True),  # hashtags that fit
        (("day", "the", "off"), False),  # the last is in the post, but says nothing alone
        (("ice", "cream", "xqztv"), True),  # a hashtag of two words that fits, and a word of the post
        (("ice", "xqztv"), False),  # half of that hashtag
        (("dog", "dog"), False),  # says a word twice
        (("cold", "dog"), False),
        (("xyzcom", "dog"), False),  # the first is of a link, which is no word of the post
    ],
)
def test_a_new_hashtag_must_make_sense(words: tuple[str, ...], sensible: bool, run: Path) -> None:
    fitting = {("dog",), ("sleeping",), ("ice", "cream")}
    text = "Xqztv day, the one off, https://example.xyzcom"
    assert Writer(run).makes_sense(words, text, fitting) == sensible


def with_phrases(run: Path, folder: Path) -> Path:
    """Return a copy of a run to which every phrase of a text is likely a hashtag."""
    shutil.copytree(run, folder)
    weights_F = np.zeros(len(FEATURES))
    weights_F[[FEATURES.index(f"bias, {kind}") for kind in ("one word", "several")]] = 2.0, 3.0
    PhraseModel(TextCounts.of([], []), weights_F).save(folder / "phrases")
    return folder


def test_phrases_of_the_text_are_new_hashtags_and_move_no_known_score(short: Path, tmp_path: Path) -> None:
    recommender = Recommender.load(with_phrases(short, tmp_path / "run"))
    posts = [
        Post(text=text, user="user ann") for text in ("Zorba Quill, DOG, cat! Shit happens. Cats", "", "東京タワー")
    ]
    shown, plain = recommender.show(posts, k=4, novel=3), recommender.show(posts, k=4)
    for more, less in zip(shown, plain, strict=True):
        assert [item for item in more.items if item.known] == less.items
    found = [{item.hashtag: item.origin for item in row.items if not item.known} for row in shown]
    assert {name for name, origin in found[0].items() if origin == "in the text"} == {"zorbaquill", "cats"}
    assert [item.near for item in shown[0].items if item.hashtag == "cats"] == ["cat"]
    assert (shown[0].counts["in the text"], shown[0].counts["unsafe"]) == (3, 1)
    assert "in the text" not in found[1].values()
    assert found[2]["東京タワー"] == "in the text"
    (item,) = [item for item in shown[2].items if item.hashtag == "東京タワー"]
    assert item.as_json()["origin"] == "in the text"


def test_blocked_and_unsafe_phrases_are_counted_and_not_shown(short: Path, tmp_path: Path) -> None:
    (tmp_path / "block.txt").write_text("zorba\n")
    recommender = Recommender.load(with_phrases(short, tmp_path / "run"), block=tmp_path / "block.txt")
    (shown,) = recommender.show([Post(text="Zorba. Shit! Quimby")], k=3, novel=3)
    assert [item.hashtag for item in shown.items if item.origin == "in the text"] == ["quimby"]
    assert (shown.counts["blocked"], shown.counts["unsafe"]) == (1, 1)


def test_phrases_of_another_run_are_ranked_by_this_one(short: Path, run: Path, tmp_path: Path) -> None:
    recommender = Recommender.load(run, writer=with_phrases(short, tmp_path / "run"))
    assert "quimby" in [item.hashtag for item in recommender.recommend(description="Quimby", k=3, novel=2)]


def test_resuming_a_finished_run_adds_phrases_once_import_kept_rare_hashtags(
    dataset: Path, short: Path, tmp_path: Path
) -> None:
    assert not (short / "phrases").exists()
    assert isinstance(writer_of(short), Writer)  # an old run writes without them
    shutil.copytree(dataset, tmp_path / "posts")
    shutil.copytree(short, tmp_path / "run")
    videos = Dataset.load(tmp_path / "posts").videos
    rare = [[word for word in text.split() if word == "look"] for text in videos["text"].to_list()]
    pl.DataFrame({"video_id": videos["video_id"], "hashtags": rare}).write_parquet(tmp_path / "posts" / "rare.parquet")
    train(tmp_path / "posts", tmp_path / "run", plan(*SHORT), resume=True)
    assert same_weights(short, tmp_path / "run")
    (found,) = writer_of(tmp_path / "run").write([Post(text="look dog")], 5)
    assert (found[0].hashtag, found[0].origin) == ("look", "in the text")
    (tmp_path / "run" / "phrases" / "counts.parquet").unlink()
    with pytest.raises(InputError, match="phrases is missing or damaged"):
        writer_of(tmp_path / "run")


def test_what_makes_no_sense_leaves_no_gap(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(run)
    phrases = [("dog", "dog"), ("dog", "park"), ("qqwwxx",), ("cat", "park")]
    new = [Written(hashtag="".join(words), words=words, score=0.5, known=False) for words in phrases]
    known = Written(hashtag="cat", words=("cat",), score=0.4, known=True)

    def write(texts: list[str], batch: object, *, n: int | None) -> list[list[Written]]:
        return [[*new, known][:n] for _ in texts]

    monkeypatch.setattr(writer._writer, "write", write)
    post = Post(text="a dog and a cat in the park")
    assert writer.write([post], 2) == [[new[1], new[3]]]
    assert writer.write([post]) == [[new[1], new[3], known]]


def test_known_is_decided_by_joined_words_or_spelling(run: Path) -> None:
    from v2ht.models.ggm.tokens import Hypothesis

    writer = HashtagWriter.load(run, Bundle.load(run))
    found = writer._distinct([Hypothesis(words=words, log_probability=-1.0) for words in (("do", "g"), ("dogs",))])
    assert [(item.hashtag, item.words, item.known) for item in found] == [
        ("dog", ("dog",), True),
        ("dogs", ("dogs",), False),
    ]


def test_evaluation_holds_the_generation_numbers(short: Path) -> None:
    content = evaluate_run(short, split="test")
    numbers = content["generation"]
    assert content["overall"]["recall@10"] > 0
    assert 0 <= numbers["f1"] <= 1
    assert numbers["duplicates"] == 0
    assert numbers["decoding"] == "ggm: 2 beams, 16 tokens at most, 4 hashtags of guidance by vlm"
    assert numbers["with_unseen_pool"]["videos"] == numbers["videos"]
    written = pl.read_parquet(short / "written-test.parquet")
    assert written["system"].unique().sort().to_list() == ["ggm", "with_unseen_pool"]
    assert json.loads((short / "evaluation-test.json").read_text())["generation"] == json.loads(json.dumps(numbers))


def test_unseen_hashtags_are_guidance_only_when_the_pool_has_them(short: Path, dataset: Path) -> None:
    bundle = Bundle.load(short)
    posts = DatasetInputs(Dataset.load(dataset), bundle.inputs)
    rows = posts.dataset.rows("test")
    assert guide_rows(bundle.model, posts, rows, k=18).max() < 13
    open_pool = HashtagWriter.load(short, bundle, pool=np.arange(18))
    assert open_pool.guide.k == 4
    assert HashtagWriter.load(short, bundle, pool=np.arange(13, 18)).guide(posts.batch(rows)).min() >= 13


def test_the_table_and_generate_are_printed(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.app(["evaluate", str(short), "--split", "valid"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "rouge1" in printed
    assert "ggm, unseen hashtags in the pool" in printed
    cli.app(["generate", str(short), "--text", "dog", "--user", "user ann", "-n", "2", "--json"], standalone_mode=False)
    items = json.loads(capsys.readouterr().out)["hashtags"]
    assert len(items) <= 2
    assert set(items[0]) == {"hashtag", "words", "score", "known"}


@pytest.mark.parametrize("words", [["guidance_k=0"], ["graph_guidance=false"], ["guidance=vit"], ["user=false"]])
def test_guidance_its_vectors_and_the_user_are_options(words: list[str], dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path / "run", plan("epochs=1", "generator_epochs=1", *words))
    weights = generator_weights(tmp_path / "run")
    assert ("guide.weight" in weights) == (words[0] in ("guidance=vit", "user=false"))
    assert any(name.startswith("user.") for name in weights) == (words[0] != "user=false")
    assert (tmp_path / "run" / "generator" / "guidance.safetensors").exists() == (words[0] != "guidance_k=0")
    assert Writer(tmp_path / "run").write([Post(text="dog")], 2)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "ggm"])
def test_every_baseline_trains_writes_and_is_evaluated(kind: str, dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path / "run", plan("epochs=1", "generator_epochs=1", f"kind={kind}"))
    assert (tmp_path / "run" / "generator").exists() == (kind in GENERATORS)
    numbers = evaluate_run(tmp_path / "run", split="valid")["generation"]
    assert numbers["decoding"].startswith(f"{kind}: ")
    if kind in GENERATORS:
        names = set(generator_weights(tmp_path / "run"))
        reads = GENERATORS[kind]
        assert any(name.startswith("encoder.") for name in names) == reads.text
        assert any(name.startswith("video.") for name in names) == reads.video
    else:
        assert numbers["written"] == 5 * numbers["videos"]


def test_a_text_only_table_is_enough_and_frames_alone_are_not_there(tmp_path: Path) -> None:
    folder = write_planted(tmp_path / "posts", planted_dataset(features=False))
    train(folder, tmp_path / "run", plan("epochs=2", "generator_epochs=2"))
    assert not any(name.startswith(("video.", "watch.")) for name in generator_weights(tmp_path / "run"))
    assert Writer(tmp_path / "run").write([Post(text="my dog", features={"visual": np.zeros((1, 8), np.float32)})])
    with pytest.raises(ValueError, match="reads frames only, and the dataset has none; choose another kind"):
        train(folder, tmp_path / "frames", plan("epochs=1", "kind=trocr_fid"))


def test_an_unfinished_or_foreign_run_cannot_write(run: Path, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run"):
        Writer(tmp_path)
    train(dataset, tmp_path / "bilinear", Plan.of("bilinear", ["epochs=1", "dim=8", "word_dimension=16"], seed=0))
    with pytest.raises(InputError, match="is a run of bilinear, which writes no hashtags; give one of --model ggm"):
        Writer(tmp_path / "bilinear")
    bundle = Bundle.load(run)
    with pytest.raises(InputError, match="has no generator yet; continue with `v2ht train --resume`"):
        HashtagWriter.load(tmp_path / "nothing", bundle)
