"""Collaborative filters on user x hashtag, which know no text: ALS, BPR, EASE, LightGCN.

Users without train posts get the popularity ranking. Shapes: N posts, U users, H hashtags, D dimensions, E pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.peers.posts import Posts, TrainPosts


class _ByUser:
    """Scores that depend on the user alone."""

    def _keep(self, train: TrainPosts, scores_UH: np.ndarray) -> None:
        seen_U = np.diff(train.counts_UH.indptr) > 0
        self._scores_UH = np.where(seen_U[:, None], scores_UH, train.popularity_H).astype(np.float32)

    def scores(self, posts: Posts) -> np.ndarray:
        return self._scores_UH[posts.users_N]


@dataclass
class Als(_ByUser):
    """Implicit matrix factorisation (Hu et al., ICDM 2008) of the counts by the library implicit."""

    factors: int = 64
    regularization: float = 0.1
    alpha: float = 10.0
    iterations: int = 15
    seed: int = 0

    def fit(self, train: TrainPosts) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        model = AlternatingLeastSquares(
            factors=self.factors,
            regularization=self.regularization,
            alpha=self.alpha,
            iterations=self.iterations,
            random_state=self.seed,
            num_threads=1,
        )
        self._keep(train, _fitted(model, train))


@dataclass
class Bpr(_ByUser):
    """Bayesian personalised ranking (Rendle et al., UAI 2009) by the library implicit."""

    factors: int = 64
    learning_rate: float = 0.05
    regularization: float = 0.01
    iterations: int = 200
    seed: int = 0

    def fit(self, train: TrainPosts) -> None:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        model = BayesianPersonalizedRanking(
            factors=self.factors,
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            iterations=self.iterations,
            random_state=self.seed,
            num_threads=1,
        )
        self._keep(train, _fitted(model, train))


def _fitted(model: Any, train: TrainPosts) -> np.ndarray:
    model.fit(train.counts_UH, show_progress=False)
    return np.asarray(model.user_factors) @ np.asarray(model.item_factors).T


@dataclass
class Ease(_ByUser):
    """EASE (Steck, WWW 2019): X B with B = I - P / diag(P), P = (X'X + penalty I)^-1, X = user uses hashtag (1, 0)."""

    penalty: float = 100.0

    def fit(self, train: TrainPosts) -> None:
        uses_UH = (train.counts_UH > 0).astype(np.float64)
        gram_HH = (uses_UH.T @ uses_UH).toarray()
        gram_HH[np.diag_indices(len(gram_HH))] += self.penalty
        inverse_HH = np.linalg.inv(gram_HH)
        weights_HH = -inverse_HH / np.diag(inverse_HH)
        np.fill_diagonal(weights_HH, 0)
        self._keep(train, uses_UH @ weights_HH)


@dataclass
class LightGcn(_ByUser):
    """LightGCN (He et al., SIGIR 2020) by torch-geometric: BPR loss, one negative a pair, Adam."""

    dim: int = 64
    layers: int = 2
    epochs: int = 100
    learning_rate: float = 0.01
    batch: int = 2048
    seed: int = 0

    def fit(self, train: TrainPosts) -> None:
        import torch
        from torch_geometric.nn.models import LightGCN

        torch.manual_seed(self.seed)
        users_E, hashtags_E = sparse.coo_matrix(train.counts_UH).coords
        pairs_2E = torch.from_numpy(np.stack([users_E, hashtags_E + train.num_users]).astype(np.int64))
        edges = torch.cat([pairs_2E, pairs_2E.flip(0)], dim=1)
        model = LightGCN(train.num_users + train.num_hashtags, self.dim, self.layers)
        optimizer = torch.optim.Adam(model.parameters(), lr=self.learning_rate)
        for _ in range(self.epochs):
            for part in torch.randperm(pairs_2E.shape[1]).split(self.batch):
                positive = pairs_2E[:, part]
                negative = torch.stack([positive[0], torch.randint(train.num_hashtags, part.shape) + train.num_users])
                ranks = model(edges, torch.cat([positive, negative], dim=1))
                nodes = torch.cat([positive.flatten(), negative[1]]).unique()
                loss = model.recommendation_loss(*ranks.chunk(2), node_id=nodes)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.inference_mode():
            users_UD, hashtags_HD = model.get_embedding(edges).split([train.num_users, train.num_hashtags])
            self._keep(train, (users_UD @ hashtags_HD.T).numpy())
