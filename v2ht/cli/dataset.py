"""The verbs that make a dataset, its features and its graph."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from data.files import InputError
from v2ht.cli.shared import Json, print_json
from v2ht.terminal import progress


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
        print_json(dataset.manifest)
        return
    counts = dataset.manifest["counts"]
    typer.echo(f"{out}: " + ", ".join(f"{value:,} {key.replace('_', ' ')}" for key, value in counts.items()))


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
                workers=(os.cpu_count() or 1) if workers is None else workers,
                timeout=timeout,
                report=report,
                retry_failed=retry_failed,
                media_folder=media,
            )
        if not as_json:
            typer.echo(reports[name].text(), nl=False)
    if as_json:
        print_json({name: done.as_json() for name, done in reports.items()})
    if any(done.failures for done in reports.values()):
        raise typer.Exit(1)


def _extract_sentences(dataset: Path, folder: Path, *, as_json: bool) -> None:
    from data.features.sentences import extract_sentences

    with progress() as report:
        done = extract_sentences(dataset, folder, report=report)
    if as_json:
        print_json(done)
    else:
        typer.echo(f"sentence: {done['videos_with_text']:,} of {done['videos']:,} videos have a text and its vector")


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
        print_json(content)
    else:
        typer.echo(text, nl=False)
