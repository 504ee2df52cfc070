"""What a user is shown: one list, two shelves, a diverse list, each of ten hashtags, on test posts.

python -m experiments.real.shown --data FOLDER --out RUNS [--only youtube ...] [--seeds 10 11 12]  # adds to shown.jsonl
python -m experiments.real.shown --tables [--check]                                                # writes SHOWN.md

Shapes: N test posts, H hashtags, K = 10 shown.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.dataset import Dataset
from experiments.real.run import OURS, TABLES, prepare
from experiments.summary import Line, markdown, number, spread, write_tables
from v2ht.bundle import Bundle
from v2ht.dataset_inputs import DatasetInputs
from v2ht.floors import FLOORS
from v2ht.models.v2ht_memory import V2HTMemory
from v2ht.serving.shelves import best, shelf
from v2ht.training.ranking import model_scorer
from v2ht.training.train import Plan, train

RESULTS = Path(__file__).parent / "shown.jsonl"
REPORT = Path(__file__).parent / "SHOWN.md"
SHOWN = 10
OWN = (3, 5, 7)  # of the ten, on the shelf of the user's own
DIVERSITIES = (0.1, 0.2, 0.3, 0.5)
BATCH = 128
COLUMNS = {
    "recall@10": "recall@10",
    "recall_new": "recall@10 of new",
    "share_new": "share new",
    "share_word": "share a word",
    "alike": "cosine",
}


def lists(scores_NH: Tensor, used: Sequence[np.ndarray], embeddings_HD: Tensor) -> dict[str, np.ndarray]:
    """Return what each way shows of a model's scores, ids [N, K], -1 where there is nothing to show."""

    def top(scores_NH: Tensor, k: int, diversity: float = 0.0) -> np.ndarray:
        return best(scores_NH, k, diversity=diversity, embeddings_HD=embeddings_HD)[0].numpy()

    yours = top(shelf("yours", scores_NH.clone(), used), SHOWN)
    new = top(shelf("new for you", scores_NH.clone(), used), SHOWN)
    found = {"one list": top(scores_NH, SHOWN), "yours alone": yours, "new for you alone": new}
    for own in OWN:
        found[f"shelves, {own} yours and {SHOWN - own} new"] = filled(yours[:, :own], new)
    return found | {f"diversity {share:g}": top(scores_NH, SHOWN, share) for share in DIVERSITIES}


def filled(yours_NP: np.ndarray, new_NK: np.ndarray) -> np.ndarray:
    """Return both shelves as one list of K: who has few of his own sees more new ones."""
    both = [[*yours[yours >= 0], *new[new >= 0]][:SHOWN] for yours, new in zip(yours_NP, new_NK, strict=True)]
    return np.array([[*row, *[-1] * (SHOWN - len(row))] for row in both])


def judged(
    shown_NK: np.ndarray,
    truth: Sequence[np.ndarray],
    used: Sequence[np.ndarray],
    words: Sequence[Sequence[str]],
    vectors_HW: np.ndarray,
) -> dict[str, float]:
    """Return the means over posts of what `COLUMNS` names."""
    found: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for row, own in enumerate(truth):
        ids = shown_NK[row][shown_NK[row] >= 0]
        new = np.setdiff1d(own, used[row])
        if len(own):
            found["recall@10"].append(float(np.isin(own, ids).mean()))
        if len(new):
            found["recall_new"].append(float(np.isin(new, ids).mean()))
        if len(ids) > 1:
            found["share_new"].append(float((~np.isin(ids, used[row])).mean()))
            found["share_word"].append(_said_before([set(words[place]) for place in ids]))
            found["alike"].append(_mean_cosine(vectors_HW[ids]))
    return {name: float(np.mean(values)) if values else float("nan") for name, values in found.items()}


def _said_before(words: Sequence[set[str]]) -> float:
    """Return the share of hashtags, but the first, with a word of one above."""
    return float(np.mean([any(words[place] & above for above in words[:place]) for place in range(1, len(words))]))


def _mean_cosine(vectors_KW: np.ndarray) -> float:
    """Return the mean cosine over pairs."""
    lengths_K1 = np.linalg.norm(vectors_KW, axis=1, keepdims=True)
    unit_KW = np.divide(vectors_KW, lengths_K1, out=np.zeros_like(vectors_KW), where=lengths_K1 > 0)
    count = len(vectors_KW)
    return float((np.square(unit_KW.sum(0)).sum() - np.square(unit_KW).sum()) / (count * (count - 1)))


@torch.inference_mode()
def lines_of(name: str, *, data: Path, out: Path, seed: int) -> list[Line]:
    """Train on a random split and return a line for each way to show hashtags, and for each floor."""
    folder, run = out / "datasets" / f"{name}-random-{seed}", out / "shown" / f"{name}-{seed}"
    dataset: Dataset = prepare(name, "random", folder, data=data, seed=seed)
    shutil.rmtree(run, ignore_errors=True)
    with torch.inference_mode(False):
        train(folder, run, Plan.of(OURS, [], seed=seed))
    bundle = Bundle.load(run)
    posts, rows = DatasetInputs(dataset, bundle.inputs), dataset.rows("test")
    parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    score, model = model_scorer(bundle.model, posts), bundle.model
    assert isinstance(model, V2HTMemory)
    assert model.gcn is not None
    users = dataset.videos["user_id"].to_numpy()[rows]
    used = [bundle.inputs.known_hashtags(int(user)) for user in users]
    shown = lists(torch.cat([score(part) for part in parts]), used, model.gcn(model.initial_embeddings()))
    for floor in FLOORS:
        scores_NH = torch.from_numpy(FLOORS[floor](dataset).scores(rows))
        shown[f"{floor} (floor)"] = best(scores_NH, SHOWN, diversity=0, embeddings_HD=None)[0].numpy()
    truth = [posts.truth[row] for row in rows]
    words = bundle.inputs.hashtags["words"].to_list()
    facts = {"dataset": name, "seed": seed, "model": OURS, "videos": len(rows), "made": bundle.record["made"]}
    return [
        {**facts, "system": way, "evaluation": judged(ids_NK, truth, used, words, bundle.inputs.hashtag_vectors_HW)}
        for way, ids_NK in shown.items()
    ]


def tables() -> str:
    """Return a table for each dataset: a row for each way, means over seeds."""
    lines = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    newest = list({(line["dataset"], line["seed"], line["system"]): line for line in lines}.values())
    return "\n\n".join(
        _section(name, [line for line in newest if line["dataset"] == name])
        for name in dict.fromkeys(line["dataset"] for line in newest)
    )


def _section(name: str, lines: Sequence[Line]) -> str:
    seeds = sorted({line["seed"] for line in lines})
    rows = []
    for system in dict.fromkeys(line["system"] for line in lines):
        own = [line["evaluation"] for line in lines if line["system"] == system]
        cells = [spread(dict(enumerate(found[column] for found in own))) for column in COLUMNS]
        rows.append([system, *cells])
    about = f"{lines[0]['videos']:,} test videos a split, seeds {', '.join(map(str, seeds))}."
    return f"### {name}\n\n{about}\n\n" + markdown(["ten hashtags", *COLUMNS.values()], rows)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the Parquet tables")
    parser.add_argument("--out", type=Path, help="folder for datasets and runs")
    parser.add_argument("--only", nargs="*", choices=list(TABLES), default=["youtube", "pyvideo", "tiktok_vn"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[10, 11, 12])
    parser.add_argument("--tables", action="store_true", help="write SHOWN.md")
    parser.add_argument("--check", action="store_true", help="with --tables: only say whether it is up to date")
    given = parser.parse_args()
    if given.tables:
        write_tables([(REPORT, "tables", tables())], check=given.check)
        return
    if given.data is None or given.out is None:
        sys.exit("name --data and --out, or --tables")
    torch.set_num_threads(1)
    for name in given.only:
        for seed in given.seeds:
            lines = lines_of(name, data=given.data, out=given.out, seed=seed)
            with RESULTS.open("a", encoding="utf-8") as results:
                results.writelines(json.dumps(line) + "\n" for line in lines)
            overall = lines[0]["evaluation"]
            print(name, seed, *(f"{label} {number(overall[key])}" for key, label in COLUMNS.items()), flush=True)


if __name__ == "__main__":
    main()
