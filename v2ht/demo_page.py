"""What the demonstration's report shows: results, training, modalities, graph, cases, clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data.dataset import MEDIA_TABLE, Dataset
from data.features.clip import Sampling, sample_frames
from data.features.extract import ExtractionReport
from data.features.sound import V2HT_SOUND, LogMel
from data.files import read_json
from graph_builders.hashtag_graph import HashtagGraph
from v2ht.evaluation.evaluate import LONGTAIL_THRESHOLD
from v2ht.evaluation.report import comparison_table, number
from v2ht.floors import FLOORS
from v2ht.page import Case, Picture, Predicted, Section, Table, verdict, write_page
from v2ht.plots import contact_sheet, neighbourhood, results_bars, spectrogram, training_curves
from v2ht.serving import Recommender

CASES = 3
SNAPSHOTS = 3  # of a case, as in figure 6 of the paper
SHOWN = 10  # hashtags that a case shows of each system


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """What was made: the folder, and what the report needs of its parts."""

    folder: Path
    dataset: Dataset
    graph: HashtagGraph
    variants: Mapping[str, Path]  # runs by name, the best model first
    modalities: Mapping[str, Path]  # runs by name, the full model last
    comparison: Mapping[str, Any]
    extractions: Sequence[ExtractionReport]
    seconds: float


def write_demo_page(shown: Demonstration) -> Path:
    """Write report.html and its pictures into the demonstration's folder; return the page's path."""
    path = shown.folder / "report.html"
    manifest = shown.dataset.manifest["counts"]
    facts = {
        "clips": f"{manifest['videos']:,}",
        "users": f"{manifest['users']:,}",
        "hashtags": f"{manifest['hashtags']:,}",
        "test videos": f"{manifest['test']:,}",
        "time": f"{shown.seconds / 60:.1f} min",
        "visual network": "ResNet-50, untrained",
    }
    sections = [_results(shown), _modalities(shown), _cases(shown), _graph(shown), _clips(shown)]
    write_page(
        path,
        title="Hashtags for made-up clips",
        lead="Clips of a made-up world were rendered, decoded and ranked against every hashtag. "
        + verdict(shown.comparison),
        facts=facts,
        sections=sections,
    )
    return path


def _results(shown: Demonstration) -> Section:
    bars, curves = shown.folder / "results.png", shown.folder / "training.png"
    results_bars(shown.comparison, bars)
    training_curves(shown.variants, curves)
    table = Table.of(
        comparison_table(dict(shown.comparison)),
        caption="Every hashtag is ranked for every test video; ± is half a 95 % interval, p is against "
        f"{next(iter(shown.variants))}.",
        floors=tuple(FLOORS),
    )
    return Section(
        title="Results",
        text=[
            "v2ht_memory is the default model, which also sees what users and similar posts did before. v2ht is the "
            "paper's model. Without graph, its hashtags do not borrow from their relatives; without user, nobody has a "
            "history; popularity, user_history and text_knn are floors that learn nothing.",
            "A world of this size is for looking, not for claims: the same comparison on larger worlds and several "
            "seeds is in experiments/worlds.",
        ],
        parts=[
            table,
            Picture(caption="Recall@10 with its interval.", png=bars.read_bytes()),
            Picture(caption="Validation NDCG@10 of every epoch; a dot marks the best.", png=curves.read_bytes()),
        ],
    )


def _modalities(shown: Demonstration) -> Section:
    rows = []
    for name, run in shown.modalities.items():
        content = read_json(run / "evaluation-test.json")
        cells = [content["overall"][key] for key in ("recall@5", "ndcg@5", "recall@10", "ndcg@10")]
        tail = content["longtail"]["recall@10"] if content["longtail"] else None
        rows.append([name.replace("_", " + "), *map(number, cells), number(tail)])
    header = ["", "recall@5", "ndcg@5", "recall@10", "ndcg@10", "long tail recall@10"]
    table = Table(
        caption="V2HT with some of its modalities (table 4 of its paper).", header=header, rows=rows, highest=header[1:]
    )
    return Section(title="What each modality adds", parts=[table])


def _cases(shown: Demonstration) -> Section:
    """Show test posts with at least two hashtags of the long tail, of different users."""
    systems = {name: Recommender.load(run) for name, run in shown.variants.items()}
    dataset = shown.dataset
    videos = dataset.videos[dataset.rows("test")].with_row_index("place")
    frequencies = dataset.hashtags["train_videos"].to_numpy()
    rare = pl.Series(
        [int((frequencies[np.array(tags)] < LONGTAIL_THRESHOLD).sum()) for tags in videos["hashtag_ids"].to_list()]
    )
    chosen = (
        videos.with_columns(rare=rare)
        .sort("rare", "place", descending=[True, False])
        .unique("user_id", keep="first", maintain_order=True)
    )
    cases = [_case(shown, systems, row) for row in chosen.head(CASES).iter_rows(named=True)]
    return Section(
        title="Cases",
        text=[
            "Test posts with rare hashtags. Hits are underlined; the number beside a hashtag counts train videos. "
            "A clip shows its subject in some of its shots; the others show a bare room, which says nothing."
        ],
        parts=cases,
    )


def _case(shown: Demonstration, systems: Mapping[str, Recommender], video: Mapping[str, Any]) -> Case:
    hashtags = shown.dataset.hashtags
    frequency = dict(zip(hashtags["hashtag"], hashtags["train_videos"], strict=True))
    truth = [hashtags["hashtag"][tag] for tag in video["hashtag_ids"]]
    user = shown.dataset.users["user"][video["user_id"]]
    path = _media(shown)[video["video_id"]]
    frames = sample_frames(path, Sampling(frames=SNAPSHOTS), size=120)
    predictions = {}
    for name, recommender in systems.items():
        found = recommender.recommend(video=path, user=user, description=video["text"], k=SHOWN)
        predictions[name] = [
            Predicted(hashtag=item.hashtag, train_videos=frequency[item.hashtag], hit=item.hashtag in truth)
            for item in found
        ]
    return Case(
        title=" ".join(f"#{hashtag}" for hashtag in truth),
        user=user,
        text=video["text"],
        snapshots=list(frames.images),
        times=frames.times.tolist(),
        truth=[(hashtag, frequency[hashtag]) for hashtag in truth],
        predictions=predictions,
    )


def _graph(shown: Demonstration) -> Section:
    names = shown.dataset.hashtags["hashtag"].to_list()
    centre = int(np.argmax(shown.graph.subset(["composition", "hypernym", "wup"]).degrees()))
    path = shown.folder / "neighbours.png"
    neighbourhood(shown.graph, names, centre, path)
    return Section(
        title="The hashtag graph",
        text=["Along these edges rare hashtags borrow from frequent ones."],
        parts=[Picture(caption=f"The neighbours of #{names[centre]}.", png=path.read_bytes())],
    )


def _clips(shown: Demonstration) -> Section:
    sheet, sound = shown.folder / "clips.png", shown.folder / "sound.png"
    paths = _media(shown)
    videos = shown.dataset.videos[:12]
    titles = [shown.dataset.hashtags["hashtag"][tags[0]] for tags in videos["hashtag_ids"].to_list()]
    images = [
        _most_colourful(sample_frames(paths[name], Sampling(frames=5), size=120).images) for name in videos["video_id"]
    ]
    contact_sheet(images, [f"#{title}" for title in titles], sheet)
    mel = next(steps for name in videos["video_id"] if len(steps := LogMel()(paths[name])))
    spectrogram(mel, sound, seconds_per_step=V2HT_SOUND.step_seconds, sample_rate=V2HT_SOUND.sample_rate)
    return Section(
        title="The clips",
        text=[text for done in shown.extractions for text in done.text().strip().split("\n")],
        parts=[
            Picture(caption="A frame of twelve clips, with a hashtag of each.", png=sheet.read_bytes()),
            Picture(
                caption="A clip's sound: the level of each mel band in each fifth of a second.", png=sound.read_bytes()
            ),
        ],
    )


def _most_colourful(images_THW3: np.ndarray) -> np.ndarray:
    """Return the frame with the most colour on average: one that shows the subject, not the bare room."""
    colour_T = (images_THW3.max(3) - images_THW3.min(3)).mean((1, 2))
    best: np.ndarray = images_THW3[int(np.argmax(colour_T))]
    return best


def _media(shown: Demonstration) -> dict[str, Path]:
    """Return the file of every video."""
    table = pl.read_parquet(shown.folder / "dataset" / MEDIA_TABLE)
    folder = Path(shown.dataset.manifest["media_folder"])
    return {video: folder / path for video, path in table.select("video_id", "path").iter_rows()}
