"""Propagation over the hashtag graph, forward and backward, against PyG's message passing over an edge list.

    python -m benchmarks.propagation [--hashtags 15751] [--edges 1000000] [--rounds 5]

Both compute A Y for learned weights A on the same made-up edges (each both ways) and the gradients to weights and
embeddings; the largest difference between their results is printed beside the times.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.nn import SimpleConv

from benchmarks.machine import machine, peak_memory_gib
from v2ht.nn.sparse import SparsePattern, multiply

DIM = 150


def made_up_edges(num_hashtags: int, num_edges: int) -> tuple[Tensor, Tensor]:
    """Return rows and columns of distinct directed edges, each both ways, sorted."""
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(num_hashtags, (2, num_edges), generator=generator)
    ends = ends[:, ends[0] != ends[1]]
    keys = torch.unique(torch.cat([ends[0] * num_hashtags + ends[1], ends[1] * num_hashtags + ends[0]]))
    return keys // num_hashtags, keys % num_hashtags


def timed(product: Callable[[Tensor, Tensor], Tensor], values: Tensor, dense: Tensor) -> tuple[float, list[Tensor]]:
    """Return the seconds of one forward and backward pass, and its results."""
    values, dense = values.clone().requires_grad_(), dense.clone().requires_grad_()
    started = time.perf_counter()
    result = product(values, dense)
    gradients = torch.autograd.grad(result.square().sum(), [values, dense])
    return time.perf_counter() - started, [result.detach(), *gradients]


def main() -> None:
    """Time both in turn and print medians, their ratio and the largest relative difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hashtags", type=int, default=15_751)
    parser.add_argument("--edges", type=int, default=1_000_000, help="undirected edges")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    rows, columns = made_up_edges(options.hashtags, options.edges)
    pattern, messages = SparsePattern(rows, columns, options.hashtags), SimpleConv(aggr="sum")
    index = torch.stack([columns, rows])
    values, dense = torch.rand(len(rows)), torch.randn(options.hashtags, DIM)
    ways: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "compressed rows (ours)": lambda v, y: multiply(pattern, v, y),
        "message passing (PyG)": lambda v, y: messages(y, index, v),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    results = {}
    for _ in range(options.rounds):
        for name, product in ways.items():
            taken, results[name] = timed(product, values, dense)
            seconds[name].append(taken)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    print(f"{len(rows):,} directed edges, {options.hashtags:,} hashtags x {DIM}, {options.rounds} rounds, medians")
    for name, median in medians.items():
        print(f"  {name:<24} {median:8.3f} s")
    ours, theirs = results.values()
    gap = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True))
    slow, fast = medians["message passing (PyG)"], medians["compressed rows (ours)"]
    print(f"ratio {slow / fast:.1f}; largest relative difference {gap:.1e}; peak memory {peak_memory_gib():.2f} GiB")


if __name__ == "__main__":
    main()
