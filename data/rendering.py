"""A made-up world as real clips: MP4 files whose picture and sound follow each post's subject.

What a clip shows is settled by its subject, a leaf of `TOPICS`:

    topic   the hue of the shapes, the texture and colours behind them; the pitch of the sound
    kind    the shape; the chord and its harmonics
    leaf    number, size, motion and second colour of the shapes; rhythm and vibrato of the sound

Shots that show the subject take `SUBJECT_STEP_SHARE` of the time; the others show a scene, and let a hum be heard,
that are the same in all clips. Each clip draws its own hue, brightness, sizes, places, detuning, loudness and noise, so
that topics are told easily, kinds fairly and leaves dimly. `MISSING_SHARE` of the clips have no sound.

Letters: T frames, H height, W width in pixels, S samples of sound. Colours are red, green, blue in [0, 255].
Coordinates are in units of half the height, from the centre to the right and down.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.stream import VideoStream
from PIL import Image, ImageDraw

from data.files import InputError, new_folder
from data.progress import Report
from data.synthetic import WorldSettings, make_bare_world, raw_table
from data.synthetic_content import MISSING_SHARE, SUBJECT_STEP_SHARE
from data.synthetic_posts import Catalog, make_catalog

TABLE = "posts.parquet"
SPLIT_TABLE = "split.parquet"
FRAMES_PER_SECOND = 12
SAMPLE_RATE = 16_000  # hertz
VIDEO_OPTIONS = {"libx264": {"preset": "superfast", "crf": "30"}, "mpeg4": {"qscale": "5"}}
AUDIO_OPTIONS = {"b": "48000", "aac_coder": "fast"}
SHOT_FRAMES = 6  # the picture changes between subject and scene at most every so many frames

HUE_NOISE = 0.02  # standard deviations over clips, in turns of the colour wheel
BRIGHTNESS_NOISE = 0.15  # of the logarithm
SIZE_NOISE = 0.15  # of the logarithm
PLACE_NOISE = 0.15  # half heights
CAMERA_NOISE = 9.0  # per pixel and frame, of 255
DETUNING = 0.8 / 12  # octaves
TIMBRE_NOISE = 1.0  # of the logarithm, of each partial's amplitude
LOUDNESS_NOISE = 0.3  # of the logarithm

LOWEST_PITCH = 150.0  # hertz
PITCH_STEP = 1 / 8  # octaves between two neighbouring pitches
TONE, HUM, HISS = 0.2, 0.05, 0.12  # amplitudes; full scale is 1
HUM_PITCH = 100.0  # hertz


@dataclass(frozen=True, kw_only=True)
class ClipSettings:
    """The size of rendered clips."""

    width: int = 160  # pixels, even
    height: int = 120  # pixels, even
    min_seconds: float = 3.0
    max_seconds: float = 5.0

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            pixels = getattr(self, name)
            if pixels % 2 or not 16 <= pixels <= 1024:
                raise InputError(f"ClipSettings.{name} is {pixels}; expected an even number from 16 to 1024")
        if not 1 <= self.min_seconds <= self.max_seconds <= 60:
            found = f"min_seconds {self.min_seconds} and max_seconds {self.max_seconds}"
            raise InputError(f"ClipSettings has {found}; expected 1 <= min_seconds <= max_seconds <= 60")


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How the shapes of a leaf look and move, and the rhythm of its sound."""

    count: int
    size: float  # half heights
    sway: tuple[float, float]  # half heights to the right and down
    hertz: float  # of the sway
    circle: bool = False  # the two sways are a quarter turn apart
    spin: float = 0.0  # turns per second
    two_coloured: bool = False
    beats: float  # of the sound, hertz
    vibrato: float = 0.0  # of the pitch, as a share of it


MANNERS = (
    Manner(count=1, size=0.75, sway=(0.1, 0.1), hertz=0.3, spin=0.1, beats=1),
    Manner(count=1, size=0.5, sway=(0.7, 0.0), hertz=0.5, beats=2, vibrato=0.05),
    Manner(count=3, size=0.3, sway=(0.7, 0.4), hertz=0.4, circle=True, beats=6),
    Manner(count=2, size=0.4, sway=(0.5, 0.5), hertz=0.8, spin=0.5, two_coloured=True, beats=4),
    Manner(count=1, size=0.65, sway=(0.0, 0.4), hertz=0.9, two_coloured=True, beats=3, vibrato=0.1),
    Manner(count=4, size=0.25, sway=(0.8, 0.5), hertz=0.25, circle=True, spin=0.8, beats=8, vibrato=0.05),
    Manner(count=2, size=0.45, sway=(0.9, 0.1), hertz=0.3, spin=-0.3, beats=1.5, vibrato=0.1),
    Manner(count=1, size=0.55, sway=(0.4, 0.4), hertz=0.7, circle=True, spin=1.2, two_coloured=True, beats=5),
)

VOICES = (  # ratios of the chord's notes; amplitudes of the harmonics 1, 2, 3, ...
    ((1.0,), (1.0,)),
    ((1.0, 5 / 4, 3 / 2), (1.0, 0.5, 0.25)),
    ((1.0,), (1.0, 0.0, 0.6, 0.0, 0.4)),
    ((1.0, 3 / 2), (1.0, 0.2)),
    ((1.0, 6 / 5), (1.0, 0.8, 0.6, 0.4)),
    ((1.0, 4 / 3, 5 / 3), (1.0,)),
)


def _round(*radii: float, corners: int) -> np.ndarray:
    """Return an outline [V, 2] whose corners lie at the given distances, in turn."""
    turns = np.arange(corners) / corners * 2 * np.pi
    return np.resize(radii, corners)[:, None] * np.stack([np.sin(turns), -np.cos(turns)], 1)


def _flower(petals: int) -> np.ndarray:
    """Return the outline [V, 2] of a flower."""
    return _round(*(0.7 + 0.3 * np.cos(np.arange(12) / 12 * 2 * np.pi)), corners=12 * petals)


_CROSS = np.array([[a, b] for a, b in ((-1, -0.3), (-0.3, -0.3), (-0.3, -1))])
_QUARTER_TURN = np.array([[0, 1], [-1, 0]])
SHAPES: tuple[tuple[np.ndarray, ...], ...] = (  # outlines [V, 2] within the unit circle; the second one is a hole
    (_round(1.0, corners=3),),
    (_round(1.0, corners=32), _round(0.6, corners=32)),
    (np.array([[-1, -0.22], [1, -0.22], [1, 0.22], [-1, 0.22]]),),
    (_round(1.0, corners=4),),
    (_round(1.0, 0.4, corners=10),),
    (np.concatenate([_CROSS @ np.linalg.matrix_power(_QUARTER_TURN, turn) for turn in range(4)]),),
    (_flower(4),),
    (_round(1.0, corners=6), _round(0.65, corners=6)),
    (_round(1.0, corners=32),),
    (_round(1.0, 0.25, corners=8),),
    (_round(1.0, corners=3), _round(0.5, corners=3)),
    (np.concatenate([_round(1.0, corners=32)[:17], _round(0.4, corners=32)[16::-1]]),),
)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a leaf of the catalog looks and sounds like; the same leaf has the same in every world."""

    topic: int
    shape: tuple[np.ndarray, ...]
    voice: tuple[tuple[float, ...], tuple[float, ...]]
    manner: Manner

    @staticmethod
    def of(leaf: int, catalog: Catalog) -> Subject:
        kind = int(catalog.leaf_kind[leaf])
        topic = int(catalog.kind_topic[kind])
        place_in_topic = kind - int(np.searchsorted(catalog.kind_topic, topic))
        place_in_kind = leaf - int(np.searchsorted(catalog.leaf_kind, kind))
        return Subject(
            topic=topic,
            shape=SHAPES[(topic + topic // 4 + 4 * place_in_topic) % len(SHAPES)],
            voice=VOICES[(topic + 2 * place_in_topic) % len(VOICES)],
            manner=MANNERS[(kind + 2 * place_in_kind) % len(MANNERS)],
        )


def write_clips(settings: WorldSettings, *, seed: int, folder: Path, clips: ClipSettings, report: Report) -> Path:
    """Write the posts of the world of `seed` as clips (`folder`/clips/ID.mp4) with a table; return the table's path.

    The table, `folder`/posts.parquet, can be imported with format clips: item_id, user_id, text, hashtags (a list),
    created_at, path (relative to the table). Beside it, `folder`/split.parquet holds the world's own split (video_id,
    split), a file for `v2ht import --split`. The same seed and library versions give the same bytes. `report` is called
    with a word, clips done and all clips. Raises `InputError` when `folder` exists and is not empty, or on a full disk.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not an empty folder; choose another one")
    world, leaves, rows = make_bare_world(settings, seed=seed)
    catalog = make_catalog(settings.num_topics)
    table = raw_table(world).rename({"id": "item_id", "user": "user_id", "time": "created_at"})
    table = table.with_columns(path="clips/" + table["item_id"] + ".mp4")
    with new_folder(folder, overwrite=True) as temporary:
        (temporary / "clips").mkdir()
        for done, (path, row) in enumerate(zip(table["path"], rows.tolist(), strict=True)):
            report("rendering", done, table.height)
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7, row)))  # the world takes 0 to 6
            frames, samples = render(Subject.of(int(leaves[row]), catalog), clips=clips, rng=rng)
            encode(temporary / path, frames, samples=samples)
        table.write_parquet(temporary / TABLE, compression="zstd")
        world.videos.select("video_id", "split").write_parquet(temporary / SPLIT_TABLE, compression="zstd")
    report("rendering", table.height, table.height)
    return folder / TABLE


def render(subject: Subject, *, clips: ClipSettings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw one clip: frames uint8 [T, H, W, 3] and samples float32 [S] in [-1, 1], or None for no sound."""
    silent = rng.random() < MISSING_SHARE
    bounds = np.round(np.array([clips.min_seconds, clips.max_seconds]) * FRAMES_PER_SECOND).astype(int)
    num_frames = int(rng.integers(bounds[0], bounds[1] + 1))
    shots = rng.permutation(-(-num_frames // SHOT_FRAMES))
    shown = np.repeat(shots < round(SUBJECT_STEP_SHARE * len(shots)), SHOT_FRAMES)[:num_frames]
    frames = _picture(subject, shown, clips=clips, rng=rng)
    return frames, None if silent else _sound(subject, shown, rng=rng)


def _picture(subject: Subject, shown: np.ndarray, *, clips: ClipSettings, rng: np.random.Generator) -> np.ndarray:
    """Draw the frames uint8 [T, H, W, 3]; those marked in `shown` bool [T] show the subject, the others the scene."""
    size = (clips.height, clips.width)
    hue = subject.topic * 0.618034 + rng.normal(scale=HUE_NOISE)  # the golden ratio spreads hues however many there are
    frames = np.empty((len(shown), *size, 3), np.float32)
    frames[~shown] = _scene(size)
    frames[shown] = _backdrop(subject.topic, hue, size=size, rng=rng)
    shapes = _shapes(subject, shown, size=size, rng=rng)
    frames[shapes == 1] = _colour(hue, saturation=0.85, value=0.95)
    frames[shapes == 2] = _colour(hue + 0.5, saturation=0.6, value=0.9)
    frames *= np.float32(rng.lognormal(sigma=BRIGHTNESS_NOISE))
    frames += CAMERA_NOISE * rng.standard_normal(frames.shape[:3], dtype=np.float32)[..., None]
    return np.clip(frames, 0, 255, out=frames).astype(np.uint8)


def _colour(hue: float, *, saturation: float, value: float) -> np.ndarray:
    """Return the colour [3] of a hue in turns of the colour wheel, and a saturation and value in [0, 1]."""
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


def _grid(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of the pixels, x [1, W] and y [H, 1]."""
    height, width = size
    x, y = (2 * np.arange(n, dtype=np.float32) + 1 - n for n in (width, height))
    return x[None] / height, y[:, None] / height


def _scene(size: tuple[int, int]) -> np.ndarray:
    """Draw what all clips show beside their subject [H, W, 3]: a grey wall over a brown floor."""
    _, y = _grid(size)
    wall = np.array([150, 155, 165], np.float32) - 25 * y[..., None]
    floor = np.array([120, 95, 75], np.float32) + 35 * (y[..., None] - 0.4)
    return np.broadcast_to(np.where(y[..., None] < 0.4, wall, floor), (*size, 3))


def _backdrop(topic: int, hue: float, *, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw the texture behind the shapes [H, W, 3]: bands, checks, rings or waves in two tones."""
    x, y = _grid(size)
    x, y = (axis + np.float32(rng.normal(scale=PLACE_NOISE)) for axis in (x, y))
    fineness, angle = 8 + 4 * (topic // 4), topic * 0.618034 * np.pi
    waves = (
        np.sin(fineness * (x * np.cos(angle) + y * np.sin(angle))),
        np.sign(np.sin(fineness * x) * np.sin(fineness * y)),
        np.sin(fineness * np.hypot(x, y)),
        np.sin(fineness * (y + 0.2 * np.sin(4 * x))),
    )
    blend = (0.5 + 0.5 * waves[topic % len(waves)]).astype(np.float32)[..., None]
    dark, light = _colour(hue + 0.5, saturation=0.4, value=0.35), _colour(hue + 0.1, saturation=0.3, value=0.65)
    return dark + blend * (light - dark)


def _shapes(subject: Subject, shown: np.ndarray, *, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw where the shapes are, uint8 [T, H, W]: 0 nowhere, 1 in their colour, 2 in their second colour."""
    manner, scale = subject.manner, size[0] / 2
    radius = manner.size * rng.lognormal(sigma=SIZE_NOISE)
    centre = rng.normal(scale=PLACE_NOISE, size=2)
    phase, tilt = rng.random(2)
    drawn = np.zeros((len(shown), *size), np.uint8)
    for frame in np.flatnonzero(shown).tolist():
        seconds = frame / FRAMES_PER_SECOND
        canvas = Image.new("L", size[::-1])
        pen = ImageDraw.Draw(canvas)
        turn = 2 * np.pi * (0.1 * (tilt - 0.5) + manner.spin * seconds)
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        for copy in range(manner.count):
            angle = 2 * np.pi * (phase + manner.hertz * seconds + copy / manner.count)
            sway = np.sin([angle, angle + np.pi / 2 * manner.circle]) * manner.sway
            place = scale * (centre + sway) + np.array(size[::-1]) / 2
            for outline, fill in zip(subject.shape, (1, 0), strict=False):
                pen.polygon(_pixels(scale * radius * outline @ rotation + place), fill=fill)
            if manner.two_coloured:
                pen.polygon(_pixels(0.35 * scale * radius * subject.shape[0] @ rotation + place), fill=2)
        drawn[frame] = np.asarray(canvas)
    return drawn


def _pixels(outline: np.ndarray) -> list[float]:
    """Return the corners [V, 2] as Pillow takes them: x, y, x, y, ..."""
    return outline.ravel().tolist()


def _sound(subject: Subject, shown: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Play the sound float32 [S], in [-1, 1]: the subject's tone while it is shown, over a hum and a hiss."""
    seconds = np.arange(len(shown) * SAMPLE_RATE // FRAMES_PER_SECOND) / SAMPLE_RATE
    heard = shown[np.arange(len(seconds)) * FRAMES_PER_SECOND // SAMPLE_RATE]
    tone = _tone(subject, seconds, rng=rng) * heard * rng.lognormal(sigma=LOUDNESS_NOISE)
    hum = HUM * np.sin(2 * np.pi * HUM_PITCH * seconds)
    hiss = HISS * rng.standard_normal(len(seconds), dtype=np.float32)
    return np.clip(TONE * tone + hum + hiss, -1, 1).astype(np.float32)


def _tone(subject: Subject, seconds: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Return the subject's chord [S] in its rhythm, of mean square 1/2 while it is loudest."""
    manner, (notes, harmonics) = subject.manner, subject.voice
    octaves = (7 * subject.topic % 20) * PITCH_STEP + rng.normal(scale=DETUNING)  # neighbours are far apart in pitch
    wobble, beat = (2 * np.pi * (hertz * seconds + rng.random()) for hertz in (5.0, manner.beats))
    pitch = LOWEST_PITCH * 2**octaves * (1 + manner.vibrato * np.sin(wobble))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    ratios = np.outer(notes, np.arange(1, len(harmonics) + 1)).ravel()
    amplitudes = np.tile(harmonics, len(notes)) * rng.lognormal(sigma=TIMBRE_NOISE, size=len(ratios))
    chord = np.zeros(len(seconds), np.float32)
    for ratio, amplitude in zip(ratios, amplitudes, strict=True):
        chord += amplitude * np.sin((ratio * phase).astype(np.float32))
    return chord / np.sqrt(np.square(amplitudes).sum()) * (0.5 + 0.5 * np.sin(beat))


def encode(path: Path, frames: np.ndarray, *, samples: np.ndarray | None) -> None:
    """Write frames uint8 [T, H, W, 3], and samples float32 [S] unless they are None, as an MP4 file.

    H.264 where the installed PyAV can write it, else MPEG-4 part 2; AAC. Nothing in the file tells when it was made.
    """
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        video = _video_stream(container, height=frames.shape[1], width=frames.shape[2])
        audio = None
        if samples is not None:
            audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono", options=AUDIO_OPTIONS)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None and samples is not None:
            audio.codec_context.flags |= Flags.bitexact
            sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
            container.mux([*audio.encode(sound), *audio.encode(None)])


def _video_stream(container: OutputContainer, *, height: int, width: int) -> VideoStream:
    """Add a picture stream to a container that is being written."""
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    video = cast(VideoStream, container.add_stream(codec, rate=FRAMES_PER_SECOND, options=VIDEO_OPTIONS[codec]))
    video.height, video.width, video.pix_fmt = height, width, "yuv420p"
    video.codec_context.thread_count = 1  # several threads may cut the picture differently each time
    video.codec_context.flags |= Flags.bitexact
    return video
