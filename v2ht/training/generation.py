"""Training of the generator, after the run's ranker: cross-entropy, early stop on validation F1, resume that changes
nothing.

Shapes: B videos, K hashtags of guidance.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.dataset import Dataset
from data.files import InputError, new_file, write_json
from data.progress import Report
from data.text import without_addresses
from v2ht.bundle import Bundle, save_weights, set_weights
from v2ht.dataset_inputs import DatasetInputs
from v2ht.inputs import Batch
from v2ht.models.ggm.generator import Generator, pretrained_bart, small_bart
from v2ht.models.ggm.settings import GGMSettings
from v2ht.models.ggm.tokens import HashtagTokenizer, Prompts
from v2ht.training.checkpoint import load_checkpoint, save_checkpoint
from v2ht.training.guidance import guide_rows, recall_at_k, train_guidance
from v2ht.training.loop import TrainSettings
from v2ht.writing import FOLDER, HashtagWriter, build_generator

WARM_UP = 200  # steps, at most, in which the learning rate rises; at most two epochs
LAST_RATE = 0.05  # share of the learning rate that is left after the last epoch
CLIP = 1.0  # longest gradient
VALIDATED = 200  # validation videos, at most, whose written hashtags decide when to stop
WRITTEN_TOGETHER = 32


@dataclass(kw_only=True)
class GenerationProgress:
    """Where training of the generator stands; all of it is in its checkpoint."""

    epoch: int = 0
    best_epoch: int = 0
    best_f1: float = -1.0
    seconds: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)

    def finished(self, settings: GGMSettings) -> bool:
        """Return whether there is nothing left to do."""
        late = self.epoch - self.best_epoch >= settings.generator_patience
        return self.epoch >= settings.generator_epochs or (self.best_f1 > 0 and late)


def train_generator(
    run: Path,
    bundle: Bundle,
    posts: DatasetInputs,
    *,
    train_settings: TrainSettings,
    ranker_epochs: int,
    seed: int,
    device: torch.device,
    resume: bool,
    report: Report | None = None,
) -> dict[str, Any]:
    """Train the generator of a run whose ranker is trained; `run`/generator then holds the best epoch.

    Returns epochs, best_epoch, valid_f1 and seconds.
    Randomness of an epoch depends on the seed and its number alone, so that a resumed run takes the same steps.
    Raises `InputError` with advice when the loss is not finite, or `text_model` names no BART.
    """
    started = time.monotonic()
    settings = bundle.model_settings
    examples, generator, record = _prepare(
        run, bundle, posts, train_settings=train_settings, ranker_epochs=ranker_epochs, seed=seed, report=report
    )
    folder = Path(run) / FOLDER
    optimizer = torch.optim.AdamW(generator.parameters(), lr=settings.generator_rate)
    progress, checkpoint = GenerationProgress(), folder / "checkpoint.safetensors"
    if resume and checkpoint.is_file():
        progress = GenerationProgress(**load_checkpoint(checkpoint, generator, optimizer))
        _write_log(folder / "log.jsonl", progress.log)  # a kill may have come between checkpoint and log
    generator.to(device)
    writer = HashtagWriter(bundle, generator, examples.tokenizer)
    while not progress.finished(settings):
        epoch = progress.epoch + 1
        loss = _train_epoch(generator, optimizer, examples, seed=seed, epoch=epoch, device=device, report=report)
        f1 = validation_f1(writer, posts, seed=seed)
        progress.epoch = epoch
        progress.seconds += time.monotonic() - started
        started = time.monotonic()
        progress.log.append({"epoch": epoch, "loss": loss, "valid_f1": f1, "seconds": round(progress.seconds, 3)})
        if f1 > progress.best_f1 or progress.best_f1 <= 0:  # of epochs without a hit the last one knows most
            progress.best_epoch, progress.best_f1 = epoch, f1
            save_weights(generator, folder / "model.safetensors")
        save_checkpoint(checkpoint, generator, optimizer, asdict(progress))
        _write_log(folder / "log.jsonl", progress.log)
        if report is not None:
            report(
                f"generator, epoch {epoch}: loss {loss:.4f}, validation F1 {f1:.4f} (best {progress.best_f1:.4f})", 0, 0
            )
    finished = {
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "valid_f1": progress.best_f1,
        "seconds": round(progress.seconds, 1),
    }
    write_json(folder / "config.json", {**record, "training": finished})
    return finished


class Examples:
    """The train videos as prompts and targets, batch by batch.

    Args:
        posts: the dataset.
        tokenizer, settings: of the run.
        guidance_NK: guidance of the train videos, in the order of their rows.
        limit: tokens of a prompt at most.
    """

    def __init__(
        self,
        posts: DatasetInputs,
        tokenizer: HashtagTokenizer,
        settings: GGMSettings,
        *,
        guidance_NK: np.ndarray,
        limit: int,
    ) -> None:
        self.posts, self.tokenizer, self.settings = posts, tokenizer, settings
        self.rows = posts.dataset.rows("train")
        self._limit = limit
        texts = posts.dataset.videos["text"].gather(self.rows).fill_null("").to_list()
        self._texts = [tokenizer.text(text, limit=settings.text_tokens) for text in texts]
        self._guidance = guidance_NK.tolist()
        self._hashtags = [tokenizer.hashtag(words) for words in posts.inputs.hashtags["words"].to_list()]

    def epoch(self, *, seed: int, epoch: int) -> Iterator[tuple[Prompts, Batch, tuple[Tensor, Tensor]]]:
        """Yield the batches of an epoch: videos in a new order, each with its hashtags in a new order."""
        rng = np.random.default_rng([seed, epoch])
        places = rng.permutation(len(self.rows))
        for start in range(0, len(places), self.settings.generator_batch):
            part = places[start : start + self.settings.generator_batch]
            prompts = self.tokenizer.prompts(
                [self._texts[place] for place in part],
                [self._guidance[place] for place in part],
                self._hashtags,
                limit=self._limit,
            )
            rows = self.rows[part]
            shuffled = [rng.permutation(self.posts.truth[row]) for row in rows]
            targets = self.tokenizer.targets(
                [[self._hashtags[number] for number in ids] for ids in shuffled], limit=self.settings.max_length
            )
            yield prompts, self.posts.batch(rows), targets

    def __len__(self) -> int:
        return -(-len(self.rows) // self.settings.generator_batch)


def _prepare(
    run: Path,
    bundle: Bundle,
    posts: DatasetInputs,
    *,
    train_settings: TrainSettings,
    ranker_epochs: int,
    seed: int,
    report: Report | None,
) -> tuple[Examples, Generator, dict[str, Any]]:
    """Return the examples, the untrained generator, and what config.json says so far."""
    settings: GGMSettings = bundle.model_settings
    folder = Path(run) / FOLDER
    train = posts.dataset.rows("train")
    if report is not None:
        report("learning tokens", 0, 0)
    tokenizer, bart, weights = _start(posts.dataset, settings)
    guidance_NK = np.empty((len(train), 0), np.int64)
    recall = None
    if settings.guides:
        guidance_NK = train_guidance(
            run, bundle, posts, settings=train_settings, epochs=ranker_epochs, seed=seed, report=report
        )
        valid = posts.dataset.rows("valid")
        valid_NK = guide_rows(bundle.model, posts, valid, k=settings.guides)
        recall = {
            "train_recall": recall_at_k(guidance_NK, posts.truth.take(train)),
            "valid_recall": recall_at_k(valid_NK, posts.truth.take(valid)),
        }
        if report is not None:
            shares = f"{recall['train_recall']:.3f} of train, {recall['valid_recall']:.3f} of validation videos'"
            report(f"guidance holds {shares} hashtags", 0, 0)
    torch.manual_seed(seed)
    generator = build_generator(bundle, bart)
    own = generator.state_dict()
    read = {name: value for name, value in weights.items() if name in own}  # a kind without text has no encoder
    set_weights(generator, {**own, **read}, Path(settings.text_model))
    record = {
        "bart": bart.to_dict(),
        "guidance": recall,
        "parameters": sum(weight.numel() for weight in generator.parameters()),
        "training": None,
    }
    tokenizer.save(folder / "tokenizer.json")
    write_json(folder / "config.json", record)
    limit = bart.max_position_embeddings - 1  # the user stands before the prompt
    return Examples(posts, tokenizer, settings, guidance_NK=guidance_NK, limit=limit), generator, record


def _start(dataset: Dataset, settings: GGMSettings) -> tuple[HashtagTokenizer, Any, dict[str, Tensor]]:
    """Return the tokenizer, BART's configuration, and the weights to start from, none when from scratch."""
    if settings.text_model:
        folder = Path(settings.text_model)
        tokenizer = HashtagTokenizer.of_folder(folder)
        return tokenizer, *pretrained_bart(folder, tokenizer)
    tokenizer = HashtagTokenizer.train(_train_texts(dataset), size=settings.vocabulary)
    bart = small_bart(
        tokenizer, width=settings.width, layers=settings.layers, heads=settings.heads, dropout=settings.dropout
    )
    return tokenizer, bart, {}


def _train_texts(dataset: Dataset) -> Iterator[str]:
    """Yield the train videos' descriptions, and their hashtags as words."""
    train = dataset.videos[dataset.rows("train")]
    words = [" ".join(row) for row in dataset.hashtags["words"].to_list()]
    for text, ids in zip(train["text"].fill_null("").to_list(), train["hashtag_ids"].to_list(), strict=True):
        yield without_addresses(text)
        yield from (words[number] for number in ids)


def _train_epoch(
    generator: Generator,
    optimizer: torch.optim.Optimizer,
    examples: Examples,
    *,
    seed: int,
    epoch: int,
    device: torch.device,
    report: Report | None,
) -> float:
    """Take one pass over the train videos; return the mean loss."""
    generator.train()
    drawn = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
    torch.manual_seed(int(torch.randint(2**31, (1,), generator=drawn)))  # dropout inside layers
    losses = []
    for step, (prompts, batch, targets) in enumerate(examples.epoch(seed=seed, epoch=epoch)):
        share = rate_share((epoch - 1) * len(examples) + step, len(examples), examples.settings.generator_epochs)
        for group in optimizer.param_groups:
            group["lr"] = examples.settings.generator_rate * share
        optimizer.zero_grad()
        loss = generator.loss(prompts, batch.to(device), targets, generator=drawn)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise InputError(
                f"the generator's loss became {value} in epoch {epoch}, step {step + 1}; train into a new folder with "
                f"a lower rate (--set generator_rate={examples.settings.generator_rate / 10:g})"
            )
        loss.backward()
        nn.utils.clip_grad_norm_(generator.parameters(), CLIP)
        optimizer.step()
        losses.append(value)
        if report is not None:
            report(f"generator, epoch {epoch}", step + 1, len(examples))
    return float(np.mean(losses))


def rate_share(taken: int, steps: int, epochs: int) -> float:
    """Return the share of the learning rate after `taken` steps, `steps` an epoch: it rises, then falls linearly.

    The fall is planned for all `epochs`; training that stops early stops at a higher rate.
    """
    risen = min(1.0, (taken + 1) / min(WARM_UP, 2 * steps))
    return risen * (1 - (1 - LAST_RATE) * taken / (steps * epochs))


def validation_f1(writer: HashtagWriter, posts: DatasetInputs, *, seed: int) -> float:
    """Return the mean exact-match F1 over validation videos, at most `VALIDATED`, written as the run will write.

    With one beam it would be cheaper, and say less: on YouTube trending F1 .161 with one beam was .264 with five.
    """
    rows = posts.dataset.rows("valid")
    rows = np.random.default_rng([seed, 1]).permutation(rows)[:VALIDATED]
    names = posts.inputs.hashtags["hashtag"].to_list()
    scores = []
    for row, written in zip(rows, write_rows(writer, posts, rows), strict=True):
        true = {names[number] for number in posts.truth[row]}
        if true:
            scores.append(2 * len(true & set(written)) / (len(true) + len(written)))
    return float(np.mean(scores)) if scores else 0.0


def write_rows(
    writer: HashtagWriter,
    posts: DatasetInputs,
    rows: np.ndarray,
    *,
    n: int | None = None,
    beams: int | None = None,
    report: Report | None = None,
) -> list[list[str]]:
    """Return the hashtags written for a dataset's rows, each spelled as in the vocabulary if it is known there.

    `n` and `beams` as in `HashtagWriter.write`.
    """
    if writer.generator is not None:
        writer.generator.eval()
    texts = posts.dataset.videos["text"].fill_null("")
    found: list[list[str]] = []
    for start in range(0, len(rows), WRITTEN_TOGETHER):
        part = rows[start : start + WRITTEN_TOGETHER]
        written = writer.write(texts.gather(part).to_list(), posts.batch(part), n=n, beams=beams)
        found += [[item.hashtag for item in items] for items in written]
        if report is not None:
            report("writing hashtags", len(found), len(rows))
    return found


def _write_log(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    with new_file(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
