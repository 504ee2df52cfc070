"""Frames and sound of clips: which frames, by hand and beside the plain full decode; odd files; real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
from av.video.reformatter import VideoReformatter
from hypothesis import given, settings
from hypothesis import strategies as st

from clips import numbers, same, turn, write_clip, write_sound
from data.features import clip, partial
from data.features.clip import (
    GGM_FRAMES,
    UHMAN_FRAMES,
    V2HT_FRAMES,
    Limits,
    Sampling,
    decode_sound,
    plain_frames,
    sample_frames,
)
from data.features.media import decode, open_media, packets, picture_stream
from data.features.partial import Packets, list_packets, needed, stretches
from data.files import InputError

FOUR = Sampling(frames=4)
SEVEN = Sampling(frames=7)
FIXED = "scenecut=0:b-adapt=0:open-gop=0"
X265 = {"preset": "ultrafast", "x265-params": "keyint=30:bframes=3:open-gop=1:log-level=none:pools=1:frame-threads=1"}

CODECS = {  # file name: settings of a clip of 90 frames with several key frames
    "closed.mp4": {"options": {"bf": "3", "g": "30", "x264-params": "b-pyramid=normal:open-gop=0"}},
    "open.mp4": {"options": {"bf": "3", "g": "30", "x264-params": "open-gop=1"}},
    "open.mkv": {"options": {"bf": "3", "g": "30", "x264-params": "open-gop=1"}},
    "open.ts": {"options": {"bf": "3", "g": "30", "x264-params": "open-gop=1"}},
    "hevc.mp4": {"codec": "libx265", "options": X265},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2", "g": "15"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2", "g": "15"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2", "g": "15"}},
    "vp8.webm": {
        "codec": "libvpx",
        "options": {"g": "30", "auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"},
    },
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "30", "lag-in-frames": "16", "cpu-used": "8"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "wmv2.asf": {"codec": "wmv2", "options": {"g": "15"}},
}


@pytest.fixture
def no_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a test fail if the plain way has to step in."""
    monkeypatch.setattr(clip, "plain_frames", lambda *_, **__: pytest.fail("the plain way was taken"))


# Which frames


def test_uniform_frames_by_hand(tmp_path: Path) -> None:
    frames = sample_frames(write_clip(tmp_path / "a.mp4"), FOUR, size=48)  # targets 3.75, 11.25, 18.75, 26.25 frames
    assert numbers(frames) == [3, 11, 18, 26]
    assert frames.images.shape == (4, 48, 48, 3)
    assert frames.images.dtype == np.uint8
    assert frames.times == pytest.approx([0.1, 11 / 30, 0.6, 26 / 30])
    assert frames.duration == pytest.approx(1.0)


def test_frames_per_second_by_hand(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=45)
    assert numbers(sample_frames(path, Sampling(frames=1, per_second=4, up_to_seconds=1.5), size=48)) == [
        *(3, 11, 18, 26, 33, 41)
    ]
    assert numbers(sample_frames(path, Sampling(frames=1, per_second=4, up_to_seconds=1.4), size=48)) == [22]


def test_variable_rate_picks_what_is_on_at_the_target(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=4, times=[0, 100, 200, 1900])
    frames = sample_frames(path, Sampling(frames=3), size=48)  # D = 2.533, targets 0.42, 1.27, 2.11: one frame twice
    assert numbers(frames) == [2, 3]
    assert frames.times == pytest.approx([0.2, 1.9])


def test_no_more_frames_than_targets_gives_each_once(tmp_path: Path) -> None:
    assert numbers(sample_frames(write_clip(tmp_path / "a.mp4", frames=7), SEVEN, size=48)) == list(range(7))
    one = sample_frames(write_clip(tmp_path / "b.mp4", frames=1), V2HT_FRAMES, size=48)
    assert (numbers(one), one.times.tolist(), one.duration) == ([0], [0.0], 0.0)


def test_a_clip_of_52_seconds(tmp_path: Path, no_plain: None) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=208, rate=4, options={"g": "40", "bf": "2"})
    frames = sample_frames(path, V2HT_FRAMES, size=48)  # targets (i + 1/2) * 5.2 frames
    assert numbers(frames) == [int((i + 0.5) * 5.2) for i in range(40)]
    assert (frames.duration, len(frames.times)) == (pytest.approx(52.0), 40)
    assert len(sample_frames(path, UHMAN_FRAMES, size=48).times) == 60
    assert len(sample_frames(path, GGM_FRAMES, size=48).times) == 15


def test_the_three_papers() -> None:
    assert len(V2HT_FRAMES.targets(31.0)) == 40
    assert [len(UHMAN_FRAMES.targets(seconds)) for seconds in (0.0, 4.0, 12.0, 12.1, 300.0)] == [1, 20, 60, 60, 60]
    assert [len(GGM_FRAMES.targets(seconds)) for seconds in (1.0, 7.0, 7.1)] == [2, 14, 15]


@given(
    st.integers(1, 50), st.floats(0.1, 30), st.floats(0.1, 100), st.lists(st.floats(0.001, 5), min_size=1, max_size=60)
)
def test_law_chosen_rows_are_on_at_their_targets(frames: int, rate: float, limit: float, gaps: list[float]) -> None:
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    duration = float(times[-1] * len(times) / (len(times) - 1))
    for sampling in (Sampling(frames=frames), Sampling(frames=frames, per_second=rate, up_to_seconds=limit)):
        targets = sampling.targets(duration)
        rows = clip._choose(times, targets)
        assert 1 <= len(rows) <= len(targets)
        if len(times) > len(targets):
            assert rows.tolist() == sorted({max(i for i, start in enumerate(times) if start <= t) for t in targets})
        else:
            assert rows.tolist() == list(range(len(times)))


@pytest.mark.parametrize(
    "fields", [{"frames": 0}, {"frames": 1, "per_second": 0.0}, {"frames": 1, "up_to_seconds": 0.0}]
)
def test_senseless_settings_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(InputError, match="give"):
        Sampling(**fields)
    with pytest.raises(InputError, match="size is 0"):
        sample_frames(Path("a.mp4"), FOUR, size=0)
    with pytest.raises(InputError, match="sample_rate is 0"):
        decode_sound(Path("a.mp4"), sample_rate=0)


# A part of the frames, decoded, beside all


@pytest.mark.parametrize("name", CODECS)
def test_partial_decoding_equals_the_plain_one(
    name: str, tmp_path: Path, no_plain: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / name, frames=90, **CODECS[name])
    for sampling in (Sampling(frames=3), SEVEN, Sampling(frames=200)):
        frames = sample_frames(path, sampling, size=48)
        assert same(frames, plain_frames(path, sampling, size=48))
        with monkeypatch.context() as patch:
            patch.setattr(clip, "HELD_BYTES", path.stat().st_size - 1)
            assert same(frames, sample_frames(path, sampling, size=48))  # opened again, like a large file
    assert numbers(frames) == list(range(90))
    assert numbers(sample_frames(path, Sampling(frames=4), size=48)) == [11, 33, 56, 78]


@settings(max_examples=25)
@given(
    st.integers(2, 60), st.integers(1, 30), st.integers(0, 4), st.booleans(), st.integers(1, 12), st.integers(0, 2**32)
)
def test_law_partial_equals_plain(
    tmp_path_factory: pytest.TempPathFactory, length: int, gop: int, bs: int, opened: bool, count: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("law") / "a.mkv"
    times = np.cumsum(np.random.default_rng(seed).integers(5, 200, size=length)).tolist()
    options = {"g": str(gop), "bf": str(bs), "preset": "veryfast", "x264-params": f"scenecut=0:open-gop={int(opened)}"}
    write_clip(path, frames=length, times=times, options=options)
    quick = clip._partial_frames(path, Sampling(frames=count), size=32, limits=Limits())
    assert quick is not None
    assert same(quick, plain_frames(path, Sampling(frames=count), size=32))


def test_what_is_needed_by_hand() -> None:
    listed = Packets(  # in file order: a key, P, B, then a key whose leading B is shown before it, P
        ticks_P=np.array([0, 3, 1, 6, 5, 9]),
        key_P=np.array([True, False, False, True, False, False]),
        shown_P=np.ones(6, bool),
    )
    assert needed(listed, [1]).tolist() == [True, True, False, False, False, False]
    assert needed(listed, [3]).tolist() == [False, False, False, True, False, False]
    assert needed(listed, [4]).tolist() == [True, True, True, True, True, False]  # the second key is shown too late
    assert stretches(needed(listed, [0, 5])) == [(0, 1), (3, 6)]


def frames_decoded(path: Path, sampling: Sampling, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many frames left the decoder."""
    inner, seen = partial._decode_stretch, []

    def counted(*args: object, **named: object) -> object:
        for frame in inner(*args, **named):
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(partial, "_decode_stretch", counted)
    sample_frames(path, sampling, size=32)
    monkeypatch.undo()
    return len(seen)


def test_little_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(bs: int) -> int:
        path = write_clip(tmp_path / f"{bs}.mp4", frames=90, options={"g": "30", "bf": str(bs), "x264-params": FIXED})
        return frames_decoded(path, FOUR, monkeypatch)

    assert decoded(0) == 12 + 27 + 19  # targets 11, 33, 56, 78; key frames 0, 30, 60; no frame can be passed over
    assert decoded(3) < 40  # of every four frames two are referred to by none


def test_pictures_that_only_look_like_key_frames(tmp_path: Path) -> None:
    """Where the scene cuts, x264 writes frames that refer to none, yet later ones refer to frames before them."""
    cuts = [number * 33 + 400 * (number // 9) for number in range(90)]
    path = write_clip(tmp_path / "a.mkv", frames=90, times=cuts, options={"x264-params": "scenecut=400:ref=4"})
    for count in (3, 5, 7, 9):
        sampling = Sampling(frames=count)
        assert same(sample_frames(path, sampling, size=32), plain_frames(path, sampling, size=32))


def test_gradual_refresh_goes_the_plain_way(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", frames=90, options={"g": "30", "x264-params": "intra-refresh=1"})
    assert clip._partial_frames(path, SEVEN, size=48, limits=Limits()) is None
    assert numbers(sample_frames(path, FOUR, size=48)) == [11, 33, 56, 78]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_false_key_frames_go_the_plain_way(codec: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=90, codec=codec, options={"g": "30"})
    right = plain_frames(path, SEVEN, size=48)
    path.write_bytes(path.read_bytes().replace(b"stss", b"free"))  # no list of key frames: all are said to be
    if codec == "mpeg4":  # for H.264 the library looks into the packets
        assert clip._partial_frames(path, SEVEN, size=48, limits=Limits()) is None
    assert same(sample_frames(path, SEVEN, size=48), right)


# Odd files


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("422.mp4", {"pix_fmt": "yuv422p"}),
        ("ten_bits.mp4", {"pix_fmt": "yuv422p10le"}),
        ("gray.mp4", {"pix_fmt": "gray"}),
        ("full_range.mp4", {"pix_fmt": "yuvj420p"}),
        ("prores.mov", {"pix_fmt": "yuv422p10le", "codec": "prores_ks"}),
        ("rgb.avi", {"pix_fmt": "bgr24", "codec": "rawvideo"}),
        ("palette.gif", {"pix_fmt": "rgb8", "codec": "gif", "rate": 25}),
        ("odd_size.mkv", {"codec": "ffv1", "size": (67, 53)}),
        ("wide.mp4", {"size": (160, 64)}),
        ("high.mp4", {"size": (64, 160)}),
        ("late.mkv", {"times": range(5000, 8000, 100)}),
        ("negative.mp4", {"times": range(-500, 2500, 100), "options": {"bf": "0"}}),
        ("two_pictures.mp4", {"second": (32, 32)}),
        ("cover.mp4", {"cover": True}),
        ("sound_first.mkv", {"sound": "libopus", "sound_first": True}),
    ],
)
def test_odd_files(name: str, fields: dict[str, object], tmp_path: Path, no_plain: None) -> None:
    path = write_clip(tmp_path / name, **fields)
    frames = sample_frames(path, FOUR, size=64)
    first = 5 if name == "negative.mp4" else 0  # an MP4 starts at zero: what lies before is cut by its edit list
    length = 30 - first
    assert numbers(frames) == [first + int(length * (i + 0.5) / 4) for i in range(4)]
    assert same(frames, plain_frames(path, FOUR, size=64))
    assert frames.images.min() < 12  # the cells are black and white, whatever the range of the format
    assert frames.images.max() > 243


TURNS = {  # (a, b, c, d): one step right goes to (a, b), one step down to (c, d)
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),  # a quarter clockwise: upright phones
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): lambda image: np.rot90(image, 1),
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
    (0, -1, -1, 0): lambda image: np.rot90(image, 2).transpose(1, 0, 2),
}


@pytest.mark.parametrize("matrix", TURNS)
def test_rotation_and_mirrors(matrix: tuple[int, int, int, int], tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=4, size=(96, 64))
    before = sample_frames(path, FOUR, size=32)
    after = sample_frames(turn(path, matrix), FOUR, size=32)
    for one, other in zip(before.images, after.images, strict=True):
        assert np.array_equal(TURNS[matrix](one), other)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    narrow = sample_frames(write_clip(tmp_path / "a.mp4", size=(32, 64), aspect=2), FOUR, size=64)
    square = sample_frames(write_clip(tmp_path / "b.mp4", size=(32, 64)), FOUR, size=64)
    assert numbers(square) == [3, 11, 18, 26]  # its middle is shown
    white_cells, stripes = narrow.images[0][28, :30], narrow.images[0][20, :30]  # all is shown: rows are not moved
    assert white_cells.min() > 200
    assert stripes.mean() < 200


def test_extreme_shapes_stay_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Scaler:
        def reformat(self, frame: Any, width: int, height: int, *rest: Any, **named: Any) -> Any:
            asked.append((width, height))
            return VideoReformatter().reformat(frame, width, height, *rest, **named)

    monkeypatch.setattr(clip, "VideoReformatter", Scaler)
    frames = sample_frames(write_clip(tmp_path / "a.mkv", codec="ffv1", size=(4000, 2)), FOUR, size=224)
    assert frames.images.shape == (4, 224, 224, 3)
    assert set(asked) == {(16 * 224, 224)}


def test_a_smaller_second_stream_and_a_larger_cover_are_not_used(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", second=(32, 32), cover=True)
    with open_media(path, Limits()) as container:
        assert picture_stream(container, path, Limits()).width == 64


def test_names_with_colons_and_per_cent_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a.mp4", "http:b.mp4", "%03d.mp4", "ä #? .mp4"):
        assert numbers(sample_frames(write_clip(tmp_path / name).relative_to(tmp_path), FOUR, size=48)) == [
            3,
            11,
            18,
            26,
        ]


# Sound


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [
        ("a.wav", "pcm_s16le", 8000, "mono"),
        ("b.wav", "pcm_f32le", 48000, "5.1"),
        ("c.mp3", "libmp3lame", 44100, "stereo"),
        ("d.m4a", "aac", 48000, "stereo"),
        ("e.ogg", "libopus", 48000, "stereo"),
        ("f.ogg", "vorbis", 44100, "stereo"),
        ("g.flac", "flac", 96000, "mono"),
    ],
)
def test_sound_formats(name: str, codec: str, rate: int, layout: str, tmp_path: Path) -> None:
    sound = decode_sound(write_sound(tmp_path / name, codec=codec, rate=rate, layout=layout), sample_rate=16000)
    assert sound is not None
    assert sound.dtype == np.float32
    assert len(sound) == pytest.approx(16000, abs=1100)  # a codec may add one frame of 1,024 samples at its rate
    middle = sound[2000:14000]
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.06)
    assert np.abs(np.fft.rfft(middle)).argmax() * 16000 / len(middle) == pytest.approx(440, abs=2)


def test_loud_stereo_is_averaged_not_added(tmp_path: Path) -> None:
    sound = decode_sound(write_sound(tmp_path / "a.wav", codec="pcm_f32le", layout="stereo"), sample_rate=48000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)
    assert sound == pytest.approx(expected, abs=1e-6)


def test_no_sound_silent_sound_sound_first(tmp_path: Path) -> None:
    assert decode_sound(write_clip(tmp_path / "a.mp4"), sample_rate=16000) is None
    silent = decode_sound(write_clip(tmp_path / "b.mp4", sound="aac", silent=True), sample_rate=16000)
    assert silent is not None
    assert not silent.any()
    assert len(silent) == pytest.approx(16000, abs=1100)
    first = decode_sound(write_clip(tmp_path / "c.mkv", sound="libopus", sound_first=True), sample_rate=16000)
    assert first is not None
    assert len(first) == pytest.approx(16000, abs=400)


# Real clips


def test_real_clips(real_data: Path, no_plain: None) -> None:
    table = polars.read_csv(real_data / "clips" / "clips.csv")
    videos = table.filter(kind="video")
    assert len(videos) == 7
    for row in videos.iter_rows(named=True):
        path = real_data / "clips" / row["file"]
        frames = sample_frames(path, V2HT_FRAMES, size=112)
        assert frames.images.shape == (40, 112, 112, 3)
        assert frames.duration == pytest.approx(row["duration_s"], abs=0.15)
        if "two video tracks" in row["format"]:
            with open_media(path, Limits()) as container:
                assert picture_stream(container, path, Limits()).width == 480  # the second one
        assert same(frames, plain_frames(path, V2HT_FRAMES, size=112))
        assert (decode_sound(path, sample_rate=16000) is None) == (row["audio"] == "no")


def test_real_sounds(real_data: Path) -> None:
    rows = polars.read_csv(real_data / "clips" / "clips.csv").filter(kind="audio")
    assert len(rows) == 7
    for row in rows.iter_rows(named=True):
        sound = decode_sound(real_data / "clips" / row["file"], sample_rate=22050)
        assert sound is not None
        assert len(sound) / 22050 == pytest.approx(row["duration_s"], abs=0.06)
        assert 0.1 < np.abs(sound).max() <= 1


def test_a_still_picture_is_a_clip_of_one_frame(real_data: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a%03d.jpg"
    odd.write_bytes((real_data / "clips/images/tiger.jpg").read_bytes())
    for path in (real_data / "clips/images/tiger.jpg", odd):
        assert sample_frames(path, V2HT_FRAMES, size=64).images.shape == (1, 64, 64, 3)


def test_hidden_frames_of_vp8_are_not_listed(real_data: Path) -> None:
    path = real_data / "clips/video/stream_of_water.webm"
    with open_media(path, Limits()) as container:
        listed = list_packets(packets(container, picture_stream(container, path, Limits())), codec="vp8")
    assert listed is not None
    assert (len(listed.ticks_P), int(listed.shown_P.sum())) == (95, 90)
    with open_media(path, Limits()) as container:
        stream = picture_stream(container, path, Limits())
        assert [frame.pts for frame in decode(container, stream)] == listed.ticks_P[listed.shown_P].tolist()
