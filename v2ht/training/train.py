"""Train a model on a dataset folder: everything between `v2ht train` and the training loop."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import v2ht
from data.dataset import Dataset
from data.files import InputError, file_fingerprint, read_json, write_json
from data.progress import Report
from graph_builders.build import GRAPH_FILE, load_dataset_graph
from graph_builders.hashtag_graph import HashtagGraph
from v2ht.bundle import Bundle, load_weights, save_weights
from v2ht.dataset_inputs import DatasetInputs
from v2ht.inputs import Inputs, InputSettings
from v2ht.models import entry
from v2ht.models.ggm.settings import GGMSettings
from v2ht.models.v2ht_memory import V2HTMemory
from v2ht.phrases import FOLDER as PHRASES
from v2ht.phrases import PhraseModel, read_rare
from v2ht.settings import apply, as_json
from v2ht.training.generation import train_generator
from v2ht.training.lift import choose_lift
from v2ht.training.loop import Progress, TrainSettings, fit, launch


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to train: a model's name and the settings of its three parts."""

    model: str
    model_settings: Any
    input_settings: InputSettings
    train_settings: TrainSettings
    seed: int

    @staticmethod
    def of(model: str, words: Sequence[str], *, seed: int) -> Plan:
        """Read `key=value` words over the defaults. Raises `InputError` on an unknown key or a wrong value."""
        defaults = [entry(model).settings(), entry(model).inputs, TrainSettings()]
        model_settings, input_settings, train_settings = apply(words, defaults)
        if entry(model).inputs.evidence and not input_settings.evidence:
            raise InputError(f"{model} reads evidence; leave out evidence=false (sources= chooses what it reads)")
        return Plan(
            model=model,
            model_settings=model_settings,
            input_settings=input_settings,
            train_settings=train_settings,
            seed=seed,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the plan as run.json holds it."""
        return {
            "model": self.model,
            "model_settings": as_json(self.model_settings),
            "input_settings": as_json(self.input_settings),
            "train_settings": as_json(self.train_settings),
            "seed": self.seed,
        }


def train(
    dataset_path: Path, run: Path, plan: Plan, *, resume: bool = False, report: Report | None = None
) -> Progress | None:
    """Train `plan` on a dataset with a graph; `run` becomes a folder that holds all that the model needs.

    Returns where training ended, and None in all processes but the first.
    With `resume` an unfinished run goes on where its last checkpoint stands, to the same bytes if the processor and the
    number of torch's threads are the same (else `report` says so), and a finished one does nothing. Raises
    `InputError` when `run` exists (without `resume`), or was begun with another plan, dataset or graph.
    """
    dataset = Dataset.load(dataset_path)
    graph = load_dataset_graph(Path(dataset_path), dataset)
    graph_path = Path(dataset_path) / GRAPH_FILE
    for split in ("train", "valid"):
        if not len(dataset.rows(split)):
            raise InputError(f"{dataset_path} has no {split} videos; import it with another --split")
    run = Path(run)
    fabric = launch(plan.train_settings)
    if fabric.is_global_zero:
        bundle = _begin(run, plan, dataset, dataset_path, graph, graph_path, resume=resume, report=report)
    fabric.barrier()
    if not fabric.is_global_zero:
        bundle = _read_begun(run, plan, graph)
        report = None
    posts = DatasetInputs(dataset, bundle.inputs)
    settings = plan.train_settings
    progress = fit(fabric, bundle.model, posts, run, settings=settings, seed=plan.seed, resume=resume, report=report)
    if not fabric.is_global_zero:
        return None
    finished: dict[str, Any] = {
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "valid_ndcg@10": progress.best_ndcg,
        "seconds": round(progress.seconds, 1),
    }
    if isinstance(bundle.model, V2HTMemory) and bundle.model_settings.tail_weight:
        finished["lift"] = _lift(bundle.model, run / "model.safetensors", posts, bundle.model_settings.tail_weight)
    if isinstance(plan.model_settings, GGMSettings) and plan.model_settings.writes is not None:
        finished["generator"] = train_generator(
            run,
            Bundle.load(run),
            posts,
            train_settings=settings,
            ranker_epochs=progress.best_epoch,
            seed=plan.seed,
            device=fabric.device,
            resume=resume,
            report=report,
        )
    write_json(run / "run.json", {**bundle.run_json(), "training": finished})
    _learn_phrases(dataset_path, dataset, run, seed=plan.seed, report=report)
    return progress


def _lift(model: V2HTMemory, weights: Path, posts: DatasetInputs, tail_weight: float) -> dict[str, Any]:
    """Choose how far the best epoch's weights should raise rare hashtags, and keep it with them."""
    load_weights(model, weights)
    chosen = choose_lift(model, posts, tail_weight=tail_weight)
    save_weights(model, weights)
    return chosen


def _learn_phrases(dataset_path: Path, dataset: Dataset, run: Path, *, seed: int, report: Report | None) -> None:
    """Learn which phrases of texts are hashtags, once, where the dataset keeps hashtags to learn it from."""
    rare = read_rare(Path(dataset_path), dataset)
    if rare is None or (run / PHRASES).is_dir():
        return
    if report is not None:
        report("learning which phrases are hashtags", 0, 0)
    if model := PhraseModel.fit(dataset, rare, seed=seed):
        model.save(run / PHRASES)
    elif report is not None:
        report("train texts hold too few rare hashtags to learn phrases from", 0, 0)


def _begin(
    run: Path,
    plan: Plan,
    dataset: Dataset,
    dataset_path: Path,
    graph: HashtagGraph,
    graph_path: Path,
    *,
    resume: bool,
    report: Report | None,
) -> Bundle:
    facts = {"dataset_fingerprint": dataset.fingerprint, "graph_fingerprint": file_fingerprint([graph_path])}
    started = (run / "run.json").is_file()
    if started and not resume:
        raise InputError(f"{run} exists already; choose another folder, or continue it with --resume")
    if started:
        if "update" in read_json(run / "run.json"):
            raise InputError(
                f"{run} was made by `v2ht update`, which no training can go on from; train into a new folder"
            )
        begun = read_json(run / "run.json")
        _check_same(begun, {**plan.as_json(), **facts}, run)
        before, now = begun.get("made", {}).get("threads"), torch.get_num_threads()
        if report is not None and before != now:
            report(f"begun with {before} threads, goes on with {now}: weights may differ in their last bits", 0, 0)
        return _read_begun(run, plan, graph)
    if run.exists():
        raise InputError(f"{run} exists and is not a run; choose another folder")
    if report is not None:
        report("learning word vectors", 0, 0)
    inputs = Inputs.of(
        dataset,
        plan.input_settings,
        seed=plan.seed,
        modalities=plan.model_settings.reads(),
        graph=graph,
        report=report,
    )
    torch.manual_seed(plan.seed)
    model = entry(plan.model).build(plan.model_settings, inputs, graph)
    record = {
        "train_settings": as_json(plan.train_settings),
        "seed": plan.seed,
        "dataset": str(Path(dataset_path).resolve()),
        **facts,
        "source": dataset.manifest.get("source"),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "modalities": sorted(model.modalities),
        "features": {name: dataset.manifest.get("features", {}).get(name, {}) for name in inputs.feature_sizes},
        "made": _provenance(),
    }
    bundle = Bundle(
        model_name=plan.model,
        model_settings=plan.model_settings,
        model=model,
        inputs=inputs,
        graph=graph,
        record=record,
    )
    bundle.save_inputs(run)
    return bundle


def _read_begun(run: Path, plan: Plan, graph: HashtagGraph) -> Bundle:
    """Read what `_begin` wrote, with the weights that training starts from."""
    bundle = Bundle.load(run, weights=False)
    torch.manual_seed(plan.seed)
    return replace(bundle, model=entry(plan.model).build(plan.model_settings, bundle.inputs, graph))


def _check_same(found: dict[str, Any], wanted: dict[str, Any], run: Path) -> None:
    for key, value in wanted.items():
        if found.get(key) == value:
            continue
        if key.endswith("fingerprint"):
            part = key.split("_")[0]
            raise InputError(
                f"{run} was begun with another {part} ({found.get(key)}, now {value}); train into a new folder"
            )
        if isinstance(value, dict):
            names = [name for name in value if found.get(key, {}).get(name) != value[name]]
            key, value, old = names[0], value[names[0]], found.get(key, {}).get(names[0])
        else:
            old = found.get(key)
        raise InputError(f"{run} was begun with {key} {old}, not {value}; resume with the same options, or train anew")


def _provenance() -> dict[str, Any]:
    def output(*command: str) -> str | None:
        root = Path(__file__).parent
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
        return done.stdout.strip() or None

    return {
        "version": v2ht.__version__,
        "commit": output("git", "rev-parse", "HEAD") if shutil.which("git") else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
