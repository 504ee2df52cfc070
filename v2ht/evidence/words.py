"""Hashtags that a text says. Shapes: N texts, H hashtags."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from v2ht.evidence.texts import tokens

LONGEST = 4  # consecutive words of a text that may be one hashtag


class NamedHashtags:
    """Finds hashtags whose letters stand in a text as one to four consecutive words: "kid dancer" says #kiddancer.

    Args:
        hashtags: their display forms, in the order of their ids.
        words: the words of each.
    """

    def __init__(self, hashtags: Sequence[str], words: Sequence[Sequence[str]]) -> None:
        self.num_hashtags = len(hashtags)
        self._ids: dict[str, set[int]] = defaultdict(set)
        for number, (hashtag, parts) in enumerate(zip(hashtags, words, strict=True)):
            for form in ("".join(tokens(hashtag)), "".join(word for part in parts for word in tokens(part))):
                if form:
                    self._ids[form].add(number)

    def __call__(self, texts: Sequence[Sequence[str]]) -> sparse.csr_matrix:
        """Return 1 where a text, given as tokens, says a hashtag, [N, H]."""
        found = [sorted(self._of(words)) for words in texts]
        indptr = np.cumsum([0, *map(len, found)])
        indices = np.array([number for row in found for number in row], np.int32)
        return sparse.csr_matrix(
            (np.ones(len(indices), np.float32), indices, indptr), shape=(len(texts), self.num_hashtags)
        )

    def _of(self, words: Sequence[str]) -> set[int]:
        runs = [
            "".join(words[start : start + size])
            for size in range(1, LONGEST + 1)
            for start in range(len(words) - size + 1)
        ]
        return set().union(*(self._ids[form] for form in self._ids.keys() & runs))
