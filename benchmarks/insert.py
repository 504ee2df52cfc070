"""Inserting new hashtags into a graph of 15,000: `python -m benchmarks.insert`. Milliseconds, and what they go into.

The made-up vocabulary is that of `benchmarks.graph`; half of the new hashtags are nouns that it lacks, half phrases of
two of its nouns. WordNet and the vocabulary are prepared once and are no part of an insertion. One thread; processor
time stands beside the clock's, which other work on the machine makes longer.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.graph import made_up_posts, made_up_words
from benchmarks.machine import machine, peak_memory_gib
from graph_builders.build import GraphSettings, build_graph
from graph_builders.hashtag_graph import RELATIONS, HashtagGraph
from graph_builders.insert import Inserter
from graph_builders.wordnet import open_wordnet
from v2ht.inputs import GraphTensors
from v2ht.losses import RankingLoss
from v2ht.models.v2ht import V2HT
from v2ht.nn.negatives import uniform_negatives

WORD_VECTOR, TEXT = 100, 1000


def moment() -> tuple[float, float]:
    """Return the clock's and this process's seconds."""
    return time.perf_counter(), time.process_time()


def timed(what: str, action: Callable[[], Any]) -> Any:
    """Run `action` once, print its seconds, return its result."""
    started = moment()
    result = action()
    clock, processor = np.subtract(moment(), started)
    print(f"  {what}: processor {processor:.2f} s, clock {clock:.2f} s")
    return result


def model_of(graph: HashtagGraph) -> V2HT:
    """Return an untrained V2HT of the paper's sizes over a graph."""
    torch.manual_seed(0)
    return V2HT(
        hashtag_vectors_HW=torch.randn(graph.num_hashtags, WORD_VECTOR),
        hashtag_videos_H=torch.arange(graph.num_hashtags),
        word_vectors=torch.randn(TEXT, WORD_VECTOR),
        graph=GraphTensors.of(graph),
        num_relations=len(RELATIONS),
        feature_sizes={},
        use_text=True,
        history_size=None,
        units={"text": 80},
        dim=150,
        alpha=0.2,
        gcn_layers=1,
        edge_rank=8,
        hidden=(128, 64),
        dropout=0.2,
        user_dropout=0.1,
        hashtag_dropout=0.0,
        loss=RankingLoss("log", negatives=6, margin=0.1, sampler=uniform_negatives),
    ).eval()


def new_words(words: list[list[str]], count: int, rng: random.Random) -> list[list[str]]:
    """Return the words of new hashtags: nouns that no hashtag is, and phrases of two hashtags."""
    known = {phrase[0] for phrase in words if len(phrase) == 1}
    lemmas = [name for name in sorted(open_wordnet().all_lemma_names("n")) if name.isalpha() and name not in known]
    pairs = [[rng.choice(words)[0], rng.choice(words)[0]] for _ in range(count // 2)]
    return [[noun] for noun in rng.sample(lemmas, count - len(pairs))] + pairs


def main() -> int:
    """Insert groups of new hashtags many times; print the medians, and that known hashtags stay as they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hashtags", type=int, default=15_000)
    parser.add_argument("--new", type=int, default=10, help="hashtags inserted together")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(machine())
    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    print("once:")
    timed("WordNet opened", open_wordnet)
    words = timed("vocabulary made up", lambda: made_up_words(options.hashtags, 0.3, options.seed))
    posts = made_up_posts(100_000, 8.0, len(words), options.seed)
    graph = timed("graph built", lambda: build_graph(words, posts, settings=GraphSettings()))
    inserter = timed("inserter prepared", lambda: Inserter.of(graph, words))
    model = model_of(graph)
    groups = [new_words(words, options.new, rng) for _ in range(options.rounds)]
    spent, found = [], 0
    with torch.inference_mode():
        before = model.hashtag_embeddings()
        for group in groups:
            marks = [moment()]
            edges = inserter.edges(group)
            marks.append(moment())
            model.new_hashtag_embeddings(torch.randn(len(group), WORD_VECTOR), edges)
            marks.append(moment())
            spent.append(np.diff(marks, axis=0))
            found += len(edges)
        same = torch.equal(before, model.hashtag_embeddings())
    print(f"{len(words):,} hashtags, {len(graph):,} edges; {options.rounds} rounds of {options.new} new hashtags")
    milliseconds_RP2 = 1e3 * np.array(spent)
    for name, own_R2 in {
        "edges": milliseconds_RP2[:, 0],
        "embeddings": milliseconds_RP2[:, 1],
        "both": milliseconds_RP2.sum(1),
    }.items():
        (clock, processor), worst = np.median(own_R2, axis=0), own_R2[:, 1].max()
        print(
            f"  {name:<10} processor: median {processor:.2f} ms, most {worst:.2f} ms, a hashtag "
            f"{processor / options.new:.2f} ms; clock: median {clock:.2f} ms"
        )
    print(f"{found / options.rounds / options.new:.1f} edges a hashtag; known embeddings bit-identical: {same}")
    print(f"peak memory {peak_memory_gib():.2f} GiB")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
