"""Texts as TF-IDF vectors of words and pairs of words. Shapes: N texts, V terms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

_TOKEN = re.compile(r"\w+")
LEAST_TEXTS = 2  # that have a term: one that a single text has tells nothing about another


def tokens(text: str) -> list[str]:
    """Return the words of any language, in lower case, stop words too: users have set phrases."""
    return _TOKEN.findall(text.lower())


def _terms(words: Sequence[str]) -> list[str]:
    return [*words, *(f"{one} {other}" for one, other in pairwise(words))]


class TextIndex:
    """Maps texts, given as tokens, to TF-IDF vectors of length 1: (1 + log count) * idf of each term.

    Args:
        terms: the vocabulary, in the order of its columns.
        idf_V: inverse document frequency of each term, log((1 + texts) / (1 + texts with it)) + 1.
    """

    def __init__(self, terms: Sequence[str], idf_V: np.ndarray) -> None:
        self.terms = list(terms)
        self.idf_V = idf_V
        self._vectorizer = None
        if self.terms:
            self._vectorizer = TfidfVectorizer(
                analyzer=_terms, vocabulary=self.terms, sublinear_tf=True, dtype=np.float32
            )
            self._vectorizer.idf_ = idf_V

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
        if self._vectorizer is None:
            return sparse.csr_matrix((len(texts), 0), dtype=np.float32)
        return self._vectorizer.transform(texts).tocsr()
