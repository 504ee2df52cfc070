"""Small odd clips, written with PyAV. Every frame carries its number, so that a test can read which frame it got."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from data.features.clip import Frames

BITS = 8
TICKS = 1000  # a second, in the times given to `write_clip`


def picture(number: int, width: int, height: int) -> np.ndarray:
    """Return uint8 [height, width, 3]: moving stripes, and in the middle the number as 2 x 4 black or white cells."""
    down, across = np.mgrid[0:height, 0:width]
    stripes = 100 + 50 * np.sin((across + 3 * number) / 5) + 30 * np.sin((down - 2 * number) / 7)
    image = np.repeat(stripes[:, :, None], 3, axis=2)
    side = min(width, height)
    top, left = (height - side) // 2, (width - side) // 2
    for bit in range(BITS):
        row, column = divmod(bit, 4)
        image[
            top + side * (row + 1) // 4 : top + side * (row + 2) // 4,
            left + side * column // 4 : left + side * (column + 1) // 4,
        ] = 255 * (number >> bit & 1)
    return image.clip(0, 255).astype(np.uint8)


def number_of(image: np.ndarray) -> int:
    """Read the number back from a square image."""
    size, number = len(image), 0
    for bit in range(BITS):
        row, column = divmod(bit, 4)
        cell = image[
            size * (2 * row + 3) // 8 - 1 : size * (2 * row + 3) // 8 + 1,
            size * (2 * column + 1) // 8 - 1 : size * (2 * column + 1) // 8 + 1,
        ]
        number |= int(cell.mean() > 128) << bit
    return number


def numbers(frames: Frames) -> list[int]:
    """Return the numbers of the frames."""
    return [number_of(image) for image in frames.images]


def same(one: Frames, other: Frames) -> bool:
    """Return whether two results are equal: times to the bit, pictures to the byte (tolerance 0)."""
    return one.duration == other.duration and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("times", "images")
    )


def write_clip(
    path: Path,
    *,
    frames: int = 30,
    rate: int = 30,
    size: tuple[int, int] = (64, 64),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    sound: str | None = None,
    silent: bool = False,
    sound_first: bool = False,
    second: tuple[int, int] | None = None,
    aspect: int = 1,
    cover: bool = False,
    muxer: dict[str, str] | None = None,
) -> Path:
    """Write a clip of numbered frames; `times` in milliseconds replace the even rate, `second` adds a video stream."""
    with av.open(str(path), "w", container_options=muxer or {}) as out:
        early = _add_sound(out, sound) if sound and sound_first else None
        tick = Fraction(1, rate) if times is None else Fraction(1, TICKS)
        streams = [_add_video(out, codec, rate=rate, size=size, pix_fmt=pix_fmt, options=options, tick=tick)]
        if second:
            streams.append(_add_video(out, codec, rate=rate, size=second, pix_fmt=pix_fmt, options=options, tick=tick))
        streams[0].codec_context.sample_aspect_ratio = Fraction(aspect)
        late = _add_sound(out, sound) if sound and not sound_first else None
        if cover:
            _write_cover(out)
        if early is not None:
            _write_sound(out, early, seconds=frames / rate, silent=silent)
        for number in range(frames):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(picture(number, stream.width, stream.height), "rgb24")
                frame = frame.reformat(format=pix_fmt)
                frame.pts, frame.time_base = _time(number, rate, times)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
        if late is not None:
            _write_sound(out, late, seconds=frames / rate, silent=silent)
    return path


def _time(number: int, rate: int, times: Sequence[int] | None) -> tuple[int, Fraction]:
    return (number, Fraction(1, rate)) if times is None else (times[number], Fraction(1, TICKS))


def _add_video(
    out: Any, codec: str, *, rate: int, size: tuple[int, int], pix_fmt: str, options: Any, tick: Fraction
) -> Any:
    stream = out.add_stream(codec, rate=rate, options=options or {})
    stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
    stream.codec_context.thread_count = 1
    stream.codec_context.time_base = tick
    return stream


def _add_sound(out: Any, codec: str, *, rate: int = 48000, layout: str = "stereo") -> Any:
    stream = out.add_stream(codec, rate=rate, options={"strict": "experimental"})  # for vorbis
    stream.layout = layout
    return stream


def _write_sound(out: Any, stream: Any, *, seconds: float, silent: bool = False, hertz: float = 440.0) -> None:
    """Encode a sine of amplitude 0.5, the same in all channels."""
    rate, channels = stream.rate, stream.layout.nb_channels
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    wave = np.zeros_like(wave) if silent else wave
    for start in range(0, len(wave), 960):
        part = np.repeat(wave[None, start : start + 960], channels, axis=0).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "fltp", stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def write_sound(
    path: Path, *, codec: str, rate: int = 48000, layout: str = "stereo", seconds: float = 1.0, cover: bool = False
) -> Path:
    """Write a sound file: a 440 Hz sine of amplitude 0.5 in every channel; with `cover`, a picture is attached."""
    with av.open(str(path), "w") as out:
        stream = _add_sound(out, codec, rate=rate, layout=layout)
        if cover:
            _write_cover(out)
        _write_sound(out, stream, seconds=seconds)
    return path


def _write_cover(out: Any, side: int = 128) -> None:
    """Attach a picture that is larger than the frames."""
    art = _add_video(out, "mjpeg", rate=1, size=(side, side), pix_fmt="yuvj420p", options=None, tick=Fraction(1))
    art.disposition = Disposition.attached_pic
    frame = av.VideoFrame.from_ndarray(picture(255, side, side), "rgb24").reformat(format="yuvj420p")
    frame.pts, frame.time_base = 0, Fraction(1)
    out.mux(art.encode(frame))
    out.mux(art.encode(None))


def turn(path: Path, matrix: Sequence[int]) -> Path:
    """Overwrite the 2 x 2 part of the display matrix (a, b, c, d) of every track of an MP4 file."""
    data = bytearray(path.read_bytes())
    start = data.find(b"tkhd")
    while start >= 0:
        place = start + 4 + (40 if data[start + 4] == 0 else 52)  # the matrix of nine numbers, version 0 or 1
        for position, value in zip((0, 1, 3, 4), matrix, strict=True):
            data[place + 4 * position : place + 4 * position + 4] = (value * 65536).to_bytes(4, "big", signed=True)
        start = data.find(b"tkhd", start + 4)
    path.write_bytes(data)
    return path
