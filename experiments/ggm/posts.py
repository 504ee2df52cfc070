"""What `recommend --novel` shows for real posts, to be read one by one (README.md, "Twenty-four posts").

    python -m experiments.ggm.posts RUN [--posts 20] [--seed 0] [--novel 3] [-k 5]

RUN is a `ggm` run. Prints JSON lines: a test post's id, text and true hashtags, and the known and new hashtags shown.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from v2ht.serving import Recommender
from v2ht.training.evaluate import dataset_of


def main() -> None:
    """Print the posts that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--posts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--novel", type=int, default=3)
    parser.add_argument("-k", "--k", type=int, default=5)
    given = parser.parse_args()
    recommender = Recommender.load(given.run)
    dataset = dataset_of(recommender.bundle, given.run, None)
    rows = np.random.default_rng(given.seed).permutation(dataset.rows("test"))[: given.posts]
    names = dataset.hashtags["hashtag"].to_list()
    for row in rows.tolist():
        video = dataset.videos.row(row, named=True)
        user, text = dataset.users["user"][video["user_id"]], video["text"] or ""
        items = recommender.recommend(user=user, description=text, k=given.k, novel=given.novel)
        line = {
            "video_id": video["video_id"],
            "text": text,
            "true": [names[number] for number in video["hashtag_ids"]],
            "known": [item.hashtag for item in items if item.known],
            "new": {item.hashtag: item.origin for item in items if not item.known},
        }
        print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
