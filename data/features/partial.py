"""Decode some frames of a stream without decoding all: which packets they need, and what shows that it went wrong.

A pass over the packets alone, without decoding, tells when every frame is shown and where key frames are. To get one
frame, packets are decoded from the last key frame that comes before it both in the file and on the screen; packets
whose frames no other frame refers to are passed over by the decoder. Packets that are not needed are read and dropped:
that costs little, and unlike a seek it cannot land in the wrong place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

# Decoders that pass over frames which no other refers to and leave all others as they are, bit for bit (tested).
PASS_OVER = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "vp8"})


class Surprise(Exception):
    """The decoder did not do what the packets announced; the plain way must decide."""


@dataclass(frozen=True, kw_only=True)
class Packets:
    """The packets of one stream in file order, P of them."""

    ticks_P: np.ndarray  # int64: when the frame is shown, in the stream's time base
    key_P: np.ndarray  # bool: decoding can start here
    shown_P: np.ndarray  # bool: it gives a frame


def list_packets(source: Iterable[Any], *, codec: str) -> Packets | None:
    """Read all packets and decode none; None where times are missing or not unique."""
    hidden = _hidden_vp8 if codec == "vp8" else _never
    rows = [(packet.pts, packet.is_keyframe, not packet.is_discard and not hidden(packet)) for packet in source]
    if not rows or any(pts is None for pts, _, _ in rows):
        return None
    ticks_P, key_P, shown_P = (np.array(column) for column in zip(*rows, strict=True))
    if len(np.unique(ticks_P[shown_P])) != shown_P.sum() or not shown_P.any():
        return None
    return Packets(ticks_P=ticks_P, key_P=key_P & shown_P, shown_P=shown_P)


def _never(packet: Any) -> bool:
    return False


def _hidden_vp8(packet: Any) -> bool:
    """VP8 has frames that are only referred to; the fifth bit of their header is 0 (RFC 6386, section 9.1)."""
    return not memoryview(packet)[0] & 0x10


def needed(listed: Packets, chosen: Iterable[int]) -> np.ndarray:
    """Return bool [P]: the packets to decode for the frames of the packets `chosen` (positions in file order)."""
    needed_P = np.zeros(len(listed.ticks_P), bool)
    for position in chosen:
        before = listed.key_P[: position + 1] & (listed.ticks_P[: position + 1] <= listed.ticks_P[position])
        start = int(np.flatnonzero(before)[-1]) if before.any() else 0
        needed_P[start : position + 1] = True
    return needed_P


def stretches(needed_P: np.ndarray) -> list[tuple[int, int]]:
    """Return (start, stop) of every run of needed packets."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], needed_P.astype(np.int8), [0]])))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def decode_chosen(
    source: Iterable[Any], context: Any, *, listed: Packets, chosen: set[int]
) -> Iterator[tuple[int, Any]]:
    """Yield (ticks, frame) for each of the packets `chosen`; `source` gives all, and `context` has decoded none yet.

    Raises `Surprise` where a frame is missing or flagged as damaged, or where what the file calls a key frame is none
    for the decoder; the library's error where it finds damage.
    """
    numbered = enumerate(source)
    for start, stop in stretches(needed(listed, chosen)):
        wanted = {int(listed.ticks_P[position]) for position in chosen if start <= position < stop}
        unconfirmed = {int(listed.ticks_P[start])} if start else set[int]()  # at 0 the plain way starts too
        for frame in _decode_stretch(numbered, context, chosen=chosen, run=(start, stop)):
            if frame.pts in unconfirmed and frame.key_frame:
                unconfirmed.remove(frame.pts)
            if frame.pts in wanted and not frame.is_corrupt:
                wanted.remove(frame.pts)
                yield frame.pts, frame
        if wanted or unconfirmed:
            raise Surprise


def _decode_stretch(
    source: Iterator[tuple[int, Any]], context: Any, *, chosen: set[int], run: tuple[int, int]
) -> Iterator[Any]:
    """Read on to the run's first packet, decode the run, and leave the decoder ready for another."""
    start, stop = run
    for position, packet in source:
        if position >= start:
            context.skip_frame = "NONREF" if context.name in PASS_OVER and position not in chosen else "DEFAULT"
            yield from context.decode(packet)
        if position == stop - 1:
            break
    context.skip_frame = "DEFAULT"
    yield from context.decode(None)
    context.flush_buffers()
