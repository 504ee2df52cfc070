"""One system on one dataset: tune it on valid, rank test with it. `process` does either in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from benchmarks.machine import peak_memory_gib
from benchmarks.peers.catalogue import PEERS, Settings, search
from benchmarks.peers.posts import Posts, TrainPosts
from data.dataset import Dataset
from data.files import new_file, read_json, write_json
from v2ht.bundle import Bundle
from v2ht.dataset_inputs import DatasetInputs
from v2ht.evaluation.evaluate import LONGTAIL_THRESHOLD, Evaluation
from v2ht.training.evaluate import evaluate_scorer
from v2ht.training.ranking import Scorer, model_scorer
from v2ht.training.train import Plan, train

KS = (5, 10)
Line = dict[str, Any]
SUBSETS = ("overall", "longtail", "new_to_user", "cold_user")
METRICS = ("recall@5", "recall@10", "ndcg@10")


def fitted_peer(dataset: Dataset, system: str, settings: Settings, *, seed: int) -> Scorer:
    """Fit a peer on train; return its scorer of dataset rows."""
    peer = PEERS[system].peer(settings, seed=seed)
    peer.fit(TrainPosts.of(dataset))
    return lambda rows: torch.from_numpy(peer.scores(Posts.of(dataset, rows)))


def fitted_model(folder: Path, dataset: Dataset, model: str, words: list[str], *, seed: int) -> tuple[Scorer, Line]:
    """Train one of our models; return its scorer of dataset rows, and the lift that validation chose, if it has one.

    The run itself is not kept.
    """
    with tempfile.TemporaryDirectory() as place:
        train(folder, Path(place) / "run", Plan.of(model, words, seed=seed))
        bundle = Bundle.load(Path(place) / "run")
    lift = bundle.record["training"].get("lift")
    return model_scorer(bundle.model, DatasetInputs(dataset, bundle.inputs)), {"lift": lift["chosen"]} if lift else {}


def tune(dataset: Dataset, system: str, *, seed: int) -> Line:
    """Search a peer's grid for the best overall recall@10 on valid; return `settings`, the best, and `tried`."""
    grid = PEERS[system].grid
    if all(len(values) == 1 for values in grid.values()):
        return {"settings": {name: values[0] for name, values in grid.items()}, "tried": []}

    def recall(settings: Settings) -> float:
        try:
            score = fitted_peer(dataset, system, settings, seed=seed)
            found = float(_evaluate(score, dataset, "valid").summary["overall"]["recall@10"])
        except ArithmeticError:  # it diverged
            found = 0.0
        print(f"  {system} {settings} valid recall@10 {found:.4f}", file=sys.stderr, flush=True)
        return found

    tried = search(grid, recall)
    return {"settings": tried[0][0], "tried": [{"settings": one, "recall@10": round(top, 5)} for one, top in tried]}


def rank(folder: Path, dataset: Dataset, system: str, settings: Any, *, seed: int) -> tuple[Line, Evaluation]:
    """Fit a system and rank test; return its numbers, and every video's.

    Seconds are the processor's, which one thread and a busy machine leave comparable.
    """
    started = time.process_time()
    chosen: Line = {}
    if system in PEERS:
        score = fitted_peer(dataset, system, settings, seed=seed)
    else:
        score, chosen = fitted_model(folder, dataset, system, settings, seed=seed)
    trained = time.process_time() - started
    timed = Timed(score)
    evaluation = _evaluate(timed, dataset, "test")
    line = {
        **chosen,
        "train_seconds": round(trained, 2),
        "ms_per_post": round(1000 * timed.seconds / len(dataset.rows("test")), 3),
        "peak_gib": round(peak_memory_gib(), 2),
        "evaluation": {name: _short(evaluation.summary[name]) for name in SUBSETS},
    }
    return line, evaluation


class Timed:
    """A scorer that counts the processor seconds it takes."""

    def __init__(self, score: Callable[[np.ndarray], Tensor]) -> None:
        self._score = score
        self.seconds = 0.0

    def __call__(self, rows: np.ndarray) -> Tensor:
        started = time.process_time()
        scores_BH = self._score(rows)
        self.seconds += time.process_time() - started
        return scores_BH


def _evaluate(score: Scorer, dataset: Dataset, split: str) -> Evaluation:
    return evaluate_scorer(score, dataset, dataset.rows(split), ks=KS, longtail_threshold=LONGTAIL_THRESHOLD)


def _short(numbers: dict[str, Any] | None) -> dict[str, Any] | None:
    return numbers and {"videos": numbers["videos"], **{name: round(numbers[name], 5) for name in METRICS}}


def _rank_and_write(folder: Path, dataset: Dataset, system: str, settings: Any, *, seed: int, out: Path) -> Line:
    """Rank; write every video's numbers beside `out`."""
    line, evaluation = rank(folder, dataset, system, settings, seed=seed)
    columns = evaluation.columns()
    table = pl.DataFrame(columns).with_columns(video=dataset.videos["video_id"].gather(columns["row"]))
    with new_file(out.with_suffix(".parquet")) as temporary:
        table.select("subset", "video", *METRICS).write_parquet(temporary, compression="zstd")
    return line


def _child(folder: Path, system: str, settings: Any, *, seed: int, out: Path) -> None:
    """Tune where `settings` is None, else rank; write the result, or why there is none, to `out`."""
    _silence_libraries()
    torch.set_num_threads(1)
    try:
        dataset = Dataset.load(folder)
        if settings is None:
            found = tune(dataset, system, seed=seed)
        else:
            found = _rank_and_write(folder, dataset, system, settings, seed=seed, out=out)
    except Exception as error:  # kept as a result: the table shows it
        traceback.print_exc()
        found = {"failed": f"{type(error).__name__}: {error}"[:200]}
    write_json(out, found)


def _silence_libraries() -> None:
    """Let only our own lines reach the terminal, by another descriptor: some libraries print progress bars."""
    sys.stderr = os.fdopen(os.dup(2), "w")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


def process(folder: Path, system: str, settings: Any, *, seed: int, out: Path) -> Line:
    """Tune (settings None) or rank in a process of its own, so that the peak of its memory is its own.

    Processes are forks of one that has only imported this module. A process that is killed gives `failed`, too.
    """
    out.unlink(missing_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    child = context.Process(target=_child, args=(folder, system, settings), kwargs={"seed": seed, "out": out})
    child.start()
    child.join()
    return read_json(out) if out.is_file() else {"failed": f"process ended with {child.exitcode}"}
