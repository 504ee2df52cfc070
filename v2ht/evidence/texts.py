"""Texts as TF-IDF vectors of words and pairs of words. Shapes: N texts, V terms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import regex
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from data.hashtags import fold
from data.text import WORD

_TOKEN = regex.compile(rf"(?:{WORD}|_)+", regex.VERSION1)
LEAST_TEXTS = 2  # that have a term: one that a single text has tells nothing about another


def tokens(text: str) -> list[str]:
    """Return the words of any language, case folded, stop words too: users have set phrases."""
    found: list[str] = _TOKEN.findall(fold(text))
    return found


def _terms(words: Sequence[str]) -> list[str]:
    return [*words, *map(" ".join, pairwise(words))]


class TextIndex:
    """Maps texts, given as tokens, to TF-IDF vectors of length 1: (1 + log count) * idf of each term.

    Args:
        terms: the vocabulary, in the order of its columns.
        idf_V: inverse document frequency of each term, log((1 + texts) / (1 + texts with it)) + 1.
    """

    def __init__(self, terms: Sequence[str], idf_V: np.ndarray) -> None:
        self.terms = list(terms)
        self.idf_V = idf_V
        self._ids = {term: number for number, term in enumerate(self.terms)}

    @staticmethod
    def of(texts: Sequence[Sequence[str]]) -> TextIndex:
        """Take the terms of train texts."""
        if not any(texts):
            return TextIndex([], np.empty(0, np.float32))
        counter = CountVectorizer(analyzer=_terms, binary=True)
        counts_V = np.asarray(counter.fit_transform(texts).sum(0)).ravel()
        kept = np.flatnonzero(counts_V >= LEAST_TEXTS)
        idf_V = np.log((1 + len(texts)) / (1 + counts_V[kept])) + 1
        return TextIndex(counter.get_feature_names_out()[kept].tolist(), idf_V.astype(np.float32))

    def vectors(self, texts: Sequence[Sequence[str]]) -> sparse.csr_matrix:
        """Return the texts' vectors, [N, V]; zero for a text without a known term."""
        counts = [Counter(map(self._ids.__getitem__, filter(self._ids.__contains__, _terms(words)))) for words in texts]
        lengths_N = np.array([len(row) for row in counts], np.int64)
        indices = np.array([number for row in counts for number in row], np.int32)
        values = (1 + np.log([count for row in counts for count in row.values()])) * self.idf_V[indices]
        squares_N = np.bincount(np.repeat(np.arange(len(texts)), lengths_N), weights=values**2, minlength=len(texts))
        values = (values / np.repeat(np.sqrt(squares_N), lengths_N)).astype(np.float32)
        shape = (len(texts), len(self.terms))
        vectors_NV = sparse.csr_matrix((values, indices, np.append(0, np.cumsum(lengths_N))), shape=shape)
        vectors_NV.sort_indices()
        return vectors_NV
