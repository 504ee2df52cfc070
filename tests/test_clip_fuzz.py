"""Bad files, each with its cause; mutated clips, which give frames and sound or a `ClipError`, soon, in little memory.

Mutated clips run in a process of their own, so that a crash or a hang of the decoder fails one test, not all.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pebble import ProcessPool

from clips import numbers, same, write_clip, write_sound
from data.features import clip
from data.features.clip import CAUSES, ClipError, Frames, Limits, Sampling, decode_sound, sample_frames
from data.features.partial import Packets, list_packets

FOUR = Sampling(frames=4)

SECONDS = 10  # for one file; the slowest needs a tenth of a second on a quiet machine
MEMORY_MIB = 400  # peak of the process over all files; reading whole ones takes about 80

SEEDS: dict[str, Callable[[Path], Path]] = {
    "h264.mp4": lambda path: write_clip(path, sound="aac", options={"g": "10", "bf": "2"}),
    "faststart.mp4": lambda path: write_clip(path, sound="aac", options={"g": "10"}, muxer={"movflags": "faststart"}),
    "fragments.mp4": lambda path: write_clip(path, muxer={"movflags": "frag_keyframe+empty_moov"}),
    "mpeg4.mov": lambda path: write_clip(path, codec="mpeg4", options={"g": "10", "bf": "2"}),
    "vp8.webm": lambda path: write_clip(path, codec="libvpx", sound="libopus", options={"g": "10", "cpu-used": "8"}),
    "vp9.webm": lambda path: write_clip(path, codec="libvpx-vp9", options={"g": "10", "cpu-used": "8"}),
    "h264.mkv": lambda path: write_clip(path, sound="flac", options={"x264-params": "open-gop=1:keyint=10"}),
    "mpeg4.avi": lambda path: write_clip(path, codec="mpeg4", sound="libmp3lame"),
    "mpeg2.ts": lambda path: write_clip(path, codec="mpeg2video", rate=25, sound="aac", options={"bf": "2"}),
    "flv1.flv": lambda path: write_clip(path, codec="flv1"),
    "wmv2.asf": lambda path: write_clip(path, codec="wmv2"),
    "animated.gif": lambda path: write_clip(path, codec="gif", pix_fmt="rgb8", rate=25, frames=8),
    "sound.mp3": lambda path: write_sound(path, codec="libmp3lame", cover=True),
    "sound.ogg": lambda path: write_sound(path, codec="libopus"),
    "sound.wav": lambda path: write_sound(path, codec="pcm_s16le", layout="5.1", seconds=0.2),
    "sound.flac": lambda path: write_sound(path, codec="flac", seconds=0.3),
}


def flips(data: bytearray, random: np.random.Generator) -> bytearray:
    for place in random.integers(0, len(data), size=random.integers(1, 40)):
        data[place] = random.integers(256)
    return data


def header_flips(data: bytearray, random: np.random.Generator) -> bytearray:
    for place in random.integers(0, min(len(data), 1500), size=random.integers(1, 8)):
        data[place] = random.choice([0, 255, 127, 128, random.integers(256)])
    return data


def tail_flips(data: bytearray, random: np.random.Generator) -> bytearray:
    return header_flips(data[::-1], random)[::-1]  # indexes of MP4 and AVI stand at the end


def cut(data: bytearray, random: np.random.Generator) -> bytearray:
    return data[: random.integers(1, len(data))]


def splice(data: bytearray, random: np.random.Generator) -> bytearray:
    start, stop = sorted(random.integers(0, len(data), size=2))
    return data[:start] + data[stop:] if random.integers(2) else data[:stop] + data[start:]


def wipe(data: bytearray, random: np.random.Generator) -> bytearray:
    start = int(random.integers(0, len(data)))
    stop = min(len(data), start + int(random.integers(1, 400)))
    data[start:stop] = random.bytes(stop - start) if random.integers(2) else bytes(stop - start)
    return data


MUTATIONS = (flips, header_flips, tail_flips, cut, splice, wipe)
ROUNDS = 4


def use(path: Path) -> tuple[str, str]:
    """Return what became of the pictures and of the sound: "given", "none" or a cause."""
    return outcome(lambda: sample_frames(path, Sampling(frames=5), size=24)), outcome(
        lambda: decode_sound(path, sample_rate=8000)
    )


def outcome(call: Callable[[], Frames | np.ndarray | None]) -> str:
    try:
        result = call()
    except ClipError as error:
        return error.cause if "\n" not in str(error) else "an error of several lines"
    if isinstance(result, Frames):
        assert result.images.shape[1:] == (24, 24, 3)
        assert 1 <= len(result.images) == len(result.times)
        assert (np.diff(result.times) > 0).all()
        assert 0 <= result.times[0] <= result.times[-1] <= result.duration <= 1200
    elif result is not None:
        assert np.abs(result).max(initial=0) <= 1
    return "none" if result is None else "given"


def peak_mib() -> float:
    """Return the peak of this process; what getrusage says would include the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


@pytest.fixture(scope="module")
def worker() -> Iterator[ProcessPool]:
    with ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("name", SEEDS)
def test_every_mutated_file_gives_frames_or_a_clip_error(name: str, worker: ProcessPool, tmp_path: Path) -> None:
    whole = SEEDS[name](tmp_path / name)
    pictures, sound = worker.schedule(use, args=[whole], timeout=60).result()
    assert "given" in (pictures, sound)
    random = np.random.default_rng(len(name))
    seen: Counter[str] = Counter()
    for mutation in MUTATIONS * ROUNDS:
        mutated = tmp_path / f"mutated{whole.suffix}"
        mutated.write_bytes(mutation(bytearray(whole.read_bytes()), random))
        seen.update(worker.schedule(use, args=[mutated], timeout=SECONDS).result())
    assert set(seen) <= {"given", "none", *CAUSES}
    assert seen.total() == 2 * len(MUTATIONS) * ROUNDS
    assert worker.schedule(peak_mib).result() < MEMORY_MIB


def test_the_number_of_mutated_files() -> None:
    assert len(SEEDS) * len(MUTATIONS) * ROUNDS >= 300


def cause(call: Callable[[], object]) -> str:
    with pytest.raises(ClipError) as raised:
        call()
    assert "\n" not in str(raised.value)
    return raised.value.cause


# Files that are no clips, or lie about themselves


def test_causes_of_files_that_are_no_clips(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a clip\n" * 100)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "random.mp4").write_bytes(np.random.default_rng(0).bytes(20000))
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    (tmp_path / "playlist.m3u8").write_text(playlist)
    write_clip(tmp_path / "good.mp4")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile good.mp4\n")
    expected = {"none.mp4": "missing", "concat:good.mp4": "missing", "empty.mp4": "empty"}
    names = ("text.mp4", "random.mp4", "folder.mp4", "pipe.mp4", "playlist.m3u8", "list.mp4")
    for name, right in (expected | dict.fromkeys(names, "unreadable")).items():
        path = tmp_path / name
        assert (name, cause(lambda path=path: sample_frames(path, FOUR, size=8))) == (name, right)
        assert (name, cause(lambda path=path: decode_sound(path, sample_rate=8000))) == (name, right)


def test_causes_of_streams(tmp_path: Path) -> None:
    def of(path: Path) -> str:
        return cause(lambda: sample_frames(path, FOUR, size=8))

    assert of(write_sound(tmp_path / "a.wav", codec="pcm_s16le")) == "no video"
    assert of(write_sound(tmp_path / "b.mp3", codec="libmp3lame", cover=True)) == "attached picture only"
    webm = write_clip(tmp_path / "c.webm", codec="libvpx")
    webm.write_bytes(webm.read_bytes().replace(b"V_VP8", b"V_XYZ"))
    assert of(webm) == "unsupported"
    assert of(write_clip(tmp_path / "d.mkv", times=[0, 36_000_000], frames=2)) == "too long"


def test_too_large_and_too_long(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", sound="aac")
    for limits, right in (
        (Limits(bytes=1000), "too large"),
        (Limits(pixels=64 * 63), "too large"),
        (Limits(seconds=0.9), "too long"),
    ):
        assert cause(lambda limits=limits: sample_frames(path, FOUR, size=8, limits=limits)) == right
    assert cause(lambda: decode_sound(path, sample_rate=8000, limits=Limits(seconds=0.9))) == "too long"
    assert len(sample_frames(path, FOUR, size=8, limits=Limits(pixels=64 * 64, seconds=1)).times) == 4


GIANT = [  # file name, settings, bytes that hold the size, their replacement, cause
    ("a.mkv", {"codec": "ffv1", "size": (300, 300)}, b"\xb0\x82\x01\x2c\xba\x82\x01\x2c", 16000, "too large"),
    ("e.mkv", {"codec": "ffv1", "size": (300, 300)}, b"\xb0\x82\x01\x2c\xba\x82\x01\x2c", 0, "damaged"),
    ("b.gif", {"codec": "gif", "pix_fmt": "rgb8"}, b"GIF89a\x40\x00\x40\x00", 16000, "too large"),
    ("c.webm", {"codec": "libvpx"}, b"\x9d\x01\x2a\x40\x00\x40\x00", 16000, "damaged"),  # the container says 64
    ("d.webm", {"codec": "libvpx"}, b"\x9d\x01\x2a\x40\x00\x40\x00", 0, "damaged"),
]


@pytest.mark.parametrize(("name", "fields", "mark", "side", "right"), GIANT)
def test_giant_and_empty_frames(
    name: str, fields: dict[str, object], mark: bytes, side: int, right: str, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / name, **fields)
    small, big = side.to_bytes(2, "little"), side.to_bytes(2, "big")
    new = b"\xb0\x82" + big + b"\xba\x82" + big if name.endswith("mkv") else mark[:-4] + 2 * small
    assert mark in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(mark, new))
    assert cause(lambda: sample_frames(path, FOUR, size=8)) == right


def test_a_claim_of_ten_hours_changes_nothing(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", options={"bf": "0"}, sound="aac")
    right, data = sample_frames(path, FOUR, size=16), bytearray(path.read_bytes())
    for box, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
        start = data.find(box)
        while start >= 0:
            data[start + offset : start + offset + 4] = (10 * 3600 * 1000).to_bytes(4, "big")
            start = data.find(box, start + 4)
    path.write_bytes(data)
    assert same(sample_frames(path, FOUR, size=16), right)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("a.mp4", {"sound": "aac", "muxer": {"movflags": "faststart"}, "options": {"g": "10", "bf": "0"}}),
        ("b.mp4", {"sound": "aac"}),  # its index is at the end
        ("c.webm", {"codec": "libvpx", "sound": "libopus", "options": {"g": "10"}}),
        ("d.ts", {"sound": "aac", "options": {"g": "10", "bf": "0"}}),
    ],
)
def test_files_cut_at_every_twentieth(name: str, fields: dict[str, object], tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, **fields)
    whole, cut, given, causes = path.read_bytes(), tmp_path / f"cut_{name}", [], set()
    for part in range(1, 20):
        cut.write_bytes(whole[: len(whole) * part // 20])
        try:
            found = numbers(sample_frames(cut, Sampling(frames=30), size=48))
        except ClipError as error:
            found = []
            causes.add(error.cause)
        assert found[:-1] == list(range(len(found)))[:-1]  # the last one may be cut itself
        given.append(len(found))
    assert causes <= {"unreadable", "no video", "no frame", "damaged"}
    assert given == sorted(given)
    assert (given[9] > 8) == (name != "b.mp4")
    assert (given[16] > 16) == (name != "b.mp4")


def test_a_file_that_goes_away_between_the_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.mp4")
    right, whole = sample_frames(path, FOUR, size=8), path.read_bytes()

    def listed_then_lost(*args: object, **named: str) -> Packets | None:
        listed = list_packets(*args, **named)
        path.unlink()
        return listed

    monkeypatch.setattr(clip, "list_packets", listed_then_lost)
    assert same(sample_frames(path, FOUR, size=8), right)  # a small file is read once
    path.write_bytes(whole)
    monkeypatch.setattr(clip, "HELD_BYTES", 0)
    assert cause(lambda: sample_frames(path, FOUR, size=8)) == "missing"


def test_a_large_file_that_changes_between_the_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.mkv")

    def listed_then_changed(*args: object, **named: str) -> Packets | None:
        listed = list_packets(*args, **named)
        write_clip(path, times=range(0, 1500, 50))
        return listed

    monkeypatch.setattr(clip, "list_packets", listed_then_changed)
    monkeypatch.setattr(clip, "HELD_BYTES", 0)
    assert sample_frames(path, FOUR, size=8).duration == pytest.approx(1.5)


def test_the_error_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(ClipError("damaged", "a.mp4 cannot be decoded")))  # noqa: S301
    assert (type(error), error.cause, str(error)) == (ClipError, "damaged", "a.mp4 cannot be decoded")


def test_samples_that_are_no_numbers(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", codec="pcm_f32le", rate=16000)
    data = bytearray(path.read_bytes())
    data[-400:-396] = np.float32(np.nan).tobytes()
    path.write_bytes(data)
    assert cause(lambda: decode_sound(path, sample_rate=16000)) == "damaged"
