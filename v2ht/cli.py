"""The command `v2ht`. Thin: words in, one call, words out."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from data.files import InputError, read_json
from v2ht.evaluation.report import Table
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
Metrics = Annotated[
    str, typer.Option(help="Columns of the table, at every k: of recall, ndcg, precision, f1, with commas.")
]


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2))


@app.command(
    "import",
    epilog="Example: `v2ht import posts.csv --out posts --columns id=id,user=author,text=title+body,hashtags=tags`",
)
def import_(
    source: Annotated[Path, typer.Argument(help="A table: .csv, .csv.gz, .jsonl or .parquet.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to make.")],
    format: Annotated[str, typer.Option(help="table, youtube, tiktok, tiktok_news, lastfm or clips.")] = "table",
    columns: Annotated[
        str,
        typer.Option(
            help="id=..,user=..,text=a+b,hashtags=..,time=..; by default item_id, user_id, text, hashtags, created_at. "
            "visual=a+b and acoustic=a+b make features of numbers, categories and lists of numbers; gender=.., "
            "age=.. and country=.. tell of the user; sound=.. names the sound."
        ),
    ] = "",
    min_hashtag_videos: Annotated[int, typer.Option(help="Drop hashtags of fewer videos.")] = 10,
    min_user_videos: Annotated[int, typer.Option(help="Drop users of fewer videos.")] = 5,
    balance: Annotated[
        int, typer.Option(help="Cut the so many most frequent hashtags down to the frequency of the next one.")
    ] = 0,
    split: Annotated[
        str, typer.Option(help="random, time, unseen, or a file with columns video_id and split.")
    ] = "random",
    seed: Annotated[
        int, typer.Option(help="Draws the split, the order of the vocabulary, and what --balance cuts.")
    ] = 0,
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
        balance=balance,
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
        _print_json(result)
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


@app.command(epilog="Example: `v2ht update run new.csv --out newer`")
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
        _print_json({"run": str(out), "update": done})
    else:
        typer.echo(f"{out}: {summary(done)}", nl=False)


@app.command(epilog="Example: `v2ht evaluate run --split test --k 5,10`")
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
        _print_json(content)
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


@app.command(epilog="Example: `v2ht compare full without_graph`")
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
        _print_json(content)
        return
    table = comparison_table(content, metrics=columns)
    typer.echo(table.markdown() if markdown else table.text(), nl=False)


@app.command(epilog='Example: `v2ht recommend run clip.mp4 --user ana --text "my new skateboard" --explain`')
def recommend(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    video: Annotated[Path | None, typer.Argument(help="A clip, if the run was trained on clips.")] = None,
    user: Annotated[str | None, typer.Option(help="The author; leave out for somebody new.")] = None,
    text: Annotated[str, typer.Option(help="The description, without hashtags.")] = "",
    attribute: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of the author: gender, age or country; may be repeated.")
    ] = None,
    sound: Annotated[
        str | None, typer.Option(help="Name of its sound, if the run's table names sounds (see import).")
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="How many hashtags.")] = 10,
    new: Annotated[bool, typer.Option("--new", help="Leave out hashtags that the user used before.")] = False,
    shelves: Annotated[
        bool, typer.Option("--shelves", help="Two lists: the user's own hashtags, and those new for the user.")
    ] = False,
    diversity: Annotated[
        float, typer.Option(help="From 0 to below 1: fewer hashtags that say the same as one before them.")
    ] = 0.0,
    features: Annotated[
        Path | None, typer.Option(help="In place of a clip: .npz file with arrays named by modality, [steps, size].")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Where the visual network's weights lie, if they came from a file.")
    ] = None,
    sentences: Annotated[
        Path | None, typer.Option(help="The sentence encoder's folder, if the run reads sentence vectors.")
    ] = None,
    novel: Annotated[
        int,
        typer.Option(help="Also show up to so many that nobody used: phrases of the text, and what a ggm run writes."),
    ] = 0,
    writer: Annotated[
        Path | None, typer.Option(help="The run, any model's or ggm, that new ones come from; by default RUN itself.")
    ] = None,
    near_duplicates: Annotated[
        str, typer.Option(help="New hashtags that nearly repeat another (cats, cat): keep, demote or merge.")
    ] = "demote",
    block: Annotated[
        Path | None, typer.Option(help="Hashtags, words or phrases that are not shown, one in a line.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what spoke for each hashtag.")] = False,
    as_json: Json = False,
) -> None:
    """Recommend hashtags for a post that was just written; with --novel also new ones."""
    started = time.monotonic()
    from v2ht.inputs import Post
    from v2ht.serving import Recommender

    if video is not None and features is not None:
        raise InputError("a clip and --features were both given; give one of them")
    if shelves and (new or novel):
        raise InputError("--shelves shows all known hashtags on two lists; leave out --new and --novel")
    recommender = Recommender.load(run, weights=weights, sentences=sentences, writer=writer, block=block)
    seconds = {"load": time.monotonic() - started}
    attributes = _attributes(attribute or [])
    for name in recommender.unknown(attributes):
        typer.echo(f"note: no train user has {name} {attributes[name]!r}; it counts as unknown", err=True)
    read = _features(features)
    if video is not None:
        read, of_clip = recommender.read_clip(video)
        seconds |= of_clip
    started = time.monotonic()
    post = Post(text=text, user=user, features=read or {}, attributes=attributes, sound=sound)
    if shelves:
        (lists,) = recommender.shelves([post], k=k, explain=explain or as_json, diversity=diversity)
        seconds["rank"] = time.monotonic() - started
        if as_json:
            named = {name: [item.as_json() for item in own] for name, own in lists.items()}
            _print_json({"shelves": named, "seconds": _rounded(seconds)})
            return
        for name, own in lists.items():
            typer.echo(f"{name}:" if own else f"{name}: nothing")
            _print_items(own, explain=explain)
        return
    (found,) = recommender.show(
        [post],
        k=k,
        new_only=new,
        explain=explain or as_json,
        novel=novel,
        near_duplicates=near_duplicates,
        diversity=diversity,
    )
    seconds["rank"] = time.monotonic() - started
    if as_json:
        items = [item.as_json() for item in found.items]
        _print_json({"recommendations": items, "counts": found.counts, "seconds": _rounded(seconds)})
        return
    _print_items(found.items, explain=explain)
    if told := ", ".join(f"{count} {what}" for what, count in found.counts.items() if count):
        typer.echo(f"candidates: {told}")


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {stage: round(value, 4) for stage, value in seconds.items()}


def _print_items(items: Sequence[Any], *, explain: bool) -> None:
    width = max((len(item.hashtag) for item in items), default=0)
    for place, item in enumerate(items, 1):
        marks = [
            *([] if item.known else ["new"]),
            *([item.origin] if item.origin else []),
            *([f"nearly #{item.near}"] if item.near else []),
        ]
        typer.echo(f"{place:>3}  #{item.hashtag:<{width}}  {item.score:7.3f}  {', '.join(marks)}".rstrip())
        if explain:
            for reason in item.reasons:
                typer.echo(f"       {reason.effect:+7.3f}  {reason.source}: {reason.detail}")


@app.command(epilog='Example: `v2ht generate run --user ana --text "my new skateboard"`')
def generate(
    run: Annotated[Path, typer.Argument(help="A run of --model ggm.")],
    video: Annotated[Path | None, typer.Argument(help="A clip, if the run was trained on clips.")] = None,
    user: Annotated[str | None, typer.Option(help="The author; leave out for somebody new.")] = None,
    text: Annotated[str, typer.Option(help="The description, without hashtags.")] = "",
    n: Annotated[
        int | None, typer.Option("-n", "--n", help="How many at most; by default as many as the best output has.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="In place of a clip: .npz file with arrays named by modality, [steps, size].")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Where the visual network's weights lie, if they came from a file.")
    ] = None,
    sentences: Annotated[
        Path | None, typer.Option(help="The sentence encoder's folder, if the run reads sentence vectors.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write hashtags for a post, known ones and new ones, as the run's generator does it."""
    from v2ht.inputs import Post
    from v2ht.serving import Recommender
    from v2ht.serving.writer import Writer

    if video is not None and features is not None:
        raise InputError("a clip and --features were both given; give one of them")
    reader = Recommender.load(run, weights=weights, sentences=sentences)
    read = reader.read_clip(video)[0] if video is not None else _features(features)
    post = reader.complete(Post(text=text, user=user, features=read or {}))
    (found,) = Writer(run, bundle=reader.bundle).write([post], n)
    if as_json:
        _print_json({"hashtags": [asdict(item) for item in found]})
        return
    width = max((len(item.hashtag) for item in found), default=0)
    for item in found:
        typer.echo(f"#{item.hashtag:<{width}}  {item.score:6.3f}  {'' if item.known else 'new'}".rstrip())


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


def _metrics(text: str) -> list[str]:
    from v2ht.evaluation.report import check_metrics

    names = [part.strip() for part in text.split(",")] if text else []
    check_metrics(names)
    return names


def _attributes(words: Sequence[str]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for word in words:
        name, equals, value = (part.strip() for part in word.partition("="))
        if not (name and equals and value) or name in attributes:
            raise InputError(f"--attribute {word!r} is not NAME=VALUE, each name once; write it like country=DE")
        attributes[name] = value
    return attributes


def _features(path: Path | None) -> dict[str, np.ndarray] | None:
    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"--features {path} is not a readable .npz file ({error})") from None


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


if __name__ == "__main__":
    main()
