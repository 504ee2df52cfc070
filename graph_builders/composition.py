"""The composition relation (V2HT 3.2.2, `cp`): a phrase and the words in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from graph_builders.edges import Edges, undirected


def composition_edges(words: Sequence[Sequence[str]]) -> Edges:
    """Link each hashtag of two or more words with the hashtags that are one of its words; weight 1.

    `words[i]` are the words of hashtag i; they match without regard to case. Hashtags with the same words (kiddancer,
    kid dancer) are spellings of one phrase and are linked with each other. Departs from the paper: it does not speak
    of spellings.
    """
    hashtags_of: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for hashtag_id, phrase in enumerate(words):
        if phrase:
            hashtags_of[tuple(word.casefold() for word in phrase)].append(hashtag_id)
    pairs: list[tuple[int, int]] = []
    for phrase, hashtag_ids in hashtags_of.items():
        pairs.extend(combinations(hashtag_ids, 2))
        if len(phrase) > 1:
            parts = [part for word in set(phrase) for part in hashtags_of.get((word,), [])]
            pairs.extend((whole, part) for whole in hashtag_ids for part in parts)
    pairs_E2 = np.array(pairs, np.int64).reshape(-1, 2)
    return undirected(pairs_E2[:, 0], pairs_E2[:, 1], weight=np.ones(len(pairs_E2)))
