"""Rendered worlds: the files can be read and imported, and show what was planted, as clearly as they should."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data import rendering
from data.dataset import check
from data.files import InputError
from data.importing import ImportSettings, import_table
from data.rendering import MANNERS, SHAPES, VOICES, ClipSettings, Subject, encode, render, write_clips
from data.synthetic import WorldSettings, make_bare_world, make_world, raw_table
from data.synthetic_posts import make_catalog
from data.synthetic_topics import CHATTER, STOP_WORDS, STYLES, TOPICS

WORLD = WorldSettings(num_videos=100, num_users=8, num_topics=4)
TINY = ClipSettings(width=32, height=24, min_seconds=1, max_seconds=1.5)
SEED = 4  # one post of this world has no hashtag that is frequent enough


def quiet(*_: object) -> None:
    """Report nothing."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the table of a small rendered world; tests read it only."""
    return write_clips(WORLD, seed=SEED, folder=tmp_path_factory.mktemp("world"), clips=TINY, report=quiet)


def subject_of(leaf: int = 0) -> Subject:
    return Subject.of(leaf, make_catalog())


@pytest.fixture
def no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HUE", "BRIGHTNESS", "SIZE", "PLACE", "CAMERA", "TIMBRE", "LOUDNESS"):
        monkeypatch.setattr(rendering, f"{name}_NOISE", 0.0)
    for name in ("DETUNING", "HUM", "HISS", "MISSING_SHARE"):
        monkeypatch.setattr(rendering, name, 0.0)


# --- worlds of fewer topics -------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_topics", [2, 21])
def test_a_number_of_topics_out_of_range_is_refused(num_topics: int) -> None:
    with pytest.raises(InputError, match=f"WorldSettings.num_topics is {num_topics}; expected 3 to 20"):
        WorldSettings(num_topics=num_topics)


@given(num_topics=st.integers(3, 20), noise=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_a_world_of_few_topics_speaks_of_these_only(num_topics: int, noise: bool, seed: int) -> None:
    world = make_world(WorldSettings(num_videos=100, num_topics=num_topics, graph_is_noise=noise), seed=seed)
    check(world)
    known = {*STYLES, *CHATTER, *STOP_WORDS}
    for topic in TOPICS[:num_topics]:
        known |= {topic.head, *topic.words}
        known |= {word for kind in topic.kinds for word in (kind.name, *kind.leaves, *kind.words)}
    assert {word for words in world.hashtags["words"] for word in words} <= known
    assert {word for text in world.videos["text"] for word in text.split()} <= known


def test_a_few_topics_make_the_start_of_the_whole_catalog() -> None:
    few, whole = make_catalog(7), make_catalog()
    assert few.kind_topic.tolist() == [topic for topic in range(7) for _ in range(3)]
    assert few.leaf_kind.tolist() == whole.leaf_kind[: len(few.leaf_kind)].tolist()
    for role in few.starts:
        place, start = few.starts[role], whole.starts[role]
        assert few.words[place] == whole.words[start]
    assert len(few.words) == 6 + 7 + 21 + len(few.leaf_kind) + 7 * 6


def test_a_bare_world_is_the_world_without_features() -> None:
    bare, leaves, rows = make_bare_world(WORLD, seed=SEED)
    world = make_world(WORLD, seed=SEED)
    assert world.videos.equals(bare.videos)
    assert world.manifest == bare.manifest
    assert not bare.features
    assert [f"clip{row:05d}" for row in rows] == world.videos["video_id"].to_list()
    assert len(leaves) == WORLD.num_videos > len(rows)
    catalog, names = make_catalog(4), world.hashtags["words"].to_list()
    for leaf, tags in zip(leaves[rows], world.videos["hashtag_ids"], strict=True):  # the head names the leaf's topic
        heads = {topic.head for topic in TOPICS} & {word for tag in tags for word in names[tag]}
        assert heads <= {TOPICS[catalog.kind_topic[catalog.leaf_kind[leaf]]].head}


# --- subjects ---------------------------------------------------------------------------------------------------


def test_kinds_of_a_topic_differ_in_shape_and_voice_and_leaves_of_a_kind_in_manner() -> None:
    catalog = make_catalog()
    for kind in range(len(catalog.kind_topic)):
        family = [subject_of(leaf) for leaf in np.flatnonzero(catalog.leaf_kind == kind)]
        assert {subject.topic for subject in family} == {catalog.kind_topic[kind]}
        assert {id(subject.shape) for subject in family} == {id(family[0].shape)}
        assert {subject.voice for subject in family} == {family[0].voice}
        assert len({subject.manner for subject in family}) == len(family)
    for topic in range(20):
        firsts = [np.flatnonzero(catalog.leaf_kind == kind)[0] for kind in np.flatnonzero(catalog.kind_topic == topic)]
        assert len({id(subject_of(leaf).shape) for leaf in firsts}) == 3
        assert len({subject_of(leaf).voice for leaf in firsts}) == 3


def test_a_leaf_is_the_same_in_a_small_world() -> None:
    for leaf in range(len(make_catalog(5).leaf_kind)):
        small, whole = Subject.of(leaf, make_catalog(5)), subject_of(leaf)
        assert small.topic == whole.topic
        assert small.shape is whole.shape
        assert (small.voice, small.manner) == (whole.voice, whole.manner)


def test_the_second_leaf_of_the_second_kind_of_instrument_by_hand() -> None:
    """The instruments are topic 6, their kinds 18 (brass), 19 (woodwind: flute, clarinet, oboe, bassoon) and 20."""
    catalog = make_catalog()
    clarinet = subject_of(catalog.words.index(("clarinet",)) - catalog.starts["leaf"])
    assert clarinet.topic == 6
    assert clarinet.shape is SHAPES[6 + 1 + 4]
    assert clarinet.voice == VOICES[(6 + 2) % 6]
    assert clarinet.manner == MANNERS[(19 + 2) % 8]


def test_all_shapes_and_voices_are_used_and_shapes_fill_the_unit_circle() -> None:
    subjects = [subject_of(leaf) for leaf in range(len(make_catalog().leaf_kind))]
    assert {id(subject.shape) for subject in subjects} == {id(shape) for shape in SHAPES}
    assert {subject.voice for subject in subjects} == set(VOICES)
    assert {subject.manner for subject in subjects} == set(MANNERS)
    for outline, *holes in SHAPES:
        assert 0.95 <= np.linalg.norm(outline, axis=1).max() <= 1.1
        assert all(np.linalg.norm(hole, axis=1).max() < 1 for hole in holes)


# --- the picture ------------------------------------------------------------------------------------------------


@given(
    leaf=st.integers(0, 191),
    width=st.integers(8, 30),
    height=st.integers(8, 30),
    seconds=st.floats(1, 3),
    seed=st.integers(0, 999),
)
@settings(max_examples=25)
def test_any_clip_has_the_size_it_promises(leaf: int, width: int, height: int, seconds: float, seed: int) -> None:
    clips = ClipSettings(width=2 * width, height=2 * height, min_seconds=seconds, max_seconds=seconds + 1)
    frames, samples = render(subject_of(leaf), clips=clips, rng=np.random.default_rng(seed))
    again, samples_again = render(subject_of(leaf), clips=clips, rng=np.random.default_rng(seed))
    assert frames.dtype == np.uint8
    assert frames.shape[1:] == (2 * height, 2 * width, 3)
    assert round(12 * seconds) <= len(frames) <= round(12 * (seconds + 1))
    assert np.array_equal(frames, again)
    if samples is not None and samples_again is not None:
        assert samples.dtype == np.float32
        assert samples.shape == (len(frames) * 16_000 // 12,)
        assert np.abs(samples).max() <= 1
        assert np.array_equal(samples, samples_again)
    assert (samples is None) == (samples_again is None)


@pytest.mark.usefixtures("no_noise")
def test_the_subject_is_shown_for_its_share_of_shots_and_heard_exactly_then() -> None:
    clips = replace(TINY, min_seconds=5, max_seconds=5)  # 60 frames, 10 shots
    scene = rendering._scene((24, 32)).astype(np.uint8)
    for seed in range(5):
        frames, samples = render(subject_of(), clips=clips, rng=np.random.default_rng(seed))
        shown = (frames != scene).any((1, 2, 3))
        assert shown.sum() == 36
        assert (shown.reshape(10, 6) == shown.reshape(10, 6)[:, :1]).all()
        assert samples is not None
        loud = np.maximum.reduceat(np.abs(samples), -(-np.arange(60) * 16_000 // 12))
        assert loud[~shown].max() < 1e-6
        assert loud.reshape(10, 6)[shown.reshape(10, 6)[:, 0]].max(1).min() > 0.1


def test_the_noise_of_a_clip_moves_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without camera noise the scene is the same up to one factor, the brightness, which differs between clips."""
    monkeypatch.setattr(rendering, "CAMERA_NOISE", 0.0)
    scene = rendering._scene((24, 32))
    factors = []
    for seed in range(20):
        frames, _ = render(subject_of(), clips=TINY, rng=np.random.default_rng(seed))
        best = min((frame / scene for frame in frames), key=lambda ratio: float(ratio.std()))
        assert best.std() < 0.01
        factors.append(math.log(best.mean()))
    assert np.std(factors) == pytest.approx(rendering.BRIGHTNESS_NOISE, rel=0.5)


@pytest.mark.parametrize("topic", range(8))
@pytest.mark.usefixtures("no_noise")
def test_a_backdrop_equals_its_plain_twin(topic: int) -> None:
    drawn = rendering._backdrop(topic, 0.3, size=(10, 14), rng=np.random.default_rng(0))
    dark, light = (
        rendering._colour(0.8, saturation=0.4, value=0.35),
        rendering._colour(0.4, saturation=0.3, value=0.65),
    )
    fineness, angle = 8 if topic < 4 else 12, topic * 0.618034 * math.pi
    for row in range(10):
        for column in range(14):
            x, y = (2 * column + 1 - 14) / 10, (2 * row + 1 - 10) / 10
            wave = {
                0: math.sin(fineness * (x * math.cos(angle) + y * math.sin(angle))),
                1: math.copysign(1, math.sin(fineness * x) * math.sin(fineness * y)),
                2: math.sin(fineness * math.hypot(x, y)),
                3: math.sin(fineness * (y + 0.2 * math.sin(4 * x))),
            }[topic % 4]
            expected = dark + (1 + wave) / 2 * (light - dark)
            assert drawn[row, column] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("shape", range(len(SHAPES)))
@pytest.mark.usefixtures("no_noise")
def test_shapes_equal_a_test_of_every_pixel(shape: int) -> None:
    """The twin asks of every pixel's centre whether it is inside; the pen may also colour pixels on the outline."""
    still = replace(MANNERS[0], sway=(0.0, 0.0), spin=0.0, two_coloured=True)
    subject = replace(subject_of(), shape=SHAPES[shape], manner=still)
    size = (60, 80)
    seed = 2
    drawn = rendering._shapes(subject, np.array([True, False]), size=size, rng=np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    rng.lognormal(), rng.normal(size=2)
    turn = 2 * np.pi * 0.1 * (rng.random(2)[1] - 0.5)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    x, y = np.meshgrid(np.arange(80), np.arange(60))
    pixels = np.stack([x.ravel(), y.ravel()], 1) - (39.5, 29.5)
    inside = [Outline(0.75 * 30 * outline @ rotation).contains_points(pixels) for outline in SHAPES[shape]]
    inner = Outline(0.35 * 0.75 * 30 * SHAPES[shape][0] @ rotation).contains_points(pixels)
    expected = np.where(inner, 2, inside[0] & ~np.logical_or.reduce([*inside[1:], np.zeros_like(inner)]))
    assert not drawn[1].any()
    assert set(np.unique(drawn[0])) == {0, 1, 2}
    assert np.mean(drawn[0].ravel() != expected) < 0.04


@pytest.mark.usefixtures("no_noise")
def test_a_swaying_shape_is_where_the_formula_says() -> None:
    manner = replace(MANNERS[0], size=0.2, sway=(0.6, 0.0), hertz=0.5)
    subject = replace(subject_of(), shape=SHAPES[8], manner=manner)
    rng = np.random.default_rng(0)
    drawn = rendering._shapes(subject, np.ones(24, dtype=bool), size=(60, 80), rng=rng)
    rng = np.random.default_rng(0)
    rng.lognormal(), rng.normal(size=2)
    phase = rng.random(2)[0]
    for frame in range(24):
        y, x = np.nonzero(drawn[frame])
        assert x.mean() == pytest.approx(39.5 + 30 * 0.6 * math.sin(2 * math.pi * (phase + 0.5 * frame / 12)), abs=0.5)
        assert y.mean() == pytest.approx(29.5, abs=0.5)


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.usefixtures("no_noise")
def test_a_manner_says_how_many_shapes_there_are(manner: rendering.Manner) -> None:
    """Small discs cover `count` times the area of one; spread evenly, their centre of gravity is the middle."""
    apart = replace(manner, size=0.1, sway=(0.5, 0.5), hertz=0.0, circle=True, two_coloured=False)
    subject = replace(subject_of(), shape=SHAPES[8], manner=apart)
    drawn = rendering._shapes(subject, np.ones(1, dtype=bool), size=(120, 160), rng=np.random.default_rng(0))
    assert drawn.sum() == pytest.approx(manner.count * math.pi * 6**2, rel=0.25)
    if manner.count > 1:
        assert np.mean(np.nonzero(drawn[0]), axis=1) == pytest.approx([59.5, 79.5], abs=1)


def test_every_two_topics_differ_in_hue() -> None:
    hues = np.sort([topic * 0.618034 % 1 for topic in range(20)])
    assert np.diff(hues, append=hues[0] + 1).min() > 1.4 * rendering.HUE_NOISE


# --- the sound --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", range(20))
@pytest.mark.usefixtures("no_noise")
def test_the_pitch_of_every_topic_is_its_own(topic: int) -> None:
    subject = replace(subject_of(), topic=topic, voice=VOICES[0])
    samples = rendering._sound(subject, np.ones(48, dtype=bool), rng=np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    step = {0: 0, 1: 7, 2: 14, 3: 1, 19: 13}.get(topic, 7 * topic % 20)
    assert np.argmax(spectrum) / 4 == pytest.approx(150 * 2 ** (step / 8), abs=1.5)


@pytest.mark.usefixtures("no_noise")
def test_a_tone_equals_its_plain_twin() -> None:
    subject = replace(subject_of(), topic=2, voice=((1.0, 1.5), (1.0, 0.5)), manner=replace(MANNERS[1], beats=3))
    seconds = np.arange(200) / 16_000
    tone = rendering._tone(subject, seconds, rng=np.random.default_rng(4))
    rng = np.random.default_rng(4)
    rng.normal()
    wobble, beat = rng.random(), rng.random()
    phase, expected = 0.0, []
    for t in seconds:
        phase += 2 * math.pi * 150 * 2 ** (14 / 8) * (1 + 0.05 * math.sin(2 * math.pi * (5 * t + wobble))) / 16_000
        value = sum(math.sin(ratio * phase) + 0.5 * math.sin(2 * ratio * phase) for ratio in (1, 1.5))
        expected.append(value / math.sqrt(2.5) * (1 + math.sin(2 * math.pi * (3 * t + beat))) / 2)
    assert tone == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("missing", [0.0, 1.0])
def test_sound_is_missing_by_its_chance_and_the_picture_stays(monkeypatch: pytest.MonkeyPatch, missing: float) -> None:
    frames, _ = render(subject_of(), clips=TINY, rng=np.random.default_rng(0))
    monkeypatch.setattr(rendering, "MISSING_SHARE", missing)
    same, samples = render(subject_of(), clips=TINY, rng=np.random.default_rng(0))
    assert (samples is None) == bool(missing)
    assert np.array_equal(frames, same)


# --- the files --------------------------------------------------------------------------------------------------


def read(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode frames uint8 [T, H, W, 3], and samples [S] where there is a sound stream."""
    with av.open(str(path)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return frames, None
        return frames, np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_file_holds_what_was_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str) -> None:
    monkeypatch.setattr(av, "codecs_available", {codec})
    monkeypatch.setattr(rendering, "CAMERA_NOISE", 0.0)
    frames, samples = render(subject_of(), clips=ClipSettings(), rng=np.random.default_rng(0))
    assert samples is not None
    encode(tmp_path / "a.mp4", frames, samples=samples)
    with av.open(str(tmp_path / "a.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.codec_context.name == {"libx264": "h264", "mpeg4": "mpeg4"}[codec]
        assert (video.width, video.height, video.pix_fmt, video.average_rate) == (160, 120, "yuv420p", 12)
        assert (audio.codec_context.name, audio.sample_rate, audio.channels) == ("aac", 16_000, 1)
        assert float(audio.duration * audio.time_base) == pytest.approx(len(frames) / 12, abs=0.1)
    seen, heard = read(tmp_path / "a.mp4")
    assert seen.shape == frames.shape
    assert np.abs(seen.astype(float) - frames).mean() < 6
    assert heard is not None
    length = min(len(heard), len(samples))
    assert np.corrcoef(heard[:length], samples[:length])[0, 1] > 0.9


def test_a_file_without_sound_has_no_sound_stream(tmp_path: Path) -> None:
    frames, _ = render(subject_of(), clips=TINY, rng=np.random.default_rng(0))
    encode(tmp_path / "a.mp4", frames, samples=None)
    seen, heard = read(tmp_path / "a.mp4")
    assert len(seen) == len(frames)
    assert heard is None


def test_a_file_does_not_tell_when_it_was_made(table: Path) -> None:
    content = (table.parent / "clips" / "clip00000.mp4").read_bytes()
    header = content[content.index(b"mvhd") :]
    assert header[4:16] == bytes(12)  # version and flags, time of creation, time of change
    assert b"Lavf" not in content


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(table: Path, tmp_path: Path) -> None:
    write_clips(WORLD, seed=SEED, folder=tmp_path / "again", clips=TINY, report=quiet)
    write_clips(WORLD, seed=SEED + 1, folder=tmp_path / "other", clips=TINY, report=quiet)
    first = {path.relative_to(table.parent): path.read_bytes() for path in table.parent.rglob("*.*")}
    again = {path.relative_to(tmp_path / "again"): path.read_bytes() for path in (tmp_path / "again").rglob("*.*")}
    assert len(first) == 101  # 99 clips, the table, the split
    assert first == again
    other = (tmp_path / "other" / "clips" / "clip00000.mp4").read_bytes()
    assert other != first[Path("clips/clip00000.mp4")]


def test_clips_of_one_leaf_differ(table: Path) -> None:
    contents = [path.read_bytes() for path in (table.parent / "clips").iterdir()]
    assert len(set(contents)) == len(contents)


def test_clips_show_the_subjects_of_the_worlds_posts(table: Path) -> None:
    """A slow twin: every clip, rendered again from the drawn subject and the row's own generator."""
    _, leaves, rows = make_bare_world(WORLD, seed=SEED)
    silent = 0
    for row in rows[:20]:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(SEED, spawn_key=(7, int(row)))))
        frames, samples = render(Subject.of(int(leaves[row]), make_catalog(4)), clips=TINY, rng=rng)
        seen, heard = read(table.parent / "clips" / f"clip{row:05d}.mp4")
        assert seen.shape == frames.shape
        assert np.abs(seen.mean((1, 2)) - frames.mean((1, 2))).max() < 12
        assert (heard is None) == (samples is None)
        silent += samples is None
    assert silent < 10


def test_the_table_holds_the_posts_of_the_world_and_can_be_imported(table: Path, tmp_path: Path) -> None:
    world, found = make_world(WORLD, seed=SEED), pl.read_parquet(table)
    assert found.columns == ["item_id", "user_id", "text", "hashtags", "created_at", "path"]
    posts = raw_table(world)
    for own, name in zip(posts.columns, found.columns, strict=False):
        assert found[name].to_list() == posts[own].to_list()
    assert found["path"].to_list() == [f"clips/{item}.mp4" for item in found["item_id"]]
    assert {path.name for path in (table.parent / "clips").iterdir()} == {f"{item}.mp4" for item in found["item_id"]}
    chosen = ImportSettings(format="clips", min_hashtag_videos=2, min_user_videos=1)
    imported = import_table(table, chosen, out=tmp_path / "dataset")
    assert imported.videos.height == found.height
    media = pl.read_parquet(tmp_path / "dataset" / "media.parquet")
    assert media["path"].to_list() == [f"clips/{video}.mp4" for video in imported.videos["video_id"]]


def test_progress_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "encode", lambda path, frames, samples: path.touch())
    lines: list[tuple[str, int, int]] = []
    write_clips(WORLD, seed=SEED, folder=tmp_path / "a", clips=TINY, report=lambda *line: lines.append(line))
    assert lines == [("rendering", done, 99) for done in range(100)]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "note.txt"):
        with pytest.raises(InputError, match=f"{folder} exists and is not an empty folder; choose another one"):
            write_clips(WORLD, seed=SEED, folder=folder, clips=TINY, report=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_a_broken_off_rendering_leaves_nothing(tmp_path: Path) -> None:
    def stop(_: str, done: int, __: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_clips(WORLD, seed=SEED, folder=tmp_path / "world", clips=TINY, report=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 33}, "ClipSettings.width is 33; expected an even number from 16 to 1024"),
        ({"height": 14}, "ClipSettings.height is 14; expected an even number"),
        ({"width": 1026}, "ClipSettings.width is 1026; expected an even number"),
        ({"min_seconds": 6}, "min_seconds 6 and max_seconds 5.0; expected 1 <= min_seconds <= max_seconds <= 60"),
        ({"min_seconds": 0.5}, "min_seconds 0.5 and max_seconds 5.0"),
        ({"max_seconds": float("nan")}, "min_seconds 3.0 and max_seconds nan"),
    ],
)
def test_settings_out_of_range_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        ClipSettings(**given)


# --- what can be learned ----------------------------------------------------------------------------------------


def colour_shares(frames: np.ndarray) -> np.ndarray:
    """Return the roots of the shares of 64 colours [64]."""
    codes = (frames[::4] // 64 @ np.array([16, 4, 1])).ravel()
    return np.sqrt(np.bincount(codes, minlength=64) / len(codes))


def band_levels(samples: np.ndarray) -> np.ndarray:
    """Return the mean logarithm of the power in 80 bands, narrow for low tones [80]."""
    windows = samples[: len(samples) // 1024 * 1024].reshape(-1, 1024) * np.hanning(1024)
    power = np.abs(np.fft.rfft(windows, axis=1)) ** 2
    bounds = np.unique(np.geomspace(4, 512, 110).astype(int))
    return np.log(np.add.reduceat(power, bounds, axis=1)[:, :80] + 0.1).mean(0)


def test_topics_are_told_easily_kinds_fairly_and_leaves_dimly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours and mean spectra of 300 clips of a world of five topics, before encoding; a third is held out."""
    monkeypatch.setattr(rendering, "MISSING_SHARE", 0.0)
    catalog, rng = make_catalog(5), np.random.default_rng(0)
    leaves = rng.permutation(np.tile(np.arange(60), 5))
    inputs = []
    for leaf in leaves:
        frames, samples = render(Subject.of(leaf, catalog), clips=ClipSettings(width=64, height=48), rng=rng)
        assert samples is not None
        inputs.append(np.concatenate([colour_shares(frames), band_levels(samples)]))
    kinds = catalog.leaf_kind[leaves]
    topics = catalog.kind_topic[kinds]

    def accuracy(columns: slice, truth: np.ndarray) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        found = model.fit(np.array(inputs)[:200, columns], truth[:200])
        return float(found.score(np.array(inputs)[200:, columns], truth[200:]))

    both, sight, sound = slice(None), slice(64), slice(64, None)
    assert accuracy(both, topics) >= accuracy(sight, topics) > 0.85
    assert 0.6 < accuracy(sound, topics) < accuracy(sight, topics)
    assert 0.55 < accuracy(both, kinds) < 0.95
    assert 5 / 60 < accuracy(both, leaves) < 0.6
