"""The super-subordinate relation (V2HT 3.2.2, `ss`): a kind and what it is a kind of, after WordNet."""

from __future__ import annotations

import numpy as np

from graph_builders.edges import Edges
from graph_builders.wordnet import NounSenses


def hypernym_edges(nouns: NounSenses, *, max_steps: int = 3) -> Edges:
    """Link hashtags of which one names a hypernym of the other, at most `max_steps` above it; weight 1 / steps.

    Any noun sense of either hashtag counts, and the pair of senses with the fewest steps decides. Instances count as
    kinds (paris, city). Departs from the paper: it does not say how far up; here 1 is the direct hypernym only.
    """
    near = np.flatnonzero((nouns.up >= 1) & (nouns.up <= max_steps))
    below = np.repeat(np.arange(len(nouns)), nouns.ancestors.lengths)[near]
    return nouns.edges_between(below, nouns.ancestors.values[near], weight=1.0 / nouns.up[near])
