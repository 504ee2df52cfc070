"""Bad tables at the command line: one line says what is wrong and what to do, exit code 2, nothing is left behind."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from data.dataset import Dataset
from data.synthetic import WorldSettings, make_world, write_table
from test_cli import v2ht

GOOD = pl.DataFrame(
    {
        "item_id": [f"v{n:02}" for n in range(40)],
        "user_id": [f"user {n % 4}" for n in range(40)],
        "text": [f"text of {n}" for n in range(40)],
        "hashtags": [["even" if n % 2 == 0 else "odd", "all"][n % 3 :] or ["all"] for n in range(40)],
    }
).with_columns(pl.col("hashtags").list.join(";"))


def put(row: int, **cells: str | None) -> bytes:
    """Return the good table as CSV with other cells in one row (counted from 1)."""
    here = pl.int_range(pl.len()) == row - 1
    changed = [pl.when(here).then(pl.lit(value)).otherwise(name).alias(name) for name, value in cells.items()]
    return GOOD.with_columns(changed).write_csv().encode()


def good_parquet(folder: Path) -> bytes:
    GOOD.write_parquet(folder / "whole.parquet")
    content = (folder / "whole.parquet").read_bytes()
    (folder / "whole.parquet").unlink()
    return content


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (
            GOOD.drop("user_id").write_csv().encode(),
            [],
            "{path}: there is no column 'user_id' for user; the columns are item_id, text, hashtags; "
            "name another with --columns user=...",
        ),
        (b"", [], "{path} is empty (0 bytes); give a table with a row for each post"),
        (
            GOOD.with_columns(user_id=pl.lit(None, pl.String)).write_csv().encode(),
            [],
            "{path}: none of the 40 rows has a user; name the right column with --columns user=...",
        ),
        (
            GOOD.with_columns(hashtags=pl.lit("")).write_csv().encode(),
            [],
            "{path}: none of the 40 rows has a hashtag; name the right column with --columns hashtags=...",
        ),
        (
            put(3, item_id="v00"),
            [],
            "{path}: rows 1 and 3 both have the id 'v00' but differ (1 such ids); give every video its own id",
        ),
        (
            put(3, user_id="us\0er"),
            [],
            "{path}: column 'user_id', row 3: 'us\\x00er' holds a NUL character (1 such rows); remove it",
        ),
        (
            put(3, text="Grüße").decode().encode("latin-1"),
            [],
            "{path} is not UTF-8: byte 0xfc at offset {offset}, line 4; save it as UTF-8",
        ),
        (
            GOOD.write_csv().encode(),
            ["--min-hashtag-videos", 41],
            "{path}: no hashtag is left with at least 41 videos per hashtag and 1 per user: before this cut the most "
            "used hashtag has {most} and the busiest user 10; lower the minimum counts",
        ),
    ],
)
def test_a_table_that_cannot_be_used(content: bytes, words: list[object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    path.write_bytes(content)
    done = v2ht("import", path, "--out", tmp_path / "out", "--min-user-videos", 1, *words, code=2)
    most = GOOD["hashtags"].str.contains("all").sum()
    told = message.format(path=path, offset=content.find(b"\xfc"), most=most)
    assert [line for line in done.stderr.splitlines() if line.startswith("v2ht: ")] == [f"v2ht: {told}"]
    assert done.stderr.endswith(f"{told}\n")
    assert done.stdout == ""
    assert [left.name for left in tmp_path.iterdir()] == ["posts.csv"]


def test_a_truncated_parquet_and_a_split_file_of_another_source(tmp_path: Path) -> None:
    whole = good_parquet(tmp_path)
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "posts.parquet").write_bytes(whole)
    (tmp_path / "split.csv").write_text("video_id,split\nv01,train\nghost,test\n")
    for words, message in (
        (["cut.parquet"], f"{tmp_path}/cut.parquet is not a whole Parquet file ("),
        (
            ["posts.parquet", "--split", tmp_path / "split.csv"],
            f"{tmp_path}/split.csv, row 2: the source has no video 'ghost' (1 such rows); use the split file made for",
        ),
    ):
        before = sorted(tmp_path.iterdir())
        done = v2ht("import", tmp_path / str(words[0]), "--out", tmp_path / "out", *words[1:], code=2)
        assert message in done.stderr.splitlines()[-1]
        assert sorted(tmp_path.iterdir()) == before


def test_what_is_mended_or_left_out_is_told(tmp_path: Path) -> None:
    """Rows without user or hashtags, a text of 10 MB and NUL bytes in a text do not stop an import, and are counted."""
    whole = GOOD.with_columns(text=pl.when(pl.int_range(40) == 7).then(pl.lit("word " * 2_000_000)).otherwise("text"))
    number = pl.int_range(40)
    whole.with_columns(
        user_id=pl.when(number == 4).then(None).otherwise("user_id"),
        hashtags=pl.when(number == 5).then(None).otherwise("hashtags"),
        text=pl.when(number == 6).then(pl.lit("a\0b")).otherwise("text"),
    ).write_csv(tmp_path / "posts.csv")
    least = ["--min-hashtag-videos", 1, "--min-user-videos", 1]
    lines = v2ht("import", tmp_path / "posts.csv", "--out", tmp_path / "out", *least).stderr.splitlines()
    assert "without_user: 40 -> 39 videos, the first left out is row 5" in lines
    assert "text: 39 -> 39 videos, texts with nul 1, texts cut 1, max chars 20,000" in lines
    assert "without_hashtags: 39 -> 38 videos, the first left out is row 6" in lines
    texts = dict(Dataset.load(tmp_path / "out").videos.select("video_id", "text").rows())
    assert texts["v06"] == "ab"
    assert len(texts["v07"]) == 20_000


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from data.importing import ImportSettings, import_table
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
source, out = Path(sys.argv[1]), Path(sys.argv[2])
columns = {"id": ("id",), "user": ("user",), "time": ("time",)}
least = ImportSettings(columns=columns, min_hashtag_videos=1, min_user_videos=1)
for limit in range(0, 20_000, 500):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        import_table(source, least, out=out)
        break
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_a_disk_may_fill_up_at_any_byte(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk; libraries say it differently in the middle and at the end.

    Polars calls a footer that does not fit a "transport error".
    """
    write_table(make_world(WorldSettings(num_videos=300, num_users=30), seed=0), tmp_path / "posts.csv")
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "posts.csv"), str(tmp_path / "out")]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    lines = done.stdout.splitlines()
    assert len(lines) > 10
    start = f"InputError {tmp_path / 'out'}"
    assert [line for line in lines if not line.startswith(start)] == []
    assert all(line.endswith("; free some space or choose another folder") for line in lines)
    assert sorted(left.name for left in tmp_path.iterdir()) == ["out", "posts.csv"]
    assert Dataset.load(tmp_path / "out").videos.height > 250
