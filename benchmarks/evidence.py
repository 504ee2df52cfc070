"""Sums of past posts' hashtags and cuts to the largest, by the compiled loops and by SciPy and NumPy.

    python -m benchmarks.evidence RUN [--posts 200]

The product is that of a post's words with the weights of the ridge regression on text, the largest of evidence. Wall
time of one thread, median over posts that come one by one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import sparse

from benchmarks.machine import machine, peak_memory_gib
from v2ht.bundle import Bundle
from v2ht.evidence.texts import tokens
from v2ht.evidence.votes import KEPT, Entries, largest
from v2ht.training.evaluate import dataset_of


def by_sorting(scores_KH: np.ndarray) -> np.ndarray:
    """Return what `largest` does, by a stable sort of each row."""
    found = np.zeros_like(scores_KH)
    best_KC = np.argsort(-scores_KH, axis=1, kind="stable")[:, :KEPT]
    np.put_along_axis(found, best_KC, np.maximum(np.take_along_axis(scores_KH, best_KC, 1), 0), 1)
    return found


def median_us(work: Callable[[int], object], posts: int) -> float:
    """Return the median microseconds of `work` over the numbers below `posts`, after a first one."""
    seconds = []
    for number in (0, *range(posts)):
        started = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - started)
    return 1e6 * float(np.median(seconds[1:]))


def main() -> None:
    """Time both ways of both steps, print microseconds, ratios and whether the results are the same bits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="of v2ht_memory")
    parser.add_argument("--posts", type=int, default=200)
    options = parser.parse_args()
    print(machine())
    bundle = Bundle.load(options.run)
    memory, dataset = bundle.inputs.memory, dataset_of(bundle, options.run, None)
    assert memory is not None
    rows = dataset.rows("test")[: options.posts]
    texts = [memory.texts.vectors([tokens(text)]) for text in dataset.videos["text"].gather(rows).to_list()]
    weights_FH: sparse.csr_matrix = memory.ridges["ridge.text"]
    scores = [(text @ weights_FH).toarray() for text in texts]
    ways: dict[str, tuple[Callable[[int], np.ndarray], Callable[[int], np.ndarray]]] = {
        "product": (
            lambda post: Entries.of(texts[post]).times(weights_FH, 1),
            lambda post: (texts[post] @ weights_FH).toarray(),
        ),
        "cut": (lambda post: largest(scores[post].copy()), lambda post: by_sorting(scores[post])),
    }
    print(f"{len(texts)} posts, {dataset.num_hashtags:,} hashtags, {weights_FH.nnz / weights_FH.shape[0]:.0f} a word")
    for name, (loops, plain) in ways.items():
        fast, slow = median_us(loops, len(texts)), median_us(plain, len(texts))
        same = all(np.array_equal(loops(post), plain(post)) for post in range(len(texts)))
        print(
            f"  {name:<8} {fast:7.0f} us by loops, {slow:7.0f} us plain, ratio {slow / fast:.1f}; the same bits: {same}"
        )
    print(f"peak {peak_memory_gib():.2f} GiB")


if __name__ == "__main__":
    main()
