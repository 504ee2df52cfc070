"""Seconds and memory of building the hashtag graph at the size of V2HT's data set: `python -m benchmarks.graph`.

The made-up world has the paper's sizes (15,751 hashtags, 213,847 posts, 13.4 hashtags per post): WordNet nouns, phrases
of two of them, and words that WordNet does not know, used with frequencies after Zipf's law.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

import numpy as np

from benchmarks.machine import machine, peak_memory_gib
from data.dataset import Ragged
from graph_builders.build import GraphSettings, build_graph
from graph_builders.statistics import graph_statistics
from graph_builders.wordnet import open_wordnet


def made_up_words(num_hashtags: int, noun_share: float, seed: int) -> list[list[str]]:
    """Return the words of made-up hashtags: nouns, then half phrases of two nouns and half unknown words, shuffled."""
    rng = random.Random(seed)
    lemmas = sorted(name for name in open_wordnet().all_lemma_names("n") if name.isalpha())
    nouns = rng.sample(lemmas, round(num_hashtags * noun_share))
    words = [[noun] for noun in nouns]
    while len(words) < num_hashtags:
        words.append(rng.sample(nouns, 2) if len(words) % 2 else [f"xq{len(words)}"])
    rng.shuffle(words)
    return words


def made_up_posts(num_posts: int, mean_hashtags: float, num_hashtags: int, seed: int) -> Ragged:
    """Return the hashtag ids of made-up posts: at least one each, drawn with probability 1 / (rank + 10)."""
    rng = np.random.default_rng(seed)
    lengths = 1 + rng.poisson(mean_hashtags - 1, size=num_posts)
    chance = np.cumsum(1.0 / (np.arange(num_hashtags) + 10))
    ranks = np.searchsorted(chance, rng.random(lengths.sum()) * chance[-1])
    ids = rng.permutation(num_hashtags)[np.minimum(ranks, num_hashtags - 1)]
    return Ragged(values=ids, offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def main() -> int:
    """Build the graph once and print what it took and what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hashtags", type=int, default=15_751)
    parser.add_argument("--posts", type=int, default=213_847)
    parser.add_argument("--hashtags-per-post", type=float, default=13.4)
    parser.add_argument("--noun-share", type=float, default=0.3, help="hashtags that are one WordNet noun")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(machine())
    words = made_up_words(options.hashtags, options.noun_share, options.seed)
    posts = made_up_posts(options.posts, options.hashtags_per_post, options.hashtags, options.seed)
    print(f"{len(words):,} hashtags, {len(posts):,} posts, {len(posts.values) / len(posts):.1f} hashtags per post")
    start = time.perf_counter()

    def progress(line: str) -> None:
        print(f"  {time.perf_counter() - start:6.2f} s   {line}", flush=True)

    graph = build_graph(words, posts, settings=GraphSettings(), progress=progress)
    print(f"{time.perf_counter() - start:.2f} s in all, peak memory {peak_memory_gib():.2f} GiB, {len(graph):,} edges")
    statistics = graph_statistics(graph, words)
    print(f"edges by relation: {statistics['relations']}")
    print(f"WordNet coverage {statistics['wordnet_coverage']:.1%}, isolated {statistics['isolated']:,}")
    print(f"degree: {statistics['degree']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
