"""Sampled decoding beside decoding every frame, and whole extraction beside the network's bare forward pass.

    python -m benchmarks.extract FOLDER

FOLDER is searched for clips; longer ones are rendered as well. Both ways of decoding use one thread. The reference
decodes each frame and converts it to RGB at full size, as a plain loop over PyAV does. The best of three rounds counts.
Then ResNet-50 (untrained: the work is the same) over clips of a made-up world, 40 frames each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from benchmarks.kill_extract import as_dataset
from benchmarks.machine import machine, peak_memory_gib
from data.dataset import Dataset
from data.features.clip import LIMITS, V2HT_FRAMES, sample_frames
from data.features.extract import extract
from data.features.extractors import make_extractor
from data.features.media import decode, open_media, picture_stream
from data.features.torchvision_models import resnet50
from data.features.visual import FRAMES_PER_BATCH, precision
from data.rendering import ClipSettings, write_clips
from data.synthetic import WorldSettings

SIZE, ROUNDS = 224, 3
CLIPS = 20  # and three times as many, to see whether memory grows
SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".avi")
RENDERED = {"rendered_h264.mp4": "libx264", "rendered_vp9.webm": "libvpx-vp9", "rendered_hevc.mp4": "libx265"}


def main() -> None:
    """Print seconds of both ways for each clip, their ratio, and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(machine())
    clips = sorted(path for path in options.folder.rglob("*") if path.suffix in SUFFIXES)
    with tempfile.TemporaryDirectory() as folder:
        decoding([*clips, *rendered(Path(folder))])
    with tempfile.TemporaryDirectory() as folder:
        world, quiet = WorldSettings(num_videos=100, num_users=5, num_topics=3), lambda what, done, total: None
        write_clips(world, seed=0, folder=Path(folder) / "world", clips=ClipSettings(), report=quiet)
        files = sorted((Path(folder) / "world" / "clips").iterdir())
        for count in (CLIPS, 3 * CLIPS):
            features(Path(folder) / str(count), files[:count])


def decoding(clips: list[Path]) -> None:
    """Time both ways of decoding."""
    print(f"{V2HT_FRAMES.frames} frames of {SIZE} x {SIZE} pixels, seconds of processor time")
    totals = np.zeros(2)
    for path in clips:
        sampled = best(lambda path=path: sample_frames(path, V2HT_FRAMES, size=SIZE))  # type: ignore[misc]
        memory = peak_memory_gib()
        every = best(lambda path=path: every_frame(path))  # type: ignore[misc]
        totals += every, sampled
        length = sample_frames(path, V2HT_FRAMES, size=SIZE).duration
        print(
            f"  {path.name:<28} {length:5.1f} s  every frame {every:6.3f}  sampled {sampled:6.3f}  "
            f"ratio {sampled / every:.2f}  peak so far {memory:.2f} GiB"
        )
    print(f"  all: every frame {totals[0]:.3f}  sampled {totals[1]:.3f}  ratio {totals[1] / totals[0]:.2f}")


def best(call: Callable[[], Any]) -> float:
    """Return the least processor seconds of a few rounds; other work on the machine hardly moves it."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return min(seconds)


def features(folder: Path, files: list[Path]) -> None:
    """Time extraction of the clips `files`, and the bare forward passes over as many frames."""
    (folder / "clips").mkdir(parents=True)
    for path in files:
        shutil.copy(path, folder / "clips")
    dataset = as_dataset(folder / "clips", folder)
    extractor = make_extractor("resnet50", weights="random")
    started = time.monotonic()
    done = extract(dataset, extractor, workers=os.cpu_count() or 1, timeout=60)
    whole, memory = time.monotonic() - started, peak_memory_gib()
    frames = sum(len(steps) for steps in (Dataset.load(dataset).features["visual"][row] for row in range(done.videos)))
    bare = forward(frames)
    print(
        f"ResNet-50, {done.videos} clips, {frames:,} frames: bare forward {bare:.1f} s, decoded and extracted "
        f"{whole:.1f} s (ratio {whole / bare:.2f}), {done.videos / whole:.2f} videos/s; peak {memory:.2f} GiB"
    )


def forward(frames: int) -> float:
    """Return the seconds of the network over so many frames in batches, in the precision that extraction uses."""
    network = resnet50("random", None)
    dtype = getattr(torch, precision())
    network.module.to(dtype=dtype, memory_format=torch.channels_last)
    images_B3SS = torch.rand(FRAMES_PER_BATCH, 3, SIZE, SIZE).to(dtype=dtype, memory_format=torch.channels_last)
    started = time.monotonic()
    with torch.inference_mode():
        for start in range(0, frames, FRAMES_PER_BATCH):
            network.steps(images_B3SS[: frames - start])
    return time.monotonic() - started


def every_frame(path: Path) -> int:
    """Decode every frame to a full-size RGB array; return the bytes, so that nothing is skipped."""
    with open_media(path, LIMITS) as container:
        stream = picture_stream(container, path, LIMITS)
        return sum(frame.to_ndarray(format="rgb24").nbytes for frame in decode(container, stream))


def rendered(folder: Path, *, seconds: int = 15, size: tuple[int, int] = (640, 360)) -> Iterator[Path]:
    """Yield clips of moving noise-free stripes, encoded with each codec's usual settings."""
    down, across = np.mgrid[0 : size[1], 0 : size[0]]
    for name, codec in RENDERED.items():
        with av.open(str(folder / name), "w") as out:
            stream: Any = out.add_stream(codec, rate=30, options=FAST[codec])
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for number in range(30 * seconds):
                gray = 128 + 60 * np.sin((across + 3 * number) / 25) * np.sin((down + number) / 31)
                frame = av.VideoFrame.from_ndarray(gray.astype(np.uint8), "gray").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 30)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        yield folder / name


FAST: dict[str, dict[str, str]] = {
    "libx264": {"preset": "medium"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
}

if __name__ == "__main__":
    main()
