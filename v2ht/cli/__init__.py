"""The command `v2ht`. Thin: words in, one call, words out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from data.files import InputError
from v2ht.cli import dataset, demo, recommending, training
from v2ht.terminal import console

VERBS: dict[Callable[..., None], str] = {  # in the order of a day's work; an example of each
    dataset.import_: "v2ht import posts.csv --out posts --columns id=id,user=author,text=title+body,hashtags=tags",
    dataset.extract: "v2ht extract clips --visual resnet50 --sound log_mel",
    dataset.graph: "v2ht graph posts --stats --neighbours dance",
    training.train: "v2ht train posts --model v2ht --out run --set learning_rate=0.002",
    training.update: "v2ht update run new.csv --out newer",
    training.evaluate: "v2ht evaluate run --split test --k 5,10",
    training.compare: "v2ht compare full without_graph",
    recommending.recommend: 'v2ht recommend run clip.mp4 --user ana --text "my new skateboard" --explain',
    recommending.generate: 'v2ht generate run --user ana --text "my new skateboard"',
    demo.demo: "v2ht demo --out demo-output",
}


class _Order(TyperGroup):
    """Lists the verbs in the order of a day's work, not of the alphabet."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


app = typer.Typer(
    cls=_Order,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Hashtags for short videos: import posts, build the graph, train a ranker, read honest numbers, recommend.",
)
for _verb, _example in VERBS.items():
    app.command(_verb.__name__.rstrip("_"), epilog=f"Example: `{_example}`")(_verb)


def _print_usage_error(error: TyperException) -> None:
    """Say in one line which word of the command line is wrong, and where to read what it may be."""
    context = getattr(error, "ctx", None)
    told = " ".join(error.format_message().split())
    if told:  # it is empty where help was asked for by giving no words at all
        path = context.command_path if context is not None else "v2ht"
        console.print(
            f"v2ht: {told.removesuffix('.')}; see `{path} --help`",
            style="red",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line on `words` (those of the process by default): exit 2 with one line on bad input."""
    try:
        sys.exit(app(words, prog_name="v2ht", standalone_mode=False))
    except TyperException as error:  # a verb or an option that is unknown, missing, or not of its type
        _print_usage_error(error)
        sys.exit(2)
    except (InputError, ValueError, KeyError, IndexError) as error:
        console.print(
            f"v2ht: {error.args[0] if error.args else error}",
            style="red",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        sys.exit(2)
    except OSError as error:
        console.print(
            f"v2ht: {error.filename or 'system'}: {error.strerror or error}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
