"""What the experiments of the ranking papers share: datasets by name, cases of a model on a dataset, result lines.

A case is known by its dataset, system and seed. Its seed draws the split, the made-up world, the first weights and the
negatives. A case whose line is in the results with the same settings is not run again, so a killed experiment goes on.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from data.dataset import Dataset
from data.importing import ImportSettings, import_table
from data.synthetic import WorldSettings, attach_features, make_world, write_table
from graph_builders.build import GRAPH_FILE, GraphSettings, build_dataset_graph
from v2ht.training.evaluate import evaluate_run
from v2ht.training.train import Plan, train

KS = (5, 10, 50)
SUBSETS = ("overall", "longtail", "new_to_user", "cold_user", "pair")
Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a dataset comes from: a table of real posts (`file`), or a made-up world, and what suits its size."""

    file: str = ""
    format: str = "table"
    world: WorldSettings | None = None
    balance: int = 0  # most frequent hashtags that are down-sampled
    words: tuple[str, ...] = ()  # settings that every model gets here


class HasWords(Protocol):
    """A dataset with settings that every system gets there."""

    @property
    def words(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Case:
    """A system, which is a model with settings, on a dataset, with a seed."""

    dataset: str
    system: str
    model: str
    words: tuple[str, ...] = ()
    seed: int


def prepare(source: Source, folder: Path, *, data: Path, seed: int) -> None:
    """Make the dataset and its graph in `folder`, unless both are there."""
    if (folder / GRAPH_FILE).is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    if source.world is not None and source.balance:
        dataset = _balanced_world(source, folder, seed=seed)
    elif source.world is not None:
        dataset = make_world(source.world, seed=seed).save(folder)
    else:
        settings = ImportSettings(format=source.format, balance=source.balance, seed=seed)
        dataset = import_table(data / source.file, settings, out=folder)
    build_dataset_graph(dataset, GraphSettings()).save(folder / GRAPH_FILE)


def _balanced_world(source: Source, folder: Path, *, seed: int) -> Dataset:
    """Write the world's table, import it balanced, and give it the world's features."""
    assert source.world is not None  # the caller looked
    world = make_world(source.world, seed=seed)
    with tempfile.TemporaryDirectory() as place:
        write_table(world, Path(place) / "posts.parquet")
        columns = {name: (name,) for name in ("id", "user", "time", *world.users.columns[1:])}
        settings = ImportSettings(
            columns=columns, min_hashtag_videos=3, min_user_videos=1, balance=source.balance, seed=seed
        )
        imported = import_table(Path(place) / "posts.parquet", settings, out=Path(place) / "dataset")
        return attach_features(imported, world).save(folder)


def run(case: Case, words: tuple[str, ...], datasets: Path, runs: Path) -> Line:
    """Train and evaluate one case on one thread; return its result line."""
    torch.set_num_threads(1)
    folder = datasets / f"{case.dataset}-{case.seed}"
    place = runs / f"{case.dataset}-{case.system}-{case.seed}"
    shutil.rmtree(place, ignore_errors=True)
    progress = train(folder, place, Plan.of(case.model, words, seed=case.seed))
    assert progress is not None  # there is one process
    evaluation = evaluate_run(place, split="test", ks=KS)
    return {
        **identity(case, words),
        "counts": Dataset.load(folder).manifest["counts"],
        "curve": [round(step["valid_ndcg@10"], 5) for step in progress.log],
        "seconds": round(progress.seconds, 1),
        "cores": os.cpu_count(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "made": evaluation["made"],
        "modalities": evaluation["modalities"],
        "evaluation": {subset: evaluation[subset] for subset in SUBSETS},
        "floors": {name: {key: floor[key] for key in SUBSETS} for name, floor in evaluation["floors"].items()},
    }


def identity(case: Case, words: Sequence[str]) -> Line:
    """Return what tells one result line from another, and whether it is up to date."""
    return {
        "dataset": case.dataset,
        "system": case.system,
        "seed": case.seed,
        "model": case.model,
        "settings": list(words),
    }


def run_cases(
    cases: Sequence[Case], sources: Mapping[str, Source], *, data: Path, out: Path, results: Path, workers: int = 2
) -> None:
    """Run the cases that `results` lacks, `workers` at a time, and append their lines as they come."""
    todo = missing(cases, sources, read(results))
    for case, _ in todo:
        prepare(sources[case.dataset], out / "datasets" / f"{case.dataset}-{case.seed}", data=data, seed=case.seed)
    jobs = [partial(run, case, words, out / "datasets", out / "runs") for case, words in todo]
    run_jobs(jobs, results=results, workers=workers, tell=_told)


def _told(line: Line) -> str:
    return f"{line['evaluation']['overall']['recall@10']:.3f} {line['seconds']} s"


def missing(
    cases: Sequence[Case], sources: Mapping[str, HasWords], lines: Sequence[Line]
) -> list[tuple[Case, tuple[str, ...]]]:
    """Return the cases that have no line with the same settings, and these."""
    known = [{key: line[key] for key in ("dataset", "system", "seed", "model", "settings")} for line in lines]
    todo = [(case, (*sources[case.dataset].words, *case.words)) for case in cases]
    return [(case, words) for case, words in todo if identity(case, words) not in known]


def run_jobs(jobs: Iterable[Callable[[], Line]], *, results: Path, workers: int, tell: Callable[[Line], str]) -> None:
    """Run jobs in processes of their own, `workers` at a time; append their lines as they come, and say so."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(job) for job in jobs]):
            line = done.result()
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            print(line["dataset"], line["system"], line["seed"], tell(line), flush=True)


def parser(
    description: str | None, *, targets: Sequence[str], datasets: Sequence[str], seeds: Sequence[int]
) -> argparse.ArgumentParser:
    """Return the command line of an experiment: targets, where the data and the runs are, and parts to choose."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("targets", nargs="+", choices=targets, metavar="TARGET", help=", ".join(targets))
    made.add_argument("--data", type=Path, required=True, help="folder with the Parquet tables")
    made.add_argument("--out", type=Path, required=True, help="folder for datasets and runs")
    made.add_argument("--datasets", nargs="+", choices=datasets, default=list(datasets), metavar="NAME")
    made.add_argument("--seeds", type=int, nargs="+", default=list(seeds))
    made.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    return made


def count_hashtags(
    datasets: Sequence[str], sources: Mapping[str, Source], seed: int, *, data: Path, out: Path, results: Path
) -> None:
    """Append the train videos of each dataset's hashtags, most frequent first."""
    for name in datasets:
        folder = out / "datasets" / f"{name}-{seed}"
        prepare(sources[name], folder, data=data, seed=seed)
        counts = sorted(Dataset.load(folder).hashtags["train_videos"].to_list(), reverse=True)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"dataset": name, "seed": seed, "train_videos": counts}) + "\n")


def read(results: Path) -> list[Line]:
    """Return the newest line of each dataset, system and seed, in the order in which they first came."""
    if not results.is_file():
        return []
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    return list({(line["dataset"], line["system"], line["seed"]): line for line in lines}.values())
