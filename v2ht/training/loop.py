"""The training loop: Adam, early stop on validation NDCG@10, a checkpoint every epoch, resume that changes nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch.utils.tensorboard import SummaryWriter

from data.files import InputError, new_file
from data.progress import Report
from v2ht.bundle import save_weights
from v2ht.dataset_inputs import DatasetInputs
from v2ht.evaluation.metrics import video_metrics
from v2ht.models.contract import Ranker
from v2ht.nn.top_k import top_k
from v2ht.training.checkpoint import load_checkpoint, save_checkpoint
from v2ht.training.ranking import batches, model_scorer


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a model is trained, and on what."""

    epochs: int = 60  # at most
    epoch_videos: int = 16_384  # train videos of an epoch at most, drawn anew for each; 0: all
    batch_size: int = 32  # videos of all processes together
    learning_rate: float = 0.002
    weight_decay: float = 0.0
    patience: int = 6  # epochs without a better validation NDCG@10 before it stops
    accelerator: str = "cpu"  # cpu, cuda, mps, auto
    devices: int = 1  # processes on this machine
    nodes: int = 1  # machines (start one process group with torchrun)
    precision: str = "32-true"  # 32-true, bf16-mixed, 16-mixed

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience", "devices", "nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; choose at least 1")
        if self.epoch_videos < 0:
            raise ValueError(f"epoch_videos is {self.epoch_videos}; choose at least 1, or 0 for all")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; choose a positive number")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay is {self.weight_decay}; choose 0 or more")
        if self.accelerator not in ("cpu", "cuda", "mps", "auto"):
            raise ValueError(f"accelerator is {self.accelerator!r}; choose cpu, cuda, mps or auto")
        if self.precision not in ("32-true", "bf16-mixed", "16-mixed"):
            raise ValueError(f"precision is {self.precision!r}; choose 32-true, bf16-mixed or 16-mixed")


@dataclass(kw_only=True)
class Progress:
    """Where training stands; all of it is in the checkpoint."""

    epoch: int = 0
    best_epoch: int = 0
    best_ndcg: float = -1.0
    seconds: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)

    def finished(self, settings: TrainSettings) -> bool:
        """Return whether there is nothing left to do."""
        return self.epoch >= settings.epochs or self.epoch - self.best_epoch >= settings.patience


def launch(settings: TrainSettings) -> Fabric:
    """Return a Fabric whose processes have all been started: on this machine, and on others as torchrun says."""
    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.nodes,
            precision=settings.precision,  # type: ignore[arg-type]
        )
        fabric.launch()
    except (RuntimeError, MisconfigurationException) as error:
        wanted = f"accelerator={settings.accelerator}, devices={settings.devices}, nodes={settings.nodes}"
        raise InputError(f"{wanted} cannot be had here ({' '.join(str(error).split())}); choose others") from None
    return fabric


def fit(
    fabric: Fabric,
    model: Ranker,
    posts: DatasetInputs,
    run: Path,
    *,
    settings: TrainSettings,
    seed: int,
    resume: bool,
    report: Report | None = None,
) -> Progress:
    """Train until validation stops getting better; `run`/model.safetensors then holds the best epoch.

    Every process of `fabric` takes its share of each batch and ranks the validation split; the first one writes.
    Randomness of an epoch depends on the seed and its number alone, so that a resumed run takes the same steps.
    Raises `InputError` with advice when the loss is not finite.
    """
    optimizer = torch.optim.Adam(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    progress = Progress()
    checkpoint = run / "checkpoint.safetensors"
    if resume and checkpoint.is_file():
        progress = Progress(**load_checkpoint(checkpoint, model, optimizer))
        if fabric.is_global_zero:
            _write_log(run / "log.jsonl", progress.log)  # a kill may have come between checkpoint and log
    wrapped, optimizer = fabric.setup(model, optimizer)
    board = SummaryWriter(str(run / "tensorboard"), purge_step=progress.epoch + 1) if fabric.is_global_zero else None
    while not progress.finished(settings):
        started = time.monotonic()
        epoch = progress.epoch + 1
        loss = train_epoch(fabric, wrapped, optimizer, posts, settings=settings, seed=seed, epoch=epoch, report=report)
        ndcg = validation_ndcg(model, posts, device=fabric.device)
        progress.epoch = epoch
        progress.seconds += time.monotonic() - started
        line = {"epoch": epoch, "loss": loss, "valid_ndcg@10": ndcg, "seconds": round(progress.seconds, 3)}
        progress.log.append(line)
        better = ndcg > progress.best_ndcg
        if better:
            progress.best_epoch, progress.best_ndcg = epoch, ndcg
        if board is not None:
            if better:
                save_weights(model, run / "model.safetensors")
            save_checkpoint(checkpoint, model, optimizer, asdict(progress))
            _write_log(run / "log.jsonl", progress.log)
            board.add_scalar("loss", loss, epoch)
            board.add_scalar("valid/ndcg@10", ndcg, epoch)
            board.flush()
        fabric.barrier()
        if report is not None:
            report(
                f"epoch {epoch}: loss {loss:.4f}, validation NDCG@10 {ndcg:.4f} (best {progress.best_ndcg:.4f})", 0, 0
            )
    if board is not None:
        board.close()
    return progress


@contextmanager
def _without_denormals() -> Iterator[None]:
    """Take numbers under 1.2e-38 for zero: saturated LSTMs make many such gradients, and processors are slow there."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@_without_denormals()
def train_epoch(
    fabric: Fabric,
    model: Any,
    optimizer: Any,
    posts: DatasetInputs,
    *,
    settings: TrainSettings,
    seed: int,
    epoch: int,
    report: Report | None,
) -> float:
    """Take one pass over the train videos, or over `epoch_videos` of them; return the mean loss."""
    model.train()
    steps = list(epoch_batches(posts, settings=settings, seed=seed, epoch=epoch))
    share = np.random.SeedSequence([seed, epoch, fabric.global_rank]).generate_state(1)[0]
    generator = torch.Generator().manual_seed(int(share))
    torch.manual_seed(int(share))  # dropout inside layers
    losses = []
    for step, rows in enumerate(steps):
        own = rows[fabric.global_rank :: fabric.world_size]
        optimizer.zero_grad()
        loss = model(posts.batch(own).to(fabric.device), generator)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise InputError(
                f"the loss became {value} in epoch {epoch}, step {step + 1}; train into a new folder with a lower "
                f"learning rate (--set learning_rate={settings.learning_rate / 10:g})"
            )
        fabric.backward(loss)
        optimizer.step()
        losses.append(value)
        if report is not None:
            report(f"epoch {epoch}", step + 1, len(steps))
    mean = fabric.all_reduce(torch.tensor(np.mean(losses)), reduce_op="mean")
    return float(mean)  # type: ignore[arg-type]


def epoch_batches(posts: DatasetInputs, *, settings: TrainSettings, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """Yield the train rows in the order of this epoch; a short rest that not all processes could share is dropped."""
    rows = posts.dataset.rows("train")
    rows = np.random.default_rng([seed, epoch]).permutation(rows)[: settings.epoch_videos or None]
    least = settings.devices * settings.nodes
    for start in range(0, len(rows), settings.batch_size):
        part = rows[start : start + settings.batch_size]
        if len(part) >= least:
            yield part


def validation_ndcg(model: Ranker, posts: DatasetInputs, *, device: torch.device) -> float:
    """Return NDCG@10 over the validation videos, all hashtags ranked."""
    rows = posts.dataset.rows("valid")
    score = model_scorer(model, posts, device=device)
    ranked = [top_k(score(part), 10)[0].numpy() for part in batches(rows, num_hashtags=posts.inputs.num_hashtags)]
    truth = posts.truth.take(rows)
    metrics = video_metrics(np.concatenate(ranked), truth, ks=[10], num_hashtags=posts.inputs.num_hashtags)
    return float(metrics["ndcg@10"].mean())


def _write_log(path: Path, lines: list[dict[str, Any]]) -> None:
    with new_file(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
