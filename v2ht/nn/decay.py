"""The squared size of many weights, which weight decay inside a loss needs at every step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class _SumOfSquares(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(*weights)
        return torch.stack([weight.square().sum() for weight in weights]).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        doubled = 2 * gradients[0]
        return tuple(doubled * weight for weight in ctx.saved_tensors)


def sum_of_squares(weights: Iterable[Tensor]) -> Tensor:
    """Return the sum of all squares, []; the gradient, twice each weight, takes one pass over it instead of four."""
    total: Tensor = _SumOfSquares.apply(*weights)
    return total
