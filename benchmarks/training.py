"""Steps of training a `v2ht_memory` run, each beside the plain way to the same numbers.

    python -m benchmarks.training RUN [--rounds 7]

Ridge regression of the run's train posts, hashtags in several threads and in one; the decay inside the loss with its
gradient in one pass, and as autograd takes it; Adam in one loop over all numbers, and an operation at a time. Results
are compared bit by bit, Adam's, which rounds at other places, to a millionth.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.machine import machine, peak_memory_gib
from v2ht.bundle import Bundle
from v2ht.evidence import ridge
from v2ht.evidence.memory import Memory
from v2ht.nn.decay import sum_of_squares

Way = Callable[[], list[Tensor]]


def ridge_in(threads: int, memory: Memory) -> Way:
    """Return the fit of all hashtags on texts and users."""
    past = memory.past
    features_TF = ridge.features(past.texts_TV, past.users_T, num_users=past.num_users)

    def fit() -> list[Tensor]:
        ridge.THREADS = threads
        return [torch.from_numpy(ridge.fit(features_TF, past.uses_TH).data)]

    return fit


def decay_by(size: Callable[[list[Tensor]], Tensor], model: nn.Module) -> Way:
    """Return the gradients of the weights' squared size."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    return lambda: list(torch.autograd.grad(size(weights), weights))


def plain_sum_of_squares(weights: list[Tensor]) -> Tensor:
    """Return what `sum_of_squares` does, differentiated by autograd."""
    return torch.stack([weight.square().sum() for weight in weights]).sum()


def adam_by(model: nn.Module, *, fused: bool) -> Way:
    """Return a step, with the weights as gradients: all that it costs is there."""
    weights = [nn.Parameter(weight.detach().clone()) for weight in model.parameters() if weight.requires_grad]
    for weight in weights:
        weight.grad = weight.detach().clone()
    optimizer = torch.optim.Adam(weights, lr=0.002, fused=fused)

    def step() -> list[Tensor]:
        optimizer.step()
        return [weight.detach() for weight in weights]

    return step


def main() -> None:
    """Time both ways in turn, print medians and their ratio; exit 1 where the results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    bundle = Bundle.load(options.run)
    memory, model = bundle.inputs.memory, bundle.model
    if memory is None:
        parser.error(
            f"{options.run} is a run of {bundle.model_name}, which keeps no train posts; give one of v2ht_memory"
        )
    posts, threads = len(memory.past), ridge.THREADS
    print(machine(), f"torch: {torch.get_num_threads()} threads", sep=" | ")
    size = sum(weight.numel() for weight in model.parameters())
    print(f"{posts:,} train posts, {size:,} weights, {options.rounds} rounds, medians")
    pairs: dict[str, tuple[Way, Way]] = {
        f"ridge, {threads} threads / 1": (ridge_in(threads, memory), ridge_in(1, memory)),
        "decay, one pass / autograd": (decay_by(sum_of_squares, model), decay_by(plain_sum_of_squares, model)),
        "Adam, fused / plain": (adam_by(model, fused=True), adam_by(model, fused=False)),
    }
    alike = True
    for name, ways in pairs.items():
        seconds: tuple[list[float], list[float]] = ([], [])
        results: list[list[Tensor]] = []
        for _ in range(options.rounds):
            results = []
            for way, taken in zip(ways, seconds, strict=True):
                started = time.perf_counter()
                results.append(way())
                taken.append(time.perf_counter() - started)
        near = 1e-6 if name.startswith("Adam") else 0
        same = all(torch.allclose(one, other, rtol=0, atol=near) for one, other in zip(*results, strict=True))
        alike = alike and same
        fast, plain = (statistics.median(taken) for taken in seconds)
        print(f"  {name:<32} {fast:8.4f} s  {plain:8.4f} s  ratio {plain / fast:.2f}  {'same' if same else 'DIFFER'}")
    print(f"peak memory {peak_memory_gib():.2f} GiB")
    sys.exit(not alike)


if __name__ == "__main__":
    main()
