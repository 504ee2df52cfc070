"""Hashtags for posts that come one by one, as in a service, and for the same posts in batches.

    python -m benchmarks.recommend RUN [--posts 200]

Both go through `Recommender`: texts to vectors, evidence, scores of all hashtags, the ten best. Processor time of one
thread.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import machine, peak_memory_gib
from v2ht.inputs import Post
from v2ht.serving.recommender import Recommender
from v2ht.training.evaluate import dataset_of

WARM_UP = 10


def main() -> None:
    """Recommend for test posts both ways, print milliseconds a post and whether the lists are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--posts", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    recommender = Recommender.load(options.run)
    dataset = dataset_of(recommender.bundle, options.run, None)
    videos = dataset.videos[dataset.rows("test")[: options.posts]]
    users = dataset.users["user"].gather(videos["user_id"]).to_list()
    sounds = videos["sound"].to_list() if "sound" in videos.columns else [None] * len(videos)
    posts = [
        Post(text=text, user=user, sound=sound)
        for text, user, sound in zip(videos["text"].to_list(), users, sounds, strict=True)
    ]
    recommender.recommend_batch(posts[:WARM_UP])
    single, milliseconds = [], []
    for post in posts:
        started = time.process_time()
        single += recommender.recommend_batch([post])
        milliseconds.append(1000 * (time.process_time() - started))
    started = time.process_time()
    together = recommender.recommend_batch(posts)
    batched = 1000 * (time.process_time() - started) / len(posts)
    same = np.mean(
        [[i.hashtag for i in one] == [i.hashtag for i in all_] for one, all_ in zip(single, together, strict=True)]
    )
    print(f"{len(posts)} posts, {dataset.num_hashtags:,} hashtags, peak {peak_memory_gib():.2f} GiB")
    median, late = np.percentile(milliseconds, [50, 95])
    print(f"  one by one   {median:6.2f} ms a post (median; 95 % within {late:.2f} ms)")
    print(f"  in batches   {batched:6.2f} ms a post; the same ten hashtags for {same:.1%} of posts")


if __name__ == "__main__":
    main()
