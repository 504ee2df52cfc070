"""Sparse products and propagation against plain dense twins, gradients too. Shapes: N nodes, E edges, D columns."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.nn import SimpleConv

from v2ht.nn.hashtag_gcn import HashtagGCN
from v2ht.nn.sparse import SparsePattern, multiply, sampled_dot


def random_pattern(seed: int, *, size: int = 12, edges: int = 40) -> SparsePattern:
    generator = torch.Generator().manual_seed(seed)
    cells = torch.unique(torch.randint(size * size, (edges,), generator=generator))
    return SparsePattern(cells // size, cells % size, size)


def dense(pattern: SparsePattern, values_E: torch.Tensor) -> torch.Tensor:
    matrix = torch.zeros(pattern.size, pattern.size)
    return matrix.index_put((pattern.rows_E, pattern.columns_E), values_E)


@given(seed=st.integers(0, 10_000))
def test_multiply_equals_dense_product_and_its_gradients(seed: int) -> None:
    pattern = random_pattern(seed)
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(len(pattern.columns_E), generator=generator, requires_grad=True)
    columns = torch.randn(pattern.size, 5, generator=generator, requires_grad=True)
    weights = torch.randn(pattern.size, 5, generator=generator)
    fast = multiply(pattern, values, columns)
    fast_gradients = torch.autograd.grad((fast * weights).sum(), [values, columns])
    plain = dense(pattern, values) @ columns
    plain_gradients = torch.autograd.grad((plain * weights).sum(), [values, columns])
    torch.testing.assert_close(fast, plain)
    for found, expected in zip(fast_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(found, expected)


@given(seed=st.integers(0, 10_000))
def test_sampled_dot_equals_gathered_rows_and_its_gradients(seed: int) -> None:
    pattern = random_pattern(seed)
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(pattern.size, 3, generator=generator, requires_grad=True)
    right = torch.randn(pattern.size, 3, generator=generator, requires_grad=True)
    weights = torch.randn(len(pattern.columns_E), generator=generator)
    fast = sampled_dot(pattern, left, right)
    fast_gradients = torch.autograd.grad((fast * weights).sum(), [left, right])
    plain = (left[pattern.rows_E] * right[pattern.columns_E]).sum(-1)
    plain_gradients = torch.autograd.grad((plain * weights).sum(), [left, right])
    torch.testing.assert_close(fast, plain)
    for found, expected in zip(fast_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(found, expected)


def gcn(
    rows: list[int], columns: list[int], relations: list[int], *, size: int, layers: int, alpha: float
) -> HashtagGCN:
    torch.manual_seed(0)
    return HashtagGCN(
        dim=4,
        layers=layers,
        alpha=alpha,
        rank=2,
        num_relations=4,
        rows_E=torch.tensor(rows, dtype=torch.int64),
        columns_E=torch.tensor(columns, dtype=torch.int64),
        relation_E=torch.tensor(relations, dtype=torch.int64),
        num_hashtags=size,
    )


def test_one_layer_worked_by_hand() -> None:
    """0 - 1 - 2 in a chain, 3 alone; a single neighbour has weight 1 whatever the weight function says."""
    model = gcn([0, 1, 1, 2], [1, 0, 2, 1], [0, 0, 3, 3], size=4, layers=1, alpha=0.2)
    embeddings = torch.eye(4)
    propagated = model(embeddings)
    torch.testing.assert_close(propagated[0], torch.tensor([0.8, 0.2, 0.0, 0.0]))
    torch.testing.assert_close(propagated[2], torch.tensor([0.0, 0.2, 0.8, 0.0]))
    torch.testing.assert_close(propagated[3], embeddings[3])
    weights = model.weights(embeddings)
    share = float((weights[1] / (weights[1] + weights[2])).detach())
    torch.testing.assert_close(propagated[1], torch.tensor([0.2 * share, 0.8, 0.2 * (1 - share), 0.0]))


def test_propagation_equals_message_passing_over_an_edge_list() -> None:
    pattern = random_pattern(3, size=20, edges=80)
    loops = pattern.rows_E == pattern.columns_E
    rows, columns = pattern.rows_E[~loops], pattern.columns_E[~loops]
    relations = torch.arange(len(rows)) % 4
    model = gcn(rows.tolist(), columns.tolist(), relations.tolist(), size=20, layers=2, alpha=0.3)
    with torch.no_grad():
        for layer in model.layers:
            layer.weight.add_(torch.randn(4, 4) * 0.3)
    embeddings = torch.randn(20, 4)
    shares = model.propagation(embeddings)
    messages = SimpleConv(aggr="sum")
    state = embeddings
    for step, layer in enumerate(model.layers):
        heard = messages(state, torch.stack([columns, rows]), shares)
        mixed = torch.where(model.linked_H1, 0.3 * heard + 0.7 * state, state)
        state = layer(mixed)
        state = torch.nn.functional.leaky_relu(state, 0.2) if step == 0 else state
    torch.testing.assert_close(model(embeddings), state)


def test_edge_weights_are_positive_and_reach_every_parameter() -> None:
    model = gcn([0, 1, 1, 2], [1, 0, 2, 1], [0, 0, 3, 3], size=3, layers=2, alpha=0.2)
    embeddings = torch.randn(3, 4, requires_grad=True)
    assert (model.weights(embeddings) > 0).all()
    model(embeddings).pow(2).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    assert embeddings.grad is not None


def test_a_graph_without_edges_leaves_hashtags_alone() -> None:
    model = gcn([], [], [], size=3, layers=1, alpha=0.2)
    embeddings = torch.randn(3, 4)
    torch.testing.assert_close(model(embeddings), embeddings)


def test_alpha_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"alpha is 1\.5; choose a share in \[0, 1\]"):
        gcn([0, 1], [1, 0], [0, 0], size=2, layers=1, alpha=1.5)


def test_weights_that_vanish_still_share_out_to_one() -> None:
    """Softplus underflows to zero for such weights: without a floor the shares would be 0 / 0."""
    model = gcn([0, 1, 1, 2], [1, 0, 2, 1], [0, 0, 3, 3], size=3, layers=1, alpha=0.2)
    with torch.no_grad():
        model.weights.bias.fill_(-1000.0)
    embeddings = torch.randn(3, 4)
    torch.testing.assert_close(model.propagation(embeddings), torch.tensor([1.0, 0.5, 0.5, 1.0]))
    assert torch.isfinite(model(embeddings)).all()
