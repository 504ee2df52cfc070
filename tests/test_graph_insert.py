"""Edges of inserted hashtags: those that the bulk builders give the same hashtag."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dataset import Dataset, Ragged
from graph_builders.build import GraphSettings, build_graph
from graph_builders.explain import why
from graph_builders.hashtag_graph import HashtagGraph
from graph_builders.insert import Inserter
from graph_builders.wordnet import open_wordnet

KNOWN = [["dog"], ["dance"], ["Dog", "dance"], ["waltz"], ["танец"], ["🔥"], ["canine"]]
Phrases = list[list[str]]


def bulk(words: Phrases, chosen: GraphSettings) -> HashtagGraph:
    """Return the graph by names alone: no post, so no co-occurrence."""
    return build_graph(words, Ragged.from_lists([]), settings=chosen)


def named(graph: HashtagGraph, number: int, ids: list[int]) -> set[tuple[int, str, float]]:
    """Return the neighbours of a hashtag among `ids`, by their places there."""
    place = {hashtag: where for where, hashtag in enumerate(ids)}
    return {(place[other], relation, weight) for other, relation, weight in graph.neighbours(number) if other in place}


def assert_same_edges(words: Phrases, out: list[int], chosen: GraphSettings) -> int:
    """Take hashtags out, insert them again, compare their edges with the bulk builder's; return how many there are."""
    kept = [number for number in range(len(words)) if number not in out]
    inserted = Inserter([words[number] for number in kept], chosen).edges([words[number] for number in out])
    assert inserted.num_hashtags == len(words)
    whole = bulk(words, chosen)
    for place, number in enumerate(out):
        again = named(inserted, len(kept) + place, list(range(len(kept))))
        assert again == named(whole, number, kept), words[number]
    return len(inserted)


def test_hashtags_taken_out_of_a_made_up_world_get_their_edges_back(world: Dataset) -> None:
    words = world.hashtags["words"].to_list()
    order = np.random.default_rng(0).permutation(len(words)).tolist()
    edges = sum(assert_same_edges(words, order[start : start + 12], GraphSettings()) for start in range(0, 72, 12))
    assert edges > 100


@cache
def nouns() -> list[str]:
    """Return nouns that lie close together, some with several senses and several ways up, and their kinds."""
    reader = open_wordnet()
    tops = [reader.synset(name) for name in ("dog.n.01", "dance.n.01", "city.n.01", "person.n.01", "bank.n.01")]
    found = {lemma for top in tops for synset in top.closure(lambda s: s.hyponyms()) for lemma in synset.lemma_names()}
    return sorted(name for name in found if name.isalpha() and name.islower())[::9]


@settings(max_examples=25)
@given(
    st.integers(0, 10**6),
    st.integers(5, 120),
    st.builds(GraphSettings, hypernym_steps=st.integers(1, 5), wup_threshold=st.sampled_from([0.5, 0.75, 0.9, 1.0])),
)
def test_insertion_equals_the_bulk_builders(seed: int, size: int, chosen: GraphSettings) -> None:
    rng = np.random.default_rng(seed)
    words = [rng.choice(nouns(), size=rng.choice([1, 1, 1, 2, 3])).tolist() for _ in range(size)]
    assert_same_edges(words, sorted(rng.choice(size, size=min(4, size), replace=False).tolist()), chosen)


def test_edges_by_hand() -> None:
    new = [["poodle"], ["dog"], ["DOG", "Dance"], ["fire", "dance"], ["tango"], ["kqz"], [], ["танец", "🔥"]]
    edges = Inserter(KNOWN, GraphSettings()).edges(new)
    found = [
        [(KNOWN[other], relation, weight) for other, relation, weight in edges.neighbours(7 + n)] for n in range(8)
    ]
    assert found[0][0] == (["dog"], "hypernym", 1.0)
    assert found[0][1] == (["canine"], "hypernym", 0.5)
    assert found[1][:2] == [(["dog"], "composition", 1.0), (["Dog", "dance"], "composition", 1.0)]  # a second #dog
    assert found[2] == [(["dog"], "composition", 1.0), (["dance"], "composition", 1.0), (KNOWN[2], "composition", 1.0)]
    assert found[3] == [(["dance"], "composition", 1.0)]
    assert [(phrase, relation) for phrase, relation, _ in found[4]] == [(["waltz"], "wup"), (["dance"], "hypernym")]
    assert found[5] == []
    assert found[6] == []
    assert [phrase for phrase, _, _ in found[7]] == [["танец"], ["🔥"]]


def test_what_a_new_hashtag_hangs_on_is_said_in_words() -> None:
    new = [["fire", "dance"], ["poodle"]]
    edges = Inserter(KNOWN, GraphSettings()).edges(new)
    assert why(edges, KNOWN + new, one=7, other=1) == "'dance' is a word of 'fire dance'"
    assert why(edges, KNOWN + new, one=8, other=0) == "'poodle' is a kind of 'dog' (WordNet, 1 step)"


def test_edges_do_not_depend_on_the_company() -> None:
    inserter, new = Inserter(KNOWN, GraphSettings()), [["poodle"], ["beagle"], ["hound"], ["hound", "dog"]]
    together = inserter.edges(new)
    for place, phrase in enumerate(new):
        assert inserter.edges([phrase]).neighbours(7) == together.neighbours(7 + place)
    assert together.source.max() < 7 <= together.target.min()  # never between two new ones


def test_the_settings_are_those_of_the_graph() -> None:
    words = [["dog"], ["canine"], ["cat"]]
    of_steps = {
        steps: Inserter.of(bulk(words, GraphSettings(hypernym_steps=steps)).subset(["hypernym"]), words)
        for steps in (1, 2)
    }
    found = {steps: inserter.edges([["poodle"]]).counts()["hypernym"] for steps, inserter in of_steps.items()}
    assert found == {1: 1, 2: 2}


@pytest.mark.parametrize("known", [[["танец"], ["🔥"]], [[]]])
def test_a_vocabulary_without_nouns(known: Phrases) -> None:
    assert len(Inserter(known, GraphSettings()).edges([["dog"], ["kqz"]])) == 0
    assert len(Inserter(known, GraphSettings()).edges([])) == 0


@pytest.mark.parametrize(("known", "new"), [("politician", "gandhi"), ("gandhi", "politician")])
def test_similarity_is_the_larger_of_both_orders(known: str, new: str) -> None:
    """WordNet gives .9 for (politician, gandhi) and .63 for (gandhi, politician)."""
    chosen = GraphSettings(hypernym_steps=1)  # else a hypernym edge would come first
    assert Inserter([[known]], chosen).edges([[new]]).neighbours(1) == bulk([[known], [new]], chosen).neighbours(1)
    assert [relation for _, relation, _ in Inserter([[known]], chosen).edges([[new]]).neighbours(1)] == ["wup"]
