"""Written hashtags in, numbers out: the text metrics of GGM (4.4, 5.3, appendix B.1) and those of new hashtags.

A hashtag is its normal form (`data.hashtags.normalise`); `docs/metrics.md` has every definition. Knows no model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.files import InputError
from data.hashtags import normalise
from v2ht.evaluation.bert_score import BertScore
from v2ht.evaluation.compare import LEVEL, compare_tables
from v2ht.evaluation.metrics import corpus_f1
from v2ht.evaluation.report import Table, number
from v2ht.evaluation.text_metrics import Rouge, Words, exact_match, is_copied, is_known, shuffled

BERT_SCORE = "bert_score"
METRICS = ("rouge1", "rouge2", "precision", "recall", "f1")  # of every single video with truth
DEFINITIONS = {  # of the columns of a table, in short; `docs/metrics.md` has them whole
    "rouge1": "F1 of the words of written and of true hashtags",
    "rouge2": "the same of pairs of adjacent words",
    "corpus_f1": "2PR / (P + R) of the mean precision and mean recall of exact matches (GGM's F1)",
    "f1": "mean over videos of their own F1 of exact matches",
    BERT_SCORE: "F1 of nearest tokens by the encoder named above",
    "unseen_recall": "share of the unseen hashtags that were written at least once for a video that has them",
    "novelty": "share of what was written that no train video has",
    "validity": "share of the novel ones made of common English words, words of train hashtags or of train texts, or "
    "copied from the description",
    "duplicates": "share of what was written that repeats a hashtag of the same output",
}
COLUMNS = tuple(DEFINITIONS)


@dataclass(frozen=True, kw_only=True)
class GenerationInput:
    """What a system wrote for N videos, and what is true. Checked when made: raises ValueError that names the field.

    `generated`: hashtags of each video as written, repeated ones too; may be empty. `truth`: its true hashtags, each
    once; may be empty. `train_hashtags`: those of the train videos; another one is novel. `unseen_hashtags`: those
    held out of training to be found (GGM 4.1); may be empty. `words` cuts a hashtag, as `data.hashtags.words` does.
    `train_words`: words beside those of train hashtags that make a novel hashtag valid, such as the train videos'
    descriptions'. `seed`: of the order in which ROUGE and BERTScore read an output.
    """

    generated: Sequence[Sequence[str]]
    truth: Sequence[Sequence[str]]
    descriptions: Sequence[str]
    train_hashtags: Collection[str]
    unseen_hashtags: Collection[str]
    words: Words
    seed: int
    train_words: Collection[str] = frozenset()

    def __post_init__(self) -> None:
        for name in ("truth", "descriptions"):
            found = len(getattr(self, name))
            if found != len(self.generated):
                raise ValueError(f"{name} has {found} videos, generated {len(self.generated)}; give the same to both")
        for name in ("generated", "truth"):
            for video, hashtags in enumerate(getattr(self, name)):
                _check_hashtags(hashtags, f"{name} of video {video} (from 0)")
        for video, hashtags in enumerate(self.truth):
            if len(set(hashtags)) < len(hashtags):
                raise ValueError(f"truth of video {video} (from 0) names a hashtag twice; give each once")
        both = set(self.train_hashtags) & set(self.unseen_hashtags)
        if both:
            raise ValueError(f"{min(both)!r} is in train_hashtags and in unseen_hashtags; leave it out of one")


@dataclass(frozen=True, kw_only=True)
class GenerationEvaluation:
    """`summary`: numbers ready for JSON. `per_video`: `row`, the place among the given videos (int64), and a float64
    array per metric of `METRICS` (and `bert_score` if asked for), for the videos with truth."""

    summary: dict[str, Any]
    per_video: dict[str, np.ndarray]


def evaluate_generation(given: GenerationInput, *, bert_folder: Path | None = None) -> GenerationEvaluation:
    """Return every text metric; BERTScore only with `bert_folder`, a local encoder.

    The means of `METRICS` are over videos with truth and None where there is none; shares of nothing are None too.
    Raises `InputError` when `bert_folder` holds no whole encoder.
    """
    rows = np.array([row for row, hashtags in enumerate(given.truth) if hashtags], dtype=np.int64)
    bert = None if bert_folder is None else BertScore(bert_folder)
    per_video = {"row": rows, **_overlaps(given, rows, bert)}
    names = [name for name in per_video if name != "row"]
    summary: dict[str, Any] = {
        "videos": len(given.truth),
        "videos_with_truth": len(rows),
        "settings": {"seed": given.seed, "videos": _fingerprint(given), "bert": bert.settings() if bert else None},
        **{name: float(per_video[name].mean()) if len(rows) else None for name in names},
        "corpus_f1": corpus_f1(per_video["precision"], per_video["recall"]) if len(rows) else None,
        **_unseen(given),
        **_outputs(given),
    }
    return GenerationEvaluation(summary=summary, per_video=per_video)


def compare_generation(evaluations: Mapping[str, GenerationEvaluation], *, seed: int) -> dict[str, Any]:
    """Return `{"reference", "level", "settings", "videos", "systems"}`, ready for JSON, as `compare` does a subset.

    Raises `InputError` when there is no system, no video with truth, or two were not evaluated on the same videos in
    the same way.
    """
    if not evaluations:
        raise InputError("there is nothing to compare; evaluate one system or more")
    reference, first = next(iter(evaluations.items()))
    settings = first.summary["settings"]
    for name, other in evaluations.items():
        for key, wanted in settings.items():
            found = other.summary["settings"][key]
            if found != wanted:
                raise InputError(
                    f"{name} was evaluated with {key} {found}, {reference} with {wanted}; evaluate both in the same way"
                )
    if not len(first.per_video["row"]):
        raise InputError("no video has a true hashtag, so nothing can be compared; evaluate a split that has some")
    tables = {name: evaluation.per_video for name, evaluation in evaluations.items()}
    metrics = [name for name in first.per_video if name != "row"]
    comparison = compare_tables(tables, metrics=metrics, seed=seed)
    return {"reference": reference, "level": LEVEL, "settings": settings, **comparison}


def generation_table(summaries: Mapping[str, Mapping[str, Any]], *, decoding: str) -> Table:
    """Return a table of `summary` by system; its title says how was evaluated and, in `decoding`, how was written.

    Its notes define its columns.
    """
    columns = [key for key in COLUMNS if any(summary.get(key) is not None for summary in summaries.values())]
    titles: dict[str, list[list[str]]] = {}
    for name, summary in summaries.items():
        titles.setdefault(_title(summary), []).append([name, *(number(summary.get(key)) for key in columns)])
    sections = [(f"{title}; {decoding}", rows) for title, rows in titles.items()]
    return Table(
        header=["", *columns], sections=sections, notes=[f"{column}: {DEFINITIONS[column]}" for column in columns]
    )


def _title(summary: Mapping[str, Any]) -> str:
    settings, unseen = summary["settings"], summary["unseen_hashtags"]
    parts = [
        f"{summary['videos_with_truth']:,} of {summary['videos']:,} videos have truth",
        f"hashtags shuffled with seed {settings['seed']}, ROUGE on their words",
    ]
    if settings["bert"]:
        parts.append("BERTScore of {encoder} ({fingerprint}), {layer} layer".format(**settings["bert"]))
    if unseen:
        parts.append(f"unseen hashtags: {unseen:,}")
    return "; ".join(parts)


def _overlaps(given: GenerationInput, rows: np.ndarray, bert: BertScore | None) -> dict[str, np.ndarray]:
    """Return float64 [videos with truth] under each name of `METRICS`, and `bert_score` with `bert`."""
    rouge = Rouge()
    numbers, candidates, references = [], [], []
    for row in rows.tolist():
        written, true = shuffled(given.generated[row], seed=given.seed, video=row), given.truth[row]
        numbers.append((*rouge.f1(_words(given, written), _words(given, true)), *exact_match(written, true)))
        candidates.append(" ".join(written))
        references.append(" ".join(true))
    table = np.array(numbers, dtype=np.float64).reshape(-1, len(METRICS))
    found = {name: table[:, place] for place, name in enumerate(METRICS)}
    return found if bert is None else {**found, BERT_SCORE: bert.f1(candidates, references)}


def _words(given: GenerationInput, hashtags: Sequence[str]) -> list[str]:
    return [word for hashtag in hashtags for word in given.words(hashtag)]


def _unseen(given: GenerationInput) -> dict[str, Any]:
    """Count the unseen hashtags that were written at least once for a video that has them (GGM 5.3)."""
    unseen = set(given.unseen_hashtags)
    pairs = zip(given.generated, given.truth, strict=True)
    recalled = unseen & {hashtag for written, true in pairs for hashtag in set(written) & set(true)}
    return {
        "unseen_hashtags": len(unseen),
        "unseen_recalled": len(recalled),
        "unseen_recall": _share(len(recalled), len(unseen)),
    }


def _outputs(given: GenerationInput) -> dict[str, Any]:
    """Describe what was written for all videos, with or without truth."""
    different = [(hashtag, video) for video, tags in enumerate(given.generated) for hashtag in dict.fromkeys(tags)]
    train = set(given.train_hashtags)
    novel = [(hashtag, video) for hashtag, video in different if hashtag not in train]
    known = {*_words(given, list(train)), *given.train_words}
    copied = [is_copied(hashtag, given.descriptions[video]) for hashtag, video in novel]
    segments = [is_known(given.words(hashtag), known=known) for hashtag, _ in novel]
    total = sum(map(len, given.generated))
    return {
        "written": total,
        "empty": _share(sum(not hashtags for hashtags in given.generated), len(given.generated)),
        "duplicates": _share(total - len(different), total),
        "novelty": _share(len(novel), len(different)),
        "novel_hashtags": len({hashtag for hashtag, _ in novel}),
        "validity": _share(sum(map(any, zip(copied, segments, strict=True))), len(novel)),
        "copied": _share(sum(copied), len(novel)),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _fingerprint(given: GenerationInput) -> str:
    """Return a digest (16 hexadecimal digits) of the videos: what a system read and should have written."""
    content = json.dumps([list(given.descriptions), [sorted(hashtags) for hashtags in given.truth]])
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


def _check_hashtags(hashtags: Sequence[str], name: str) -> None:
    if isinstance(hashtags, str):
        raise ValueError(f"{name} is the text {hashtags!r}, expected a list of hashtags")
    for hashtag in hashtags:
        if not hashtag or normalise(hashtag) != hashtag:
            raise ValueError(f"{name} holds {hashtag!r}, expected a normal form; use data.hashtags.normalise first")
