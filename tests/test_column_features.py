"""Features from columns of the table: what each kind of column becomes, and where the steps end up."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.column_features import feature_steps
from data.dataset import Dataset
from data.files import InputError
from data.importing import ImportSettings, import_table
from data.presets import parse_columns
from graph_builders.build import GraphSettings, build_dataset_graph
from v2ht.serving import Recommender
from v2ht.training.evaluate import evaluate_run
from v2ht.training.train import Plan, train
from worlds import SMALL

NAN = float("nan")
ENUM = pl.Enum(["2", "1"])


def step_rows(*columns: pl.Series) -> tuple[list[Any], list[str]]:
    """Return the steps as lists, NaN as None, and the names of the dimensions."""
    steps, names = feature_steps(columns)
    rows = [None if step is None else [None if np.isnan(x) else x for x in step] for step in steps.to_list()]
    return rows, names


@pytest.mark.parametrize(
    ("column", "steps", "names"),
    [
        (pl.Series("n", [3, None, 5]), [[3], None, [5]], ["n"]),
        (pl.Series("n", [0.5, NAN, -1.0]), [[0.5], None, [-1]], ["n"]),
        (pl.Series("n", [True, False, None]), [[1], [0], None], ["n"]),
        (pl.Series("n", ["1.5", "", " 2 "]), [[1.5], None, [2]], ["n"]),
        (pl.Series("n", ["b", " ", "a"]), [[0, 1], None, [1, 0]], ["n=a", "n=b"]),
        (pl.Series("n", ["1", "x", None]), [[1, 0], [0, 1], None], ["n=1", "n=x"]),
        (pl.Series("n", ["2", "1", None], dtype=ENUM), [[0, 1], [1, 0], None], ["n=1", "n=2"]),
        (pl.Series("n", [[1, 2], None, [3, None]]), [[1, 2], None, [3, None]], ["n[0]", "n[1]"]),
        (pl.Series("n", [[1.0], [2.0]], dtype=pl.Array(pl.Float32, 1)), [[1], [2]], ["n[0]"]),
    ],
)
def test_what_a_column_becomes(column: pl.Series, steps: list[Any], names: list[str]) -> None:
    assert step_rows(column) == (steps, names)


def test_several_columns_are_one_step_and_only_a_row_without_any_value_has_none() -> None:
    columns = pl.Series("a", [1.0, None, None, None]), pl.Series("b", ["x", "y", None, None])
    rows, names = step_rows(*columns, pl.Series("c", [None, None, [7], None]))
    assert names == ["a", "b=x", "b=y", "c[0]"]
    assert rows == [[1, 1, 0, None], [None, 0, 1, None], [None, 0, 0, 7], None]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.Series("n", [None, None]), "column 'n' has no value in any row; leave it out"),
        (pl.Series("n", ["", " "]), "column 'n' has no value in any row; leave it out"),
        (pl.Series("n", [None, [None]], dtype=pl.List(pl.Int8)), "column 'n' has no value in any row; leave it out"),
        (pl.Series("n", [1.0, 65505.0]), "column 'n', row 2: 65505 is no feature; expected numbers within 65504 of 0"),
        (pl.Series("n", [-float("inf")]), "column 'n', row 1: -inf is no feature"),
        (pl.Series("n", [[1], [1e9]]), r"column 'n\[0\]', row 2: 1e\+09 is no feature"),
        (pl.Series("n", [[1, 2], None, [3]]), "column 'n', row 3: a list of 1 numbers, where the first has 2"),
        (pl.Series("n", [[], []], dtype=pl.List(pl.Int8)), "column 'n', row 1: a list of 0 numbers"),
        (pl.Series("n", [["a"]]), r"column 'n' holds List\(String\); expected lists of numbers"),
        (
            pl.Series("n", [f"v{n}" for n in range(257)]),
            "column 'n' has 257 different values, a feature at most 256",
        ),
        (pl.Series("n", [0]).cast(pl.Date), "column 'n' holds Date; expected numbers, text or lists of numbers"),
    ],
)
def test_columns_that_are_no_features(column: pl.Series, message: str) -> None:
    with pytest.raises(InputError, match=message):
        feature_steps([column])


@given(st.lists(st.one_of(st.none(), st.floats(-60000, 60000, width=16), st.sampled_from("ab")), min_size=1))
def test_every_value_is_found_again_in_its_own_row(values: list[Any]) -> None:
    """Numbers and texts side by side: a plain loop over the rows gives the same steps."""
    numbers = pl.Series("n", [value if isinstance(value, float) else None for value in values], dtype=pl.Float64)
    texts = pl.Series("t", [value if isinstance(value, str) else None for value in values], dtype=pl.String)
    columns = [column for column in (numbers, texts) if column.null_count() < len(column)]
    if not columns:
        return
    rows, names = step_rows(*columns)
    for value, row in zip(values, rows, strict=True):
        if value is None:
            assert row is None
        else:
            expected = {"n": value} if isinstance(value, float) else {f"t={value}": 1}
            blank = {name: None if name == "n" else 0 for name in names}
            assert dict(zip(names, row, strict=True)) == {**blank, **expected}


def coded_table(count: int = 40) -> pl.DataFrame:
    """Return posts of four users; `loud` is a number now and then missing, `scene` a text; v03 has neither."""
    numbers = range(count)
    return pl.DataFrame(
        {
            "item_id": [f"v{n:02}" for n in numbers],
            "user_id": [f"user {n % 4}" for n in numbers],
            "text": [f"text of {n}" for n in numbers],
            "hashtags": [["even" if n % 2 == 0 else "odd", "all"] for n in numbers],
            "created_at": [1735689600 + 86400 * n for n in numbers],
            "loud": [None if n % 5 == 3 else n / 2 for n in numbers],
            "scene": ["wood" if n % 3 == 1 else "street" if n % 3 == 2 else None for n in numbers],
        }
    )


def coded(folder: Path, table: pl.DataFrame, *, name: str = "t.parquet", out: str = "out") -> Dataset:
    path = folder / name
    if name.endswith(".csv"):
        table.with_columns(pl.col("hashtags").list.join(";")).write_csv(path)
    else:
        table.write_parquet(path)
    settings = ImportSettings(
        min_hashtag_videos=1, min_user_videos=1, split="time", columns=parse_columns("visual=loud+scene,acoustic=loud")
    )
    return import_table(path, settings, out=folder / out)


def test_steps_belong_to_their_videos_and_missing_numbers_are_the_train_mean(tmp_path: Path) -> None:
    table = coded_table()
    dataset = coded(tmp_path, table)
    train = [n / 2 for n in range(32) if n % 5 != 3]
    mean = float(np.float32(np.mean(train)))
    again = Dataset.load(tmp_path / "out")
    assert again.features["visual"].values.dtype == np.float16
    for place, row in enumerate(table.iter_rows(named=True)):
        assert dataset.videos["video_id"][place] == row["item_id"]
        loud, scene = row["loud"], row["scene"]
        steps = [] if loud is None and scene is None else [[loud, scene == "street", scene == "wood"]]
        expected = [[mean if x is None else x for x in step] for step in steps]
        np.testing.assert_allclose(again.features["visual"][place], np.reshape(expected, (-1, 3)), rtol=1e-3)
        np.testing.assert_allclose(again.features["acoustic"][place], np.reshape([] if loud is None else loud, (-1, 1)))
    assert dataset.manifest["features"] == {
        "visual": {
            "columns": ["loud", "scene"],
            "dimensions": ["loud", "scene=street", "scene=wood"],
            "missing_numbers": {"loud": mean},
            "file": "visual",
        },
        "acoustic": {"columns": ["loud"], "dimensions": ["loud"], "missing_numbers": {}, "file": "acoustic"},
    }


def test_neither_the_order_of_rows_nor_the_form_of_the_table_matters(tmp_path: Path) -> None:
    table = coded_table()
    first = coded(tmp_path, table)
    shuffled = table.sample(fraction=1, shuffle=True, seed=1)
    assert coded(tmp_path, shuffled, out="b").fingerprint == first.fingerprint
    assert coded(tmp_path, table, name="t.csv", out="c").fingerprint == first.fingerprint
    changed = table.with_columns(loud=pl.col("loud") + 1)
    assert coded(tmp_path, changed, out="d").fingerprint != first.fingerprint


def test_rows_that_differ_in_a_feature_alone_are_not_the_same_row(tmp_path: Path) -> None:
    table = coded_table()
    assert coded(tmp_path, pl.concat([table, table.head(4)])).videos.height == 40
    with pytest.raises(InputError, match="rows 1 and 41 both have the id 'v00' but differ"):
        coded(tmp_path, pl.concat([table, table.head(1).with_columns(loud=9.0)]), out="b")


def test_a_bad_column_is_one_line_that_names_the_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t\.parquet: column 'loud', row 2: 1e\+06 is no feature"):
        coded(tmp_path, coded_table().with_columns(loud=pl.int_range(pl.len()) * 1e6))
    with pytest.raises(InputError, match=r"t\.parquet: there is no column 'loud' for visual; the columns are"):
        coded(tmp_path, coded_table().drop("loud"))
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_news_of_tiktok_from_import_to_recommendation(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "tiktok_news_de_2023.parquet"
    dataset = import_table(source, ImportSettings(format="tiktok_news", split="time"), out=tmp_path / "news")
    visual, acoustic = (dataset.features[name] for name in ("visual", "acoustic"))
    assert (visual.values.shape, acoustic.values.shape) == ((3251, 9), (3251, 5))
    table = pl.read_parquet(source)
    codes = dataset.videos.select(item_id="video_id").join(table, on="item_id", how="left", maintain_order="left")
    np.testing.assert_array_equal(visual.values[:, :3].argmax(1) + 1, codes["v6_visual_set_up"])
    np.testing.assert_array_equal(visual.values[:, 3], codes["v7a_images"])
    np.testing.assert_array_equal(acoustic.values[:, 3], codes["v8d_music"])
    build_dataset_graph(dataset, GraphSettings()).save(tmp_path / "news" / "graph.parquet")
    post = {"visual": np.eye(9, dtype=np.float32)[:1], "acoustic": np.ones((1, 5), np.float32)}
    small = ["epochs=1", "word_dimension=16", "dim=16", "hidden=16"]
    for model, words in {"v2ht": [*SMALL, "epochs=1"], "uhman": small}.items():
        run = tmp_path / model
        train(tmp_path / "news", run, Plan.of(model, words, seed=0))
        record = json.loads((run / "run.json").read_text())
        assert set(record["modalities"]) == {"visual", "acoustic", "text"}
        assert record["features"]["visual"]["dimensions"][2:4] == ["v6_visual_set_up=3", "v7a_images"]
        assert evaluate_run(run, split="test")["overall"]["recall@10"] > 0
        with_codes, without = (
            Recommender.load(run).recommend(video=video, user="zeit", description="Erdbeben", k=260)
            for video in (post, None)
        )
        assert {item.hashtag: item.score for item in with_codes} != {item.hashtag: item.score for item in without}


def test_the_dimensions_of_different_columns_do_not_depend_on_each_other() -> None:
    columns = [pl.Series("a", [1, 2]), pl.Series("b", ["x", "y"]), pl.Series("c", [[1.0, 2.0], [3.0, 4.0]])]
    for order in itertools.permutations(columns):
        rows, names = step_rows(*order)
        assert dict(zip(names, rows[1], strict=True)) == {"a": 2, "b=x": 0, "b=y": 1, "c[0]": 3, "c[1]": 4}
