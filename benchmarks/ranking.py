"""Full ranking of a split with a trained run, and the same in one large block a batch: speed, memory, equality.

    python -m benchmarks.ranking RUN [--split test]

The plain way scores batches of 250,000 (video, hashtag) pairs; the ranking loop cuts them so that a
block stays in the processor's cache.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import machine, peak_memory_gib
from v2ht.bundle import Bundle
from v2ht.inputs import DatasetInputs
from v2ht.nn.top_k import top_k
from v2ht.training.evaluate import dataset_of
from v2ht.training.ranking import batches, model_scorer

PLAIN_CELLS = 250_000


def main() -> None:
    """Rank the split both ways, print seconds, the ratio, milliseconds a video and whether the lists are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    print(machine())
    bundle = Bundle.load(options.run)
    dataset = dataset_of(bundle, options.run, None)
    score = model_scorer(bundle.model, DatasetInputs(dataset, bundle.inputs))
    rows, hashtags = dataset.rows(options.split), dataset.num_hashtags
    print(f"{len(rows):,} videos x {hashtags:,} hashtags")
    lists, seconds = {}, {}
    for name, parts in {
        "in cache-sized blocks": list(batches(rows, num_hashtags=hashtags)),
        "in large blocks": list(batches(rows, num_hashtags=hashtags, cells=PLAIN_CELLS)),
    }.items():
        started = time.perf_counter()
        lists[name] = np.concatenate([top_k(score(part), 10)[0].numpy() for part in parts])
        seconds[name] = time.perf_counter() - started
        per_video = 1000 * seconds[name] / len(rows)
        print(f"  {name:<22} {seconds[name]:7.2f} s  {per_video:6.3f} ms a video  peak {peak_memory_gib():.2f} GiB")
    small, large = lists.values()
    ratio = seconds["in large blocks"] / seconds["in cache-sized blocks"]
    print(
        f"ratio {ratio:.1f}; the same hashtag at {(small == large).mean():.2%} of all places (ties of rounding apart)"
    )


if __name__ == "__main__":
    main()
