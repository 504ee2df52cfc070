"""Worker processes that may hang, crash or run out of memory without taking the job with them.

Workers start anew (spawn: a forked copy of a process with threads can deadlock), read one file at a time, die with
their parent, and import only what their function imports: no torch and no Polars from here.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import queue
import resource
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from data.features.media import ClipError
from data.files import InputError

MEMORY_LIMIT = 4 << 30  # bytes of address space that a worker may add to what it starts with
GRACE = 60.0  # seconds of silence beyond the time limit after which a task counts as lost
MAX_BREAKS = 5  # times in a row that the pool may break before anything gets finished
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True)
class Failure:
    """Why nothing came of a file: a short fixed phrase to count by, and one line for people."""

    cause: str
    message: str


class _Lost:
    """Stands for the result of a task that was under way when the pool broke."""


class Workers:
    """Processes that read one file each at a time, at most `timeout` seconds a file. To be used in a `with` block.

    They start with the first task. Raises `InputError` on numbers that make no sense.
    """

    def __init__(self, *, processes: int, timeout: float) -> None:
        if processes < 1:
            raise InputError(f"workers is {processes}; it must be at least 1")
        if not timeout > 0:
            raise InputError(f"timeout is {timeout:g} seconds; it must be more than 0")
        self.processes = processes
        self.timeout = timeout
        self._pool: ProcessPool | None = None
        self._done: queue.Queue[Future[Any]] = queue.Queue()
        self._breaks = 0

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, function: Callable[[A], R | Failure], arguments: Sequence[A]) -> Iterator[tuple[A, R | Failure]]:
        """Yield each argument with what `function` returned for it, or with a `Failure`, as they get ready.

        At most two tasks a process are under way, so that memory does not grow with their number. When the pool
        breaks, the tasks under way are repeated alone, one after the other; one that breaks it again has crashed.
        Raises `InputError` when no process can work at all.
        """
        for argument, outcome in self._together(function, arguments):
            if isinstance(outcome, _Lost):
                ((_, outcome),) = self._together(function, [argument])
            if isinstance(outcome, _Lost):
                outcome = Failure("crashed", "the process that read it died")
            yield argument, outcome

    def _together(
        self, function: Callable[[A], R | Failure], arguments: Sequence[A]
    ) -> Iterator[tuple[A, R | Failure | _Lost]]:
        waiting = deque(arguments)
        running: dict[Future[Any], A] = {}
        while waiting or running:
            while waiting and len(running) < 2 * self.processes:
                argument = waiting.popleft()
                running[self._submit(function, argument)] = argument
            future = self._next_done(running)
            if future is not None:
                self._breaks = 0
                yield running.pop(future), self._outcome(future)
                continue
            self._break()
            lost = list(running.values())
            running.clear()
            yield from ((argument, _Lost()) for argument in lost)

    def _submit(self, function: Callable[[A], R | Failure], argument: A) -> Future[Any]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPool(self.processes, initializer=_start_worker, initargs=[os.getpid()], context=context)
        try:
            future: Future[Any] = self._pool.schedule(_guarded, args=[function, argument], timeout=self.timeout)
        except RuntimeError:  # the pool broke since it was last asked
            future = Future()
            future.set_exception(BrokenProcessPool())
        future.add_done_callback(self._done.put)
        return future

    def _next_done(self, running: dict[Future[Any], A]) -> Future[Any] | None:
        """Wait for one of `running`; return None when the pool broke, or is silent for too long."""
        while True:
            try:
                future = self._done.get(timeout=self.timeout + GRACE)
            except queue.Empty:
                return None
            if future in running:  # else a remnant of a pool that broke
                return None if isinstance(future.exception(), BrokenProcessPool) else future

    def _outcome(self, future: Future[Any]) -> Any:
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, TimeoutError):
            return Failure("timeout", f"it took longer than {self.timeout:g} s")
        if isinstance(error, ProcessExpired):
            return Failure("crashed", f"the process that read it died ({_exit_reason(error.exitcode)})")
        return Failure("error", f"{type(error).__name__}: {_one_line(error)}")

    def _break(self) -> None:
        self._stop()
        self._breaks += 1
        if self._breaks > MAX_BREAKS:
            raise InputError("worker processes die before they have read a file; see what they wrote above")

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None


def _guarded(function: Callable[[A], R | Failure], argument: A) -> R | Failure:
    """Call in a worker process; only plain data go back, since not every exception survives the way."""
    try:
        return function(argument)
    except ClipError as error:
        return Failure(error.cause, _one_line(error))
    except FileNotFoundError:
        return Failure("missing", "the file went away before it was read")
    except MemoryError:
        return Failure("memory", f"it needs more than {MEMORY_LIMIT >> 30} GiB of memory")
    except OSError as error:
        return Failure("unreadable", error.strerror or _one_line(error))
    except Exception as error:
        return Failure("error", f"{type(error).__name__}: {_one_line(error)}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _exit_reason(code: int | None) -> str:
    if code is not None and -code in set(signal.Signals):
        return signal.Signals(-code).name
    return f"exit status {code}"


def _start_worker(parent: int) -> None:
    """Tie a worker process to its parent's life and limit its memory."""
    if sys.platform == "linux":
        # The kernel's signal comes through even while a decoder hangs in compiled code.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = pages * resource.getpagesize() + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (limit if most < 0 else min(limit, most), most))
    else:
        threading.Thread(target=_die_with_parent, daemon=True).start()
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def _die_with_parent() -> None:
    process = multiprocessing.parent_process()
    assert process is not None
    connection.wait([process.sentinel])
    os._exit(1)
