"""A trained model as a folder that can be carried anywhere: nothing in it is code, nothing is pickled.

RUN/
  run.json              model name, settings, seed, dataset and graph fingerprints, versions
  hashtags.parquet      hashtag | words | train_videos         (row = hashtag id); after an update new_videos | trained
  users.parquet         user | attributes of users, if any      (row = user id)
  words.parquet         word                                   (row = word id)
  history.parquet       user_id | hashtag_id | videos          (train split)
  inputs.safetensors    word vectors, users' visual sums, scaling of features
  memory.safetensors    train posts as vectors with their hashtags, and what was fitted on them (with evidence only)
  terms.parquet         term                                   (of those vectors; row = term id)
  graph.parquet         the hashtag graph
  updates.parquet       posts that `v2ht update` folded in, if any (v2ht/training/update.py)
  model.safetensors     weights of the best epoch
  checkpoint.safetensors, log.jsonl, tensorboard/, evaluation-*.json, evaluation-*.parquet
  generator/, written-*.parquet      of a `ggm` run (v2ht/writing.py), what it wrote for a split
  phrases/              what was learned of phrases of texts, if there was enough to learn from (v2ht/phrases.py)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from scipy import sparse
from torch import Tensor, nn

from data.attributes import UserAttributes
from data.files import InputError, new_file, new_folder, read_json, write_json
from data.times import UTC
from data.word_vectors import WordVectors
from graph_builders.hashtag_graph import HashtagGraph
from v2ht.evidence.memory import Memory
from v2ht.evidence.store import memory_arrays, memory_of
from v2ht.inputs import History, Inputs, InputSettings, Scaling
from v2ht.models import entry
from v2ht.models.contract import Ranker
from v2ht.settings import as_json, restore

FORMAT = "v2ht-run-1"
UPDATES_FILE = "updates.parquet"
# What an update reads of it again, beside columns that only some tables have.
_FOLDED: dict[str, pl.DataType] = {
    "video_id": pl.String(),
    "user": pl.String(),
    "time": UTC,
    "text": pl.String(),
    "hashtags": pl.List(pl.String()),
}
# What libraries raise on files that are cut, changed or of another run.
_DAMAGE = (
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    pl.exceptions.PolarsError,
    SafetensorError,
)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A model with all it needs to read posts and name hashtags."""

    model_name: str
    model_settings: Any
    model: Ranker
    inputs: Inputs
    graph: HashtagGraph
    record: dict[str, Any]  # what else run.json holds

    def save_inputs(self, path: Path) -> None:
        """Make the folder of a run with everything but the weights, whole or not at all."""
        with new_folder(path) as run:
            self.write_into(run)

    def write_into(self, run: Path) -> None:
        """Write everything but the weights into an empty folder, which the caller renames when it is complete."""
        _write_table(run / "hashtags.parquet", self.inputs.hashtags)
        users = pl.DataFrame({"user": self.inputs.users}, schema={"user": pl.String()})
        _write_table(run / "users.parquet", users.hstack(self.inputs.attributes.table))
        _write_table(
            run / "words.parquet", pl.DataFrame({"word": self.inputs.word_vectors.words}, schema={"word": pl.String()})
        )
        _write_table(run / "history.parquet", _history_table(self.inputs.history))
        arrays = {
            "word_vectors": self.inputs.word_vectors.matrix,
            "visual_sums": self.inputs.history.visual_UV,
            "visual_videos": self.inputs.history.visual_videos_U,
            **{f"mean.{name}": scaling.mean_F for name, scaling in self.inputs.scaling.items()},
            **{f"scale.{name}": scaling.scale_F for name, scaling in self.inputs.scaling.items()},
        }
        _write_arrays(run / "inputs.safetensors", arrays)
        if self.inputs.memory is not None:
            names = {"term": self.inputs.memory.texts.terms, "sound": self.inputs.memory.sounds}
            for name, values in names.items():
                _write_table(run / f"{name}s.parquet", pl.DataFrame({name: values}, schema={name: pl.String()}))
            _write_arrays(run / "memory.safetensors", memory_arrays(self.inputs.memory))
        self.graph.save(run / "graph.parquet")
        write_json(run / "run.json", self.run_json())

    def run_json(self) -> dict[str, Any]:
        """Return what run.json holds."""
        return {
            "format": FORMAT,
            "model": self.model_name,
            "model_settings": as_json(self.model_settings),
            "input_settings": as_json(self.inputs.settings),
            "feature_sizes": self.inputs.feature_sizes,
            **self.record,
        }

    @staticmethod
    def load(run: Path, *, weights: bool = True) -> Bundle:
        """Read a run. Raises `InputError` when it is none, is unfinished, or its weights are another model's."""
        run = Path(run)
        if not (run / "run.json").is_file():
            raise InputError(f"{run} is not a run (it has no run.json); make one with `v2ht train`")
        content = read_json(run / "run.json")
        if content.pop("format", None) != FORMAT:
            raise InputError(f"{run}/run.json is not of format {FORMAT!r}; train again with this version")
        try:
            for key in ("dataset", "dataset_fingerprint", "seed", "modalities", "made"):
                content[key]
            name = content.pop("model")
            settings = restore(entry(name).settings, content.pop("model_settings"), where=f"{run}/run.json")
            graph = HashtagGraph.load(run / "graph.parquet")
            inputs = _load_inputs(run, content, graph)
            if graph.num_hashtags != inputs.num_hashtags:
                raise ValueError(f"a graph of {graph.num_hashtags} hashtags, a table of {inputs.num_hashtags}")
            model = entry(name).build(settings, inputs, graph)
        except InputError:
            raise
        except _DAMAGE as error:
            raise InputError(f"{run}: a part is missing or damaged ({_one_line(error)}); train again") from None
        if weights:
            load_weights(model, run / "model.safetensors")
        return Bundle(
            model_name=name, model_settings=settings, model=model.eval(), inputs=inputs, graph=graph, record=content
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def folded_posts(run: Path) -> pl.DataFrame | None:
    """Return the posts that updates folded into a run, None for a run as trained.

    Raises `InputError` when they are missing or damaged.
    """
    path = run / UPDATES_FILE
    if not read_json(run / "run.json").get("update"):
        return None
    try:
        posts = pl.read_parquet(path)
        wrong = [name for name, kind in _FOLDED.items() if posts.schema.get(name) != kind]
        if wrong:
            raise ValueError(f"column {wrong[0]!r} is {posts.schema.get(wrong[0])}, expected {_FOLDED[wrong[0]]}")
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        why = _one_line(error)
        raise InputError(f"{path} is missing or damaged ({why}); update the run as it was trained once more") from None
    return posts


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model's weights, whole or not at all."""
    with new_file(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}, temporary)


def load_weights(model: nn.Module, path: Path) -> None:
    """Read weights into a model. Raises `InputError` when the file is missing, damaged or another model's."""
    set_weights(model, read_tensors(path), path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file. Raises `InputError` when it is missing or damaged."""
    if not path.is_file():
        raise InputError(f"{path} does not exist: no epoch has finished yet; continue with `v2ht train --resume`")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} is damaged ({error}); train again") from None


def set_weights(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Put tensors into a model. Raises `InputError` naming the first one that does not fit."""
    expected = model.state_dict()
    for name in sorted(set(expected) | set(tensors)):
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        wanted = tuple(expected[name].shape) if name in expected else "nothing"
        if found != wanted:
            raise InputError(
                f"{path} holds another model: {name} is {found}, expected {wanted}; use the run that it belongs to"
            )
    with torch.no_grad():
        model.load_state_dict(tensors)


def _write_table(path: Path, table: pl.DataFrame) -> None:
    with new_file(path) as temporary:
        table.write_parquet(temporary, compression="zstd")


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with new_file(path) as temporary:
        save_arrays({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)


def _history_table(history: History) -> pl.DataFrame:
    entries = history.counts.tocoo()
    table = pl.DataFrame({"user_id": entries.row, "hashtag_id": entries.col, "videos": entries.data.astype(np.int32)})
    return table.with_columns(pl.col("user_id", "hashtag_id").cast(pl.Int32)).sort("user_id", "hashtag_id")


def _load_inputs(run: Path, content: dict[str, Any], graph: HashtagGraph) -> Inputs:
    hashtags = pl.read_parquet(run / "hashtags.parquet")
    user_table = pl.read_parquet(run / "users.parquet")
    users = user_table["user"].to_list()
    table = pl.read_parquet(run / "history.parquet")
    arrays = load_arrays(run / "inputs.safetensors")
    entries = (
        table["videos"].to_numpy().astype(np.float32),
        (table["user_id"].to_numpy(), table["hashtag_id"].to_numpy()),
    )
    counts = sparse.csr_matrix(entries, shape=(len(users), hashtags.height))
    settings = restore(InputSettings, content.pop("input_settings"), where=f"{run}/run.json")
    return Inputs(
        hashtags=hashtags,
        users=users,
        word_vectors=WordVectors(
            words=pl.read_parquet(run / "words.parquet")["word"].to_list(), matrix=arrays["word_vectors"]
        ),
        history=History(counts=counts, visual_UV=arrays["visual_sums"], visual_videos_U=arrays["visual_videos"]),
        scaling={
            name: Scaling(mean_F=arrays[f"mean.{name}"], scale_F=arrays[f"scale.{name}"])
            for name in content.pop("feature_sizes")
        },
        settings=settings,
        attributes=UserAttributes(user_table.drop("user")),
        memory=_load_memory(run, hashtags, len(users), graph) if settings.evidence else None,
    )


def _load_memory(run: Path, hashtags: pl.DataFrame, num_users: int, graph: HashtagGraph) -> Memory:
    return memory_of(
        load_arrays(run / "memory.safetensors"),
        terms=pl.read_parquet(run / "terms.parquet")["term"].to_list(),
        sounds=pl.read_parquet(run / "sounds.parquet")["sound"].to_list(),
        hashtags=hashtags["hashtag"].to_list(),
        words=hashtags["words"].to_list(),
        num_users=num_users,
        graph=graph,
    )
