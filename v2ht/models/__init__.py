"""The models, by name. One hand-written dict; `build` turns settings and inputs into a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from v2ht.inputs import GraphTensors, Inputs, InputSettings
from v2ht.models.baselines.bilinear import Bilinear, BilinearSettings
from v2ht.models.baselines.co_attention import CoAttention, CoAttentionSettings
from v2ht.models.baselines.contagnet import ConTagNet, ConTagNetSettings
from v2ht.models.baselines.three_way_multiplicative import ThreeWayMultiplicative, ThreeWayMultiplicativeSettings
from v2ht.models.baselines.user_additive import UserAdditive, UserAdditiveSettings
from v2ht.models.baselines.user_specific import UserSpecific, UserSpecificSettings
from v2ht.models.contract import Ranker, RankerSettings
from v2ht.models.ggm.classifier import Classifier
from v2ht.models.ggm.retriever import Retriever
from v2ht.models.ggm.settings import CLASSIFIERS, OWN_LOSS, GGMSettings
from v2ht.models.uhman import REGIONS, UHMAN, UHMANSettings
from v2ht.models.v2ht import V2HT, V2HTSettings
from v2ht.models.v2ht_memory import OWN_LOSS as MEMORY_LOSS
from v2ht.models.v2ht_memory import V2HTMemory, V2HTMemorySettings


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model's settings class, how to build it from settings, inputs and the hashtag graph, and how it reads posts."""

    settings: type[RankerSettings]
    build: Callable[[Any, Inputs, HashtagGraph], Ranker]
    inputs: InputSettings = field(default_factory=InputSettings)


def _build_v2ht(settings: V2HTSettings, inputs: Inputs, graph: HashtagGraph) -> V2HT:
    sizes = {name: size for name, size in inputs.feature_sizes.items() if name in settings.modalities}
    edges = GraphTensors.of(graph).keep(
        [RELATIONS.index(name) for name in settings.relations], trained=inputs.num_trained
    )
    return V2HT(
        hashtag_vectors_HW=torch.from_numpy(inputs.hashtag_vectors_HW),
        hashtag_videos_H=torch.from_numpy(inputs.hashtags["train_videos"].to_numpy().copy()),
        word_vectors=torch.from_numpy(inputs.word_vectors.matrix),
        graph=edges if settings.propagation else None,
        num_relations=len(RELATIONS),
        feature_sizes=sizes,
        use_text="text" in settings.modalities,
        history_size=inputs.history_size if settings.user else None,
        units={
            "visual": settings.visual_units,
            "acoustic": settings.acoustic_units,
            "text": settings.text_units,
            "sentence": settings.sentence_units,
        },
        dim=settings.dim,
        alpha=settings.alpha,
        gcn_layers=settings.gcn_layers,
        edge_rank=settings.edge_rank,
        hidden=settings.hidden,
        dropout=settings.dropout,
        user_dropout=settings.user_dropout,
        hashtag_dropout=settings.hashtag_dropout,
        loss=settings.ranking_loss(),
    )


def _build_uhman(settings: UHMANSettings, inputs: Inputs, graph: HashtagGraph) -> UHMAN:
    return UHMAN(
        **_read(settings, inputs),
        num_hashtags=inputs.num_hashtags,
        history_size=inputs.history_size,
        attribute_sizes=inputs.attribute_sizes,
        hidden=settings.hidden,
        dim=settings.dim,
        heads=settings.heads,
        region_attention=settings.region_attention,
        frame_attention=settings.frame_attention,
        user_dropout=settings.user_dropout,
        loss=settings.ranking_loss(),
    )


def _build_contagnet(settings: ConTagNetSettings, inputs: Inputs, graph: HashtagGraph) -> ConTagNet:
    return ConTagNet(**_shared(settings, inputs), dropout=settings.dropout)


def _build_co_attention(settings: CoAttentionSettings, inputs: Inputs, graph: HashtagGraph) -> CoAttention:
    return CoAttention(**_shared(settings, inputs))


def _build_user_specific(settings: UserSpecificSettings, inputs: Inputs, graph: HashtagGraph) -> UserSpecific:
    return UserSpecific(
        **_shared(settings, inputs),
        num_users=len(inputs.users),
        user_dim=settings.user_dim,
        user_dropout=settings.user_dropout,
    )


def _build_bilinear(settings: BilinearSettings, inputs: Inputs, graph: HashtagGraph) -> Bilinear:
    return Bilinear(**_shared(settings, inputs))


def _build_user_additive(settings: UserAdditiveSettings, inputs: Inputs, graph: HashtagGraph) -> UserAdditive:
    return UserAdditive(
        **_shared(settings, inputs),
        history_size=inputs.history_size,
        attribute_sizes=inputs.attribute_sizes,
        user_dropout=settings.user_dropout,
    )


def _build_three_way(
    settings: ThreeWayMultiplicativeSettings, inputs: Inputs, graph: HashtagGraph
) -> ThreeWayMultiplicative:
    return ThreeWayMultiplicative(
        **_shared(settings, inputs),
        history_size=inputs.history_size,
        attribute_sizes=inputs.attribute_sizes,
        user_dropout=settings.user_dropout,
    )


def _build_ggm(settings: GGMSettings, inputs: Inputs, graph: HashtagGraph) -> Ranker:
    """Build the run's ranker: the retriever, or the classifier that stands in its place."""
    loss = None if settings.loss == OWN_LOSS else settings.ranking_loss()
    videos_H = torch.from_numpy(inputs.hashtags["train_videos"].to_numpy().copy())
    if settings.ranker in CLASSIFIERS:
        own = replace(settings, modalities=CLASSIFIERS[settings.ranker])
        if "visual" in own.modalities and not own.chosen(inputs.feature_sizes):
            raise ValueError(f"{settings.ranker} reads frames, and the dataset has none; choose bert or vlm")
        return Classifier(
            **_ggm_reads(own, inputs),
            num_hashtags=inputs.num_hashtags,
            hashtag_videos_H=videos_H,
            dim=settings.width,
            layers=settings.layers,
            heads=settings.heads,
            dropout=settings.dropout,
            loss=loss,
        )
    edges = GraphTensors.of(graph).keep(
        [RELATIONS.index(name) for name in settings.relations], trained=inputs.num_trained
    )
    return Retriever(
        **_ggm_reads(settings, inputs),
        hashtag_vectors_HW=torch.from_numpy(inputs.hashtag_vectors_HW),
        hashtag_videos_H=videos_H,
        graph=edges if settings.propagation else None,
        num_relations=len(RELATIONS),
        history_size=inputs.history_size if settings.user else None,
        attribute_sizes=inputs.attribute_sizes,
        dim=settings.dim,
        alpha=settings.alpha,
        gcn_layers=settings.gcn_layers,
        edge_rank=settings.edge_rank,
        temperature=settings.temperature,
        hashtag_dropout=settings.hashtag_dropout,
        user_dropout=settings.user_dropout,
        loss=loss,
    )


def _build_v2ht_memory(settings: V2HTMemorySettings, inputs: Inputs, graph: HashtagGraph) -> V2HTMemory:
    edges = GraphTensors.of(graph).keep(
        [RELATIONS.index(name) for name in settings.relations], trained=inputs.num_trained
    )
    return V2HTMemory(
        **_read(settings, inputs),
        hashtag_vectors_HW=torch.from_numpy(inputs.hashtag_vectors_HW),
        hashtag_videos_H=torch.from_numpy(inputs.hashtags["train_videos"].to_numpy().copy()),
        num_trained=inputs.num_trained,
        graph=edges if settings.propagation else None,
        num_relations=len(RELATIONS),
        sources=settings.sources,
        hidden=settings.hidden,
        dim=settings.dim,
        alpha=settings.alpha,
        gcn_layers=settings.gcn_layers,
        edge_rank=settings.edge_rank,
        dropout=settings.dropout,
        user_dropout=settings.user_dropout,
        new_weight=settings.new_weight,
        tau=settings.tau,
        decay=settings.decay,
        loss=None if settings.loss == MEMORY_LOSS else settings.ranking_loss(),
    )


def _ggm_reads(settings: GGMSettings, inputs: Inputs) -> dict[str, Any]:
    """Return what to read of a video: one kind of frames and one of sound, whatever the dataset has of them."""
    sizes = {name: inputs.feature_sizes[name] for name in settings.chosen(inputs.feature_sizes)}
    text = "text" in settings.modalities or not sizes
    return {
        "feature_sizes": sizes,
        "word_vectors": torch.from_numpy(inputs.word_vectors.matrix) if text else None,
    }


def _shared(settings: RankerSettings, inputs: Inputs) -> dict[str, Any]:
    """Return what every baseline is built from."""
    return {
        **_read(settings, inputs),
        "num_hashtags": inputs.num_hashtags,
        "dim": settings.dim,
        "loss": settings.ranking_loss(),
    }


def _read(settings: RankerSettings, inputs: Inputs) -> dict[str, Any]:
    """Return what to read of a video; the text where the dataset has no other of the modalities set.

    Where the dataset has its frames as regions, the one model that can reads those in place of whole frames.
    """
    wanted = list(settings.modalities)
    if REGIONS in settings.reads() and REGIONS in inputs.feature_sizes:
        wanted[wanted.index("visual")] = REGIONS
    sizes = {name: inputs.feature_sizes[name] for name in wanted if name in inputs.feature_sizes}
    text = "text" in settings.modalities or not sizes
    return {
        "feature_sizes": sizes,
        "word_vectors": torch.from_numpy(inputs.word_vectors.matrix) if text else None,
    }


MODELS: dict[str, ModelEntry] = {
    "v2ht": ModelEntry(settings=V2HTSettings, build=_build_v2ht),
    "uhman": ModelEntry(settings=UHMANSettings, build=_build_uhman),
    "contagnet": ModelEntry(settings=ConTagNetSettings, build=_build_contagnet),
    "co_attention": ModelEntry(settings=CoAttentionSettings, build=_build_co_attention),
    "user_specific": ModelEntry(settings=UserSpecificSettings, build=_build_user_specific),
    "bilinear": ModelEntry(settings=BilinearSettings, build=_build_bilinear),
    "user_additive": ModelEntry(settings=UserAdditiveSettings, build=_build_user_additive),
    "three_way_multiplicative": ModelEntry(settings=ThreeWayMultiplicativeSettings, build=_build_three_way),
    "ggm": ModelEntry(settings=GGMSettings, build=_build_ggm, inputs=InputSettings(text_length=40)),
    "v2ht_memory": ModelEntry(
        settings=V2HTMemorySettings,
        build=_build_v2ht_memory,
        inputs=InputSettings(text_length=40, evidence=True),
    ),
}
DEFAULT_MODEL = "v2ht_memory"  # the command line names it too: it does not load the models for that


def entry(name: str) -> ModelEntry:
    """Return a model's entry. Raises ValueError that lists the names when it is unknown."""
    if name not in MODELS:
        raise ValueError(f"model {name!r} is unknown; choose one of {', '.join(MODELS)}")
    return MODELS[name]
