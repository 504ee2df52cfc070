"""Media files through PyAV: what is refused, opening one, choosing a stream, reading its packets and frames."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Discard, Disposition

from data.files import InputError

CAUSES = (
    "missing",  # no such file, or it went away while it was read
    "empty",  # zero bytes
    "unreadable",  # not a regular file, no permission, or no format that we read
    "no video",  # it has sound only
    "attached picture only",  # its only picture is a cover
    "no frame",  # it has a video stream, but nothing came out of it
    "unsupported",  # no decoder for it
    "too large",  # bytes of the file, pixels of a frame
    "too long",  # seconds
    "damaged",  # what it holds cannot be decoded
)

# Clips, sounds and still pictures. Playlists and scripts are left out on purpose: they name further files and hosts.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,mp3,aac,wav,flac,aiff,caf,amr,"
    "image2,jpeg_pipe,png_pipe,webp_pipe"
)


class ClipError(InputError):
    """A file whose frames or sound cannot be had. `cause` is one of `CAUSES`; the text is one line with the file."""

    def __init__(self, cause: str, message: str) -> None:
        assert cause in CAUSES, cause
        super().__init__(message)
        self.cause = cause

    def __reduce__(self) -> tuple[type[ClipError], tuple[str, str]]:
        """Pickle with both arguments, so that the error crosses from a worker process."""
        return type(self), (self.cause, str(self))


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a file may cost before it is refused as "too large" or "too long"."""

    bytes: int = 1 << 30  # of the file
    pixels: int = 4096 * 4096  # of one frame
    seconds: float = 600.0  # from the first frame or sample to the last, as found, not as claimed


LIMITS = Limits()


@contextmanager
def open_media(path: Path, limits: Limits) -> Iterator[InputContainer]:
    """Open a file, and turn whatever goes wrong until the block ends into a `ClipError`."""
    _check_file(path, limits)
    advice = "cannot be opened; it is in no format that we read, or it is cut off or damaged"
    with _one_error(path, "unreadable", advice):
        container = _open(path, max_pixels=str(limits.pixels))
    with _one_error(path, "damaged", "cannot be decoded; get the file again"), container:
        yield container


def _open(path: Path, **more: str) -> InputContainer:
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    # "file:" keeps a name such as "concat:a" from being read as a protocol
    return av.open(f"file:{os.fspath(path)}", "r", options=options | more, metadata_errors="replace")


def _check_file(path: Path, limits: Limits) -> None:
    with _one_error(path, "unreadable", "cannot be read; check its permissions"):
        facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):
        raise ClipError("unreadable", f"{path} is not a regular file; give the path of a clip")
    if facts.st_size == 0:
        raise ClipError("empty", f"{path} has zero bytes; get the file again")
    if facts.st_size > limits.bytes:
        raise ClipError("too large", f"{path} has {facts.st_size:,} bytes, over the limit of {limits.bytes:,}; cut it")


@contextmanager
def _one_error(path: Path, cause: str, advice: str) -> Iterator[None]:
    """Turn what the library and the disk answer into a `ClipError` of `cause`."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise ClipError("missing", f"{path} does not exist; check the path") from None
    except MemoryError:
        raise ClipError("too large", f"{path} needs more memory than there is; make it smaller") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise ClipError(cause, f"{path} {advice} ({' '.join(text.split())})") from None


def picture_stream(container: InputContainer, path: Path, limits: Limits) -> Any:
    """Return the video stream to use: the library's choice, but never an attached picture.

    Raises `ClipError`: no video, attached picture only, unsupported, too large.
    """
    streams = container.streams.video
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    moving = [stream for stream in streams if not stream.disposition & still]
    if not moving:
        cause = "attached picture only" if streams else "no video"
        raise ClipError(
            cause, f"{path} has {'only an attached picture' if streams else 'no video stream'}; give a video"
        )
    best = container.streams.best("video")
    stream = best if best in moving else moving[0]
    _prepare(container, stream, path=path, limits=limits)
    width, height = stream.codec_context.width, stream.codec_context.height
    if not width * height:  # the library forgets a size that it refuses; ask again, with all decoders off
        with _open(path, codec_whitelist="none") as claims:
            claimed: Any = claims.streams[stream.index].codec_context
            width, height = (claimed.width, claimed.height) if claimed else (0, 0)
    if width * height > limits.pixels:
        size = f"{width}x{height} pixels, over the limit of {limits.pixels:,}"
        raise ClipError("too large", f"{path} has frames of {size}; make it smaller")
    return stream


def sound_stream(container: InputContainer, path: Path, limits: Limits) -> Any | None:
    """Return the sound stream to use, the library's choice, or None if the file has none."""
    streams = container.streams.audio
    if not streams:
        return None
    stream = container.streams.best("audio") or streams[0]
    _prepare(container, stream, path=path, limits=limits)
    return stream


def _prepare(container: InputContainer, stream: Any, *, path: Path, limits: Limits) -> None:
    """Set up the decoder for one thread and let the reader skip all other streams."""
    if stream.codec_context is None:
        raise ClipError(
            "unsupported", f"{path} has a {stream.type} stream that we cannot decode; convert it to H.264, AAC"
        )
    for other in container.streams:
        other.discard = Discard.default if other is stream else Discard.all
    stream.codec_context.thread_count = 1  # files are spread over processes, so a second thread would only wait
    stream.codec_context.options = {"max_pixels": str(limits.pixels)}


def packets(container: InputContainer, stream: Any) -> Iterator[Any]:
    """Yield the packets of `stream` to the end of the file, or to where a cut-off file stops making sense."""
    source = container.demux(stream)
    while True:
        try:
            packet = next(source)
        except (StopIteration, av.InvalidDataError):
            return
        if packet.size:  # an empty packet would end the decoding
            yield packet


def decode(container: InputContainer, stream: Any) -> Iterator[Any]:
    """Yield every frame of `stream`, picture or sound, in order of presentation. What cannot be decoded is left out.

    Raises the library's error if there were packets and not one frame.
    """
    context, failure, found = stream.codec_context, None, False
    for packet in _with_end(container, stream):
        try:
            frames = context.decode(packet)
        except av.InvalidDataError as error:
            failure = error
            continue
        found = found or bool(frames)
        yield from frames
    if failure is not None and not found:
        raise failure


def _with_end(container: InputContainer, stream: Any) -> Iterator[Any]:
    """Yield the packets and then None, which makes the decoder hand out what it holds back."""
    yield from packets(container, stream)
    yield None
