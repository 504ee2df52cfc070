"""WUP similarity: equal to NLTK number for number, and the sparse pass equal to looking at every pair."""

from __future__ import annotations

import itertools
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_builders import wup
from graph_builders.edges import Edges
from graph_builders.wordnet import NounSenses, open_wordnet, read_nouns
from graph_builders.wup import subsumer_distances, wup_edges, wup_of_pairs

THRESHOLDS = (0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


@cache
def lemmas() -> list[str]:
    return sorted(open_wordnet().all_lemma_names("n"))


@cache
def vocabulary() -> NounSenses:
    """Return 400 nouns: random ones, and all below `dancer` and `dog`, which are close to each other."""
    chosen = [*random.Random(3).sample(lemmas(), 200), "positivist", "logical_positivist"]
    for name in ("dancer.n.01", "dog.n.01", "city.n.01"):
        below = list(open_wordnet().synset(name).closure(lambda s: s.hyponyms() + s.instance_hyponyms()))[:70]
        chosen += [synset.lemma_names()[0] for synset in below]
    return read_nouns([[word] for word in dict.fromkeys(chosen)])


def nltk_wup(nouns: NounSenses, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    synset = open_wordnet().synset
    names = [(nouns.names[i], nouns.names[j]) for i, j in zip(one, other, strict=True)]
    return np.array([synset(a).wup_similarity(synset(b)) for a, b in names])


def every_pair(nouns: NounSenses, threshold: float) -> dict[tuple[int, int], float]:
    """The plain twin: the similarity of every pair of hashtags, kept when it reaches the threshold."""
    distance = subsumer_distances(nouns)
    found = {}
    for i, j in itertools.combinations(range(len(nouns.senses)), 2):
        one = np.repeat(nouns.senses[i], len(nouns.senses[j]))
        other = np.tile(nouns.senses[j], len(nouns.senses[i]))
        both = [
            wup_of_pairs(nouns, distance, one=one, other=other),
            wup_of_pairs(nouns, distance, one=other, other=one),
        ]
        best = max((float(value) for values in both for value in values), default=0.0)
        if best >= threshold:
            found[i, j] = np.float32(best)
    return found


def as_dict(edges: Edges) -> dict[tuple[int, int], float]:
    pairs = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    return dict(zip(pairs, edges.weight, strict=True))


def similarity(one: str, other: str) -> float:
    """Return the similarity of two synsets by name, through the arrays of only these two."""
    nouns = read_nouns([[one.split(".")[0]], [other.split(".")[0]]])
    ids = [np.array([nouns.names.index(name)]) for name in (one, other)]
    return float(wup_of_pairs(nouns, subsumer_distances(nouns), one=ids[0], other=ids[1])[0])


def test_dog_and_cat_by_hand() -> None:
    # The subsumer carnivore has max_depth 11, so depth 12; dog and cat are both 2 below it: 24 / (2 + 2 + 24).
    assert similarity("dog.n.01", "cat.n.01") == 24 / 28


def test_order_of_the_arguments_matters() -> None:
    assert similarity("positivist.n.01", "logical_positivist.n.01") == pytest.approx(18 / 19)
    assert similarity("logical_positivist.n.01", "positivist.n.01") == pytest.approx(12 / 19)


def test_words_take_the_larger_of_both_orders() -> None:
    for words in ([["positivist"], ["logical", "positivist"]], [["logical", "positivist"], ["positivist"]]):
        edges = wup_edges(read_nouns(words))
        assert edges.weight.tolist() == [np.float32(18 / 19)]


def test_a_noun_can_differ_from_itself_as_in_nltk() -> None:
    nouns = vocabulary()
    every = np.arange(len(nouns))
    ours = wup_of_pairs(nouns, subsumer_distances(nouns), one=every, other=every)
    assert (ours < 1).any()
    assert np.array_equal(ours, nltk_wup(nouns, every, every))


def test_random_pairs_equal_nltk() -> None:
    nouns, rng = vocabulary(), np.random.default_rng(0)
    one, other = rng.integers(len(nouns), size=(2, 3000))
    ours = wup_of_pairs(nouns, subsumer_distances(nouns), one=one, other=other)
    assert np.array_equal(ours, nltk_wup(nouns, one, other))


def test_near_pairs_equal_nltk() -> None:
    nouns, rng = vocabulary(), np.random.default_rng(1)
    synset = np.repeat(np.arange(len(nouns)), nouns.ancestors.lengths)
    close = np.flatnonzero((nouns.up > 0) & (nouns.up <= 3))
    chosen = rng.choice(close, size=1500)
    below, above = synset[chosen], nouns.ancestors.values[chosen]
    one, other = np.concatenate([below, above]), np.concatenate([above, below])
    ours = wup_of_pairs(nouns, subsumer_distances(nouns), one=one, other=other)
    assert (ours[:1500] != ours[1500:]).any(), "no pair here depends on the order, so the test sees less than it should"
    assert np.array_equal(ours, nltk_wup(nouns, one, other))


def test_distances_equal_nltk_shortest_paths() -> None:
    nouns, reader = vocabulary(), open_wordnet()
    synset = np.repeat(np.arange(len(nouns)), nouns.ancestors.lengths)
    distance = subsumer_distances(nouns)
    shortcuts = np.flatnonzero(distance < nouns.up)
    assert len(shortcuts) > 0
    others = np.random.default_rng(2).choice(len(synset), 500)
    for entry in np.concatenate([shortcuts, others]):
        low, high = (reader.synset(nouns.names[i]) for i in (synset[entry], nouns.ancestors.values[entry]))
        assert distance[entry] == low.shortest_path_distance(high)


def test_words_equal_nltk() -> None:
    words = ["car", "truck", "dance", "waltz", "kid", "paris", "city", "music", "song", "love", "dog", "puppy"]
    synsets = [open_wordnet().synsets(word, "n") for word in words]
    expected = {}
    for i, j in itertools.combinations(range(len(words)), 2):
        orders = itertools.chain(itertools.product(synsets[i], synsets[j]), itertools.product(synsets[j], synsets[i]))
        expected[i, j] = np.float32(max(a.wup_similarity(b) for a, b in orders))
    assert as_dict(wup_edges(read_nouns([[word] for word in words]), threshold=0.01)) == expected


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_sparse_pass_equals_every_pair(threshold: float) -> None:
    names = [*random.Random(5).sample(lemmas(), 60), "poodle", "dog", "puppy", "waltz", "tango", "car", "auto", "paris"]
    nouns = read_nouns([[word] for word in names])
    expected = every_pair(nouns, threshold)
    assert expected
    assert as_dict(wup_edges(nouns, threshold=threshold)) == expected


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_sparse_pass_equals_every_pair_of_any_vocabulary(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(lemmas()), max_size=12))
    threshold = data.draw(st.floats(0.3, 1.0))
    nouns = read_nouns([[word] for word in chosen])
    assert as_dict(wup_edges(nouns, threshold=threshold)) == every_pair(nouns, threshold)


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blocks_do_not_change_the_edges(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = wup_edges(vocabulary(), threshold=0.85)
    monkeypatch.setattr(wup, "BLOCK_PAIRS", block)
    assert as_dict(wup_edges(vocabulary(), threshold=0.85)) == as_dict(whole)


def test_higher_threshold_only_removes() -> None:
    low, high = (as_dict(wup_edges(vocabulary(), threshold=threshold)) for threshold in (0.7, 0.9))
    assert high == {pair: weight for pair, weight in low.items() if weight >= np.float32(0.9)}


@pytest.mark.parametrize(
    ("one", "other", "threshold"),
    [("cytology", "morphology", 0.923), ("liver_cancer", "malignancy", 0.88), ("mask", "protective_garment", 0.842)],
)
def test_pairs_that_reach_the_threshold_only_over_the_top(one: str, other: str, threshold: float) -> None:
    # Straight up, the way to every common ancestor is too long for the threshold; the way over the top is not.
    nouns = read_nouns([[one], [other]])
    expected = every_pair(nouns, threshold)
    assert expected
    assert as_dict(wup_edges(nouns, threshold=threshold)) == expected


def test_synonyms_are_linked() -> None:
    assert wup_edges(read_nouns([["car"], ["auto"]]), threshold=1.0).weight.tolist() == [1.0]


def test_no_nouns_no_edges() -> None:
    assert len(wup_edges(read_nouns([["xqzzy"], ["🔥"], ["дом"]]))) == 0


@pytest.mark.parametrize("threshold", [0.0, 1.5, float("nan")])
def test_threshold_out_of_range_raises(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"expected a number in \(0, 1\]"):
        wup_edges(read_nouns([["dog"]]), threshold=threshold)


def test_threads_read_wordnet_one_at_a_time() -> None:
    """NLTK's reader seeks in files that its callers share."""
    words = random.Random(7).sample(lemmas(), 320)
    parts = [[[word] for word in words[start::16]] for start in range(16)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(read_nouns, parts))
    finally:
        sys.setswitchinterval(interval)
    for part, nouns in zip(parts, found, strict=True):
        plain = read_nouns(part)
        assert nouns.names == plain.names
        np.testing.assert_array_equal(nouns.senses.values, plain.senses.values)
