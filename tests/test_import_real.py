"""Imports of real tables: counts known from outside this code."""

from pathlib import Path

import polars as pl
import pytest

from data.importing import ImportSettings, import_table
from data.presets import parse_columns

YOUTUBE = "youtube_trending_2017_us_gb_ca.parquet"
TIKTOK = "tiktok_vn_2025.parquet"


@pytest.mark.parametrize(
    ("table", "format", "user_videos", "videos", "users", "hashtags"),
    [
        (YOUTUBE, "youtube", 5, 1570, 170, 619),
        (YOUTUBE, "youtube", 1, 3804, 1658, 1074),
        (TIKTOK, "tiktok", 5, 16142, 1022, 1691),
        (TIKTOK, "tiktok", 1, 21809, 5270, 1914),
    ],
)
def test_counts(
    real_data: Path, tmp_path: Path, table: str, format: str, user_videos: int, videos: int, users: int, hashtags: int
) -> None:
    settings = ImportSettings(format=format, min_hashtag_videos=10, min_user_videos=user_videos)
    dataset = import_table(real_data / table, settings, out=tmp_path / "out")
    assert (dataset.videos.height, dataset.num_users, dataset.num_hashtags) == (videos, users, hashtags)
    counts = dataset.manifest["counts"]
    assert (counts["train"], counts["valid"]) == (videos * 8 // 10, videos * 9 // 10 - videos * 8 // 10)


def test_tiktok_reads_the_text_without_hashtags(real_data: Path, tmp_path: Path) -> None:
    dataset = import_table(real_data / TIKTOK, ImportSettings(format="tiktok"), out=tmp_path / "out")
    source = pl.read_parquet(real_data / TIKTOK, columns=["item_id", "text", "caption"])
    both = dataset.videos.join(source, left_on="video_id", right_on="item_id")
    assert both.height == dataset.videos.height
    assert (both["text"] == both["text_right"].str.strip_chars()).all()
    assert (both["text"] != both["caption"]).sum() > 100


def test_trending_has_almost_no_repeated_author(real_data: Path, tmp_path: Path) -> None:
    table = real_data / "tiktok_trending_2025.parquet"
    dataset = import_table(table, ImportSettings(format="tiktok", min_user_videos=1), out=tmp_path / "out")
    assert dataset.manifest["source"]["rows"] == 7225
    assert dataset.num_users > 0.9 * dataset.videos.height


def test_trending_knows_songs_by_title_and_no_sound_made_for_one_post(real_data: Path, tmp_path: Path) -> None:
    table = real_data / "tiktok_trending_2025.parquet"
    dataset = import_table(table, ImportSettings(format="tiktok", min_user_videos=1), out=tmp_path / "out")
    source = pl.read_parquet(table).select("item_id", "music_title", "music_original")
    videos = dataset.videos.join(source, left_on="video_id", right_on="item_id")
    assert videos.height == dataset.videos.height
    songs = videos.filter(~pl.col("music_original"))
    assert songs.height > 1000
    assert (songs["sound"] == songs["music_title"]).all()
    assert videos.filter(pl.col("music_original"))["sound"].is_null().all()


def test_lastfm_has_a_post_for_every_user_and_artist(real_data: Path, tmp_path: Path) -> None:
    table = real_data / "lastfm_hetrec2011_taggings.parquet"
    dataset = import_table(table, ImportSettings(format="lastfm", split="time"), out=tmp_path / "out")
    first = dataset.manifest["cleaning"][0]
    assert (first["videos_before"], first["uses_before"]) == (71062, 186473)
    newest_train = dataset.videos.filter(pl.col("split") == "train")["time"].max()
    taggings = pl.read_parquet(table).with_columns(
        video_id=pl.concat_str(pl.col("user_id", "item_id").cast(pl.String), separator=":")
    )
    train = taggings.join(dataset.videos.filter(pl.col("split") == "train"), on="video_id", how="semi")
    assert train["date"].max() == newest_train.date()  # type: ignore[union-attr]


def test_talks_by_columns(real_data: Path, tmp_path: Path) -> None:
    columns = parse_columns("text=title+description")
    settings = ImportSettings(columns=columns, min_hashtag_videos=5, min_user_videos=2)
    dataset = import_table(real_data / "pyvideo_talks.parquet", settings, out=tmp_path / "out")
    steps = {step["step"]: step for step in dataset.manifest["cleaning"]}
    assert steps["without_user"]["videos_before"] - steps["without_user"]["videos_after"] == 2231
    assert dataset.videos["text"].str.len_chars().max() > 1000


def test_merging_only_makes_the_vocabulary_of_youtube_smaller(real_data: Path, tmp_path: Path) -> None:
    options = {"spell_check": True, "lemmatize": True, "merge_spellings": True}
    settings = ImportSettings(format="youtube", min_user_videos=1, min_hashtag_videos=1, **options)
    dataset = import_table(real_data / YOUTUBE, settings, out=tmp_path / "out")
    steps = {step["step"]: step for step in dataset.manifest["cleaning"]}
    merged = [steps[name]["hashtags_merged"] for name in options]
    assert dataset.num_hashtags == 39387 - sum(merged)
    assert all(steps[name]["videos_after"] == steps[name]["videos_before"] == 4490 for name in options)
    assert 0 < merged[0] < merged[1] < 39387 // 10
    assert merged[2] == 0  # hashtags with the same words have merged already
