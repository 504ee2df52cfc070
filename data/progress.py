"""How long work tells what it is doing."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, int, int], None]
"""Told what is going on, how much is done and of how much; (line, 0, 0) is a line by itself."""
