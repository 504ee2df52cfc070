"""How much room the data leave, whatever the model: for new hashtags on lastfm, and for rare ones on all tables.

    python -m experiments.real.ceiling --data FOLDER --out RUNS

For each lastfm test post with a hashtag that its user did not use in train: the share of these hashtags that somebody
gave the artist in train, which is the recall@K of an oracle that ranks them, and only them, first (exact where an
artist has at most K of them, else above it); and recall@10 of ranking by how many gave them, then by popularity.

For each test post with a hashtag of the long tail: the share of these hashtags that its user used in train, which is
the recall@K of an oracle that foresees every repetition and nothing else (exact where a post has at most K of them).
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from data.dataset import Dataset
from experiments.real.run import FIRST_SEED, cases, prepare
from experiments.summary import markdown
from v2ht.evaluation.evaluate import LONGTAIL_THRESHOLD

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


def repeated(dataset: Dataset, *, threshold: int = LONGTAIL_THRESHOLD) -> dict[str, float]:
    """Return `posts`, how many have a long-tail hashtag, and `share`, the mean share of these that their users repeat.

    The long tail are the hashtags of fewer than `threshold` train videos.
    """
    hashtags_N = dataset.hashtag_ids()
    users = dataset.videos["user_id"].to_list()
    used: dict[int, set[int]] = defaultdict(set)
    videos: Counter[int] = Counter()
    for row in dataset.rows("train"):
        own = hashtags_N[int(row)].tolist()
        used[users[row]].update(own)
        videos.update(own)
    shares = []
    for row in dataset.rows("test"):
        rare = {hashtag for hashtag in hashtags_N[int(row)].tolist() if videos[hashtag] < threshold}
        if rare:
            shares.append(len(rare & used[users[row]]) / len(rare))
    return {"posts": len(shares), "share": float(np.mean(shares)) if shares else float("nan")}


def main() -> None:
    """Print both tables; each split is that of the first seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the Parquet tables")
    parser.add_argument("--out", type=Path, required=True, help="folder for datasets")
    given = parser.parse_args()

    def of(name: str, protocol: str) -> Dataset:
        folder = given.out / "datasets" / f"{name}-{protocol}-{FIRST_SEED}"
        return prepare(name, protocol, folder, data=given.data, seed=FIRST_SEED)

    rows = []
    for protocol in ("random", "time"):
        found = ceiling(of("lastfm", protocol))
        shares = [f"{found[key]:.3f}" for key in ("unseen", "oracle", "counted")]
        rows.append([protocol, f"{found['posts']:,}", *shares])
    print(
        markdown(["lastfm", "test posts with new hashtags", "of unseen artists", "oracle", "counted"], rows), end="\n\n"
    )
    rows = []
    for name, protocol in cases():
        if protocol != "cold":
            found = repeated(of(name, protocol))
            rows.append([f"{name}, {protocol}", f"{found['posts']:,}", f"{found['share']:.3f}"])
    print(markdown(["split", "test posts with rare hashtags", "repeated"], rows))


if __name__ == "__main__":
    main()
