"""Sparse matrix times dense, with gradients to both, by compressed-row products instead of an edge list.

Shapes: N rows and columns, E stored entries, D and R dense columns.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn


class SparsePattern(nn.Module):
    """Where a square matrix has entries: row pointers and columns, of itself and of its transpose.

    Args:
        rows_E, columns_E: the entries, sorted by row, then column.
        size: number of rows and columns (N).
    """

    def __init__(self, rows_E: Tensor, columns_E: Tensor, size: int) -> None:
        super().__init__()
        self.size = size
        order_E = torch.argsort(columns_E, stable=True)
        self.register_buffer("pointers", _pointers(rows_E, size), persistent=False)
        self.register_buffer("columns_E", columns_E, persistent=False)
        self.register_buffer("rows_E", rows_E, persistent=False)
        self.register_buffer("transposed_pointers", _pointers(columns_E[order_E], size), persistent=False)
        self.register_buffer("transposed_columns_E", rows_E[order_E], persistent=False)
        self.register_buffer("transposed_order_E", order_E, persistent=False)

    pointers: Tensor
    rows_E: Tensor
    columns_E: Tensor
    transposed_pointers: Tensor
    transposed_columns_E: Tensor
    transposed_order_E: Tensor

    def matrix(self, values_E: Tensor) -> Tensor:
        """Return the sparse matrix with these entries."""
        return _csr(self.pointers, self.columns_E, values_E, self.size)

    def transposed(self, values_E: Tensor) -> Tensor:
        """Return the transpose of the sparse matrix with these entries."""
        values_E = values_E[self.transposed_order_E]
        return _csr(self.transposed_pointers, self.transposed_columns_E, values_E, self.size)

    def row_sums(self, values_E: Tensor) -> Tensor:
        """Return the sum of each row's entries, [N]."""
        return values_E.new_zeros(self.size).index_add(0, self.rows_E, values_E)


def _pointers(sorted_rows_E: Tensor, size: int) -> Tensor:
    counts = torch.bincount(sorted_rows_E, minlength=size)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _csr(pointers: Tensor, columns_E: Tensor, values_E: Tensor, size: int) -> Tensor:
    with warnings.catch_warnings():  # torch announces once a process that compressed rows are in beta
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(pointers, columns_E, values_E, (size, size), check_invariants=False)


def _sample(pattern: SparsePattern, left_ND: Tensor, right_ND: Tensor) -> Tensor:
    """Return left_i . right_j for each entry (i, j) of the pattern, [E]."""
    if left_ND.device.type == "cpu" and not torch.backends.mkl.is_available():
        return (left_ND[pattern.rows_E] * right_ND[pattern.columns_E]).sum(-1)
    zeros = pattern.matrix(left_ND.new_zeros(len(pattern.columns_E)))
    return torch.sparse.sampled_addmm(zeros, left_ND.contiguous(), right_ND.T.contiguous(), beta=0.0).values()


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values_E: Tensor, dense_ND: Tensor, pattern: SparsePattern) -> Tensor:
        ctx.save_for_backward(values_E, dense_ND)
        ctx.pattern = pattern
        return pattern.matrix(values_E) @ dense_ND

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        values_E, dense_ND = ctx.saved_tensors
        gradient_ND = gradients[0].contiguous()
        return _sample(ctx.pattern, gradient_ND, dense_ND), ctx.pattern.transposed(values_E) @ gradient_ND, None


class _SampledDot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left_NR: Tensor, right_NR: Tensor, pattern: SparsePattern) -> Tensor:
        ctx.save_for_backward(left_NR, right_NR)
        ctx.pattern = pattern
        return _sample(pattern, left_NR, right_NR)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        left_NR, right_NR = ctx.saved_tensors
        gradient_E = gradients[0].contiguous()
        return ctx.pattern.matrix(gradient_E) @ right_NR, ctx.pattern.transposed(gradient_E) @ left_NR, None


def multiply(pattern: SparsePattern, values_E: Tensor, dense_ND: Tensor) -> Tensor:
    """Return (sparse matrix with `values_E` at `pattern`) @ dense, [N, D]; gradients reach values and dense."""
    with torch.autocast(dense_ND.device.type, enabled=False):  # sparse kernels know no bfloat16
        return _Multiply.apply(values_E.float(), dense_ND.float().contiguous(), pattern)


def sampled_dot(pattern: SparsePattern, left_NR: Tensor, right_NR: Tensor) -> Tensor:
    """Return left_i . right_j at the pattern's entries only, [E]; gradients reach both sides."""
    with torch.autocast(left_NR.device.type, enabled=False):
        return _SampledDot.apply(left_NR.float().contiguous(), right_NR.float().contiguous(), pattern)
