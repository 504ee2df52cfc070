"""Full ranking of a split with a trained V2HT run, in cache-sized blocks of scores and in large ones.

    python -m benchmarks.ranking RUN [--split test]

Both score every video against every hashtag; they differ in how many pairs go through the layers at a time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import machine, peak_memory_gib
from v2ht.bundle import Bundle
from v2ht.dataset_inputs import DatasetInputs
from v2ht.models.v2ht import V2HT
from v2ht.nn.top_k import top_k
from v2ht.training.evaluate import dataset_of
from v2ht.training.ranking import batches

SMALL, LARGE = 8_000, 250_000  # pairs; the first is the model's default


def main() -> None:
    """Rank the split both ways, print seconds, the ratio, milliseconds a video and whether the lists are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    print(machine())
    bundle = Bundle.load(options.run)
    dataset = dataset_of(bundle, options.run, None)
    model, posts = bundle.model.eval(), DatasetInputs(dataset, bundle.inputs)
    assert isinstance(model, V2HT)
    rows, hashtags = dataset.rows(options.split), dataset.num_hashtags
    print(f"{len(rows):,} videos x {hashtags:,} hashtags")
    lists, seconds = {}, {}
    for name, cells in {"in cache-sized blocks": SMALL, "in large blocks": LARGE}.items():
        started = time.perf_counter()
        with torch.inference_mode():
            table_HD = model.hashtag_embeddings()
            parts = [posts.batch(part) for part in batches(rows, num_hashtags=hashtags)]
            ranked = [top_k(model.scores(part, table_HD, cells=cells), 10)[0].numpy() for part in parts]
        lists[name] = np.concatenate(ranked)
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
