"""The verbs that answer for a post."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zipfile import BadZipFile

import numpy as np
import typer

from data.files import InputError
from v2ht.cli.shared import Json, print_json

if TYPE_CHECKING:  # slow to import
    from v2ht.serving.recommender import Recommendation, Recommender, Shown

Clip = Annotated[Path | None, typer.Argument(help="A clip, if the run was trained on clips.")]
User = Annotated[str | None, typer.Option(help="The author; leave out for somebody new.")]
Text = Annotated[str, typer.Option(help="The description, without hashtags.")]
Features = Annotated[
    Path | None, typer.Option(help="In place of a clip: .npz file with arrays named by modality, [steps, size].")
]
Weights = Annotated[str | None, typer.Option(help="Where the visual network's weights lie, if they came from a file.")]
Sentences = Annotated[
    Path | None, typer.Option(help="The sentence encoder's folder, if the run reads sentence vectors.")
]


def recommend(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    video: Clip = None,
    user: User = None,
    text: Text = "",
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
    features: Features = None,
    weights: Weights = None,
    sentences: Sentences = None,
    novel: Annotated[
        int,
        typer.Option(help="Also show up to so many unknown to the run: phrases of the text, what a ggm run writes."),
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

    _check_one(video, features)
    if shelves and (new or novel):
        raise InputError("--shelves shows all known hashtags on two lists; leave out --new and --novel")
    recommender = Recommender.load(run, weights=weights, sentences=sentences, writer=writer, block=block)
    seconds = {"load": time.monotonic() - started}
    attributes = _attributes(attribute or [])
    for name in recommender.unknown(attributes):
        typer.echo(f"note: no train user has {name} {attributes[name]!r}; it counts as unknown", err=True)
    read, of_clip = _read(recommender, video, features)
    seconds |= of_clip
    started = time.monotonic()
    post = Post(text=text, user=user, features=read, attributes=attributes, sound=sound)
    if shelves:
        (lists,) = recommender.shelves([post], k=k, explain=explain or as_json, diversity=diversity)
        seconds["rank"] = time.monotonic() - started
        _print_shelves(lists, seconds, explain=explain, as_json=as_json)
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
    _print_list(found, seconds, explain=explain, as_json=as_json)


def _print_shelves(
    lists: Mapping[str, Sequence[Recommendation]], seconds: Mapping[str, float], *, explain: bool, as_json: bool
) -> None:
    if as_json:
        named = {name: [item.as_json() for item in own] for name, own in lists.items()}
        print_json({"shelves": named, "seconds": _rounded(seconds)})
        return
    for name, own in lists.items():
        typer.echo(f"{name}:" if own else f"{name}: nothing")
        _print_items(own, explain=explain)


def _print_list(found: Shown, seconds: Mapping[str, float], *, explain: bool, as_json: bool) -> None:
    if as_json:
        items = [item.as_json() for item in found.items]
        print_json({"recommendations": items, "counts": found.counts, "seconds": _rounded(seconds)})
        return
    _print_items(found.items, explain=explain)
    if told := ", ".join(f"{count} {what}" for what, count in found.counts.items() if count):
        typer.echo(f"candidates: {told}")


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(value, 4) for stage, value in seconds.items()}


def _print_items(items: Sequence[Recommendation], *, explain: bool) -> None:
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


def generate(
    run: Annotated[Path, typer.Argument(help="A run of --model ggm.")],
    video: Clip = None,
    user: User = None,
    text: Text = "",
    n: Annotated[
        int | None, typer.Option("-n", "--n", help="How many at most; by default as many as the best output has.")
    ] = None,
    features: Features = None,
    weights: Weights = None,
    sentences: Sentences = None,
    as_json: Json = False,
) -> None:
    """Write hashtags for a post, known ones and new ones, as the run's generator does it."""
    from v2ht.inputs import Post
    from v2ht.serving import Recommender
    from v2ht.serving.writer import Writer

    _check_one(video, features)
    reader = Recommender.load(run, weights=weights, sentences=sentences)
    read, _ = _read(reader, video, features)
    post = reader.complete(Post(text=text, user=user, features=read))
    (found,) = Writer(run, bundle=reader.bundle).write([post], n)
    if as_json:
        print_json({"hashtags": [asdict(item) for item in found]})
        return
    width = max((len(item.hashtag) for item in found), default=0)
    for item in found:
        typer.echo(f"#{item.hashtag:<{width}}  {item.score:6.3f}  {'' if item.known else 'new'}".rstrip())


def _check_one(video: Path | None, features: Path | None) -> None:
    if video is not None and features is not None:
        raise InputError("a clip and --features were both given; give one of them")


def _read(
    reader: Recommender, video: Path | None, features: Path | None
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return the features of a clip or a file, by modality, and the seconds of each stage of a clip's."""
    if video is not None:
        return reader.read_clip(video)
    return _features(features) or {}, {}


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
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, AttributeError, TypeError, EOFError, BadZipFile) as error:
        raise InputError(f"--features {path} is not a readable .npz file ({error})") from None
