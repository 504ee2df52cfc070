"""Linear peers: one-vs-rest ridge regression, and a linear extreme classifier. Shapes as in `posts`; F = V + U."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.linear_model import Ridge as SklearnRidge

from benchmarks.peers.posts import Posts, TrainPosts, beside_users, vectorizer

EXACT = 4_000  # train posts up to which ridge is solved exactly; beyond, conjugate gradients need no [T, T] kernel
TOLERANCE = 0.01  # residual of the conjugate gradients over the norm of the right-hand side


@dataclass
class TextAndUser:
    """TF-IDF vectors beside one-hot users; with user weight 0 there is nothing of the user."""

    user: float

    def fit(self, train: TrainPosts) -> sparse.csr_matrix:
        """Learn the terms; return the train posts' features, [T, F]."""
        self._num_users = train.num_users
        self._vectorizer = vectorizer("words").fit(train.posts.texts)
        return self(train.posts)

    def __call__(self, posts: Posts) -> sparse.csr_matrix:
        texts_NV = self._vectorizer.transform(posts.texts)
        if not self.user:
            return texts_NV
        return beside_users(texts_NV, posts.users_N, num_users=self._num_users, weight=self.user)


@dataclass
class Ridge:
    """Ridge regression of the use of each hashtag (scikit-learn)."""

    user: float = 1.0
    penalty: float = 1.0

    def fit(self, train: TrainPosts) -> None:
        self._features = TextAndUser(self.user)
        features_TF = self._features.fit(train)
        solver = "cholesky" if len(train.posts) <= EXACT else "sparse_cg"
        self._model = SklearnRidge(alpha=self.penalty, fit_intercept=False, solver=solver, tol=TOLERANCE)
        self._model.fit(features_TF, train.uses_TH.toarray())
        self._backing_H = 1e-6 * train.popularity_H  # for posts without any known term

    def scores(self, posts: Posts) -> np.ndarray:
        return (self._model.predict(self._features(posts)) + self._backing_H).astype(np.float32)


@dataclass
class Omikuji:
    """Parabel trees of linear one-vs-rest classifiers (Prabhu et al., WWW 2018) by omikuji."""

    user: float = 1.0
    trees: int = 3
    beam: int = 30

    def fit(self, train: TrainPosts) -> None:
        import omikuji

        self._features = TextAndUser(self.user)
        features_TF = self._features.fit(train)
        parameters = omikuji.Model.default_hyper_param()
        parameters.n_trees = self.trees
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "train.txt"
            path.write_text(_as_text(features_TF, train.uses_TH), encoding="utf-8")
            self._model = omikuji.Model.train_on_data(str(path), parameters, n_threads=1)
        self._model.init_prediction_thread_pool(1)
        self._backing_H = 1e-6 * train.popularity_H

    def scores(self, posts: Posts) -> np.ndarray:
        features_NF = self._features(posts)
        scores_NH = np.tile(self._backing_H, (len(posts), 1))
        for row in range(len(posts)):
            part = slice(features_NF.indptr[row], features_NF.indptr[row + 1])
            pairs = list(zip(features_NF.indices[part].tolist(), features_NF.data[part].tolist(), strict=True))
            for hashtag, score in self._model.predict(pairs, beam_size=self.beam, top_k=len(self._backing_H)):
                scores_NH[row, hashtag] += score
        return scores_NH


def _as_text(features_TF: sparse.csr_matrix, uses_TH: sparse.csr_matrix) -> str:
    """Return the lines of a multi-label file: counts first, then "label,label feature:value ..." a post."""
    lines = [f"{features_TF.shape[0]} {features_TF.shape[1]} {uses_TH.shape[1]}"]
    for row in range(features_TF.shape[0]):
        part = slice(features_TF.indptr[row], features_TF.indptr[row + 1])
        pairs = sorted(zip(features_TF.indices[part].tolist(), features_TF.data[part].tolist(), strict=True))
        labels = ",".join(map(str, uses_TH.indices[uses_TH.indptr[row] : uses_TH.indptr[row + 1]]))
        lines.append(" ".join([labels, *(f"{feature}:{value:.6g}" for feature, value in pairs)]))
    return "\n".join(lines) + "\n"
