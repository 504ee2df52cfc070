"""Propagation of hashtag embeddings over the hashtag graph with learned edge weights (V2HT 3.2, equations 1-7).

Shapes: H hashtags, D embedding, R rank of the weight function, E directed edges (each graph edge both ways).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from v2ht.nn.sparse import SparsePattern, multiply, sampled_dot

FLOOR = 1e-6  # softplus of a large negative number is 0 in float32, and a row of zeros could not be normalised


class EdgeWeights(nn.Module):
    """f_weight of equation 4: a low-rank bilinear form per relation, made positive.

    A_ij = softplus((P_r e_i) . (Q_r e_j) / sqrt(R) + b_r) + FLOOR for an edge (i, j) of relation r, on the edges only.

    Args:
        dim: embedding size D.
        num_relations: how many relations the edges may have.
        rank: R; cost grows with it.
        rows_E, columns_E, relation_E: directed edges sorted by row, then column, and their relation numbers.
        num_hashtags: H.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_relations: int,
        rank: int,
        rows_E: Tensor,
        columns_E: Tensor,
        relation_E: Tensor,
        num_hashtags: int,
    ) -> None:
        super().__init__()
        present = [r for r in range(num_relations) if bool((relation_E == r).any())]
        self.relations = present
        self.rank = rank
        self.left = nn.ModuleList(nn.Linear(dim, rank, bias=False) for _ in present)
        self.right = nn.ModuleList(nn.Linear(dim, rank, bias=False) for _ in present)
        self.bias = nn.Parameter(torch.zeros(len(present)))
        places = [torch.nonzero(relation_E == r)[:, 0] for r in present]
        self.patterns = nn.ModuleList(SparsePattern(rows_E[p], columns_E[p], num_hashtags) for p in places)
        order = torch.argsort(torch.cat(places)) if places else torch.empty(0, dtype=torch.int64)
        self.register_buffer("order_E", order, persistent=False)

    order_E: Tensor

    def forward(self, embeddings_HD: Tensor) -> Tensor:
        """Return A's positive entries in the order of the edges, [E]."""
        logits = [
            sampled_dot(pattern, left(embeddings_HD), right(embeddings_HD)) / self.rank**0.5 + bias  # type: ignore[arg-type]
            for pattern, left, right, bias in zip(self.patterns, self.left, self.right, self.bias, strict=True)
        ]
        no_edges = embeddings_HD.new_zeros(0)  # all there is of a graph without edges
        return F.softplus(torch.cat([no_edges, *logits])[self.order_E]) + FLOOR

    def of_pairs(self, one_ED: Tensor, other_ED: Tensor, relation_E: Tensor) -> Tensor:
        """Return A_ij of any pairs (i, j), given both embeddings and a relation of `relations` for each, [E]."""
        logits_E = one_ED.new_zeros(len(relation_E))
        for relation, left, right, bias in zip(self.relations, self.left, self.right, self.bias, strict=True):
            own = relation_E == relation
            logits_E[own] = (left(one_ED[own]) * right(other_ED[own])).sum(-1) / self.rank**0.5 + bias
        return F.softplus(logits_E) + FLOOR


class HashtagGCN(nn.Module):
    """Stacked propagation Y <- h(A' Y W) with A' = alpha * rows of A normalised + (1 - alpha) * identity.

    Equation 5's rows sum to one, so the degree factors of equation 7 are the identity; a hashtag without neighbours
    keeps its own embedding whole. W starts as the identity and the last layer is linear, so training starts from
    plain smoothing over the graph.

    Args:
        dim: embedding size D, the same for all layers.
        layers: how many propagation steps.
        alpha: share of the neighbours, in [0, 1] (equation 5; the paper's is 0.2).
        rank, num_relations, rows_E, columns_E, relation_E, num_hashtags: see `EdgeWeights`.

    Departs from the paper: the first two points above (it names neither h nor f_weight).
    """

    def __init__(
        self,
        *,
        dim: int,
        layers: int,
        alpha: float,
        rank: int,
        num_relations: int,
        rows_E: Tensor,
        columns_E: Tensor,
        relation_E: Tensor,
        num_hashtags: int,
    ) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is {alpha}; choose a share in [0, 1]")
        self.alpha = alpha
        self.weights = EdgeWeights(
            dim=dim,
            num_relations=num_relations,
            rank=rank,
            rows_E=rows_E,
            columns_E=columns_E,
            relation_E=relation_E,
            num_hashtags=num_hashtags,
        )
        self.pattern = SparsePattern(rows_E, columns_E, num_hashtags)
        self.layers = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(layers))
        for layer in self.layers:
            nn.init.eye_(layer.weight)  # type: ignore[arg-type]
        linked_H1 = (torch.bincount(rows_E, minlength=num_hashtags) > 0)[:, None]
        self.register_buffer("linked_H1", linked_H1, persistent=False)
        self.register_buffer("relation_E", relation_E, persistent=False)

    linked_H1: Tensor
    relation_E: Tensor

    def propagation(self, embeddings_HD: Tensor) -> Tensor:
        """Return each neighbour's normalised weight A_ij / sum_j A_ij, in the order of the edges, [E]."""
        weights_E = self.weights(embeddings_HD)
        return weights_E / self.pattern.row_sums(weights_E)[self.pattern.rows_E]

    def forward(self, embeddings_HD: Tensor) -> Tensor:
        """Return the propagated embeddings, [H, D]."""
        if len(self.pattern.rows_E) == 0:
            return self.alone(embeddings_HD)
        normalised_E = self.propagation(embeddings_HD)
        for step in range(len(self.layers)):
            embeddings_HD = self._step(step, normalised_E, embeddings_HD)
        return embeddings_HD

    def insert(self, known_HD: Tensor, new_ND: Tensor, *, known_E: Tensor, new_E: Tensor, relation_E: Tensor) -> Tensor:
        """Return what `forward` would give N more hashtags that listen to the known ones and pass nothing back, [N, D].

        Edge e links the known hashtag `known_E[e]` (below H) with the new one `new_E[e]` (H to H + N - 1). An edge of a
        relation that training had none of has no learned weight and is left out.
        """
        kept = torch.isin(relation_E, relation_E.new_tensor(self.weights.relations))
        rows_E, columns_E, relation_E = new_E[kept] - self.pattern.size, known_E[kept], relation_E[kept]
        weights_E = self.weights.of_pairs(new_ND[rows_E], known_HD[columns_E], relation_E)
        sums_N = weights_E.new_zeros(len(new_ND)).index_add(0, rows_E, weights_E)
        shares_E1 = (weights_E / sums_N[rows_E])[:, None]
        linked_N1 = (sums_N > 0)[:, None]
        normalised_E = self.propagation(known_HD) if len(rows_E) and len(self.layers) > 1 else None
        for step, layer in enumerate(self.layers):
            neighbours_ND = torch.zeros_like(new_ND).index_add(0, rows_E, shares_E1 * known_HD[columns_E])
            mixed_ND = self.alpha * neighbours_ND + (1 - self.alpha) * new_ND
            new_ND = self._transform(step, layer, torch.where(linked_N1, mixed_ND, new_ND))
            if normalised_E is not None and step + 1 < len(self.layers):
                known_HD = self._step(step, normalised_E, known_HD)
        return new_ND

    def alone(self, embeddings_ND: Tensor) -> Tensor:
        """Return what `forward` would give any hashtags, [N, D], if they had no neighbours."""
        for step, layer in enumerate(self.layers):
            embeddings_ND = self._transform(step, layer, embeddings_ND)
        return embeddings_ND

    def _step(self, step: int, normalised_E: Tensor, embeddings_HD: Tensor) -> Tensor:
        neighbours_HD = multiply(self.pattern, normalised_E, embeddings_HD)
        mixed_HD = self.alpha * neighbours_HD + (1 - self.alpha) * embeddings_HD
        return self._transform(step, self.layers[step], torch.where(self.linked_H1, mixed_HD, embeddings_HD))

    def _transform(self, step: int, layer: nn.Module, mixed_ND: Tensor) -> Tensor:
        transformed_ND: Tensor = layer(mixed_ND)
        return F.leaky_relu(transformed_ND, 0.2) if step + 1 < len(self.layers) else transformed_ND
