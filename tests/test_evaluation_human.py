"""Human evaluation: a published example of alpha, NLTK as the outside check, sheets out and in, what is refused."""

import csv
import itertools
import json
import re
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.metrics.agreement import AnnotationTask

from data.files import InputError
from experiments.ggm import human as command
from v2ht.evaluation.agreement import ordinal_alpha
from v2ht.evaluation.human import (
    QUESTIONS,
    SHEET_COLUMNS,
    WrittenVideo,
    draw_items,
    plain_cell,
    read_sheets,
    write_sheet,
)
from v2ht.training.written import OPEN_POOL

NONE = np.nan
# Krippendorff (2011), Computing Krippendorff's alpha-reliability: four observers, twelve units.
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
        [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
    ]
)


def video(name, *, generated=("new",), truth=("old",), description="text", clip=""):
    return WrittenVideo(video_id=name, description=description, clip=clip, generated=generated, truth=truth)


def many(count):
    return [video(f"v{n}", generated=[f"new{n}", "old", "known"], truth=["old", f"true{n}"]) for n in range(count)]


TRAIN = {"old", "known"}


@pytest.fixture
def files(tmp_path):
    """Return an empty sheet of five videos and its key."""
    sheet, key = tmp_path / "sheet.csv", tmp_path / "key.json"
    write_sheet(draw_items(many(5), train_hashtags=TRAIN, seed=0), sheet=sheet, key=key)
    return sheet, key


def rows_of(sheet):
    with sheet.open(encoding="utf-8-sig", newline="") as source:
        return list(csv.reader(source))


def fill(sheet, path, rate, *, delimiter=",", encoding="utf-8-sig"):
    """Write a filled copy: `rate(row)` answers with two cells."""
    header, *rows = rows_of(sheet)
    with path.open("w", encoding=encoding, newline="") as target:
        csv.writer(target, delimiter=delimiter).writerows([header, *([*row[:5], *rate(row)] for row in rows)])
    return path


# --- Krippendorff's alpha ---


def test_alpha_of_the_published_example():
    assert ordinal_alpha(PUBLISHED) == pytest.approx(0.815, abs=0.0005)


@settings(max_examples=50)
@given(st.lists(st.lists(st.sampled_from([1, 2, 3, 4, 5, None]), min_size=3, max_size=3), min_size=2, max_size=8))
def test_alpha_equals_nltk(items):
    ratings = np.array(items, dtype=float).T
    found = ordinal_alpha(ratings)
    paired = [[r for r in item if r is not None] for item in items if sum(r is not None for r in item) > 1]
    values = sorted({rating for item in paired for rating in item})
    if len(values) < 2:
        assert found is None
        return
    count = {value: sum(item.count(value) for item in paired) for value in values}

    def distance(left, right):
        low, high = sorted([left, right])
        between = sum(count[value] for value in values if low <= value <= high)
        return (between - (count[low] + count[high]) / 2) ** 2

    triples = [(coder, unit, rating) for unit, item in enumerate(paired) for coder, rating in enumerate(item)]
    assert found == pytest.approx(AnnotationTask(triples, distance=distance).alpha())


def test_alpha_laws():
    assert ordinal_alpha(np.tile([1, 3, 5, 2], (3, 1)).astype(float)) == 1
    assert ordinal_alpha(np.full((3, 4), 4.0)) is None
    assert ordinal_alpha(PUBLISHED[:1]) is None
    assert ordinal_alpha(PUBLISHED[::-1, ::-1]) == pytest.approx(ordinal_alpha(PUBLISHED))
    assert ordinal_alpha(PUBLISHED**3) == pytest.approx(ordinal_alpha(PUBLISHED))  # only the order of ratings counts
    assert abs(ordinal_alpha(np.random.default_rng(0).integers(1, 6, (3, 2000)).astype(float))) < 0.03
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(annotators, items\)"):
        ordinal_alpha(np.ones(3))


# --- the draw ---


def test_the_draw_is_a_novel_and_a_true_hashtag_of_each_video_mixed():
    items = draw_items(many(30), train_hashtags=TRAIN, seed=0, pairs=20)
    assert len(items) == 40
    by_video = {}
    for item in items:
        by_video.setdefault(item.video.video_id, {})[item.source] = item.hashtag
    assert len(by_video) == 20
    for name, sources in by_video.items():
        assert sources["novel"] == f"new{name[1:]}"
        assert sources["true"] in ("old", f"true{name[1:]}")
    assert {sources["true"] == "old" for sources in by_video.values()} == {True, False}
    order = [item.source for item in items]
    assert 5 < sum(left != right for left, right in itertools.pairwise(order)) < 35
    assert items == draw_items(many(30), train_hashtags=TRAIN, seed=0, pairs=20)
    assert items != draw_items(many(30), train_hashtags=TRAIN, seed=1, pairs=20)


def test_videos_without_both_are_left_out():
    videos = [
        video("known", generated=["old"]),
        video("empty", truth=[]),
        video("hit", generated=["new"], truth=["new", "old"]),
        video("good", generated=["new", "other"], truth=["new", "old"]),
    ]
    items = draw_items(videos, train_hashtags=TRAIN, seed=0)
    assert {(item.video.video_id, item.hashtag, item.source) for item in items} == {
        ("good", "other", "novel"),
        ("good", "old", "true"),
    }
    with pytest.raises(InputError, match=r"no video has both a novel and a true hashtag"):
        draw_items(videos[:3], train_hashtags=TRAIN, seed=0)
    with pytest.raises(ValueError, match=r"two videos have the same video_id"):
        draw_items([videos[3]] * 2, train_hashtags=TRAIN, seed=0)


# --- the sheet ---


def test_the_sheet_says_nothing_of_the_source(files):
    sheet, key = files
    header, *rows = rows_of(sheet)
    assert tuple(header) == SHEET_COLUMNS
    assert [row[0] for row in rows] == [str(number) for number in range(1, 11)]
    assert all(row[5:] == ["", ""] for row in rows)
    assert sheet.read_bytes().startswith(b"\xef\xbb\xbf")  # or a spreadsheet garbles accents
    assert "novel" not in sheet.read_text(encoding="utf-8")
    items = json.loads(key.read_text())["items"]
    assert [f"#{item['hashtag']}" for item in items] == [row[4] for row in rows]
    assert sorted(item["source"] for item in items) == ["novel"] * 5 + ["true"] * 5


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("+1", "'+1"),
        ("-cat", "'-cat"),
        ("@user hi", "'@user hi"),
        ("＝1+1", "'＝1+1"),
        ("\t=1", "'=1"),
        ("\r\n=1", "'=1"),
        ("a;=1+1", "a;'=1+1"),
        ('a";"=1', 'a";"\'=1'),
        ("7512345678901234567", "'7512345678901234567"),
        ("1-2", "'1-2"),
        ("12e45", "'12e45"),
        ("two\nlines", "two lines"),
        ("a - b = c", "a - b = c"),
        ("#cat", "#cat"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula_or_a_number(text, cell):
    assert plain_cell(text) == cell


@given(st.text(alphabet="=+-@'\";,| \t\r\na1＝", max_size=8))
def test_guarding_again_leaves_no_formula(text):
    for part in [plain_cell(text), *re.split(r"[;,|]", plain_cell(text))]:
        assert not part.strip().strip('"').strip().startswith(tuple("=+-@＝"))


def test_a_full_round(files, tmp_path):
    sheet, key = files
    novel = {item["item"] for item in json.loads(key.read_text())["items"] if item["source"] == "novel"}
    given = {"ann": ("5", "2"), "ben": ("4.0", "1")}
    sheets = [
        fill(sheet, tmp_path / f"{name}.csv", lambda row, cells=cells: cells if int(row[0]) in novel else ("3", "4"))
        for name, cells in given.items()
    ]
    found = read_sheets(key, sheets)
    assert (found["annotators"], found["items"]) == (2, 10)
    first, second = (found[name] for name in QUESTIONS)
    assert (first["novel"], first["true"], first["difference"], first["pairs"]) == (4.5, 3, 1.5, 5)
    assert (second["novel"], second["true"], second["difference"]) == (1.5, 4, -2.5)
    assert first["interval"] == [1.5, 1.5]
    assert first["p"] == second["p"] == 2 / 2**5  # only both extreme patterns of five equal signs
    assert first["ratings"] == 20
    assert first["alpha"] == ordinal_alpha(np.array([[5] * 5 + [3] * 5, [4] * 5 + [3] * 5], dtype=float))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_annotators_may_leave_cells_and_rows_out(files, tmp_path):
    sheet, key = files
    first = fill(sheet, tmp_path / "a.csv", lambda row: ("4", "") if int(row[0]) <= 9 else ("", ""))
    lines = first.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    first.write_text("".join([*lines[:5], "\n", *reversed(lines[5:9])]))  # rows are missing, others in another order
    found = read_sheets(key, [first])
    assert found["understandability"]["ratings"] == 8
    assert found["understandability"]["alpha"] is None
    rated = [item["video_id"] for item in json.loads(key.read_text())["items"][:8]]
    assert found["understandability"]["pairs"] == sum(rated.count(name) == 2 for name in set(rated)) < 5
    assert {found["relevancy"][name] for name in ("novel", "true", "difference", "interval", "p", "alpha")} == {None}
    assert (found["relevancy"]["ratings"], found["relevancy"]["pairs"]) == (0, 0)


@pytest.mark.parametrize(("delimiter", "cells"), [(";", ("4", "4,0")), ("\t", ("4.", " 4 "))])
def test_what_a_spreadsheet_makes_of_the_file(files, tmp_path, delimiter, cells):
    sheet, key = files
    path = fill(sheet, tmp_path / "a.csv", lambda row: cells, delimiter=delimiter, encoding="utf-8")
    found = read_sheets(key, [path])
    assert (found["understandability"]["true"], found["relevancy"]["novel"]) == (4, 4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#", "?", r"row 2, column hashtag: item 1 is '\?.*', in the key '#.*'; use this sheet's own key"),
        ("3,v", "2,v", r"row 4, column item: 2 stands in row 3 too"),
        ("3,v", "11,v", r"row 4, column item: '11' is no item of the key"),
        ("3,v", ",v", r"row 4, column item: '' is no item"),
        ("relevancy", "relevance", r"has no column 'relevancy' \(found item, video_id"),
        (",5,4", ",5,6", r"row 2, column relevancy: '6' is no rating; write 1, 2, 3, 4 or 5"),
        (",5,4", ",0,4", r"row 2, column understandability: '0' is no rating"),
        (",5,4", ",4.5,4", r"row 2, column understandability: '4.5' is no rating"),
        (",5,4", ",good,4", r"row 2, column understandability: 'good' is no rating"),
        (",5,4", ",٤,4", r"row 2, column understandability: '٤' is no rating"),
        (",5,4", ',"5,4', r"is not a proper CSV table"),
    ],
)
def test_bad_sheets_name_file_row_and_column(files, tmp_path, old, new, message):
    sheet, key = files
    path = fill(sheet, tmp_path / "ann.csv", lambda row: ("5", "4"))
    text = path.read_text(encoding="utf-8-sig")
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=rf"ann.csv.*{message}"):
        read_sheets(key, [path])


def test_files_that_cannot_be_used(files, tmp_path):
    sheet, key = files
    path = fill(sheet, tmp_path / "a.csv", lambda row: ("5", "4"))
    with pytest.raises(InputError, match=r"sheet.csv has no rating; fill in the columns"):
        read_sheets(key, [sheet])
    with pytest.raises(InputError, match=r"a sheet is given twice"):
        read_sheets(key, [path, path])
    with pytest.raises(InputError, match=r"no filled sheet"):
        read_sheets(key, [])
    with pytest.raises(InputError, match=r"nowhere.csv cannot be read"):
        read_sheets(key, [tmp_path / "nowhere.csv"])
    for content, message in [(b"", "is empty"), (b"item\xff", "is not UTF-8")]:
        (tmp_path / "b.csv").write_bytes(content)
        with pytest.raises(InputError, match=f"b.csv {message}"):
            read_sheets(key, [tmp_path / "b.csv"])
    content = json.loads(key.read_text())
    for broken, message in [
        ({"format": "other"}, "has format 'other', expected"),
        ({"items": content["items"][1:]}, "its items are not numbered records"),
        ({"items": content["items"][:-1]}, "not every video has one novel and one true hashtag"),
        ({"items": []}, "its items are not numbered records"),
        ({"items": None}, "its items are not numbered records"),
    ]:
        key.write_text(json.dumps({**content, **broken}))
        with pytest.raises(InputError, match=f"key.json:? {message}"):
            read_sheets(key, [path])


# --- the command ---


def run(*words_of_command):
    with mock.patch("sys.argv", ["human", *map(str, words_of_command)]):
        command.main()


def test_the_command_from_a_dataset_to_numbers(world, world_folder, tmp_path, capsys):
    videos = world.videos.head(40)["video_id"].to_list()
    written = tmp_path / "written.jsonl"
    lines = [{"video_id": name, "generated": ["brandnew", "other thing"]} for name in videos]
    written.write_text("".join(json.dumps(line) + "\n" for line in lines))
    sheet, key = tmp_path / "sheet.csv", tmp_path / "key.json"
    run("export", world_folder, written, "--sheet", sheet, "--key", key, "--pairs", 7)
    assert "14 hashtags of 7 videos" in capsys.readouterr().out
    rows = rows_of(sheet)[1:]
    texts = dict(world.videos.select("video_id", "text").iter_rows())
    assert all(row[3] == plain_cell(texts[row[1]]) for row in rows)
    assert sum(row[4] in ("#brandnew", "#other thing") for row in rows) == 7
    run("read", key, fill(sheet, tmp_path / "a.csv", lambda row: ("5", "4")))
    assert json.loads(capsys.readouterr().out)["relevancy"]["novel"] == 4


def test_the_command_reads_what_evaluate_leaves_without_the_open_pool(world, world_folder, tmp_path):
    videos = world.videos.head(5)["video_id"].to_list()
    rows = [("ggm", name, ["brandnew"]) for name in videos] + [(OPEN_POOL, name, ["other thing"]) for name in videos]
    schema = {"system": pl.String(), "video_id": pl.String(), "hashtags": pl.List(pl.String())}
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(tmp_path / "written-test.parquet")
    sheet = tmp_path / "sheet.csv"
    run("export", world_folder, tmp_path / "written-test.parquet", "--sheet", sheet, "--key", tmp_path / "key.json")
    shown = [row[4] for row in rows_of(sheet)[1:]]
    assert (len(shown), shown.count("#brandnew"), shown.count("#other thing")) == (10, 5, 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"video_id": "nobody", "generated": ["a"]}, r"has no video 'nobody'"),
        ({"video_id": "nobody", "generated": "a"}, r"expected generated of type List"),
        ({"generated": ["a"]}, r"expected video_id of type String"),
    ],
)
def test_what_the_command_refuses(world_folder, tmp_path, capsys, line, message):
    written = Path(tmp_path / "written.jsonl")
    written.write_text(json.dumps(line) + "\n")
    with pytest.raises(SystemExit) as stopped:
        run("export", world_folder, written, "--sheet", tmp_path / "s.csv", "--key", tmp_path / "k.json")
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert not (tmp_path / "s.csv").exists()
