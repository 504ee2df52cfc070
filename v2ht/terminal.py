"""What a person sees while the command works, on standard error: lines for what is done, a bar for what runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from data.progress import Report

console = Console(stderr=True)


class _Speed(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        """Return the speed, or a dash before there is one."""
        return Text(f"{task.speed:,.1f}/s" if task.speed else "-/s")


@contextmanager
def progress() -> Iterator[Report]:
    """Show work in progress on standard error: a line for what is done; in a terminal also one bar for what runs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task: TaskID | None = None

        def report(what: str, done: int, total: int) -> None:
            nonlocal task
            if total and task is None:
                task = shown.add_task(what, total=total)
            if task is not None and total:
                shown.update(task, description=what, completed=done, total=total)
            elif task is not None:
                shown.remove_task(task)
                task = None
            if not total:
                console.print(what, highlight=False, markup=False, soft_wrap=True)

        yield report
