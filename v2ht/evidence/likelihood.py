"""How much likelier a hashtag makes a text's words: naive Bayes without its prior.

Shapes: N posts, T past posts, V terms, H hashtags, E pairs of a past post and one of its own hashtags.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from v2ht.evidence.posts import LIKELIHOOD_SMOOTHING as SMOOTHING
from v2ht.evidence.posts import Past, Posts, present
from v2ht.evidence.votes import Entries, largest

PRIOR = 5  # terms that any hashtag makes as likely, added to the text's: those of a short text prove little


def likelihood(past: Past, posts: Posts) -> np.ndarray:
    """Return the mean over the text's terms w of log p(w | h) / p(w), the largest that are above 0, [N, H].

    p(w | h) = (n_wh + s p(w)) / (n_h + s), with n posts and s = `LIKELIHOOD_SMOOTHING`. No past post counts itself.
    """
    terms_NV = present(posts.texts_NV)
    lengths_N1 = np.diff(terms_NV.indptr)[:, None].astype(np.float32)
    scores_NH = Entries.of(terms_NV).times(past.likelihoods_VH, len(posts))
    scores_NH -= lengths_N1 * past.log_videos_H
    if posts.any_past and terms_NV.nnz:
        rows_E, hashtags_E = np.nonzero(past.uses(posts.places_N))
        scores_NH[rows_E, hashtags_E] = _left_out(past, terms_NV, rows_E, hashtags_E)
    scores_NH /= lengths_N1 + PRIOR
    return largest(scores_NH)


def _left_out(past: Past, terms_NV: sparse.csr_matrix, rows_E: np.ndarray, hashtags_E: np.ndarray) -> np.ndarray:
    """Return the sums for posts and their own hashtags, each pair counted without the post."""
    own_EV = terms_NV[rows_E]
    lengths_E = np.diff(own_EV.indptr)
    counts = np.asarray(past.counts_VH[own_EV.indices, np.repeat(hashtags_E, lengths_E)]).ravel()
    ratios = np.log1p((counts - 1) * past.rarity_V[own_EV.indices] / SMOOTHING)
    sums_E = np.bincount(np.repeat(np.arange(len(rows_E)), lengths_E), weights=ratios, minlength=len(rows_E))
    return sums_E - lengths_E * np.log1p((past.videos_H[hashtags_E] - 1) / SMOOTHING)
