"""Human evaluation of written hashtags (GGM 5.4): export a blinded sheet, read the filled ones.

    python -m experiments.ggm.human export DATASET WRITTEN.jsonl --sheet sheet.csv --key key.json [--pairs 100]
    python -m experiments.ggm.human read key.json anna.csv ben.csv ...

WRITTEN is RUN/written-SPLIT.parquet, as `v2ht evaluate RUN` leaves it, or any table (JSON lines or Parquet) with the
columns `video_id` and `generated`, a list of hashtags; all else comes from the dataset. Each annotator fills in a copy
of the sheet, a whole number from 1 to 5 in each of the last two columns, and never sees the key. `read` prints JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import polars as pl

from data.dataset import MEDIA_TABLE, Dataset
from data.features.contents import read_media
from data.files import InputError
from data.tables import read_table
from v2ht.evaluation.human import WrittenVideo, draw_items, read_sheets, write_sheet
from v2ht.training.written import OPEN_POOL

COLUMNS = {"video_id": pl.String(), "generated": pl.List(pl.String())}


def read_written(path: Path) -> dict[str, list[str]]:
    """Return the written hashtags by video. Raises `InputError` when the table has other columns or a video twice.

    Of what `v2ht evaluate` left, those of the run itself, not those written with unseen hashtags in the pool.
    """
    table = read_table(path)
    if set(table.columns) == {"system", "video_id", "hashtags"}:
        table = table.filter(pl.col("system") != OPEN_POOL).rename({"hashtags": "generated"})
    for name, kind in COLUMNS.items():
        if table.schema.get(name) != kind:
            raise InputError(f"{path} has columns {dict(table.schema)}, expected {name} of type {kind}; write it again")
    twice = table.filter(pl.col("video_id").is_duplicated())
    if twice.height:
        raise InputError(f"{path} names the video {twice['video_id'][0]!r} twice; keep one")
    return dict(table.select("video_id", pl.col("generated").fill_null([])).iter_rows())


def written_videos(folder: Path, written: dict[str, list[str]]) -> tuple[list[WrittenVideo], set[str]]:
    """Return the dataset's videos that `written` names, and the train hashtags. Raises `InputError` on others."""
    dataset = Dataset.load(folder)
    names = dataset.hashtags["hashtag"].to_list()
    unknown = sorted(set(written) - set(dataset.videos["video_id"]))
    if unknown:
        raise InputError(f"{folder} has no video {unknown[0]!r}; give what was written for this dataset")
    clips = _clips(folder, dataset)
    videos = [
        WrittenVideo(
            video_id=video_id,
            description=text,
            clip=clips.get(video_id, ""),
            generated=written[video_id],
            truth=[names[hashtag] for hashtag in ids],
        )
        for video_id, text, ids in dataset.videos.select("video_id", "text", "hashtag_ids").iter_rows()
        if video_id in written
    ]
    return videos, set(dataset.hashtags.filter(pl.col("train_videos") > 0)["hashtag"])


def _clips(folder: Path, dataset: Dataset) -> dict[str, str]:
    """Return the clips' full paths by video; none of a dataset without media files."""
    if not (folder / MEDIA_TABLE).is_file():
        return {}
    media = read_media(folder, dataset.manifest)
    return {name: str(media.folder / path) for name, path in zip(media.video_ids, media.paths, strict=True) if path}


def run(given: argparse.Namespace) -> None:
    """Do what the command line says. Raises `InputError`."""
    if given.verb == "read":
        print(json.dumps(read_sheets(given.key, given.sheets), indent=2, allow_nan=False))
        return
    videos, train = written_videos(given.dataset, read_written(given.written))
    items = draw_items(videos, train_hashtags=train, seed=given.seed, pairs=given.pairs)
    write_sheet(items, sheet=given.sheet, key=given.key)
    print(f"{given.sheet}: {len(items)} hashtags of {len(items) // 2} videos; keep {given.key} from the annotators")


def parser() -> argparse.ArgumentParser:
    """Return the parser of both verbs."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = found.add_subparsers(dest="verb", required=True)
    export = verbs.add_parser("export", help="write an empty sheet and its key")
    export.add_argument("dataset", type=Path)
    export.add_argument("written", type=Path, help="RUN/written-test.parquet, or a table of video_id and generated")
    export.add_argument("--sheet", type=Path, required=True, help="CSV file to write, for the annotators")
    export.add_argument("--key", type=Path, required=True, help="JSON file to write, not for the annotators")
    export.add_argument("--pairs", type=int, default=100, help="videos to draw, two hashtags each")
    export.add_argument("--seed", type=int, default=0)
    read = verbs.add_parser("read", help="print what the annotators said")
    read.add_argument("key", type=Path)
    read.add_argument("sheets", type=Path, nargs="+", help="filled sheets, one file per annotator")
    return found


def main() -> None:
    """Run what the command line names; bad input is one line and exit status 2."""
    try:
        run(parser().parse_args())
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
