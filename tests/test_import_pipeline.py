"""The whole import: table in, dataset folder out."""

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data import importing
from data.dataset import Dataset
from data.files import InputError
from data.importing import ImportSettings, import_table

SMALL: dict[str, Any] = {"min_hashtag_videos": 1, "min_user_videos": 1}


def make_table(count: int = 40) -> pl.DataFrame:
    """Return posts v00, v01, ... of four users, one a day; hashtags by number, two of them written in two ways."""
    numbers = range(count)
    tags = [
        ["#Even" if n % 4 else "even", "all"] if n % 2 == 0 else ["odd", "kiddancer" if n % 3 else "kid dancer"]
        for n in numbers
    ]
    return pl.DataFrame(
        {
            "item_id": [f"v{n:02}" for n in numbers],
            "user_id": [f"user {n % 4}" for n in numbers],
            "text": [f"text of {n}" for n in numbers],
            "hashtags": tags,
            "created_at": [datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in numbers],
        }
    )


def run(
    folder: Path, table: pl.DataFrame, *, name: str = "table.parquet", out: str = "out", **settings: Any
) -> Dataset:
    """Write the table, import it with minimum counts of 1, return the dataset."""
    path = folder / name
    if name.endswith(".parquet"):
        table.write_parquet(path)
    elif name.endswith(".csv"):
        table.with_columns(pl.col("hashtags").list.join(";")).write_csv(path)
    else:
        table.with_columns(pl.col("created_at").dt.to_string("iso")).write_ndjson(path)
    return import_table(path, ImportSettings(**{**SMALL, **settings}), out=folder / out)


def as_rows(dataset: Dataset) -> list[tuple[Any, ...]]:
    """Return (video id, user, text, hashtags, time) with names for ids."""
    hashtags, users = dataset.hashtags["hashtag"].to_list(), dataset.users["user"].to_list()
    return [
        (row["video_id"], users[row["user_id"]], row["text"], [hashtags[h] for h in row["hashtag_ids"]], row["time"])
        for row in dataset.videos.iter_rows(named=True)
    ]


def test_every_video_arrives_with_its_own_user_text_hashtags_and_time(tmp_path: Path) -> None:
    table = make_table()
    dataset = run(tmp_path, table)
    expected = [
        (video_id, user, text, [hashtag.lower().strip("#") for hashtag in hashtags], time)
        for video_id, user, text, hashtags, time in table.rows()
    ]
    assert as_rows(dataset) == expected
    assert as_rows(Dataset.load(tmp_path / "out")) == expected
    assert dataset.manifest["counts"]["train"] == 32


@pytest.mark.parametrize("name", ["table.csv", "table.jsonl"])
def test_the_form_of_the_table_does_not_matter(tmp_path: Path, name: str) -> None:
    other = run(tmp_path, make_table(), name=name, out="other")
    assert other.fingerprint == run(tmp_path, make_table()).fingerprint


def test_the_order_of_rows_does_not_matter_and_the_seed_does(tmp_path: Path) -> None:
    first = run(tmp_path, make_table())
    assert (
        run(tmp_path, make_table().sample(fraction=1, shuffle=True, seed=1), out="b").fingerprint == first.fingerprint
    )
    assert run(tmp_path, make_table(), out="c", seed=1).fingerprint != first.fingerprint


def test_the_same_import_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    run(tmp_path, make_table(), out="a")
    run(tmp_path, make_table(), out="b")
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "ab"]
    assert files[0] == files[1]
    assert sorted(files[0]) == ["hashtags.parquet", "manifest.json", "rare.parquet", "users.parquet", "videos.parquet"]


def test_the_manifest_accounts_for_every_video_and_use(tmp_path: Path) -> None:
    table = make_table(12)
    broken = [
        {"item_id": "v00"},
        {"item_id": "n1", "user_id": " "},
        {"item_id": "n2", "hashtags": ["#", "\u200b"]},
        {"item_id": "n3", "hashtags": []},
        {"item_id": "n4", "text": "a\0b" + "c" * 40, "hashtags": ["ODD", "odd", "rare"]},
    ]
    first = table.row(0, named=True)
    rows = pl.DataFrame([{**first, **change} for change in broken], schema=table.schema)
    lines: list[str] = []
    pl.concat([table, rows]).write_parquet(tmp_path / "t.parquet")
    settings = ImportSettings(min_hashtag_videos=2, min_user_videos=1, max_text_chars=30)
    dataset = import_table(tmp_path / "t.parquet", settings, out=tmp_path / "o", progress=lines.append)
    steps = {step["step"]: step for step in dataset.manifest["cleaning"]}
    names = ["repeated_rows", "without_user", "text", "normalise", "without_hashtags", "minimum_counts"]
    assert list(steps) == names
    assert [steps[name]["videos_after"] for name in names] == [16, 15, 15, 15, 13, 13]
    assert [steps[name]["uses_after"] for name in names] == [31, 29, 29, 26, 26, 25]
    for one, other in itertools.pairwise(names):
        assert steps[one]["videos_after"] == steps[other]["videos_before"]
        assert steps[one]["uses_after"] == steps[other]["uses_before"]
    assert steps["text"] | {"texts_with_nul": 1, "texts_cut": 1, "max_chars": 30} == steps["text"]
    assert {name: steps["normalise"][name] for name in ("uses_empty", "uses_repeated")} == {
        "uses_empty": 2,
        "uses_repeated": 1,
    }
    assert dataset.manifest["counts"]["videos"] == 13
    assert dataset.manifest["counts"]["hashtag_uses"] == 25
    assert dataset.manifest["source"]["rows"] == 17
    assert dataset.manifest["settings"]["max_text_chars"] == 30
    assert lines[0] == "read 17 rows of t.parquet"
    assert lines[1:4] == [
        "repeated_rows: 17 -> 16 videos, the first left out is row 13",
        "without_user: 16 -> 15 videos, the first left out is row 14",
        "text: 15 -> 15 videos, texts with nul 1, texts cut 1, max chars 30",
    ]
    assert lines[5] == "without_hashtags: 15 -> 13 videos, the first left out is row 15"
    assert len(lines) == 7


def test_merging_options(tmp_path: Path) -> None:
    plain = run(tmp_path, make_table())
    assert dict(plain.hashtags.select("hashtag", "words").rows())["kiddancer"] == ["kid", "dancer"]
    assert plain.num_hashtags == 5
    merged = run(tmp_path, make_table(), out="merged", merge_spellings=True)
    assert sorted(merged.hashtags["hashtag"]) == ["all", "even", "kiddancer", "odd"]
    step = {step["step"]: step for step in merged.manifest["cleaning"]}["merge_spellings"]
    assert step["hashtags_merged"] == 1
    whole = run(tmp_path, make_table(), out="whole", segment=False, merge_spellings=True)
    assert whole.num_hashtags == 5
    assert dict(whole.hashtags.select("hashtag", "words").rows())["kiddancer"] == ["kiddancer"]


def test_spelling_and_lemmas_in_one_import(tmp_path: Path) -> None:
    tags = [["gaming"]] * 20 + [["gamming"], ["cat"], ["cat"], ["cats"]]
    dataset = run(tmp_path, make_table(24).with_columns(hashtags=pl.Series(tags)), spell_check=True, lemmatize=True)
    assert sorted(dataset.hashtags.select("hashtag", "words").rows()) == [("cat", ["cat"]), ("gaming", ["game"])]
    steps = {step["step"]: step for step in dataset.manifest["cleaning"]}
    assert [steps[name]["hashtags_merged"] for name in ("spell_check", "lemmatize")] == [1, 1]
    assert [steps[name]["hashtags_changed"] for name in ("spell_check", "lemmatize")] == [1, 2]


def test_time_split(tmp_path: Path) -> None:
    dataset = run(tmp_path, make_table(), split="time")
    assert dataset.videos["split"].to_list() == ["train"] * 32 + ["valid"] * 4 + ["test"] * 4
    assert dataset.manifest["split"] == {"kind": "time"}
    counted = [(dataset.videos.head(32)["hashtag_ids"].list.contains(h)).sum() for h in range(dataset.num_hashtags)]
    assert dataset.hashtags["train_videos"].to_list() == counted


def test_unseen_split_names_its_hashtags(tmp_path: Path) -> None:
    table = make_table().with_columns(hashtags=pl.Series([["all", f"t{n % 10}"] for n in range(40)]))
    dataset = run(tmp_path, table, split="unseen", seed=1)
    note = dataset.manifest["split"]
    assert note["kind"] == "unseen"
    (unseen,) = note["unseen_hashtags"]
    assert dict(dataset.hashtags.select("hashtag", "train_videos").rows())[unseen] == 0
    assert note["seen_test_videos"] + note["unseen_test_videos"] == dataset.manifest["counts"]["test"]


def test_split_file_leaves_unnamed_videos_out_before_counting(tmp_path: Path) -> None:
    splits = [("v00", "train"), ("v02", "train"), ("v04", "test"), ("v01", "valid")]
    pl.DataFrame(splits, schema=["video_id", "split"], orient="row").write_csv(tmp_path / "s.csv")
    dataset = run(tmp_path, make_table(), split=tmp_path / "s.csv", min_hashtag_videos=2)
    assert dataset.videos.select("video_id", "split").rows() == [("v00", "train"), ("v02", "train"), ("v04", "test")]
    steps = {step["step"]: step for step in dataset.manifest["cleaning"]}
    assert (steps["not_in_split_file"]["videos_before"], steps["not_in_split_file"]["videos_after"]) == (40, 4)
    assert dataset.manifest["split"]["file"] == "s.csv"


def test_a_split_without_train_videos_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"video_id": ["v00", "v01"], "split": ["test", "valid"]}).write_csv(tmp_path / "s.csv")
    with pytest.raises(InputError, match="none of the 2 videos that are left is in train"):
        run(tmp_path, make_table(), split=tmp_path / "s.csv")


def test_sounds_are_kept_where_the_table_names_them(tmp_path: Path) -> None:
    table = make_table(12).with_columns(music=pl.Series(["7 ", None, ""] * 4))
    assert "sound" not in run(tmp_path, table).videos.columns
    named = run(tmp_path, table, out="named", columns={"sound": ("music",)})
    assert named.videos["sound"].to_list() == ["7", None, None] * 4
    assert named.videos.drop("sound").equals(run(tmp_path, table, out="again").videos)
    known = run(tmp_path, table.with_columns(music_id=pl.Series(range(12))), out="tiktok", format="tiktok")
    assert known.videos["sound"].to_list() == [str(number) for number in range(12)]


def test_clips_keep_their_paths(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    (tmp_path / "video" / "a.mp4").write_bytes(b"x")
    table = make_table(12).with_columns(path=pl.Series(["video/a.mp4", None] * 6))
    dataset = run(tmp_path, table, format="clips")
    media = pl.read_parquet(tmp_path / "out" / "media.parquet")
    assert media["video_id"].equals(dataset.videos["video_id"])
    assert media["path"].to_list() == ["video/a.mp4", None] * 6
    assert dataset.manifest["media_folder"] == str(tmp_path.resolve())
    gone = table.with_columns(path=pl.lit("gone.mp4"))
    with pytest.raises(InputError, match=r"row 1: there is no file .*gone\.mp4' \(12 such rows\); paths are relative"):
        run(tmp_path, gone, format="clips", out="b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_id": None}, "none of the 12 rows has a user"),
        ({"hashtags": []}, "none of the 12 rows has a hashtag"),
        ({"item_id": "same"}, "rows 1 and 2 both have the id 'same'"),
        ({"created_at": "soon"}, "column 'created_at', row 1: 'soon' is no time"),
        ({"user_id": "drop"}, "no column 'user_id' for user"),
    ],
)
def test_errors_name_the_source_and_leave_nothing(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    values = {name: pl.Series(name, [value] * 12) for name, value in change.items()}
    table = make_table(12).drop(column for column, value in change.items() if value == "drop")
    table = table.with_columns(values[column] for column, value in change.items() if value != "drop")
    with pytest.raises(InputError, match=message) as caught:
        run(tmp_path, table)
    assert str(caught.value).startswith(f"{tmp_path}/table.parquet: ")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["table.parquet"]


def test_settings_check_their_ranges() -> None:
    for bad, message in [
        ({"format": "xml"}, "format 'xml' is unknown; choose one of table, youtube"),
        ({"split": "randon"}, "split 'randon' is unknown; choose one of random, time, unseen or a file"),
        ({"min_hashtag_videos": 0}, "min_hashtag_videos is 0; it must be at least 1"),
        ({"min_user_videos": -1}, "min_user_videos is -1; it must be at least 1"),
        ({"unseen_hashtags": 0}, "unseen_hashtags is 0"),
        ({"max_text_chars": 0}, "max_text_chars is 0"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"columns": {"author": ("a",)}}, "unknown field 'author'"),
        ({"columns": {"user": ("a",)}, "format": "lastfm"}, "columns cannot be chosen with format lastfm"),
    ]:
        with pytest.raises(InputError, match=message):
            ImportSettings(**bad)
    with pytest.raises(FrozenInstanceError):
        ImportSettings().seed = 2  # type: ignore[misc]


def test_an_existing_folder_is_kept_unless_it_is_a_dataset_to_overwrite(tmp_path: Path) -> None:
    old = run(tmp_path, make_table())
    with pytest.raises(InputError, match="out exists already; choose another folder or pass --overwrite"):
        run(tmp_path, make_table())
    source, settings = tmp_path / "table.parquet", ImportSettings(**SMALL, seed=5)
    new = import_table(source, settings, out=tmp_path / "out", overwrite=True)
    assert new.fingerprint != old.fingerprint
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("keep")
    with pytest.raises(InputError, match="precious exists and is not a dataset, so it is not overwritten"):
        import_table(source, settings, out=tmp_path / "precious", overwrite=True)
    assert (tmp_path / "precious" / "file").read_text() == "keep"


@pytest.mark.parametrize("error", [RuntimeError("step failed"), KeyboardInterrupt()])
def test_a_failing_write_leaves_the_old_dataset_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    old = run(tmp_path, make_table())

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("data.dataset.write_json", fail)
    with pytest.raises(type(error)):
        import_table(tmp_path / "table.parquet", ImportSettings(**SMALL, seed=9), out=tmp_path / "out", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "table.parquet"]
    assert Dataset.load(tmp_path / "out").fingerprint == old.fingerprint


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    real = pl.DataFrame.write_parquet

    def fill(table: pl.DataFrame, path: Path, **options: Any) -> None:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        real(table, path, **options)

    make_table().write_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(pl.DataFrame, "write_parquet", fill)
    with pytest.raises(InputError, match=r"out cannot be written \(.*No space left on device\); free some space"):
        import_table(tmp_path / "t.parquet", ImportSettings(**SMALL), out=tmp_path / "out")
    assert len(written) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


STALLED_IMPORT = """
import sys, time
from pathlib import Path
import data.dataset
from data.importing import ImportSettings, import_table
def stall(*arguments, **options):
    print("writing", flush=True)
    time.sleep(60)
data.dataset.write_json = stall
settings = ImportSettings(min_hashtag_videos=1, min_user_videos=1)
import_table(Path(sys.argv[1]), settings, out=Path(sys.argv[2]))
"""


def test_a_killed_import_leaves_no_dataset_and_can_be_repeated(tmp_path: Path) -> None:
    source, out = tmp_path / "t.parquet", tmp_path / "out"
    make_table().write_parquet(source)
    command = [sys.executable, "-c", STALLED_IMPORT, str(source), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert not out.exists()
    assert import_table(source, ImportSettings(**SMALL), out=out).videos.height == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "t.parquet"]


def test_a_huge_text_is_cut(tmp_path: Path) -> None:
    table = make_table(12).with_columns(text=pl.Series(["x" * 10_000_000] + ["short"] * 11))
    dataset = run(tmp_path, table, name="t.csv")
    assert sorted(dataset.videos["text"].str.len_chars()) == [5] * 11 + [20_000]


def test_twenty_thousand_rows_stay_quick(tmp_path: Path) -> None:
    copies = [make_table().with_columns(pl.col("item_id") + f"-{copy}") for copy in range(500)]
    start = time.perf_counter()
    dataset = run(tmp_path, pl.concat(copies))
    assert dataset.videos.height == 20_000
    assert time.perf_counter() - start < 10  # 0.3 s on two cores


def test_the_settings_in_the_manifest_are_plain_json(tmp_path: Path) -> None:
    dataset = run(tmp_path, make_table(), columns={"text": ("text", "user_id")})
    settings = json.loads((tmp_path / "out" / "manifest.json").read_text())["settings"]
    assert settings["columns"]["text"] == ["text", "user_id"]
    assert settings["split"] == "random"
    assert set(settings) == set(importing.ImportSettings.__dataclass_fields__)
    assert dataset.videos["text"][0] == "text of 0 user 0"
