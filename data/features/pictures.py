"""A decoded frame as a small upright RGB square: scaling and colours in one call of the scaler, then crop and turn."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

WIDEST = 16  # a frame longer than this many times its short side is squeezed, so that memory stays bounded


def square(frame: Any, size: int, *, pixel_aspect: float, scaler: VideoReformatter) -> np.ndarray:
    """Return the frame as uint8 [size, size, 3] RGB: short side scaled to `size`, centre crop, turned upright.

    `pixel_aspect` is the width of a pixel over its height. Scaling is bilinear over all source pixels. Colours follow
    the frame's own matrix and range, BT.601 where it states none; high dynamic range is not tone-mapped.
    """
    wide, high = frame.width * pixel_aspect, frame.height
    short = min(wide, high)
    width, height = (min(max(size, round(side * size / short)), WIDEST * size) for side in (wide, high))
    small = scaler.reformat(frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR, threads=1)
    left, top = (width - size) // 2, (height - size) // 2
    return _upright(small.to_ndarray()[top : top + size, left : left + size], frame)


def _upright(image: np.ndarray, frame: Any) -> np.ndarray:
    """Apply the display matrix: to the nearest quarter turn, mirrored where it mirrors."""
    matrix = _display_matrix(frame)
    if matrix is None:
        return np.rot90(image, round(frame.rotation / 90))
    across_x, across_y, down_x, down_y = matrix
    mirrored = across_x * down_y - across_y * down_x < 0
    if mirrored:  # mirror left and right first; what remains is a turn
        image, across_x, across_y = image[:, ::-1], -across_x, -across_y
    return np.rot90(image, -round(float(np.degrees(np.arctan2(across_y, across_x))) / 90))


def _display_matrix(frame: Any) -> tuple[int, int, int, int] | None:
    """Return where one step to the right and one step down of the stored frame go: (x, y), (x, y), y downwards."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # the frame carries a kind of side data that the library does not know
        return None
    if data is None:
        return None
    values = np.frombuffer(bytes(data), np.int32)
    return int(values[0]), int(values[1]), int(values[3]), int(values[4])


def pixel_aspect(stream: Any) -> float:
    """Return the width of the stream's pixels over their height; 1 where it is not stated or makes no sense."""
    stated = stream.sample_aspect_ratio
    return float(stated) if stated and 0.1 <= stated <= 10 else 1.0
