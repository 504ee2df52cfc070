"""A small made-up world on disk, with its graph, for tests that need a whole dataset."""

from pathlib import Path

from data.dataset import Dataset
from data.synthetic import WorldSettings, make_world
from graph_builders.build import GraphSettings, build_dataset_graph
from v2ht.training.train import Plan

SMALL = [
    "dim=16",
    "visual_units=8",
    "acoustic_units=8",
    "text_units=8",
    "hidden=16",
    "word_dimension=16",
    "batch_size=32",
]


def write_world(folder: Path, *, num_videos: int = 300, seed: int = 0, features: bool = True) -> Dataset:
    """Write a dataset with a graph; without features it is a text-only table."""
    world = make_world(WorldSettings(num_videos=num_videos, num_users=30), seed=seed)
    if not features:
        world = Dataset(videos=world.videos, hashtags=world.hashtags, users=world.users, manifest=world.manifest)
    saved = world.save(folder)
    build_dataset_graph(saved, GraphSettings()).save(folder / "graph.parquet")
    return saved


def small_plan(*words: str, model: str = "v2ht", seed: int = 0) -> Plan:
    """Return a plan that trains in seconds."""
    return Plan.of(model, [*SMALL, *words], seed=seed)
