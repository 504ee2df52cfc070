"""Gender, age and country of users, from the table's columns to the recommender."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from data.attributes import UserAttributes, attribute_values
from data.dataset import Dataset
from data.files import InputError
from data.importing import ImportSettings, import_table
from data.presets import parse_columns
from graph_builders.build import GraphSettings, build_dataset_graph
from test_cli import v2ht
from v2ht.bundle import Bundle
from v2ht.dataset_inputs import DatasetInputs
from v2ht.inputs import Inputs, InputSettings, Post
from v2ht.serving import Recommender
from v2ht.training.evaluate import evaluate_run
from v2ht.training.train import Plan, train

AGES = [17.9, 18, 24, 25, 34, 35, 44, 45, 54, 55, 0, 150, None]
BANDS = ["under 18", "18-24", "18-24", "25-34", "25-34", "35-44", "35-44", "45-54", "45-54", "55+", "under 18", "55+"]


def test_ages_become_bands_and_other_columns_stay_as_they_are() -> None:
    assert attribute_values(pl.Series("a", AGES, dtype=pl.Float64), "age").to_list() == [*BANDS, None]
    assert attribute_values(pl.Series("a", [" 30", "", "7"]), "age").to_list() == ["25-34", None, "under 18"]
    assert attribute_values(pl.Series("a", ["18-24", "old", " "]), "age").to_list() == ["18-24", "old", None]
    assert attribute_values(pl.Series("a", [30, None]), "gender").to_list() == ["30", None]
    assert attribute_values(pl.Series("a", [" DE ", ""]), "country").to_list() == ["DE", None]
    for bad in (-1, 1990):
        with pytest.raises(InputError, match=rf"column 'born', row 2: {bad} is no age; expected years from 0 to 150"):
            attribute_values(pl.Series("born", [None, bad]), "age")
    with pytest.raises(InputError, match="column 'c' holds Float64; expected text or whole numbers"):
        attribute_values(pl.Series("c", [1.5]), "country")


def table(count: int = 60) -> pl.DataFrame:
    """Return posts of six users, in turn; user 5 tells nothing, user 3 has no gender, user 0 was 24 and became 25."""
    users = [n % 6 for n in range(count)]
    return pl.DataFrame(
        {
            "item_id": [f"v{n:02}" for n in range(count)],
            "user_id": [f"user {user}" for user in users],
            "text": [f"text {n % 7}" for n in range(count)],
            "hashtags": [["all", "even" if n % 2 else "odd"] for n in range(count)],
            "created_at": [1735689600 + 86400 * n for n in range(count)],
            "sex": [None if user in (3, 5) else "fm"[user % 2] for user in users],
            "years": [None if user == 5 else (24 if n < 18 else 25) + 10 * user for n, user in enumerate(users)],
            "land": [None if user == 5 else ["DE", "AT", "DE", "CH", "AT"][user] for user in users],
        }
    )


COLUMNS = "gender=sex,age=years,country=land"


def imported(
    folder: Path, posts: pl.DataFrame, *, columns: str = COLUMNS, out: str = "out", **settings: Any
) -> Dataset:
    posts.write_parquet(folder / "t.parquet")
    chosen = ImportSettings(
        min_hashtag_videos=1, min_user_videos=1, columns=parse_columns(columns), split="time", **settings
    )
    return import_table(folder / "t.parquet", chosen, out=folder / out)


def test_a_users_attributes_are_what_most_of_his_posts_say(tmp_path: Path) -> None:
    dataset = imported(tmp_path, table())
    assert dataset.users.rows() == [
        ("user 0", "f", "25-34", "DE"),
        ("user 1", "m", "35-44", "AT"),
        ("user 2", "f", "45-54", "DE"),
        ("user 3", None, "55+", "CH"),
        ("user 4", "f", "55+", "AT"),
        ("user 5", None, None, None),
    ]
    assert Dataset.load(tmp_path / "out").users.equals(dataset.users)
    tied = table().with_columns(land=pl.when(pl.col("item_id") < "v30").then(pl.lit("ZZ")).otherwise("land"))
    assert imported(tmp_path, tied, out="b").users["country"].to_list() == ["DE", "AT", "DE", "CH", "AT", "ZZ"]
    mixed = table().sample(fraction=1, shuffle=True, seed=1)
    assert imported(tmp_path, mixed, out="c").fingerprint == dataset.fingerprint


def test_a_dataset_has_those_attributes_that_its_source_has(tmp_path: Path) -> None:
    assert imported(tmp_path, table(), columns="country=land").users.columns == ["user", "country"]
    assert imported(tmp_path, table(), columns="text=text", out="b").users.columns == ["user"]
    with pytest.raises(InputError, match=r"t\.parquet: there is no column 'none' for gender; the columns are"):
        imported(tmp_path, table(), columns="gender=none", out="c")
    with pytest.raises(InputError, match="field 'gender' 2 columns; only text, visual, acoustic join several"):
        parse_columns("gender=a+b")
    dataset = imported(tmp_path, table(), out="d")
    wrong = replace(dataset, users=dataset.users.with_columns(country=1))
    with pytest.raises(InputError, match=r"users\.parquet has columns .*'country': Int32.*import again"):
        wrong.save(tmp_path / "e")


def test_codes_of_train_users_and_nobody(tmp_path: Path) -> None:
    posts = table().filter((pl.col("user_id") != "user 3") | (pl.col("item_id") > "v53"))  # user 3: in test alone
    dataset = imported(tmp_path, posts)
    assert set(dataset.videos.filter(pl.col("user_id") == 3)["split"]) == {"test"}
    attributes = UserAttributes.of(dataset)
    assert attributes.values == {
        "gender": ["f", "m"],
        "age": ["25-34", "35-44", "45-54", "55+"],
        "country": ["AT", "DE"],
    }
    assert attributes.sizes == [3, 5, 3]
    codes = attributes.codes(np.array([0, 1, 3, 5, -1]))
    assert codes.tolist() == [[1, 1, 2], [2, 2, 1], [0, 4, 0], [0, 0, 0], [0, 0, 0]]
    inputs = Inputs.of(dataset, InputSettings(word_dimension=8), seed=0)
    assert inputs.attribute_sizes == [3, 5, 3]
    rows = np.arange(dataset.videos.height)
    batch = DatasetInputs(dataset, inputs).batch(rows).to(torch.device("cpu"))
    users = dataset.videos["user_id"].to_numpy()
    assert batch.attributes_BA.dtype == torch.int64
    np.testing.assert_array_equal(batch.attributes_BA, attributes.codes(users))


def test_a_post_may_bring_attributes_that_stand_over_the_known_ones(tmp_path: Path) -> None:
    inputs = Inputs.of(imported(tmp_path, table()), InputSettings(word_dimension=8), seed=0)
    given = [
        Post(),
        Post(user="somebody", attributes={"country": "DE", "age": "30"}),
        Post(user="somebody", attributes={"age": "55+", "gender": " m "}),
        Post(user="user 1"),
        Post(user="user 1", attributes={"country": "DE", "gender": ""}),
        Post(attributes={"country": "FR", "age": "7"}),
    ]
    codes = inputs.batch(given).attributes_BA.tolist()
    assert codes == [[0, 0, 0], [0, 1, 3], [2, 4, 0], [2, 2, 1], [0, 2, 3], [0, 0, 0]]
    with pytest.raises(InputError, match=r"attribute 'sex': this run was trained without it \(it knows gender, age, c"):
        inputs.batch([Post(attributes={"sex": "f"})])
    without = Inputs.of(imported(tmp_path, table(), columns="text=text", out="b"), InputSettings(), seed=0)
    assert without.attribute_sizes == []
    assert without.batch([Post(), Post(user="user 1")]).attributes_BA.shape == (2, 0)
    with pytest.raises(InputError, match=r"attribute 'age': this run was trained without it \(it knows none\)"):
        without.batch([Post(attributes={"age": "30"})])


def planted(count: int = 360) -> pl.DataFrame:
    """Return posts of users with three posts each: the country's hashtag is all that there is to know."""
    posts = [(n, n // 3, ["DE", "AT", "CH", None][n // 3 % 4]) for n in range(count)]
    return pl.DataFrame(
        {
            "item_id": [f"v{n:03}" for n, _, _ in posts],
            "user_id": [f"user {user}" for _, user, _ in posts],
            "hashtags": [["none" if land is None else land] for _, _, land in posts],
            "created_at": [1735689600 + 3600 * n for n, _, _ in posts],
            "land": [land for _, _, land in posts],
        }
    )


@pytest.fixture(scope="module", params=["uhman", "user_additive", "three_way_multiplicative"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each model that reads attributes, on posts of users who are new in valid and test."""
    folder = tmp_path_factory.mktemp(request.param)
    dataset = imported(folder, planted(), columns="country=land")
    build_dataset_graph(dataset, GraphSettings()).save(folder / "out" / "graph.parquet")
    words = ["epochs=12", "dim=8", "word_dimension=8", "batch_size=16", "learning_rate=0.02", "user_dropout=0.3"]
    train(folder / "out", folder / "run", Plan.of(request.param, words, seed=0))
    return folder / "run"


def test_models_learn_what_the_country_tells_of_users_never_seen(run: Path) -> None:
    content = evaluate_run(run, split="test", ks=(1, 2))
    assert content["cold_user"]["videos"] == content["overall"]["videos"] == 36
    assert content["cold_user"]["recall@1"] > 0.9
    recommender = Recommender.load(run)
    for country in ("DE", "AT", "CH"):
        items = recommender.recommend(attributes={"country": country}, k=1, explain=True)
        assert items[0].hashtag == country.lower()
        reasons = [(reason.source, reason.detail) for reason in items[0].reasons]
        assert reasons == [("user", f"users like this author (country {country})")]
    assert recommender.recommend(k=1)[0].hashtag == "none"
    assert recommender.unknown({"country": "DE"}) == []
    assert recommender.unknown({"country": "XX"}) == ["country"]


def test_a_run_keeps_its_attributes(run: Path) -> None:
    bundle = Bundle.load(run)
    assert bundle.inputs.attributes.values == {"country": ["AT", "CH", "DE"]}
    assert pl.read_parquet(run / "users.parquet").columns == ["user", "country"]
    post = Post(user="user 1", text="hello")
    dataset = Dataset.load(run.parent / "out")
    fresh = Inputs.of(dataset, bundle.inputs.settings, seed=0)
    assert torch.equal(fresh.batch([post]).attributes_BA, bundle.inputs.batch([post]).attributes_BA)


def test_the_command_line_takes_attributes(run: Path) -> None:
    def best(*words: str) -> str:
        return v2ht("recommend", run, "-k", 1, *words).stdout.split()[1]

    assert best("--attribute", "country=CH") == "#ch"
    assert best("--attribute", "country=AT", "--user", "user 0") == "#at"
    done = v2ht("recommend", run, "-k", 1, "--attribute", "country=Germany")
    assert done.stderr == "note: no train user has country 'Germany'; it counts as unknown\n"
    for words, message in (
        (["--attribute", "country"], "--attribute 'country' is not NAME=VALUE, each name once; write it like country="),
        (
            ["--attribute", "country=DE", "--attribute", "country=AT"],
            "--attribute 'country=AT' is not NAME=VALUE, each",
        ),
        (["--attribute", "age=3"], "attribute 'age': this run was trained without it (it knows country); leave it out"),
    ):
        assert message in v2ht("recommend", run, *words, code=2).stderr
