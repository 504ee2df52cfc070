"""What several verbs share."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


Metrics = Annotated[
    str, typer.Option(help="Columns of the table, at every k: of recall, ndcg, precision, f1, with commas.")
]


def print_json(content: Any) -> None:
    """Print what `--json` asks for."""
    typer.echo(json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2))
