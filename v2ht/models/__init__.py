"""The models, by name. One hand-written dict; `build` turns settings and inputs into a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from v2ht.inputs import GraphTensors, Inputs
from v2ht.models.contract import Ranker
from v2ht.models.v2ht import V2HT, V2HTSettings


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model's settings class and how to build it from settings, inputs and the hashtag graph."""

    settings: type[Any]
    build: Callable[[Any, Inputs, HashtagGraph], Ranker]


def _build_v2ht(settings: V2HTSettings, inputs: Inputs, graph: HashtagGraph) -> V2HT:
    sizes = {name: size for name, size in inputs.feature_sizes.items() if name in settings.modalities}
    edges = GraphTensors.of(graph).keep([RELATIONS.index(name) for name in settings.relations])
    return V2HT(
        hashtag_vectors_HW=torch.from_numpy(inputs.hashtag_vectors_HW),
        word_vectors=torch.from_numpy(inputs.word_vectors.matrix),
        graph=edges if settings.propagation else None,
        num_relations=len(RELATIONS),
        feature_sizes=sizes,
        use_text="text" in settings.modalities,
        history_size=inputs.history_size if settings.user else None,
        units={"visual": settings.visual_units, "acoustic": settings.acoustic_units, "text": settings.text_units},
        dim=settings.dim,
        alpha=settings.alpha,
        gcn_layers=settings.gcn_layers,
        edge_rank=settings.edge_rank,
        hidden=settings.hidden,
        dropout=settings.dropout,
        user_dropout=settings.user_dropout,
        negatives=settings.negatives,
    )


MODELS: dict[str, ModelEntry] = {"v2ht": ModelEntry(settings=V2HTSettings, build=_build_v2ht)}
DEFAULT_MODEL = "v2ht"


def entry(name: str) -> ModelEntry:
    """Return a model's entry. Raises ValueError that lists the names when it is unknown."""
    if name not in MODELS:
        raise ValueError(f"model {name!r} is unknown; choose one of {', '.join(MODELS)}")
    return MODELS[name]
