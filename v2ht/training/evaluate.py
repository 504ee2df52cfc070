"""Evaluate a run on its dataset, beside the floors, all through one code path; compare runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from data.dataset import Dataset, Ragged
from data.files import InputError, file_fingerprint, new_file, read_json, write_json
from data.progress import Report
from v2ht.bundle import Bundle, folded_posts
from v2ht.dataset_inputs import DatasetInputs
from v2ht.evaluation.compare import compare
from v2ht.evaluation.evaluate import LONGTAIL_THRESHOLD, Evaluation, EvaluationInput, evaluate
from v2ht.evaluation.pair import ranking_depth
from v2ht.evaluation.report import evaluation_report
from v2ht.floors import FLOORS
from v2ht.inputs import History
from v2ht.models.ggm.settings import GGMSettings
from v2ht.training.ranking import Scorer, model_scorer, rank_rows
from v2ht.training.written import evaluate_written


def dataset_of(bundle: Bundle, run: Path, dataset_path: Path | None) -> Dataset:
    """Load the dataset that a run was trained on. Raises `InputError` when it is gone or has changed since."""
    path = Path(dataset_path or bundle.record["dataset"])
    if not path.exists():
        raise InputError(f"{run} was trained on {path}, which does not exist; name its new place with --dataset")
    dataset = Dataset.load(path)
    expected = bundle.record["dataset_fingerprint"]
    if dataset.fingerprint != expected:
        raise InputError(
            f"{path} is not the dataset that {run} was trained on (fingerprint {dataset.fingerprint}, "
            f"expected {expected}); name the right one with --dataset, or train again"
        )
    return dataset


def evaluate_run(
    run: Path,
    *,
    split: str,
    ks: Sequence[int] = (5, 10),
    longtail_threshold: int = LONGTAIL_THRESHOLD,
    dataset_path: Path | None = None,
    bert_folder: Path | None = None,
    report: Report | None = None,
) -> dict[str, Any]:
    """Rank a split with the run's model and the floors; write and return the evaluation JSON.

    `run` gets evaluation-SPLIT.json and evaluation-SPLIT.parquet (every video's numbers, for `compare_runs`). A `ggm`
    run also writes hashtags for the split; their numbers are `generation`, with BERTScore if `bert_folder` names a
    local encoder.
    """
    run = Path(run)
    if split == "train":
        raise InputError("split 'train' is what the model and the floors learned; evaluate on test or valid")
    bundle = Bundle.load(run)
    dataset = dataset_of(bundle, run, dataset_path)
    rows = dataset.rows(split)
    if not len(rows):
        raise InputError(f"{bundle.record['dataset']} has no {split} videos; import it with another --split")
    _check_folded_in(run, dataset, split)
    posts = DatasetInputs(dataset, bundle.inputs)
    scorers: dict[str, Callable[[], Scorer]] = {bundle.model_name: lambda: model_scorer(bundle.model, posts)}
    scorers |= {name: _floor_scorer(name, dataset) for name in FLOORS}
    evaluations: dict[str, Evaluation] = {}
    seconds: dict[str, float] = {}
    for name, make in scorers.items():
        started = time.monotonic()
        evaluations[name] = evaluate_scorer(
            make(), dataset, rows, ks=ks, longtail_threshold=longtail_threshold, report=report, name=name
        )
        seconds[name] = time.monotonic() - started
    floors = {name: evaluations[name] for name in FLOORS}
    content = evaluation_report(
        evaluations[bundle.model_name],
        model=bundle.model_name,
        dataset=_dataset_name(bundle.record),
        split=split,
        floors=floors,
        seconds=round(seconds[bundle.model_name], 3),
    )
    kept = ("dataset_fingerprint", "seed", "modalities", "training", "made")
    content |= {key: bundle.record.get(key) for key in kept}
    if "update" in bundle.record:
        content["update"] = bundle.record["update"]
    if isinstance(bundle.model_settings, GGMSettings):
        content["generation"] = evaluate_written(
            run, bundle, posts, split, bert_folder=bert_folder, report=report
        ).content
    elif bert_folder is not None:
        raise InputError(f"{run} is a run of {bundle.model_name}, which writes no hashtags for --bert to score")
    _save(run, split, content, evaluations)
    return content


def evaluate_scorer(
    score: Scorer,
    dataset: Dataset,
    rows: np.ndarray,
    *,
    ks: Sequence[int],
    longtail_threshold: int,
    name: str = "",
    report: Report | None = None,
) -> Evaluation:
    """Rank `rows` over all hashtags with any scorer and return its numbers."""
    truth = dataset.hashtag_ids().take(rows)
    users = dataset.videos["user_id"].to_numpy()
    history = History.of(dataset, np.empty((dataset.videos.height, 0), np.float32)).counts
    history.sort_indices()
    by_user = Ragged(values=history.indices.astype(np.int64), offsets=history.indptr.astype(np.int64))
    known = by_user.take(users[rows])
    rankings = rank_rows(
        score,
        rows,
        depth=ranking_depth(truth, ks=ks, num_hashtags=dataset.num_hashtags),
        known=known,
        new_depth=max(ks),
        num_hashtags=dataset.num_hashtags,
        progress=None if report is None else lambda done: report(f"ranking with {name}", done, len(rows)),
    )
    given = EvaluationInput(
        rows=rows,
        truth=truth,
        ranked=rankings.ranked_NK,
        ranked_new=rankings.ranked_new_NK,
        known=known,
        cold=~np.isin(users[rows], users[dataset.rows("train")]),
        train_frequency=dataset.hashtags["train_videos"].to_numpy(),
    )
    return evaluate(given, ks=ks, longtail_threshold=longtail_threshold)


def compare_runs(runs: Sequence[Path], *, split: str, seed: int = 0) -> dict[str, Any]:
    """Compare evaluated runs and their floors on the same videos; the first run is the reference.

    Raises `InputError` when a run was not evaluated on `split`, or two were evaluated on different videos.
    """
    runs = [Path(run) for run in runs]
    names = [run.name for run in runs]
    if len(set(names)) < len(names) or set(names) & set(FLOORS):
        names = [str(run) for run in runs]
    if len(set(names)) < len(names) or set(names) & set(FLOORS):
        raise InputError(f"the runs {', '.join(names)} cannot be told apart in a table; rename one, name each once")
    evaluations: dict[str, Evaluation] = {}
    floors: dict[str, Evaluation] = {}
    fingerprints: dict[str, str] = {}
    for name, run in zip(names, runs, strict=True):
        content, parts = _load(run, split)
        fingerprints[str(run)] = content["dataset_fingerprint"]
        evaluations[name if len(runs) > 1 else content["model"]] = parts[content["model"]]
        floors |= {name: parts[name] for name in content["floors"]}
    if len(set(fingerprints.values())) > 1:
        listed = ", ".join(f"{run}: {fingerprint[:8]}" for run, fingerprint in fingerprints.items())
        raise InputError(f"the runs were trained on different datasets ({listed}); compare runs on one dataset")
    return {"split": split, **compare({**evaluations, **floors}, seed=seed)}


def _check_folded_in(run: Path, dataset: Dataset, split: str) -> None:
    """Raise `InputError` when posts of the split, or in a split by time newer ones, were folded into the run."""
    folded = folded_posts(run)
    if folded is None:
        return
    own = dataset.videos.filter(pl.col("split") == split)
    count = int(own["video_id"].is_in(folded["video_id"].implode()).sum())
    newer = folded.filter((pl.col("time") > own["time"].min()) | pl.col("time").is_null()).height
    if dataset.manifest.get("split", {}).get("kind") == "time" and newer and not count:
        raise InputError(
            f"{run} was updated with {newer} posts that are not older than the {split} videos, and the split is by "
            "time; evaluate the run as it was before, or another split"
        )
    if count:
        raise InputError(
            f"{run} was updated with {count} of the {len(own)} {split} videos, which it must not be judged by; "
            "evaluate the run as it was before, or another split"
        )


def _dataset_name(record: dict[str, Any]) -> str:
    source = record.get("source")
    return str(source["file"]) if source else Path(record["dataset"]).name


def _floor_scorer(name: str, dataset: Dataset) -> Callable[[], Scorer]:
    def make() -> Scorer:
        floor = FLOORS[name](dataset)
        return lambda rows: torch.from_numpy(floor.scores(rows))

    return make


def _save(run: Path, split: str, content: dict[str, Any], evaluations: dict[str, Evaluation]) -> None:
    tables = []
    for name, evaluation in evaluations.items():
        table = pl.DataFrame(evaluation.columns())
        tables.append(table.select(pl.lit(name).alias("system"), pl.all()))
    path = run / f"evaluation-{split}.parquet"
    with new_file(path) as temporary:
        pl.concat(tables).write_parquet(temporary, compression="zstd")
    content["videos_fingerprint"] = file_fingerprint(
        [path]
    )  # a kill between the two files must not mix two evaluations
    write_json(run / f"evaluation-{split}.json", content)


def _load(run: Path, split: str) -> tuple[dict[str, Any], dict[str, Evaluation]]:
    paths = [run / f"evaluation-{split}.{suffix}" for suffix in ("json", "parquet")]
    if not all(path.is_file() for path in paths):
        raise InputError(
            f"{run} was not evaluated on the {split} split; run `v2ht evaluate {run} --split {split}` first"
        )
    content = read_json(paths[0])
    if content.get("videos_fingerprint") != file_fingerprint([paths[1]]):
        raise InputError(f"{paths[1]} is not of the same evaluation as {paths[0].name}; evaluate {run} again")
    table = pl.read_parquet(paths[1])
    summaries = {content["model"]: content, **content["floors"]}
    shared = {key: content[key] for key in ("videos", "hashtags", "ks", "longtail_threshold")}
    parts = {}
    for name, summary in summaries.items():
        own = table.filter(pl.col("system") == name).drop("system")
        parts[name] = Evaluation.from_columns({**summary, **shared}, {key: own[key].to_numpy() for key in own.columns})
    return content, parts
