"""New posts folded into a run: what is counted anew, what is left as learned, new users and hashtags, and refusals."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file

from data.dataset import Dataset, Ragged
from data.files import InputError, file_fingerprint
from data.importing import ImportSettings, import_table, read_more
from data.presets import parse_columns
from data.synthetic import WorldSettings, make_world, raw_table
from experiments.real import weekly
from graph_builders.build import GRAPH_FILE, GraphSettings, build_dataset_graph, build_graph, load_dataset_graph
from graph_builders.grow import grow
from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from test_cli import v2ht
from v2ht.bundle import Bundle, save_weights
from v2ht.evidence.evidence import COLUMN_NAMES
from v2ht.inputs import Inputs, Post
from v2ht.models import MODELS, entry
from v2ht.models.contract import GraphRanker
from v2ht.models.v2ht_memory import V2HTMemory
from v2ht.serving import Recommender
from v2ht.settings import apply
from v2ht.training.evaluate import evaluate_run
from v2ht.training.train import Plan, train
from v2ht.training.update import update

COLUMNS = "id=id,user=user,text=text,hashtags=hashtags,time=time"
SMALL = ["dim=16", "word_dimension=16"]


def post(name: str, user: str, text: str, *hashtags: str, day: int = 1) -> dict[str, Any]:
    return {"id": name, "user": user, "text": text, "hashtags": list(hashtags), "time": f"2030-01-{day:02}T00:00:00Z"}


def write(path: Path, posts: list[dict[str, Any]]) -> Path:
    pl.DataFrame(posts).write_parquet(path)
    return path


class Case:
    """A dataset of old posts with its graph, and tables of new ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        table = raw_table(make_world(WorldSettings(num_videos=300, num_users=30), seed=0)).sort("time")
        table[:260].write_parquet(folder / "old.parquet")
        settings = ImportSettings(columns=parse_columns(COLUMNS), min_hashtag_videos=3, min_user_videos=1)
        self.dataset = import_table(folder / "old.parquet", settings, out=folder / "dataset")
        self.graph = build_dataset_graph(self.dataset, GraphSettings())
        self.graph.save(folder / "dataset" / GRAPH_FILE)
        self.names = self.dataset.hashtags["hashtag"].to_list()
        self.user = self.dataset.users["user"][4]
        own = [
            post("a1", "newcomer", "zeppelin over town", "#Zeppelin", self.names[0], day=1),
            post("a2", "newcomer", "zeppelin again", "zeppelin", self.names[0], day=2),
            post("a3", self.user, "a zeppelin", "zeppelin", self.names[1], "once", day=3),
            post("a4", self.user, "nothing to see", "once", "waiting", day=4),
        ]
        later = [
            post("b1", "newcomer", "wait for it", "waiting", self.names[2], day=5),
            post("b2", "second newcomer", "wait", "waiting", self.names[2], day=6),
        ]
        rest = table[260:].to_dicts()
        for row in rest:
            row["time"] = str(row["time"])
        self.first = write(folder / "first.parquet", [*own, *rest[:20]])
        self.second = write(folder / "second.parquet", [*later, *rest[20:]])
        self.both = write(folder / "both.parquet", [*later, *rest, *own])

    def run(self, name: str, *words: str) -> Path:
        """Return a run on the dataset."""
        return made_run(self.dataset, self.folder / "dataset", self.folder / f"{name}-run", name, *words)


def made_run(dataset: Dataset, dataset_path: Path, path: Path, name: str, *words: str) -> Path:
    """Return a run of a model that is as initialised, with some noise, marked as trained."""
    graph = load_dataset_graph(dataset_path, dataset)
    small = SMALL if name in ("v2ht", "v2ht_memory") else SMALL[1:]
    model_settings, input_settings = apply([*small, *words], [entry(name).settings(), entry(name).inputs])
    inputs = Inputs.of(dataset, input_settings, seed=0, graph=graph)
    torch.manual_seed(0)
    model = entry(name).build(model_settings, inputs, graph).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    shutil.rmtree(path, ignore_errors=True)
    record = {
        "dataset": str(dataset_path),
        "dataset_fingerprint": dataset.fingerprint,
        "seed": 0,
        "modalities": sorted(model.modalities),
        "made": {},
        "training": {"epochs": 0},
    }
    bundle = Bundle(
        model_name=name, model_settings=model_settings, model=model, inputs=inputs, graph=graph, record=record
    )
    bundle.save_inputs(path)
    save_weights(model, path / "model.safetensors")
    return path


def imported(folder: Path, posts: list[dict[str, Any]], columns: str = COLUMNS, **settings: Any) -> Dataset:
    """Import posts without minimum counts as folder/dataset, with its graph."""
    chosen = ImportSettings(columns=parse_columns(columns), min_hashtag_videos=1, min_user_videos=1, **settings)
    dataset = import_table(write(folder / "old.parquet", posts), chosen, out=folder / "dataset")
    build_dataset_graph(dataset, GraphSettings()).save(folder / "dataset" / GRAPH_FILE)
    return dataset


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("update"))


@pytest.fixture(scope="module")
def run(case: Case) -> Path:
    return case.run("v2ht_memory").rename(case.folder / "memory")


@pytest.fixture(scope="module")
def updated(case: Case, run: Path) -> Path:
    update(run, case.first, case.folder / "updated")
    return case.folder / "updated"


def remembered(case: Case, *tables: Path) -> list[tuple[str, str, set[str]]]:
    """Return (id, user, hashtags) of train and new posts, read by plain Python."""
    videos, users = case.dataset.videos, case.dataset.users["user"].to_list()
    found = [
        (row["video_id"], users[row["user_id"]], {case.names[number] for number in row["hashtag_ids"]})
        for row in videos.filter(pl.col("split") == "train").to_dicts()
    ]
    for table in tables:
        rows = pl.read_parquet(table).to_dicts()
        found += [(row["id"], row["user"], {tag.lstrip("#").casefold() for tag in row["hashtags"]}) for row in rows]
    return found


# What is counted anew


def test_histories_popularity_and_evidence_are_those_of_all_posts(case: Case, updated: Path) -> None:
    inputs = Bundle.load(updated).inputs
    names = inputs.hashtags["hashtag"].to_list()
    assert names == [*case.names, "zeppelin"]  # `once` is in two new posts, `waiting` in one
    posts = [(user, tags & set(names)) for _, user, tags in remembered(case, case.first)]
    for user in ("newcomer", case.user, case.dataset.users["user"][0]):
        counted = Counter(tag for owner, tags in posts if owner == user for tag in tags)
        number = inputs.user_id(user)
        row = inputs.history.counts[number].tocoo()
        assert {names[tag]: count for tag, count in zip(row.col, row.data, strict=True)} == counted
        assert inputs.known_hashtags(number).tolist() == sorted(names.index(tag) for tag in counted)
    assert inputs.memory is not None
    popular = Counter(tag for _, tags in posts for tag in tags)
    assert inputs.memory.past.videos_H.tolist() == [popular[name] for name in names]
    both = sum({"zeppelin", case.names[0]} <= tags for _, tags in posts)
    share = inputs.memory.past.together_HH[names.index("zeppelin"), 0]
    assert share == pytest.approx(both / (popular["zeppelin"] + 5))
    table = inputs.hashtags
    assert table["train_videos"].to_list() == [*case.dataset.hashtags["train_videos"], 0]
    fresh = Counter(
        tag for _, _, tags in remembered(case, case.first)[len(case.dataset.rows("train")) :] for tag in tags
    )
    assert table["new_videos"].to_list() == [fresh[name] for name in names]


def test_evidence_of_a_post_speaks_of_new_posts(run: Path, updated: Path) -> None:
    def votes(path: Path, text: str, user: str) -> dict[str, dict[str, float]]:
        inputs = Bundle.load(path).inputs
        names, batch = inputs.hashtags["hashtag"].to_list(), inputs.batch([Post(text=text, user=user)])
        assert batch.evidence is not None
        values = batch.evidence.values_NJ[:, : len(COLUMN_NAMES)].tolist()
        return {
            names[tag]: dict(zip(COLUMN_NAMES, row, strict=True))
            for tag, row in zip(batch.evidence.hashtags_N.tolist(), values, strict=True)
        }

    assert "zeppelin" not in votes(run, "zeppelin", "newcomer")
    found = votes(updated, "my zeppelin", "newcomer")["zeppelin"]
    assert found["history.share"] == 1
    assert found["words.named"] == 1
    assert found["neighbours.votes"] > 0.3
    assert found["ridge.text"] > 0.1


# What is left as learned


def test_learned_weights_are_untouched_and_new_rows_hold_nothing_learned(case: Case, run: Path, updated: Path) -> None:
    before, after = load_file(run / "model.safetensors"), load_file(updated / "model.safetensors")
    assert before.keys() == after.keys()
    known = len(case.names)
    for name, weight in before.items():
        assert np.array_equal(after[name][:known] if name in ("hashtag.weight", "bias_H") else after[name], weight), (
            name
        )
    assert after["hashtag.weight"].shape == (known + 1, 16)
    assert not after["hashtag.weight"][known:].any()
    assert np.array_equal(load_file(run / "inputs.safetensors")["word_vectors"], _vectors(updated))


def _vectors(path: Path) -> np.ndarray:
    vectors: np.ndarray = load_file(path / "inputs.safetensors")["word_vectors"]
    return vectors


def neighbours(graph: HashtagGraph, number: int, below: int) -> set[tuple[int, str]]:
    return {(other, relation) for other, relation, _ in graph.neighbours(number) if other < below}


@pytest.mark.parametrize("name", ["v2ht_memory", "v2ht"])
def test_only_what_neighbours_change_moves(case: Case, name: str, tmp_path: Path) -> None:
    """A post of nobody without text has the same scores but for the moment where no neighbour changed, to rounding."""
    path = case.run(name)
    update(path, case.first, tmp_path / "out")
    old, new = Bundle.load(path), Bundle.load(tmp_path / "out")
    known = len(case.names)
    same = [neighbours(old.graph, n, known) == neighbours(new.graph, n, known) for n in range(known)]
    assert 0 < sum(same) < known
    nobody = Post(text="", user=None)
    with torch.inference_mode():
        rows = [bundle.model.hashtag_embeddings() for bundle in (old, new)]
        scores = [
            bundle.model.scores(bundle.inputs.batch([nobody]).without("moment"), own)[0, :known]
            for bundle, own in zip((old, new), rows, strict=True)
        ]
    torch.testing.assert_close(rows[0][same], rows[1][:known][same], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(scores[0][same], scores[1][same], atol=1e-5, rtol=1e-5)
    moved = [not each for each in same]
    assert ((rows[0] - rows[1][:known])[moved].abs().amax(1) > 1e-4).all()


@pytest.mark.parametrize("name", ["v2ht_memory", "v2ht"])
def test_a_new_hashtag_is_placed_as_insertion_places_it(case: Case, name: str, tmp_path: Path) -> None:
    """The twin: the ranker's own rule for hashtags that it was not trained on, given the same edges and known rows."""
    path = case.run(name, *(["relations=composition,hypernym,wup"] if name == "v2ht" else []))
    update(path, case.first, tmp_path / "out", least_posts=1)
    old, new = Bundle.load(path), Bundle.load(tmp_path / "out")
    known, graph = len(case.names), new.graph
    of_new = graph.target >= known
    assert of_new.sum() > 3
    assert (graph.source[of_new] < known).all()
    assert RELATIONS.index("cooccurrence") in graph.relation[of_new]
    edges = HashtagGraph(
        num_hashtags=graph.num_hashtags,
        **{part: getattr(graph, part)[of_new] for part in ("source", "target", "relation", "weight")},
    )
    assert isinstance(old.model, GraphRanker)
    vectors = torch.from_numpy(new.inputs.hashtag_vectors_HW[known:])
    with torch.inference_mode():
        if name == "v2ht":
            edges = edges.subset(["composition", "hypernym", "wup"])
        expected = old.model.new_hashtag_embeddings(vectors, edges)
        found = new.model.hashtag_embeddings()[known:]
    width = 16 if name == "v2ht_memory" else expected.shape[1]
    torch.testing.assert_close(found[:, :width], expected[:, :width], atol=1e-5, rtol=1e-5)


# The graph


def test_a_grown_graph_is_the_built_one_among_known_hashtags(case: Case) -> None:
    rows = case.dataset.hashtag_ids()
    train, words = rows.take(case.dataset.rows("train")), case.dataset.hashtags["words"].to_list()
    same = grow(case.graph, words, train, known=len(words))
    for part in ("source", "target", "relation", "weight"):
        assert np.array_equal(getattr(same, part), getattr(case.graph, part)), part
    again = grow(case.graph, words, rows, known=len(words))
    whole = build_graph(words, rows, settings=GraphSettings())
    for part in ("source", "target", "relation", "weight"):
        assert np.array_equal(getattr(again, part), getattr(whole, part)), part
    assert len(whole) != len(case.graph)
    assert again.dataset_fingerprint == case.graph.dataset_fingerprint


def test_new_hashtags_co_occur_with_known_ones_only() -> None:
    words, old = [["one"], ["two"]], [[0, 1], [0, 1]]
    graph = build_graph(words, Ragged.from_lists(old), settings=GraphSettings())
    posts = Ragged.from_lists([*old, *([0, 2, 3] for _ in range(3))])
    grown = grow(graph, [*words, ["xyzzy"], ["plugh"]], posts, known=2)
    together = [number == RELATIONS.index("cooccurrence") for number in grown.relation]
    assert list(zip(grown.source[together], grown.target[together], strict=True)) == [(0, 1), (0, 2), (0, 3)]
    assert grown.weight[together] == pytest.approx([2 / 10**0.5, 3 / 15**0.5, 3 / 15**0.5])
    assert grown.edge_between(2, 3) is None


def test_a_relation_that_was_not_learned_stays_away(case: Case) -> None:
    rows, words = case.dataset.hashtag_ids(), case.dataset.hashtags["words"].to_list()
    assert case.graph.counts()["composition"]
    grown = grow(case.graph.subset(["composition"]), [*words, ["fire", words[0][0]]], rows, known=len(words))
    assert {RELATIONS[number] for number in grown.relation} == {"composition"}
    assert len(grown) > case.graph.counts()["composition"]


# Two updates, one update


def test_two_updates_give_what_one_with_both_tables_gives(case: Case, run: Path, updated: Path, tmp_path: Path) -> None:
    second = update(updated, case.second, tmp_path / "twice")
    once = update(run, case.both, tmp_path / "once")
    first = json.loads((updated / "run.json").read_text())["update"]
    assert {"waiting", "zeppelin"} - set(first["new_hashtags"]) == {"waiting"}  # it has enough posts in both together
    assert {"waiting", "zeppelin"} <= set(once["new_hashtags"])
    files = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "twice").iterdir())
    for name in files:
        one, other = tmp_path / "once" / name, tmp_path / "twice" / name
        if name.endswith(".safetensors"):
            arrays, others = load_file(one), load_file(other)
            assert arrays.keys() == others.keys()
            assert all(np.array_equal(arrays[key], others[key], equal_nan=True) for key in arrays), name
        elif name.endswith(".parquet"):
            assert pl.read_parquet(one).equals(pl.read_parquet(other)), name
    changing = ("tables", "date")
    assert {k: v for k, v in once.items() if k not in changing} == {
        k: v for k, v in second.items() if k not in changing
    }
    assert [len(record["tables"]) for record in (once, second)] == [1, 2]


def test_posts_in_the_run_are_counted_and_left_out(case: Case, run: Path, updated: Path, tmp_path: Path) -> None:
    train_id = case.dataset.videos["video_id"][int(case.dataset.rows("train")[0])]
    mixed = [post(train_id, "x", "", "zeppelin"), post("a1", "x", "", "zeppelin"), post("c1", "x", "", "zeppelin")]
    done = update(updated, write(tmp_path / "mixed.parquet", mixed), tmp_path / "out")
    table = done["tables"][-1]
    assert (table["rows"], table["in_the_run_already"], table["folded_in"]) == (3, 2, 1)
    with pytest.raises(InputError, match=r"all 2 posts are in .* already"):
        update(updated, write(tmp_path / "old.parquet", mixed[:2]), tmp_path / "none")
    done = update(run, tmp_path / "mixed.parquet", tmp_path / "other")
    assert done["tables"][0]["in_the_run_already"] == 1  # an update in another folder is none of this run


# Recommending and evaluating


def test_a_new_hashtag_is_recommended_and_marked_as_new(updated: Path) -> None:
    recommender = Recommender.load(updated)
    items = recommender.recommend(user="newcomer", description="zeppelin", k=200, explain=True)
    assert [item.hashtag for item in items if not item.known] == ["zeppelin"]
    (found,) = (item for item in items if not item.known)
    assert {reason.source for reason in found.reasons} >= {"user", "text"}
    (lists,) = recommender.shelves([Post(user="newcomer")], k=3)
    assert "zeppelin" in [item.hashtag for item in lists["yours"]]
    text = v2ht("recommend", updated, "--user", "newcomer", "--text", "zeppelin", "-k", 200).stdout.splitlines()
    assert [line.split()[1] for line in text if line.endswith("new")] == ["#zeppelin"]


def test_the_command_says_what_it_did(case: Case, run: Path, tmp_path: Path) -> None:
    said = v2ht("update", run, case.first, "--out", tmp_path / "out").stdout
    assert said.startswith(
        f"{tmp_path / 'out'}: 24 of 24 posts folded in (0 were in the run, 0 unusable); 23 of all 24"
    )
    assert "1 new users; 1 new hashtags (#zeppelin); " in said
    done = json.loads(v2ht("update", run, case.first, "--out", tmp_path / "other", "--least-posts", 1, "--json").stdout)
    assert {"zeppelin", "once", "waiting"} <= set(done["update"]["new_hashtags"])
    assert json.loads((tmp_path / "other" / "run.json").read_text())["update"] == done["update"]


def test_evaluation_refuses_posts_that_were_folded_in(case: Case, run: Path, updated: Path, tmp_path: Path) -> None:
    """The rest is ranked over the dataset's hashtags, which new ones are not among."""
    old, new = evaluate_run(run, split="valid"), evaluate_run(updated, split="valid")
    assert new["hashtags"] == old["hashtags"] == len(case.names)
    assert new["floors"] == old["floors"]
    assert new["update"]["posts"] == 24
    assert "update" not in old
    ids = case.dataset.videos["video_id"].gather(case.dataset.rows("test")[:5])
    table = pl.read_parquet(case.folder / "old.parquet").filter(pl.col("id").is_in(ids.implode()))
    table.write_parquet(tmp_path / "test.parquet")
    update(run, tmp_path / "test.parquet", tmp_path / "out")
    with pytest.raises(InputError, match=r"was updated with 5 of the 26 test videos"):
        evaluate_run(tmp_path / "out", split="test")
    evaluate_run(tmp_path / "out", split="valid")


def test_in_a_split_by_time_a_run_that_knows_newer_posts_is_not_judged(tmp_path: Path) -> None:
    old = [post(f"p{n:02}", f"u{n % 4}", f"text {n}", "cat", "sun", day=1 + n // 2) for n in range(40)]
    dataset = imported(tmp_path, old, split="time")
    path = made_run(dataset, tmp_path / "dataset", tmp_path / "run", "v2ht_memory")
    valid = [old[int(name[1:])] for name in dataset.videos.filter(pl.col("split") == "valid")["video_id"]]
    update(path, write(tmp_path / "valid.parquet", valid), tmp_path / "older")
    assert evaluate_run(tmp_path / "older", split="test")["update"]["posts"] == 4
    update(path, write(tmp_path / "new.parquet", [post("n", "u1", "", "cat", day=30)]), tmp_path / "newer")
    for split in ("valid", "test"):
        with pytest.raises(InputError, match=f"1 posts that are not older than the {split} videos"):
            evaluate_run(tmp_path / "newer", split=split)


# All models, and refusals


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_posts_or_says_why_not(case: Case, name: str, tmp_path: Path) -> None:
    path = case.run(name)
    if name == "user_specific":
        with pytest.raises(InputError, match="learns a vector for each user"):
            update(path, case.first, tmp_path / "out")
        return
    done = update(path, case.first, tmp_path / "out")
    joined = name in ("v2ht", "v2ht_memory")
    assert done["new_hashtags"] == (["zeppelin"] if joined else [])
    assert (
        done["waiting_hashtags"]
        == update(path, case.first, tmp_path / "all", least_posts=99)["waiting_hashtags"] - joined
    )
    inputs = Bundle.load(tmp_path / "out").inputs
    assert inputs.known_hashtags(inputs.user_id("newcomer")).tolist() == [0, *([len(case.names)] if joined else [])]
    items = Recommender.load(tmp_path / "out").recommend(user="newcomer", description="a", k=5)
    assert len(items) == 5


def test_what_cannot_be_used_is_refused_in_one_line(case: Case, run: Path, tmp_path: Path) -> None:
    def refused(message: str, *, path: Path = run, table: Path = case.first, **options: Any) -> None:
        with pytest.raises(InputError, match=message) as caught:
            update(path, table, tmp_path / "out", **options)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()

    refused("least number of posts is 0", least_posts=0)
    refused("is not a run", path=tmp_path)
    refused("nowhere.parquet", table=tmp_path / "nowhere.parquet")
    refused(
        "there is no column 'user'", table=write(tmp_path / "a.parquet", [{"id": "x", "hashtags": ["a"], "text": ""}])
    )
    two = write(tmp_path / "b.parquet", [post("x", "a", "", "b"), post("x", "a", "", "c")])
    refused("b.parquet: rows 1 and 2 both have the id 'x'", table=two)
    refused("none of the 1 rows has a hashtag", table=write(tmp_path / "c.parquet", [post("x", "a", "")]))
    refused("which does not exist", dataset_path=tmp_path / "gone")
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run, unfinished)
    content = json.loads((unfinished / "run.json").read_text())
    (unfinished / "run.json").write_text(json.dumps({k: v for k, v in content.items() if k != "training"}))
    refused("training has not finished", path=unfinished)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="exists already"):
        update(run, case.first, tmp_path / "out")


def test_an_update_is_whole_or_absent_and_leaves_the_old_run(
    case: Case, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(path for path in run.iterdir() if path.is_file())
    before = file_fingerprint(files)

    def fail(*_: Any) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr("v2ht.training.update.save_weights", fail)
    with pytest.raises(RuntimeError, match="killed"):
        update(run, case.first, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert sorted(path for path in run.iterdir() if path.is_file()) == files
    assert file_fingerprint(files) == before


def test_an_updated_run_needs_its_folded_posts(case: Case, updated: Path, tmp_path: Path) -> None:
    """Without them a run could be judged on posts that it knows, and an update would lose those before it."""
    shutil.copytree(updated, tmp_path / "run")
    path = tmp_path / "run" / "updates.parquet"
    whole = path.read_bytes()
    pl.read_parquet(path).drop("time").write_parquet(tmp_path / "other.parquet")
    for content in (None, whole[: len(whole) // 2], (tmp_path / "other.parquet").read_bytes()):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        for call in (
            lambda: update(tmp_path / "run", case.second, tmp_path / "out"),
            lambda: evaluate_run(tmp_path / "run", split="valid"),
        ):
            with pytest.raises(InputError, match=r"updates\.parquet is missing or damaged") as caught:
                call()
            assert "\n" not in str(caught.value)
        path.touch()


def test_a_new_hashtag_is_lifted_like_the_rarest(run: Path, updated: Path) -> None:
    old, new = Bundle.load(run).model, Bundle.load(updated).model
    assert isinstance(old, V2HTMemory)
    assert isinstance(new, V2HTMemory)
    trained = len(old.log_videos_H)
    torch.testing.assert_close(new.log_videos_H[:trained], old.log_videos_H)
    assert len(new.log_videos_H) > trained
    assert (new.log_videos_H[trained:] == old.log_videos_H[old.rarest_R].mean()).all()


def test_training_does_not_go_on_from_an_update(case: Case, updated: Path) -> None:
    plan = Plan.of("v2ht_memory", SMALL, seed=0)
    with pytest.raises(InputError, match="made by `v2ht update`"):
        train(case.folder / "dataset", updated, plan, resume=True)


# Reading


def test_merged_forms_are_known_ones(tmp_path: Path) -> None:
    posts = [post(f"p{n}", f"u{n % 3}", "a", "cat", "red sun") for n in range(20)]
    dataset = imported(tmp_path, posts, lemmatize=True)
    new = write(
        tmp_path / "new.parquet",
        [post("n", "u", "see #this", "#Cats", "red_suns", "dogs", "CAT"), post("m", "", "", "a")],
    )
    read, steps = read_more(new, dataset.manifest["settings"], dataset.hashtags)
    assert read["hashtags"].to_list() == [["cat", "red sun", "dogs"]]
    assert read["text"].to_list() == ["see  "]
    assert {step["step"]: step["videos_before"] - step["videos_after"] for step in steps}["without_user"] == 1
    with pytest.raises(InputError, match="not imported from a table"):
        read_more(new, {"made_up_world": {}}, dataset.hashtags)


def test_attributes_of_new_users_are_read_and_unknown_values_stay_unknown(tmp_path: Path) -> None:
    def row(number: int, user: str, country: str | None) -> dict[str, Any]:
        return {**post(f"p{number}", user, "some text", "cat", "sun"), "country": country}

    old = [row(number, f"u{number % 4}", "AT" if number % 4 else "DE") for number in range(40)]
    dataset = imported(tmp_path, old, f"{COLUMNS},country=country")
    path = made_run(dataset, tmp_path / "dataset", tmp_path / "run", "user_additive")
    new = [row(100, "n1", "DE"), row(101, "n2", "ZZ"), row(102, "u1", "DE"), row(103, "n3", None)]
    update(path, write(tmp_path / "new.parquet", new), tmp_path / "out")
    inputs = Bundle.load(tmp_path / "out").inputs
    ids = np.array([inputs.user_id(name) for name in ("u0", "u1", "n1", "n2", "n3")])
    assert inputs.attributes.codes(ids)[:, 0].tolist() == [2, 1, 2, 0, 0]
    assert inputs.attribute_sizes == [3]


def test_sounds_of_new_posts_speak(tmp_path: Path) -> None:
    def row(number: int, sound: str | None, *hashtags: str) -> dict[str, Any]:
        return {**post(f"p{number}", f"u{number % 4}", "", *hashtags), "sound": sound}

    old = [row(n, "drum" if n % 2 else None, "cat" if n % 2 else "sun") for n in range(40)]
    dataset = imported(tmp_path, old, f"{COLUMNS},sound=sound")
    path = made_run(dataset, tmp_path / "dataset", tmp_path / "run", "v2ht_memory")
    new = [row(100 + n, "horn", "sun") for n in range(3)]
    update(path, write(tmp_path / "new.parquet", new), tmp_path / "out")
    inputs = Bundle.load(tmp_path / "out").inputs
    evidence = inputs.batch([Post(sound="horn")]).evidence
    assert evidence is not None
    votes = evidence.values_NJ[:, COLUMN_NAMES.index("sound.share")].tolist()
    found = dict(zip(evidence.hashtags_N.tolist(), votes, strict=True))
    assert {inputs.hashtags["hashtag"][number] for number, vote in found.items() if vote > 0} == {"sun"}


def test_new_posts_know_sounds_as_the_dataset_does(tmp_path: Path) -> None:
    """By title, whatever else a later table knows; or by id, and then a table without ids is refused."""
    posts = pl.DataFrame(
        {
            "item_id": ["1", "2"],
            "user_id": ["u", "v"],
            "hashtags": [["dance"], ["dance"]],
            "music_title": ["A Song", "original sound"],
            "music_original": [False, True],
        }
    )
    settings = ImportSettings(format="tiktok", min_hashtag_videos=1, min_user_videos=1)
    posts.write_parquet(tmp_path / "titles.parquet")
    with_ids = posts.with_columns(music_id=pl.Series(["7", "8"]))
    with_ids.write_parquet(tmp_path / "both.parquet")
    titles = import_table(tmp_path / "titles.parquet", settings, out=tmp_path / "by-title")
    read, _ = read_more(tmp_path / "both.parquet", titles.manifest["settings"], titles.hashtags)
    assert read.sort("video_id")["sound"].to_list() == ["A Song", None]
    ids = import_table(tmp_path / "both.parquet", settings, out=tmp_path / "by-id")
    assert ids.videos.sort("video_id")["sound"].to_list() == ["7", "8"]
    with pytest.raises(InputError, match="there is no column 'music_id', which the run's dataset was read from"):
        read_more(tmp_path / "titles.parquet", ids.manifest["settings"], ids.hashtags)


def test_folded_posts_are_what_others_posted_last(tmp_path: Path) -> None:
    """Fifty new posts push the forty old ones out of the moment, of any user but their author."""
    old = [post(f"p{n}", f"u{n % 4}", "", "cat" if n % 2 else "sun") for n in range(40)]
    path = made_run(imported(tmp_path, old), tmp_path / "dataset", tmp_path / "run", "v2ht_memory")
    new = [post(f"q{n}", "u0", "", "sun", day=2) for n in range(50)]
    update(path, write(tmp_path / "new.parquet", new), tmp_path / "out")
    shares = []
    for run, user in ((path, None), (tmp_path / "out", None), (tmp_path / "out", "u0")):
        inputs = Bundle.load(run).inputs
        evidence = inputs.batch([Post(user=user)]).evidence
        assert evidence is not None
        votes = evidence.values_NJ[:, COLUMN_NAMES.index("moment.share")].tolist()
        found = dict(zip(evidence.hashtags_N.tolist(), votes, strict=True))
        shares.append({inputs.hashtags["hashtag"][number]: vote for number, vote in found.items() if vote > 0})
    before, after, of_author = shares
    assert before == pytest.approx({"cat": 0.5, "sun": 0.5}, abs=0.15)  # forty of train, fewer of a split
    assert after == pytest.approx({"sun": 1.0})
    assert of_author["cat"] > 0.5


def test_the_weekly_tables_are_what_the_recorded_lines_say() -> None:
    assert weekly.tables() in weekly.REPORT.read_text(encoding="utf-8")
