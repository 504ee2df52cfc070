"""What a benchmark prints about where and when it ran."""

from __future__ import annotations

import os
import platform
import resource
from datetime import UTC, datetime
from pathlib import Path


def machine() -> str:
    """Return one line: date, processor, cores this process may use, Python."""
    model = platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line.split(":", 1)[1].strip() for line in information.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{datetime.now(UTC):%Y-%m-%d} | {model}, {cores} cores | Python {platform.python_version()}"


def peak_memory_gib() -> float:
    """Return the largest memory (resident set, GiB) that this process has had.

    Linux counts KiB. Its `ru_maxrss` alone would also count what the starting process held, in /proc it does not.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return (peaks or [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss])[0] / 2**20
