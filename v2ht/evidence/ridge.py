"""One-vs-rest ridge regression of hashtags on texts and users, with honest predictions for the posts it learned from.

Shapes: N posts, T past posts, F features (terms, users), H hashtags, C hashtags solved together.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from scipy import sparse

from v2ht.evidence.votes import Entries, blocks, largest

PENALTY = 1.0
EXACT = 4_000  # posts up to which the kernel matrix is inverted: leaving one out is then exact and takes seconds
FOLDS = 5  # beyond it
COLUMNS = 32  # hashtags solved together
BLOCK = 256  # posts whose predictions are made at a time
THREADS = min(8, os.cpu_count() or 1)  # blocks of hashtags at a time; each holds some dense columns
TOLERANCE = 0.01  # residual of the conjugate gradients over the norm of the right-hand side
STEPS = 100  # of the conjugate gradients at most
LEAST_WEIGHT = 0.002  # smaller weights are dropped: predictions change by about a hundredth at most
Solved = TypeVar("Solved")


def features(texts_TV: sparse.csr_matrix, users_T: np.ndarray, *, num_users: int) -> sparse.csr_matrix:
    """Return the texts' vectors beside the users' one-hot vectors, [T, V + U]."""
    num_posts, num_terms = texts_TV.shape
    ends = texts_TV.indptr[1:]
    indices = np.insert(texts_TV.indices, ends, num_terms + users_T)
    indptr = texts_TV.indptr + np.arange(num_posts + 1)
    shape = (num_posts, num_terms + num_users)
    return sparse.csr_matrix((np.insert(texts_TV.data, ends, 1), indices, indptr), shape=shape)


def fit(features_TF: sparse.csr_matrix, uses_TH: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return W = (X'X + I)^-1 X'Y, [F, H], without the smallest weights."""
    by_feature_FT = features_TF.T.tocsr()
    if features_TF.shape[0] <= EXACT:
        inverse_TT = _inverse(features_TF)
        weights = _by_block(uses_TH, lambda uses_TC: _pruned(by_feature_FT @ (inverse_TT @ uses_TC)))
    else:
        weights = _by_block(
            uses_TH, lambda uses_TC: _pruned(_solve(features_TF, by_feature_FT, by_feature_FT @ uses_TC))
        )
    return sparse.hstack(weights, format="csr")


def predict(features: Entries, weights_FH: sparse.csr_matrix, num_posts: int) -> np.ndarray:
    """Return the largest predictions of each post that are above 0, [N, H]."""
    return largest(features.times(weights_FH, num_posts))


def left_out(features_TF: sparse.csr_matrix, uses_TH: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return what `predict` gives for each past post by weights that were fitted without it, [T, H].

    Exact leaving one out from the inverse kernel up to `EXACT` posts: y - (M Y) / diag(M) with M = (X X' + I)^-1
    (Allen's PRESS). Beyond, the posts are dealt to `FOLDS` folds, and each fold gets the others' weights.
    """
    num_posts = features_TF.shape[0]
    if num_posts <= EXACT:
        inverse_TT = _inverse(features_TF)
        scale_T1 = 1 / np.diag(inverse_TT)[:, None]
        parts = _by_block(uses_TH, lambda uses_TC: uses_TC - inverse_TT @ uses_TC * scale_T1)
        return sparse.csr_matrix(largest(np.concatenate(parts, axis=1, dtype=np.float32)))
    fold_T = np.random.default_rng(0).permutation(num_posts) % FOLDS
    found: list[sparse.csr_matrix] = []
    for fold in range(FOLDS):
        own = fold_T == fold
        weights_FH = fit(features_TF[~own], uses_TH[~own])
        found += [
            sparse.csr_matrix(predict(Entries.of(features_TF[rows]), weights_FH, len(rows)))
            for rows in blocks(np.flatnonzero(own), BLOCK)
        ]
    order = np.argsort(np.argsort(fold_T, kind="stable"), kind="stable")
    return sparse.vstack(found, format="csr")[order]


def _inverse(features_TF: sparse.csr_matrix) -> np.ndarray:
    kernel_TT = (features_TF @ features_TF.T).toarray().astype(np.float64)
    kernel_TT[np.diag_indices(len(kernel_TT))] += PENALTY
    return np.linalg.inv(kernel_TT)


def _by_block(uses_TH: sparse.csr_matrix, solve: Callable[[np.ndarray], Solved]) -> list[Solved]:
    """Return solve(Y [T, C]) of each block of hashtags, in order; NumPy and SciPy let several threads calculate."""
    by_hashtag = uses_TH.tocsc()
    starts = range(0, uses_TH.shape[1], COLUMNS)
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda start: solve(by_hashtag[:, start : start + COLUMNS].toarray()), starts))


def _solve(features_TF: sparse.csr_matrix, by_feature_FT: sparse.csr_matrix, right_FC: np.ndarray) -> np.ndarray:
    """Return (X'X + I)^-1 B by conjugate gradients, each column by itself, preconditioned with the diagonal."""
    diagonal_F1 = np.asarray(by_feature_FT.multiply(by_feature_FT).sum(1)) + PENALTY
    solution_FC = np.zeros_like(right_FC)
    residual_FC = right_FC.copy()
    scaled_FC = residual_FC / diagonal_F1
    direction_FC = scaled_FC
    product_C = (residual_FC * scaled_FC).sum(0)
    enough_C = (TOLERANCE * np.linalg.norm(right_FC, axis=0)) ** 2
    for _ in range(STEPS):
        if ((residual_FC**2).sum(0) <= enough_C).all():
            return solution_FC
        image_FC = by_feature_FT @ (features_TF @ direction_FC) + PENALTY * direction_FC
        step_C = _ratio(product_C, (direction_FC * image_FC).sum(0))
        solution_FC += step_C * direction_FC
        residual_FC -= step_C * image_FC
        scaled_FC = residual_FC / diagonal_F1
        new_C = (residual_FC * scaled_FC).sum(0)
        direction_FC = scaled_FC + _ratio(new_C, product_C) * direction_FC
        product_C = new_C
    raise ArithmeticError(f"ridge did not converge in {STEPS} steps")


def _ratio(one_C: np.ndarray, other_C: np.ndarray) -> np.ndarray:
    """Return the ratio, 0 where there is nothing left to do."""
    return np.divide(one_C, other_C, out=np.zeros_like(one_C), where=other_C > 0)


def _pruned(weights_FC: np.ndarray) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.where(np.abs(weights_FC) >= LEAST_WEIGHT, weights_FC, 0).astype(np.float32))
