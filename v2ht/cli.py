"""The command `v2ht`. Thin: words in, one call, words out."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from typer.core import TyperGroup

from data.files import InputError
from v2ht.terminal import console, progress


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


Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2))


@app.command(
    "import",
    epilog="Example: `v2ht import posts.csv --out posts --columns id=id,user=author,text=title+body,hashtags=tags`",
)
def import_(
    source: Annotated[Path, typer.Argument(help="A table: .csv, .csv.gz, .jsonl or .parquet.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to make.")],
    format: Annotated[str, typer.Option(help="table, youtube, tiktok, lastfm or clips.")] = "table",
    columns: Annotated[
        str,
        typer.Option(
            help="id=..,user=..,text=a+b,hashtags=..,time=..; by default item_id, user_id, text, hashtags, created_at."
        ),
    ] = "",
    min_hashtag_videos: Annotated[int, typer.Option(help="Drop hashtags of fewer videos.")] = 10,
    min_user_videos: Annotated[int, typer.Option(help="Drop users of fewer videos.")] = 5,
    split: Annotated[
        str, typer.Option(help="random, time, unseen, or a file with columns video_id and split.")
    ] = "random",
    seed: Annotated[int, typer.Option(help="Draws the split and the order of the vocabulary.")] = 0,
    segment: Annotated[
        bool, typer.Option(help="Cut hashtags into words for the graph (kiddancer: kid dancer).")
    ] = True,
    merge_spellings: Annotated[bool, typer.Option(help="Merge hashtags of the same words.")] = False,
    lemmatize: Annotated[bool, typer.Option(help="Merge hashtags of the same lemmas (cats, cat).")] = False,
    spell_check: Annotated[bool, typer.Option(help="Merge rare misspellings into the known word.")] = False,
    unseen_hashtags: Annotated[int, typer.Option(help="How many hashtags --split unseen keeps out of train.")] = 500,
    overwrite: Annotated[bool, typer.Option(help="Replace OUT if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Turn a table of posts into a dataset: clean, count, split."""
    from data.importing import ImportSettings, import_table
    from data.presets import parse_columns
    from data.splits import parse_split

    settings = ImportSettings(
        format=format,
        columns=parse_columns(columns) if columns else {},
        min_hashtag_videos=min_hashtag_videos,
        min_user_videos=min_user_videos,
        split=parse_split(split),
        seed=seed,
        segment=segment,
        merge_spellings=merge_spellings,
        lemmatize=lemmatize,
        spell_check=spell_check,
        unseen_hashtags=unseen_hashtags,
    )
    with progress() as report:
        dataset = import_table(source, settings, out=out, overwrite=overwrite, progress=lambda what: report(what, 0, 0))
    if as_json:
        _print_json(dataset.manifest)
        return
    counts = dataset.manifest["counts"]
    typer.echo(f"{out}: " + ", ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in counts.items()))


@app.command(epilog="Example: `v2ht extract clips --visual resnet50 --sound log_mel`")
def extract(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder; for frames and sound one of --format clips.")],
    visual: Annotated[str, typer.Option(help="resnet50, inception_v3, vit or none.")] = "resnet50",
    sound: Annotated[str, typer.Option(help="log_mel, mel_patches or none.")] = "log_mel",
    weights: Annotated[
        str, typer.Option(help="Of the visual network: default (pretrained, downloaded once), a path, or random.")
    ] = "default",
    frames: Annotated[int | None, typer.Option(help="Frames of a clip at most, instead of the paper's number.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the square frame in pixels, instead of the network's.")
    ] = None,
    sentences: Annotated[
        Path | None, typer.Option(help="Instead of clips, encode the texts with this sentence-transformers folder.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that decode; by default one a core.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds after which a file is given up.")] = 120.0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try files again that failed before.")] = False,
    media: Annotated[Path | None, typer.Option(help="Where the clips are now, if they were moved.")] = None,
    as_json: Json = False,
) -> None:
    """Give a dataset of clips its features: frames and sound. Resumes; exits with 1 when some clips failed."""
    from data.features.extract import extract as run_extraction
    from data.features.extractors import make_extractor

    if sentences is not None:
        _extract_sentences(dataset, sentences, as_json=as_json)
        return
    chosen = [(name, own) for name, own in ((visual, True), (sound, False)) if name != "none"]
    if not chosen:
        raise InputError("--visual and --sound are both none; choose something to extract")
    reports = {}
    for name, is_visual in chosen:
        options = {"frames": frames, "size": size} if is_visual else {}
        extractor = make_extractor(name, weights=weights, **options)
        with progress() as report:
            reports[name] = run_extraction(
                dataset,
                extractor,
                workers=workers or os.cpu_count() or 1,
                timeout=timeout,
                report=report,
                retry_failed=retry_failed,
                media_folder=media,
            )
        if not as_json:
            typer.echo(reports[name].text(), nl=False)
    if as_json:
        _print_json({name: done.as_json() for name, done in reports.items()})
    if any(done.failures for done in reports.values()):
        raise typer.Exit(1)


def _extract_sentences(dataset: Path, folder: Path, *, as_json: bool) -> None:
    from data.features.sentences import extract_sentences

    with progress() as report:
        done = extract_sentences(dataset, folder, report=report)
    if as_json:
        _print_json(done)
    else:
        typer.echo(f"sentence: {done['videos_with_text']:,} of {done['videos']:,} videos have a text and its vector")


@app.command(epilog="Example: `v2ht graph posts --stats --neighbours dance`")
def graph(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder; the graph is written into it.")],
    wup_threshold: Annotated[float | None, typer.Option(help="Least WUP similarity that links (0.9).")] = None,
    hypernym_steps: Annotated[
        int | None, typer.Option(help="Longest chain of WordNet hypernyms that links (3).")
    ] = None,
    cooccurrence_count: Annotated[int | None, typer.Option(help="Fewest shared train videos that link (2).")] = None,
    cooccurrence_neighbours: Annotated[
        int | None, typer.Option(help="Strongest co-occurrence edges kept a hashtag (10).")
    ] = None,
    stats: Annotated[
        bool, typer.Option("--stats", help="Describe the graph that is there; build one only if there is none.")
    ] = False,
    neighbours: Annotated[str | None, typer.Option(help="Show the neighbours of this hashtag, and why.")] = None,
    export: Annotated[
        str | None, typer.Option(help="graphml, networkx or pyg: also write the graph in this form.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Build the hashtag graph: composition, WordNet hypernyms, WUP similarity, co-occurrence."""
    from data.dataset import Dataset
    from graph_builders.build import GRAPH_FILE, GraphSettings, build_dataset_graph, load_dataset_graph
    from graph_builders.describe import find_hashtag, neighbours_text, statistics_text
    from graph_builders.describe import neighbours as neighbours_of
    from graph_builders.exports import check_export, export_file
    from graph_builders.statistics import graph_statistics

    given = {
        "hypernym_steps": hypernym_steps,
        "wup_threshold": wup_threshold,
        "cooccurrence_count": cooccurrence_count,
        "cooccurrence_neighbours": cooccurrence_neighbours,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = GraphSettings(**chosen)  # type: ignore[arg-type]
    loaded = Dataset.load(dataset)
    if export is not None:
        check_export(export)
    if neighbours is not None:
        find_hashtag(loaded, neighbours)
    path = dataset / GRAPH_FILE
    if (stats or neighbours is not None) and path.is_file():
        built = load_dataset_graph(dataset, loaded)
        other = [name for name, value in chosen.items() if built.settings.get(name) != value]
        if other:
            raise InputError(
                f"the graph was built with {other[0]} {built.settings.get(other[0])}, not {chosen[other[0]]}; "
                "build it anew without --stats and --neighbours"
            )
    else:
        with progress() as report:
            built = build_dataset_graph(loaded, settings, progress=lambda line: report(line, 0, 0))
        built.save(path)
    content: dict[str, Any] = {"graph": str(path), **graph_statistics(built, loaded.hashtags["words"].to_list())}
    text = statistics_text(content)
    if neighbours is not None:
        content["neighbours"] = neighbours_of(built, loaded, neighbours)
        text = neighbours_text(neighbours, content["neighbours"])
    if export is not None:
        content["export"] = str(export_file(built, loaded.hashtags["hashtag"].to_list(), kind=export, folder=dataset))
        text += f"wrote {content['export']}\n"
    if as_json:
        _print_json(content)
    else:
        typer.echo(text, nl=False)


@app.command(epilog="Example: `v2ht train posts --model v2ht --out run --set learning_rate=0.002`")
def train(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder with a graph.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    model: Annotated[str, typer.Option(help="Name of the model.")] = "v2ht",
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
    if as_json:
        _print_json(result)
    else:
        typer.echo(
            f"{out}: best validation NDCG@10 {done.best_ndcg:.4f} in epoch {done.best_epoch} "
            f"of {done.epoch}, {done.seconds:.0f} s"
        )


@app.command(epilog="Example: `v2ht evaluate run --split test --k 5,10`")
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    split: Annotated[str, typer.Option(help="test or valid.")] = "test",
    k: Annotated[str, typer.Option(help="Lengths of the lists, with commas.")] = "5,10",
    longtail_threshold: Annotated[int, typer.Option(help="Long tail: hashtags of fewer train videos than this.")] = 20,
    dataset: Annotated[Path | None, typer.Option(help="Where the dataset is now, if it was moved.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Rank a whole split over all hashtags and print Recall, NDCG and more, beside the floors."""
    from v2ht.evaluation.report import evaluation_table
    from v2ht.training.evaluate import evaluate_run

    with progress() as report:
        content = evaluate_run(
            run, split=split, ks=_ks(k), longtail_threshold=longtail_threshold, dataset_path=dataset, report=report
        )
    if as_json:
        _print_json(content)
        return
    table = evaluation_table(content)
    typer.echo(table.markdown() if markdown else table.text(), nl=False)
    if content["training"] is None:
        typer.echo("\nNote: training has not finished; these are the best weights so far.")


@app.command(epilog="Example: `v2ht compare full without_graph`")
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Evaluated runs on one dataset; the first is the reference.")],
    split: Annotated[str, typer.Option(help="test or valid.")] = "test",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: Json = False,
) -> None:
    """Compare runs and floors: confidence intervals, and a paired test against the first run."""
    from v2ht.evaluation.report import comparison_table
    from v2ht.training.evaluate import compare_runs

    content = compare_runs(runs, split=split)
    if as_json:
        _print_json(content)
        return
    table = comparison_table(content)
    typer.echo(table.markdown() if markdown else table.text(), nl=False)


@app.command(epilog='Example: `v2ht recommend run clip.mp4 --user ana --text "my new skateboard" --explain`')
def recommend(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    video: Annotated[Path | None, typer.Argument(help="A clip, if the run was trained on clips.")] = None,
    user: Annotated[str | None, typer.Option(help="The author; leave out for somebody new.")] = None,
    text: Annotated[str, typer.Option(help="The description, without hashtags.")] = "",
    k: Annotated[int, typer.Option("-k", "--k", help="How many hashtags.")] = 10,
    new: Annotated[bool, typer.Option("--new", help="Leave out hashtags that the user used before.")] = False,
    features: Annotated[
        Path | None, typer.Option(help="In place of a clip: .npz file with arrays named by modality, [steps, size].")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Where the visual network's weights lie, if they came from a file.")
    ] = None,
    sentences: Annotated[
        Path | None, typer.Option(help="The sentence encoder's folder, if the run reads sentence vectors.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what spoke for each hashtag.")] = False,
    as_json: Json = False,
) -> None:
    """Recommend hashtags for a post that was just written."""
    started = time.monotonic()
    from v2ht.serving import Recommender

    if video is not None and features is not None:
        raise InputError("a clip and --features were both given; give one of them")
    recommender = Recommender.load(run, weights=weights, sentences=sentences)
    seconds = {"load": time.monotonic() - started}
    read = _features(features)
    if video is not None:
        read, of_clip = recommender.read_clip(video)
        seconds |= of_clip
    started = time.monotonic()
    found = recommender.recommend(
        video=read, user=user, description=text, k=k, new_only=new, explain=explain or as_json
    )
    seconds["rank"] = time.monotonic() - started
    if as_json:
        rounded = {stage: round(value, 4) for stage, value in seconds.items()}
        _print_json({"recommendations": [item.as_json() for item in found], "seconds": rounded})
        return
    width = max((len(item.hashtag) for item in found), default=0)
    for place, item in enumerate(found, 1):
        typer.echo(f"{place:>3}  #{item.hashtag:<{width}}  {item.score:7.3f}")
        if explain:
            for reason in item.reasons:
                typer.echo(f"       {reason.effect:+7.3f}  {reason.source}: {reason.detail}")


@app.command(epilog="Example: `v2ht demo --out demo-output`")
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the demonstration.")] = Path("demo-output"),
    seed: Annotated[int, typer.Option(help="Draws the made-up world.")] = 0,
) -> None:
    """Run the whole chain from rendered clips of a made-up world, and write an HTML report."""
    from v2ht.demo import run_demo

    with progress() as report:
        text = run_demo(out, seed=seed, report=report)
    typer.echo(text, nl=False)


def _ks(text: str) -> list[int]:
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise InputError(f"--k {text!r} is not a list of whole numbers; write it like 5,10") from None


def _features(path: Path | None) -> dict[str, np.ndarray] | None:
    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"--features {path} is not a readable .npz file ({error})") from None


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line on `words` (those of the process by default): exit 2 with one line on bad input."""
    try:
        app(words)
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


if __name__ == "__main__":
    main()
