"""The whole chain on real posts, small models: what users do first, on what they have."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data.dataset import Dataset, Ragged
from data.importing import ImportSettings, import_table
from data.presets import parse_columns
from experiments.clips.run import run
from graph_builders.build import GraphSettings, build_dataset_graph
from v2ht.dataset_inputs import DatasetInputs
from v2ht.inputs import Inputs, InputSettings
from v2ht.models import entry
from v2ht.serving import Recommender
from v2ht.training.evaluate import evaluate_run
from v2ht.training.ranking import model_scorer, rank_rows
from v2ht.training.train import train
from worlds import small_plan


def real_dataset(real_data: Path, file: str, out: Path, **settings: object) -> Dataset:
    dataset = import_table(real_data / file, ImportSettings(**settings), out=out)  # type: ignore[arg-type]
    build_dataset_graph(dataset, GraphSettings()).save(out / "graph.parquet")
    return dataset


@pytest.mark.parametrize(
    ("file", "format", "columns"),
    [
        ("youtube_trending_2017_us_gb_ca.parquet", "youtube", ""),
        ("pyvideo_talks.parquet", "table", "text=title+description"),
    ],
)
@pytest.mark.parametrize("split", ["random", "time"])
def test_import_graph_train_evaluate_recommend(
    file: str, format: str, columns: str, split: str, real_data: Path, tmp_path: Path
) -> None:
    parsed = parse_columns(columns) if columns else {}
    dataset = real_dataset(real_data, file, tmp_path / "posts", format=format, columns=parsed, split=split)
    train(tmp_path / "posts", tmp_path / "run", small_plan("epochs=1"))
    content = evaluate_run(tmp_path / "run", split="test")
    assert content["overall"]["videos"] == len(dataset.rows("test"))
    floors = content["floors"]
    assert floors["user_history"]["overall"]["recall@10"] > floors["popularity"]["overall"]["recall@10"]
    user = dataset.users["user"][0]
    found = Recommender.load(tmp_path / "run").recommend(user=user, description="a new post", k=3, explain=True)
    assert len(found) == 3
    assert all(item.reasons for item in found)


def test_full_ranking_of_tiktok_vn_equals_the_plain_scorer_pair_by_pair(real_data: Path, tmp_path: Path) -> None:
    """Rank the test split in blocks; six of its videos scored alone, one hashtag at a time, give the same lists."""
    dataset = real_dataset(real_data, "tiktok_vn_2025.parquet", tmp_path / "posts", format="tiktok")
    inputs = Inputs.of(dataset, InputSettings(word_dimension=8), seed=0)
    graph = build_dataset_graph(dataset, GraphSettings())
    torch.manual_seed(0)
    model = entry("v2ht").build(small_plan().model_settings, inputs, graph).eval()
    posts = DatasetInputs(dataset, inputs)
    rows = dataset.rows("test")
    nothing = Ragged.from_lists([[] for _ in rows])
    ranked = rank_rows(
        model_scorer(model, posts), rows, depth=10, known=nothing, new_depth=1, num_hashtags=dataset.num_hashtags
    ).ranked_NK
    assert ranked.shape == (len(rows), 10)
    with torch.inference_mode():
        hashtags_HD = model.hashtag_embeddings()
        for place in range(0, len(rows), len(rows) // 5):
            batch = posts.batch(rows[place : place + 1])
            single_H = torch.cat([model.scores(batch, one[None])[0] for one in hashtags_HD])
            best_K = np.argsort(-single_H.numpy(), kind="stable")[:10]
            torch.testing.assert_close(single_H[ranked[place]], single_H[best_K], atol=1e-5, rtol=1e-5)


def test_real_clips_and_sounds_go_through_the_chain(real_data: Path, tmp_path: Path) -> None:
    """Seven videos and seven sounds: features of each that has the stream, pictures, recommendations for a file."""
    found = run(real_data / "clips", tmp_path / "out", frames=2, size=32, names=["resnet50", "log_mel"])
    assert len(found) == 5
    dataset = Dataset.load(tmp_path / "out" / "dataset")
    lengths = dict(zip(dataset.videos["video_id"], dataset.features["visual"].lengths.tolist(), strict=True))
    assert {name for name, steps in lengths.items() if steps == 2} == {name for name in lengths if "video/" in name}
    silent = dataset.features["acoustic"].lengths == 0
    assert dataset.videos["video_id"].filter(silent).to_list() == ["video/dog_eating_noaudio.mp4"]
    assert len(list((tmp_path / "out").glob("sound-*.png"))) == 13
    assert (tmp_path / "out" / "clips.png").stat().st_size > 10_000
