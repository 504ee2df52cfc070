"""Real clips and sounds through every extractor and the chain, with pictures of what the extractors see.

    python -m experiments.clips.run --clips FOLDER --out OUT [--frames 4] [--size 64]

FOLDER holds clips.csv (file, kind, content, labels) and the files. The labels are the hashtags, so few that training
shows nothing but that the chain holds. OUT gets the dataset, a run, clips.png (sampled frames) and sound-NAME.png of
each file with sound.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from data.dataset import Dataset
from data.features.clip import Sampling, decode_sound, sample_frames
from data.features.extract import extract
from data.features.extractors import EXTRACTORS, make_extractor
from data.features.sound import V2HT_SOUND, LogMel
from data.importing import ImportSettings, import_table
from graph_builders.build import GRAPH_FILE, GraphSettings, build_dataset_graph
from v2ht.plots import contact_sheet, spectrogram
from v2ht.serving import Recommendation, Recommender
from v2ht.training.train import Plan, train

KINDS = ("video", "audio")
SOUND = ("log_mel", "mel_patches")
SMALL = ["dim=16", "visual_units=16", "acoustic_units=16", "text_units=16", "word_dimension=16", "epochs=3"]


def table_of(clips: Path, out: Path) -> tuple[Path, list[Path]]:
    """Write the posts as a table beside a link to the clips; return it and the files in its order."""
    (out / "media").symlink_to(clips.resolve())
    listed = pl.read_csv(clips / "clips.csv").filter(pl.col("kind").is_in(KINDS))
    splits = ["train", "train", "train", "train", "train", "valid", "test"]
    posts = listed.select(
        item_id="file",
        user_id="kind",
        text="content",
        hashtags="labels",
        path="media/" + pl.col("file"),
    )
    posts.write_csv(out / "posts.csv")
    rows = [splits[row % len(splits)] for row in range(posts.height)]
    posts.select(video_id="item_id", split=pl.Series(rows)).write_csv(out / "split.csv")
    return out / "posts.csv", [clips / file for file in listed["file"]]


def pictures(files: Sequence[Path], out: Path) -> None:
    """Draw three frames of each video, and the log-mel steps of each file that has sound."""
    frames, titles = [], []
    for path in files:
        if path.parent.name == "video":
            found = sample_frames(path, Sampling(frames=3), size=160)
            frames += list(found.images)
            titles += [f"{path.stem[:16]} {time:.1f} s" for time in found.times]
        sound = decode_sound(path, sample_rate=V2HT_SOUND.sample_rate)
        if sound is not None and len(sound):
            apart, rate = V2HT_SOUND.seconds_apart(len(sound)), V2HT_SOUND.sample_rate
            spectrogram(LogMel()(path), out / f"sound-{path.stem}.png", seconds_per_step=apart, sample_rate=rate)
    contact_sheet(frames, titles, out / "clips.png")


def run(clips: Path, out: Path, *, frames: int, size: int, names: Sequence[str]) -> list[Recommendation]:
    """Take the clips through the chain with untrained networks; return what it recommends for the first one."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    table, files = table_of(clips, out)
    pictures(files, out)
    settings = ImportSettings(format="clips", min_hashtag_videos=1, min_user_videos=1, split=out / "split.csv")
    import_table(table, settings, out=out / "dataset")
    for name in names:
        options = {} if name in SOUND else {"frames": frames, **({"size": size} if name == "resnet50" else {})}
        extractor = make_extractor(name, weights="random", **options)
        done = extract(out / "dataset", extractor, workers=os.cpu_count() or 1, timeout=120)
        print(name, done.text())
    dataset = Dataset.load(out / "dataset")
    for name, rows in dataset.features.items():
        assert np.isfinite(rows.values).all(), name
        print(name, rows.values.shape, "steps of each file:", rows.lengths.tolist())
    build_dataset_graph(dataset, GraphSettings()).save(out / "dataset" / GRAPH_FILE)
    train(out / "dataset", out / "run", Plan.of("v2ht", SMALL, seed=0))
    found = Recommender.load(out / "run").recommend(video=files[0], description="a river in the forest", k=5)
    print(files[0].name, " ".join(f"#{item.hashtag}" for item in found))
    return found


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder with clips.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder to make anew")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--size", type=int, default=64)
    given = parser.parse_args()
    run(given.clips, given.out, frames=given.frames, size=given.size, names=list(EXTRACTORS))


if __name__ == "__main__":
    main()
