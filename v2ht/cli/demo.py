"""The verb that shows the whole chain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from v2ht.terminal import progress


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the demonstration.")] = Path("demo-output"),
    seed: Annotated[int, typer.Option(help="Draws the made-up world.")] = 0,
) -> None:
    """Run the whole chain from rendered clips of a made-up world, and write an HTML report."""
    from v2ht.demo import run_demo

    with progress() as report:
        text = run_demo(out, seed=seed, report=report)
    typer.echo(text, nl=False)
