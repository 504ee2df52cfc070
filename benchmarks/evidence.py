"""The sums that evidence is made of, and the largest of them, by compiled loops and by SciPy and NumPy.

    python -m benchmarks.evidence RUN [--posts 200]

The sums are the product of a post's words with the weights of the ridge regression on text, dense as evidence needs
it. Wall time of one thread, median over posts that come one by one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.machine import machine, peak_memory_gib
from v2ht.bundle import Bundle
from v2ht.evidence.texts import tokens
from v2ht.evidence.votes import KEPT, Entries, largest
from v2ht.training.evaluate import dataset_of


def median_us(work: Callable[[int], object], posts: int) -> float:
    """Return the median microseconds of `work` over the numbers below `posts`, after a first one."""
    seconds = []
    for number in (0, *range(posts)):
        started = time.perf_counter()
        work(number)
        seconds.append(time.perf_counter() - started)
    return 1e6 * float(np.median(seconds[1:]))


def largest_by_numpy(scores_KH: np.ndarray) -> np.ndarray:
    """Do what `largest` does, to the same bits."""
    scores_KH[scores_KH < 0] = 0
    for row in np.flatnonzero((scores_KH > 0).sum(1) > KEPT):
        above_0 = np.flatnonzero(scores_KH[row])
        values = scores_KH[row, above_0]
        cut = np.partition(values, -KEPT)[-KEPT]
        level = np.flatnonzero(values == cut)
        room = KEPT - np.count_nonzero(values > cut)
        values[values < cut] = 0
        values[level[room:]] = 0
        scores_KH[row, above_0] = values
    return scores_KH


def main() -> None:
    """Time both ways, print microseconds, the ratio and whether the results are the same bits."""
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
    weights_FH = memory.ridges["ridge.text"]

    def by_loop(post: int) -> np.ndarray:
        return Entries.of(texts[post]).times(weights_FH, 1)

    def by_scipy(post: int) -> np.ndarray:
        return np.asarray((texts[post] @ weights_FH).toarray())

    sums = [by_scipy(post) for post in range(len(texts))]
    works: dict[str, tuple[Callable[[int], np.ndarray], Callable[[int], np.ndarray]]] = {
        "sums": (by_loop, by_scipy),
        "largest": (lambda post: largest(sums[post].copy()), lambda post: largest_by_numpy(sums[post].copy())),
    }
    print(f"{len(texts)} posts, {dataset.num_hashtags:,} hashtags, {weights_FH.nnz / weights_FH.shape[0]:.0f} a word")
    for name, (loop, plain) in works.items():
        taken, plain_taken = median_us(loop, len(texts)), median_us(plain, len(texts))
        same = all(np.array_equal(loop(post), plain(post)) for post in range(len(texts)))
        print(
            f"  {name:<8} {taken:.0f} us by the loop, {plain_taken:.0f} us by SciPy or NumPy, "
            f"ratio {plain_taken / taken:.1f}; the same bits: {same}"
        )
    print(f"peak {peak_memory_gib():.2f} GiB")


if __name__ == "__main__":
    main()
