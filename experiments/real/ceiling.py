"""How far hashtags that are new to a lastfm user can be foreseen from what others gave the same artist.

    python -m experiments.real.ceiling --data FOLDER --out RUNS

For each test post with a hashtag that its user did not use in train: the share of these hashtags that somebody gave the
artist in train, which is the recall@K of an oracle that ranks them, and only them, first (exact where an artist has at
most K of them, else above it); and recall@10 of ranking by how many gave them, then by popularity.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from data.dataset import Dataset
from experiments.real.run import FIRST_SEED, prepare

K = 10


def ceiling(dataset: Dataset) -> dict[str, float]:
    """Return `posts`, how many were judged, and the means over them: `oracle`, `counted`, `unseen` (artists)."""
    hashtags_N = dataset.hashtag_ids()
    texts, users = dataset.videos["text"].to_list(), dataset.videos["user_id"].to_list()
    given: dict[str, Counter[int]] = defaultdict(Counter)
    used: dict[int, set[int]] = defaultdict(set)
    all_uses: Counter[int] = Counter()
    for row in dataset.rows("train"):
        own = hashtags_N[int(row)].tolist()
        given[texts[row]].update(own)
        used[users[row]].update(own)
        all_uses.update(own)
    popular = [hashtag for hashtag, _ in all_uses.most_common()]
    found: dict[str, list[float]] = {"oracle": [], "counted": [], "unseen": []}
    for row in dataset.rows("test"):
        known, others = used[users[row]], given.get(texts[row], Counter())
        new = set(hashtags_N[int(row)].tolist()) - known
        if not new:
            continue
        ranked = [hashtag for hashtag, _ in others.most_common() if hashtag not in known]
        rest = (hashtag for hashtag in popular if hashtag not in known and hashtag not in others)
        ranked = [*ranked, *rest][:K]
        found["oracle"].append(len(new & set(others)) / len(new))
        found["counted"].append(len(new & set(ranked)) / len(new))
        found["unseen"].append(not others)
    return {"posts": len(found["oracle"]), **{name: float(np.mean(values)) for name, values in found.items()}}


def main() -> None:
    """Print the numbers of the random split and of the split by time, as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the Parquet tables")
    parser.add_argument("--out", type=Path, required=True, help="folder for datasets")
    given = parser.parse_args()
    print(
        "| split | test posts with new hashtags | of unseen artists | oracle | counted |", "| --- " * 5 + "|", sep="\n"
    )
    for protocol in ("random", "time"):
        folder = given.out / "datasets" / f"lastfm-{protocol}-{FIRST_SEED}"
        found = ceiling(prepare("lastfm", protocol, folder, data=given.data, seed=FIRST_SEED))
        numbers = " | ".join(f"{found[name]:.3f}" for name in ("unseen", "oracle", "counted"))
        print(f"| {protocol} | {found['posts']:,} | {numbers} |")


if __name__ == "__main__":
    main()
