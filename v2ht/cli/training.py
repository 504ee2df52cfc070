"""The verbs that train a run, fold posts into it, and measure it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from data.files import InputError, read_json
from v2ht.cli.shared import Json, Metrics, print_json
from v2ht.evaluation.report import Table
from v2ht.terminal import progress


def train(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder with a graph.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    model: Annotated[str, typer.Option(help="Name of the model.")] = "v2ht_memory",
    set_: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE; an unknown key lists all keys.")] = None,
    seed: Annotated[int, typer.Option(help="Draws initial weights, order and negatives.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run; same options.")] = False,
    as_json: Json = False,
) -> None:
    """Train a ranker; stop when validation NDCG@10 gets no better."""
    from v2ht.training.train import Plan
    from v2ht.training.train import train as run_training

    plan = Plan.of(model, set_ or [], seed=seed)
    with progress() as report:
        done = run_training(dataset, out, plan, resume=resume, report=report)
    if done is None:
        return
    result = {
        "run": str(out),
        "epochs": done.epoch,
        "best_epoch": done.best_epoch,
        "valid_ndcg@10": done.best_ndcg,
        "seconds": done.seconds,
    }
    generator = read_json(out / "run.json")["training"].get("generator")
    if generator is not None:
        result["generator"] = generator
    if as_json:
        print_json(result)
        return
    typer.echo(
        f"{out}: best validation NDCG@10 {done.best_ndcg:.4f} in epoch {done.best_epoch} "
        f"of {done.epoch}, {done.seconds:.0f} s"
    )
    if generator is not None:
        typer.echo(
            "generator: best validation F1 {valid_f1:.4f} in epoch {best_epoch} of {epochs}, {seconds:.0f} s".format(
                **generator
            )
        )


def update(
    run: Annotated[Path, typer.Argument(help="A run folder; it is left as it is.")],
    posts: Annotated[Path, typer.Argument(help="A table of new posts, in the form of the one that was imported.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new run.")],
    least_posts: Annotated[int, typer.Option(help="New posts that a hashtag never seen before needs to join.")] = 3,
    dataset: Annotated[Path | None, typer.Option(help="Where the run's dataset is now, if it was moved.")] = None,
    as_json: Json = False,
) -> None:
    """Fold new posts into a run in seconds, without training: histories, counts, evidence, new users and hashtags."""
    from v2ht.training.update import summary
    from v2ht.training.update import update as run_update

    done = run_update(run, posts, out, least_posts=least_posts, dataset_path=dataset)
    if as_json:
        print_json({"run": str(out), "update": done})
    else:
        typer.echo(f"{out}: {summary(done)}", nl=False)


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    split: Annotated[str, typer.Option(help="test or valid.")] = "test",
    k: Annotated[str, typer.Option(help="Lengths of the lists, with commas.")] = "5,10",
    longtail_threshold: Annotated[int, typer.Option(help="Long tail: hashtags of fewer train videos than this.")] = 20,
    dataset: Annotated[Path | None, typer.Option(help="Where the dataset is now, if it was moved.")] = None,
    bert: Annotated[
        Path | None, typer.Option(help="Local encoder (a Hugging Face folder) for BERTScore of written hashtags.")
    ] = None,
    metrics: Metrics = "",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Rank a whole split over all hashtags and print Recall, NDCG and more, beside the floors."""
    from v2ht.evaluation.report import evaluation_table
    from v2ht.training.evaluate import evaluate_run

    columns = _metrics(metrics)
    with progress() as report:
        content = evaluate_run(
            run,
            split=split,
            ks=_ks(k),
            longtail_threshold=longtail_threshold,
            dataset_path=dataset,
            bert_folder=bert,
            report=report,
        )
    if as_json:
        print_json(content)
        return
    tables = [evaluation_table(content, metrics=columns)]
    if "generation" in content:
        tables.append(_generation_table(content["model"], content["generation"]))
    typer.echo("\n".join(table.markdown() if markdown else table.text() for table in tables), nl=False)
    if content["training"] is None:
        typer.echo("\nNote: training has not finished; these are the best weights so far.")


def _generation_table(model: str, numbers: dict[str, Any]) -> Table:
    from v2ht.evaluation.generation import generation_table
    from v2ht.training.written import OPEN_POOL

    systems = {model: numbers}
    if numbers[OPEN_POOL]:
        systems[f"{model}, unseen hashtags in the pool"] = numbers[OPEN_POOL]
    return generation_table(systems, decoding=numbers["decoding"])


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Evaluated runs on one dataset; the first is the reference.")],
    split: Annotated[str, typer.Option(help="test or valid.")] = "test",
    metrics: Metrics = "recall,ndcg",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Compare runs and floors: confidence intervals, and a paired test against the first run."""
    from v2ht.evaluation.report import comparison_table
    from v2ht.training.evaluate import compare_runs

    columns = _metrics(metrics)
    content = compare_runs(runs, split=split)
    if as_json:
        print_json(content)
        return
    table = comparison_table(content, metrics=columns)
    typer.echo(table.markdown() if markdown else table.text(), nl=False)


def _ks(text: str) -> list[int]:
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise InputError(f"--k {text!r} is not a list of whole numbers; write it like 5,10") from None


def _metrics(text: str) -> list[str]:
    from v2ht.evaluation.report import check_metrics

    names = [part.strip() for part in text.split(",")] if text else []
    check_metrics(names)
    return names
