"""How much likelier a hashtag makes a text's words: naive Bayes without its prior.

Shapes: N posts, T past posts, V terms, H hashtags, E pairs of a past post and one of its own hashtags.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from v2ht.evidence.posts import LIKELIHOOD_SMOOTHING as SMOOTHING
from v2ht.evidence.posts import Past, Posts, present
from v2ht.evidence.votes import largest

PRIOR = 5  # terms that any hashtag makes as likely, added to the text's: those of a short text prove little
BLOCK = 256  # posts compared with all hashtags at a time


def likelihood(past: Past, posts: Posts) -> sparse.csr_matrix:
    """Return the mean over the text's terms w of log p(w | h) / p(w), the largest that are above 0, [N, H].

    p(w | h) = (n_wh + s p(w)) / (n_h + s), with n posts and s = `LIKELIHOOD_SMOOTHING`. No past post counts itself.
    """
    parts = []
    for start in range(0, len(posts), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(posts)))
        terms_NV = present(posts.texts_NV[rows])
        lengths_N = np.diff(terms_NV.indptr)
        scores_NH = np.asarray((terms_NV @ past.likelihoods_VH).todense())
        scores_NH -= lengths_N[:, None] * np.log1p(past.videos_H / SMOOTHING).astype(np.float32)
        if posts.any_past and terms_NV.nnz:
            own = past.uses(posts.places_N[rows]).tocoo()
            scores_NH[own.row, own.col] = _left_out(past, terms_NV, own.row, own.col)
        means_NH = np.maximum(scores_NH, 0) / (lengths_N[:, None] + PRIOR).astype(np.float32)
        parts.append(largest(sparse.csr_matrix(means_NH)))
    if not parts:
        return sparse.csr_matrix((0, past.uses_TH.shape[1]), dtype=np.float32)
    return parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")


def _left_out(past: Past, terms_NV: sparse.csr_matrix, rows_E: np.ndarray, hashtags_E: np.ndarray) -> np.ndarray:
    """Return the sums for posts and their own hashtags, each pair counted without the post."""
    own_EV = terms_NV[rows_E]
    lengths_E = np.diff(own_EV.indptr)
    counts = np.asarray(past.counts_VH[own_EV.indices, np.repeat(hashtags_E, lengths_E)]).ravel()
    ratios = np.log1p((counts - 1) * past.rarity_V[own_EV.indices] / SMOOTHING)
    sums_E = np.bincount(np.repeat(np.arange(len(rows_E)), lengths_E), weights=ratios, minlength=len(rows_E))
    return sums_E - lengths_E * np.log1p((past.videos_H[hashtags_E] - 1) / SMOOTHING)
