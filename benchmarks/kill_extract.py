"""Kill an extraction at random moments and compare what it ends in with one that ran through: every file, every byte.

`python -m benchmarks.kill_extract CLIPS --extractor resnet50 --weights random --kills 20`, where CLIPS is a dataset of
clips or a folder of media files. After every kill the dataset has to load, and no process may be left.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import machine
from data.dataset import Dataset, read_manifest
from data.files import InputError
from data.importing import ImportSettings, import_table

SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".m4a", ".mp3", ".ogg", ".opus", ".wav", ".flac", ".png", ".jpg", ".gif")


def as_dataset(source: Path, folder: Path) -> Path:
    """Return `source` if it is a dataset, else make one in `folder` of the media files below it."""
    if (source / "manifest.json").exists():
        return source
    files = sorted(path for path in source.resolve().rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{source} has no media files and is no dataset")
    (folder / "media").symlink_to(source.resolve())
    with (folder / "clips.csv").open("w", newline="") as target:
        table = csv.writer(target)
        table.writerow(["item_id", "user_id", "text", "hashtags", "created_at", "path"])
        for number, path in enumerate(files):
            relative = Path("media") / path.relative_to(source.resolve())
            table.writerow(
                [f"v{number:04}", f"user{number % 3}", "", "clip", f"2026-01-01T00:00:{number % 60:02}Z", relative]
            )
    settings = ImportSettings(format="clips", min_hashtag_videos=1, min_user_videos=1)
    import_table(folder / "clips.csv", settings, out=folder / "dataset")
    return folder / "dataset"


def fresh_copy(dataset: Path, copy: Path) -> Path:
    """Copy a dataset without features and without work on them."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(dataset, copy, ignore=shutil.ignore_patterns("store", "features"))
    if "features" in read_manifest(copy):
        raise InputError(f"{dataset} has features already; give a dataset without any")
    return copy


def start(dataset: Path, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Start an extraction in a process group of its own."""
    words = [dataset, "--extractor", options.extractor, "--weights", options.weights, "--workers", options.workers]
    command = [sys.executable, "-m", "benchmarks.kill_extract", "--child", *map(str, words)]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)


def extract_here(options: argparse.Namespace) -> None:
    """Extract, as the process that gets killed."""
    from data.features.extract import extract
    from data.features.extractors import make_extractor

    extractor = make_extractor(options.extractor, weights=options.weights)
    print(extract(options.source, extractor, workers=options.workers, timeout=120).text())


def living(group: int) -> int:
    """Return how many processes of a group are alive (Linux)."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        count += int(found) == group and state not in "ZX"
    return count


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process (SIGKILL) and wait until its workers are gone. Raises RuntimeError if they stay."""
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while living(process.pid):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{living(process.pid)} processes outlived their parent by 10 s")
        time.sleep(0.02)


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of the files that only one folder has, or that differ in a byte."""
    found = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in (one, other)]
    return sorted(str(name) for name in found[0].keys() | found[1].keys() if found[0].get(name) != found[1].get(name))


def run(options: argparse.Namespace, folder: Path) -> int:
    """Run the comparison in `folder`; return how many finished extractions differed."""
    dataset = as_dataset(options.source, folder)
    reference = fresh_copy(dataset, folder / "reference")
    started = time.monotonic()
    if start(reference, options).wait():
        raise InputError("the uninterrupted extraction failed; see above")
    seconds = time.monotonic() - started
    print(f"{Dataset.load(reference).videos.height} videos, uninterrupted: {seconds:.1f} s", flush=True)
    rng = random.Random(options.seed)
    kills, finished, wrong = 0, 0, 0
    copy = fresh_copy(dataset, folder / "copy")
    while True:
        process = start(copy, options)
        try:
            process.wait(timeout=rng.uniform(0, 0.7 * seconds) if kills < options.kills else None)
        except subprocess.TimeoutExpired:
            kill(process)
            kills += 1
            Dataset.load(copy)
            continue
        different = differences(reference, copy)
        finished, wrong = finished + 1, wrong + bool(different or process.returncode)
        print(f"finished after {kills} kills in all: {len(different)} files differ {different}", flush=True)
        if kills == options.kills:
            return wrong
        copy = fresh_copy(dataset, folder / "copy")


def main() -> int:
    """Run; return 0 when every finished extraction equals the uninterrupted one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="CLIPS")
    parser.add_argument("--extractor", default="log_mel", help="(default: %(default)s)")
    parser.add_argument("--weights", default="random", help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--kills", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        extract_here(options)
        return 0
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        wrong = run(options, Path(folder))
    print(f"{options.kills} kills, extractions that differ: {wrong}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
