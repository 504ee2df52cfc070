"""Reading tables: every good form, every broken one; columns, times and hashtag cells."""

import csv
import gzip
import io
import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.files import InputError
from data.posts import to_posts
from data.presets import FORMATS, SONG, group_taggings, parse_columns, reshape, resolve_columns
from data.tables import _parse_csv, read_table
from data.times import parse_times

ROWS = [{"id": "1", "text": 'a "b", c\nd'}, {"id": "x", "text": "é 👍"}]
CSV = 'id,text\r\n1,"a ""b"", c\nd"\r\nx,é 👍\r\n'.encode()
JSON_LINES = "\n".join(json.dumps(row) for row in ROWS).encode()


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "T.CSV", "t.jsonl", "t.jsonl.gz", "t.ndjson", "t.ndjson.gz"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_text_tables(tmp_path: Path, name: str, mark: bytes) -> None:
    content = CSV if "csv" in name.lower() else JSON_LINES
    assert read_table(write(tmp_path, name, mark + content)).rows(named=True) == ROWS


def test_parquet(tmp_path: Path) -> None:
    pl.DataFrame(ROWS).write_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").rows(named=True) == ROWS


def test_csv_cells_stay_text_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "t.csv", b"\na,b\n007,\n\nNULL,1.50"))
    assert table.rows() == [("007", ""), ("NULL", "1.50")]


CELLS = st.text(alphabet=st.sampled_from('ab",\n ;é👍#'), max_size=5)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_csv_equals_the_standard_library(rows: list[tuple[str, str]], end: str, quote_all: bool) -> None:
    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator=end, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL)
    writer.writerows([("a", "b"), *rows])
    assert _parse_csv(target.getvalue().encode(), Path("t.csv")).rows() == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.xlsx", b"x", r"unknown suffix '\.xlsx'; expected one of \.csv"),
        ("t.gz", b"x", r"unknown suffix '\.gz'"),
        ("t.csv", b"", r"t\.csv is empty \(0 bytes\); give a table with a row for each post"),
        ("t.csv.gz", b"", r"is empty \(nothing but white space\); give a table"),
        ("t.parquet", b"", r"is empty \(0 bytes\)"),
        ("t.csv", b" \n\n", r"is empty \(nothing but white space\)"),
        ("t.csv", b"a,b\n", r"has columns \(a, b\) but no rows; give a row for each post"),
        ("t.csv", b"a,b", r"has columns \(a, b\) but no rows"),
        ("t.csv", b"a,b\n1,2\n3\n", r"not a proper CSV table \(.*Row #3: Expected 2 columns, got 1"),
        ("t.csv", b"a,b\n1,2,3\n", r"Row #2: Expected 2 columns, got 3"),
        ("t.csv", b'a,b\n1,"2\n3,4\n', r"odd number of double quotes"),
        ("t.csv", b"a,b,a\n1,2,3\n", r"names column 'a' twice"),
        ("t.csv", b"a,b\n1,2\n\xe9,4\n", r"not UTF-8: byte 0xe9 at offset 8, line 3; save it as UTF-8"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16"), r"not UTF-8: byte 0xff at offset 0, line 1"),
        (
            "t.csv",
            "a,b\n1,2\n".encode("utf-16-le"),
            r"NUL byte in its header line, column 1: UTF-16, .*; save it as UTF-8",
        ),
        ("t.csv", b"\0" * 5_000, r"NUL byte in its header line, column 1"),
        ("t.jsonl", b'{"a": "x\0y"}', r"t\.jsonl line 1 is not JSON"),
        ("t.csv", b"a" * 200_000, r"has no proper header line"),
        ("t.jsonl", b'{"a": 1}\n{"a": 2', r"t\.jsonl line 2 is not JSON"),
        ("t.jsonl", b'{"a": 1}\n\n[1]\n', r"line 3 holds a JSON list, expected an object"),
        ("t.jsonl", b'{"a": "\xe9"}', r"not UTF-8: byte 0xe9 at offset 7, line 1"),
        ("t.parquet", b"PAR1 and no more", r"not a whole Parquet file"),
    ],
)
def test_broken_tables(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_table(write(tmp_path, name, content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".parquet", ".csv.gz"])
def test_every_truncation_is_noticed(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    table = pl.DataFrame({"id": [f"v{number * number}" for number in range(200)]})
    if suffix == ".parquet":
        table.write_parquet(whole)
    else:
        whole.write_bytes(gzip.compress(table.write_csv().encode()))
    content = whole.read_bytes()
    for length in range(1, len(content), 41):
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"is not a whole (Parquet|gzip) file"):
            read_table(path)


def test_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"folder\.csv is not a file; give a table"):
        read_table(tmp_path / "folder.csv")
    with pytest.raises(InputError, match=r"none\.csv does not exist; give the path of a table \(\.csv"):
        read_table(tmp_path / "none.csv")


def test_a_huge_cell_is_read(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "t.csv", b'id,text\n1,"' + b"x, " * 3_500_000 + b'"\n2,y\n'))
    assert table["text"].str.len_bytes().to_list() == [10_500_000, 1]


# Columns


def test_parse_columns() -> None:
    parsed = parse_columns("id=item_id, user=user_id,text=title+description,hashtags=tags,time=created_at")
    assert parsed["text"] == ("title", "description")
    assert parsed["user"] == ("user_id",)
    assert list(parsed) == ["id", "user", "text", "hashtags", "time"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tags", "'tags' is not FIELD=COLUMN; fields are id, user, text"),
        ("", "'' is not FIELD=COLUMN"),
        ("user=", "'user=' is not FIELD=COLUMN"),
        ("user=a,user=b", "names the field 'user' twice"),
        ("author=a", "unknown field 'author'; fields are id, user"),
        ("user=a+b", "field 'user' 2 columns; only text, visual, acoustic join several"),
        ("text=a+", "field 'text' an empty column name"),
    ],
)
def test_broken_columns(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_columns(text)


def test_columns_of_a_format_give_way_to_those_given() -> None:
    present = ["item_id", "user_id", "title", "tags"]
    columns = resolve_columns({"hashtags": ("tags",)}, format="youtube", present=present)
    assert columns == {"id": ("item_id",), "user": ("user_id",), "text": ("title",), "hashtags": ("tags",)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"no column 'hashtags' for hashtags; the columns are item_id, user_id, tags; name another with --columns"),
        (
            {"hashtags": ("tags",), "text": ("body",)},
            r"no column 'body' for text; the columns are item_id, user_id, tags$",
        ),
    ],
)
def test_a_missing_column_is_named_with_those_there_are(given: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_columns(given, format="table", present=["item_id", "user_id", "tags"])


def test_no_format_reads_a_caption() -> None:
    assert len(FORMATS) == 6
    assert not any("caption" in names for columns in FORMATS.values() for names in columns.values())


def test_taggings_become_posts() -> None:
    table = pl.DataFrame(
        {
            "user_id": [2, 2, 1, 2],
            "item_id": [9, 8, 9, 9],
            "artist": ["Nine", None, "Nine", "Nine"],
            "tag": ["rock", "pop", "jazz", "old"],
            "date": [date(2009, 1, 1), date(2008, 1, 1), date(2007, 1, 1), date(2010, 1, 1)],
        }
    )
    columns = ["item_id", "user_id", "text", "hashtags", "created_at"]
    assert group_taggings(table).select(columns).rows() == [
        ("2:9", 2, "Nine", ["rock", "old"], datetime(2010, 1, 1, tzinfo=UTC)),
        ("2:8", 2, None, ["pop"], datetime(2008, 1, 1, tzinfo=UTC)),
        ("1:9", 1, "Nine", ["jazz"], datetime(2007, 1, 1, tzinfo=UTC)),
    ]
    late = table.with_columns(date=pl.Series(["999999999", "9", "8", "1000000000"]))  # as a CSV holds them
    assert group_taggings(late)["created_at"][0] == datetime.fromtimestamp(1_000_000_000, tz=UTC)
    with pytest.raises(InputError, match="no column 'tag' for format lastfm; the columns are user_id, item_id"):
        group_taggings(table.drop("tag"))


# Cells


def posts_of(**columns: Any) -> pl.DataFrame:
    """Return the posts of a table with these columns; id, user and hashtags are filled in."""
    height = len(next(iter(columns.values())))
    table = pl.DataFrame({"id": list(range(height)), "user": ["u"] * height, "hashtags": [["a"]] * height, **columns})
    return to_posts(
        table, {name: (name,) for name in table.columns if name in ("id", "user", "hashtags", "text", "time")}
    )


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("a;b", ["a", "b"]),
        ("a, b", ["a", " b"]),
        ("a|b,c;d", ["a", "b", "c", "d"]),
        ("#a #b", ["", "a ", "b"]),
        ("two words;b", ["two words", "b"]),
        ("a；b，c", ["a", "b", "c"]),
        ("", [""]),
        (None, []),
        ("a", ["a"]),
    ],
)
def test_hashtags_written_as_text(cell: str | None, expected: list[str]) -> None:
    posts = posts_of(hashtags=pl.Series([cell, "z"], dtype=pl.String))
    assert posts["hashtags"].to_list() == [expected, ["z"]]


def test_hashtag_lists_keep_separators_and_lose_nulls() -> None:
    posts = posts_of(hashtags=pl.Series([["c#", None, "a;b"], None, []], dtype=pl.List(pl.String)))
    assert posts["hashtags"].to_list() == [["c#", "a;b"], [], []]
    assert posts_of(hashtags=[[1, 2]])["hashtags"].to_list() == [["1", "2"]]


@pytest.mark.parametrize("text", ["['b', 'c']", ' ["b"]', "[b, c]", "[]"])
def test_a_list_written_as_text_is_refused(text: str) -> None:
    with pytest.raises(
        InputError, match=r"column 'hashtags', row 2: .* is a list written as text; write hashtags as a;b;c"
    ):
        posts_of(hashtags=["a", text])


def test_whole_number_ids_and_users_become_text() -> None:
    posts = posts_of(id=[7234567890123456789], user=[12])
    assert posts.select("row", "video_id", "user").rows() == [(1, "7234567890123456789", "12")]


@pytest.mark.parametrize(
    ("column", "values"), [("id", [1.0]), ("user", [[1]]), ("hashtags", [[1.5]]), ("text", [True])]
)
def test_columns_of_other_types_are_refused(column: str, values: list[Any]) -> None:
    with pytest.raises(InputError, match=r"holds .*; expected text or whole numbers"):
        posts_of(**{column: values})


def test_a_missing_id_is_refused_and_a_missing_user_is_null() -> None:
    with pytest.raises(InputError, match=r"column 'id', row 2: no id \(2 such rows\); give every row an id"):
        posts_of(id=["a", " ", None])
    assert posts_of(user=["a", " ", None])["user"].to_list() == ["a", None, None]


@pytest.mark.parametrize("field", ["id", "user"])
def test_a_nul_character_in_a_name_is_refused(field: str) -> None:
    with pytest.raises(InputError, match=rf"column '{field}', row 2: 'a\\x00b' holds a NUL character \(2 such rows\)"):
        posts_of(**{field: ["x", " a\0b", "\0"]})


def test_text_columns_are_joined_without_the_empty_ones() -> None:
    table = pl.DataFrame({"i": ["1", "2", "3"], "a": ["x ", "", None], "b": ["y", " z", None], "n": [1, 2, None]})
    columns = {"id": ("i",), "user": ("i",), "hashtags": ("i",), "text": ("a", "b", "n")}
    assert to_posts(table, columns)["text"].to_list() == ["x y 1", "z 2", ""]


# Times

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2025-01-31T12:00:00Z",
        "2025-01-31 12:00:00",
        " 2025-01-31 12:00 ",
        "2025-01-31T14:00:00+02:00",
        "2025-01-31 14:00:00.000 +0200",
        "2025-01-31 07:00-05:00",
        "2025-01-31 12:00:00.000000 UTC",
        "1738324800",
        "1738324800000",
        1738324800,
        1738324800000,
        1738324800.0,
        datetime(2025, 1, 31, 12),
        NOON,
    ],
)
def test_ways_to_write_one_time(value: Any) -> None:
    assert parse_times(pl.Series("t", [value, None])).to_list() == [NOON, None]


def test_times_with_another_zone_and_unit() -> None:
    tokyo = pl.Series("t", [datetime(2025, 1, 31, 12)]).cast(pl.Datetime("ms")).dt.replace_time_zone("Asia/Tokyo")
    assert parse_times(tokyo).to_list() == [NOON - timedelta(hours=9)]
    assert parse_times(tokyo).dtype == pl.Datetime("us", "UTC")


def test_dates_missing_values_and_fractions() -> None:
    assert parse_times(pl.Series("t", [date(2025, 1, 31), None])).to_list() == [NOON.replace(hour=0), None]
    assert parse_times(pl.Series("t", ["2025-01-31", "", " "])).to_list() == [NOON.replace(hour=0), None, None]
    assert parse_times(pl.Series("t", [float("nan"), 1738324800.5])).to_list() == [
        None,
        NOON.replace(microsecond=500_000),
    ]
    assert parse_times(pl.Series("t", [None, None])).to_list() == [None, None]
    assert parse_times(pl.Series("t", [0, -1])).to_list() == [
        datetime(1970, 1, 1, tzinfo=UTC) - timedelta(seconds=s) for s in (0, 1)
    ]


@pytest.mark.parametrize(
    "value", ["yesterday", "31.01.2025", "2025-13-01", "2025-01-31T25:00:00", 10**17, float("inf")]
)
def test_an_unreadable_time_is_named_with_its_row(value: Any) -> None:
    with pytest.raises(InputError, match=r"column 't', row 2: .* is no time \(1 such rows\); expected ISO 8601"):
        parse_times(pl.Series("t", [None, value]))


def test_a_column_without_times_is_refused() -> None:
    with pytest.raises(InputError, match=r"column 't' holds List\(.*\); expected dates"):
        parse_times(pl.Series("t", [[1]]))


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2999, 12, 31)),
    st.sampled_from([None, 0, 90, -300]),
    st.sampled_from(["auto", "minutes", "microseconds"]),
)
def test_iso_times_equal_the_standard_library(time: datetime, zone: int | None, detail: str) -> None:
    if zone is not None:
        time = time.replace(tzinfo=timezone(timedelta(minutes=zone)))
    text = time.isoformat(timespec=detail)
    expected = datetime.fromisoformat(text)
    expected = expected if expected.tzinfo else expected.replace(tzinfo=UTC)
    assert parse_times(pl.Series("t", [text])).to_list() == [expected]


@pytest.mark.parametrize(
    "own",
    [[True, False, None], ["True", "False", ""], ["1", "0", ""], [1, 0, None], [1.0, 0.0, None], ["1.0", " 0.0", ""]],
)
def test_tiktok_sounds_without_ids_are_known_by_title_unless_made_for_the_post(own: list[Any]) -> None:
    table = pl.DataFrame({"music_title": ["original sound", "A Song", "B Song"], "music_original": own})
    named = reshape(table, format="tiktok")
    assert named[SONG].to_list() == [None, "A Song", None]
    assert named.drop(SONG).equals(table)


@pytest.mark.parametrize("lacks", ["music_title", "music_original"])
def test_tiktok_sounds_need_titles_and_whose_they_are(lacks: str) -> None:
    table = pl.DataFrame({"music_title": ["A Song"], "music_original": [False]}).drop(lacks)
    assert reshape(table, format="tiktok").columns == table.columns


def test_tiktok_sounds_with_ids_keep_them() -> None:
    present = ["item_id", "user_id", "hashtags", "music_id", SONG]
    assert resolve_columns({}, format="tiktok", present=present)["sound"] == ("music_id",)
    assert resolve_columns({}, format="tiktok", present=[*present[:3], SONG])["sound"] == (SONG,)
    assert "sound" not in resolve_columns({}, format="tiktok", present=present[:3])


def test_the_set_up_of_news_has_to_be_a_number_or_empty() -> None:
    good = reshape(pl.DataFrame({"v6_visual_set_up": ["1", "", None, "3"]}), format="tiktok_news")
    assert good["v6_visual_set_up"].cast(pl.String).to_list() == ["1", None, None, "3"]
    for values in ([1.0, float("nan"), None, 3.0], ["1.0", " ", "", "3"], [1, None, None, 3]):
        same = reshape(pl.DataFrame({"v6_visual_set_up": values}), format="tiktok_news")
        assert same.equals(good)
    for values, said in ((["1", "studio"], "'studio'"), ([1.0, 1.7], "'1.7'"), (["1", "inf"], "'inf'")):
        with pytest.raises(InputError, match=rf"'v6_visual_set_up', row 2: {said} is no whole number \(1 such rows\)"):
            reshape(pl.DataFrame({"v6_visual_set_up": values}), format="tiktok_news")
