"""Frames and sound of a clip, decoded with PyAV (no ffmpeg binary, no torch).

Which frames. The F frames of a clip start at t_1 < ... < t_F, counted from the first one (t_1 = 0). Its duration is
D = t_F * F / (F - 1), so the last frame is shown for the mean time between frames; D = 0 if F = 1. What headers claim
is not used. N uniform targets are (i + 1/2) D / N for i < N; at a rate r they are (i + 1/2) / r, as many as are below D
and at least one. A clip with no more frames than targets gives every frame once. Otherwise each target gives the last
frame that starts at or before it; none is given twice, so one that stays on for long can make them fewer.

`sample_frames` decodes a part of the clip (data/features/partial.py) and returns what `plain_frames`, which decodes all
of it, returns: the same times and the same bytes. Where the file is not as its packets announce it, it calls that one.
Only in damaged files can they differ: damage in a part that is never decoded stays unseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf, isfinite
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from data.features.media import (
    CAUSES,
    LIMITS,
    ClipError,
    Limits,
    decode,
    open_media,
    packets,
    picture_stream,
    sound_stream,
)
from data.features.partial import Packets, Surprise, decode_chosen, list_packets
from data.features.pictures import pixel_aspect, square
from data.files import InputError

__all__ = [
    "CAUSES",
    "GGM_FRAMES",
    "UHMAN_FRAMES",
    "V2HT_FRAMES",
    "ClipError",
    "Frames",
    "Limits",
    "Sampling",
    "decode_sound",
    "plain_frames",
    "sample_frames",
]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which frames to take: `per_second` a second of a clip of at most `up_to_seconds`, else `frames` uniform ones."""

    frames: int
    per_second: float | None = None
    up_to_seconds: float = inf

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise InputError(f"frames is {self.frames}; give 1 or more")
        if self.per_second is not None and not (isfinite(self.per_second) and self.per_second > 0):
            raise InputError(f"per_second is {self.per_second}; give a positive number, or None for uniform frames")
        if not self.up_to_seconds > 0:
            raise InputError(f"up_to_seconds is {self.up_to_seconds}; give a positive number")

    def targets(self, duration: float) -> np.ndarray:
        """Return the times, float64 seconds from the first frame, at which frames of such a clip are wanted."""
        if self.per_second is not None and duration <= self.up_to_seconds:
            count = max(1, ceil(duration * self.per_second - 0.5))
            return (np.arange(count) + 0.5) / self.per_second
        return (np.arange(self.frames) + 0.5) * duration / self.frames


V2HT_FRAMES = Sampling(frames=40)
UHMAN_FRAMES = Sampling(frames=60, per_second=5, up_to_seconds=12)
GGM_FRAMES = Sampling(frames=15, per_second=2, up_to_seconds=7)
HELD_BYTES = 64 << 20  # packets of a file up to this size stay in memory until decoded; a larger one is opened again
MIX = {"rematrix_maxval": "1.0"}  # without it two equal channels become one that is 1.41 times as loud, and clips


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Frames of one clip: `images` uint8 [T, size, size, 3] RGB, `times` float64 [T] and `duration` in seconds."""

    images: np.ndarray
    times: np.ndarray
    duration: float


def sample_frames(path: Path, sampling: Sampling, *, size: int, limits: Limits = LIMITS) -> Frames:
    """Return the sampled frames of a clip as upright RGB squares, T >= 1 of them (how: top of this file).

    A cut-off or damaged file gives the frames that can still be decoded, sampled as if there were no others. Raises
    `ClipError` with every cause of `CAUSES`; `size` is in pixels.
    """
    path = Path(path)
    if size < 1:
        raise InputError(f"size is {size} pixels; give 1 or more")
    frames = _partial_frames(path, sampling, size=size, limits=limits)
    return frames or plain_frames(path, sampling, size=size, limits=limits)


def _partial_frames(path: Path, sampling: Sampling, *, size: int, limits: Limits) -> Frames | None:
    """Decode what is needed; None where the file has a surprise, so that the plain way must decide."""
    with open_media(path, limits) as container:
        stream = picture_stream(container, path, limits)
        held = list(packets(container, stream)) if path.stat().st_size <= HELD_BYTES else None
        source = packets(container, stream) if held is None else held
        listed = list_packets(source, codec=stream.codec_context.name)
        if listed is None:
            return None
        shown = np.flatnonzero(listed.shown_P)
        shown = shown[np.argsort(listed.ticks_P[shown])]
        times, duration = _clock(listed.ticks_P[shown] * float(stream.time_base), path, limits)
        rows = _choose(times, sampling.targets(duration))
        if held is not None:
            images = _chosen_squares(held, stream, listed=listed, chosen=shown[rows], size=size)
    if held is None:
        with open_media(path, limits) as container:
            stream = picture_stream(container, path, limits)
            images = _chosen_squares(packets(container, stream), stream, listed=listed, chosen=shown[rows], size=size)
    return None if images is None else Frames(images=images, times=times[rows], duration=duration)


def _chosen_squares(
    source: Iterable[Any], stream: Any, *, listed: Packets, chosen: np.ndarray, size: int
) -> np.ndarray | None:
    """Return the squares uint8 [T, size, size, 3] of the T packets `chosen`, in this order; None on a surprise."""
    try:
        pairs = decode_chosen(source, stream.codec_context, listed=listed, chosen=set(chosen.tolist()))
        return _squares(pairs, listed.ticks_P[chosen].tolist(), size=size, aspect=pixel_aspect(stream))
    except (Surprise, av.InvalidDataError):
        return None


def plain_frames(path: Path, sampling: Sampling, *, size: int, limits: Limits = LIMITS) -> Frames:
    """Return what `sample_frames` returns by decoding every frame, twice: for the times, then for the pictures."""
    path = Path(path)
    with open_media(path, limits) as container:
        stream = picture_stream(container, path, limits)
        starts = _starts([frame.pts for frame in decode(container, stream)], stream)
    if not len(starts):
        raise ClipError("no frame", f"{path} has a video stream, but no frame comes out of it; get the file again")
    order = np.argsort(starts, kind="stable")
    times, duration = _clock(starts[order], path, limits)
    rows = _choose(times, sampling.targets(duration))
    with open_media(path, limits) as container:
        stream = picture_stream(container, path, limits)
        pairs = enumerate(decode(container, stream))
        images = _squares(pairs, order[rows].tolist(), size=size, aspect=pixel_aspect(stream))
    return Frames(images=images, times=times[rows], duration=duration)


def _starts(ticks: list[int | None], stream: Any) -> np.ndarray:
    """Return when frames start, float64 seconds; without usable times, frame after frame at the stated rate."""
    known = [tick for tick in ticks if tick is not None]
    if len(set(known)) == len(ticks):
        return np.array(known, np.int64) * float(stream.time_base)
    rate = float(stream.average_rate or 0)
    return np.arange(len(ticks)) / (rate if 1 <= rate <= 1000 else 25.0)


def _clock(starts: np.ndarray, path: Path, limits: Limits) -> tuple[np.ndarray, float]:
    """Return (times counted from the first frame, duration) of frames in order; raises `ClipError` if too long."""
    times = starts - starts[0]
    if times[-1] > limits.seconds:
        length = f"{times[-1]:,.0f} seconds, over the limit of {limits.seconds:,.0f}"
        raise ClipError("too long", f"{path} lasts {length}; cut it")
    return times, float(times[-1] * len(times) / max(len(times) - 1, 1))


def _choose(times: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the rows of `times` to take: all if they are no more than the targets, else those on at a target."""
    if len(times) <= len(targets):
        return np.arange(len(times))
    return np.unique(np.searchsorted(times, targets, side="right") - 1)


def _squares(frames: Iterable[tuple[int, Any]], names: list[int], *, size: int, aspect: float) -> np.ndarray:
    """Return the squares uint8 [T, size, size, 3] of the T frames that are named, in the order of the names."""
    rows = {name: row for row, name in enumerate(names)}
    images, scaler = np.zeros((len(names), size, size, 3), np.uint8), VideoReformatter()
    for name, frame in frames:
        if name in rows:
            images[rows[name]] = square(frame, size, pixel_aspect=aspect, scaler=scaler)
    return images


def decode_sound(path: Path, *, sample_rate: int, limits: Limits = LIMITS) -> np.ndarray | None:
    """Return the sound of a clip or sound file: float32 mono [samples] in [-1, 1], None without a sound stream.

    Stereo is averaged; more channels are mixed by the library's weights, scaled so that loud ones cannot add up to more
    than 1. `sample_rate` is in hertz. It starts at the first sample, wherever the picture starts. A stream without a
    packet gives no samples. What cannot be decoded is left out. Raises `ClipError`.
    """
    path = Path(path)
    if sample_rate < 1:
        raise InputError(f"sample_rate is {sample_rate} hertz; give 1 or more")
    with open_media(path, limits) as container:
        stream = sound_stream(container, path, limits)
        if stream is None:
            return None
        parts, count = [np.zeros(0, np.float32)], 0
        for part in _resampled(decode(container, stream), sample_rate):
            parts.append(part)
            count += len(part)
            if count > limits.seconds * sample_rate:
                raise ClipError("too long", f"{path} has over {limits.seconds:,.0f} seconds of sound; cut it")
    sound = np.concatenate(parts)
    if not np.isfinite(sound).all():
        raise ClipError("damaged", f"{path} has sound samples that are no numbers; get the file again")
    return np.clip(sound, -1.0, 1.0)


def _resampled(frames: Iterable[Any], sample_rate: int) -> Iterable[np.ndarray]:
    """Yield float32 [samples] at `sample_rate`; where the stream changes its form, start a new resampler."""
    resampler, form = None, None
    for frame in frames:
        if resampler is None or form != (frame.format.name, frame.layout.name, frame.sample_rate):
            yield from _samples(resampler, None)
            resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate, options=MIX)
            form = (frame.format.name, frame.layout.name, frame.sample_rate)
        yield from _samples(resampler, frame)
    yield from _samples(resampler, None)


def _samples(resampler: Any | None, frame: Any | None) -> Iterable[np.ndarray]:
    parts = resampler.resample(frame) if resampler is not None else []
    return [part.to_ndarray().reshape(-1) for part in parts if part is not None]
