"""Composition, hypernyms, co-occurrence, and reading WordNet's nouns."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dataset import Ragged
from data.files import InputError
from graph_builders import cooccurrence, install_wordnet
from graph_builders.composition import composition_edges
from graph_builders.cooccurrence import cooccurrence_edges
from graph_builders.edges import Edges, undirected, union
from graph_builders.hypernym import hypernym_edges
from graph_builders.wordnet import noun_share, open_wordnet, read_nouns

VIDEOS = st.lists(st.lists(st.integers(0, 7), max_size=6), max_size=25)


def as_dict(edges: Edges) -> dict[tuple[int, int], float]:
    pairs = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    return dict(zip(pairs, edges.weight.tolist(), strict=True))


# --- edges ---------------------------------------------------------------------------------------------------------


def test_undirected_drops_loops_and_keeps_the_largest_weight() -> None:
    one, other = np.array([3, 1, 2, 1, 0]), np.array([1, 3, 2, 0, 1])
    edges = undirected(one, other, weight=np.array([0.5, 0.75, 9.0, 0.25, 0.125]))
    assert as_dict(edges) == {(0, 1): 0.25, (1, 3): 0.75}


def test_union_of_nothing_is_empty() -> None:
    assert len(union([])) == 0


# --- composition ---------------------------------------------------------------------------------------------------


def test_composition_by_hand() -> None:
    words = [["kid"], ["kid", "dancer"], ["dancer"], ["hip", "hop", "dancer"], ["hip", "hop"], ["Kid", "Dancer"]]
    expected = {(0, 1), (1, 2), (0, 5), (2, 5), (2, 3), (1, 5)}  # (1, 5): two spellings of one phrase
    assert set(as_dict(composition_edges(words))) == expected
    assert set(composition_edges(words).weight.tolist()) == {1.0}


def test_composition_links_single_words_only_not_parts_of_phrases() -> None:
    assert as_dict(composition_edges([["hip", "hop"], ["hip", "hop", "dancer"]])) == {}


def test_composition_matches_without_regard_to_case_in_any_script() -> None:
    assert as_dict(composition_edges([["ТАНЕЦ"], ["танец", "жизнь"], ["STRASSE"], ["straße", "fest"]])) == {
        (0, 1): 1.0,
        (2, 3): 1.0,
    }


def test_hashtags_without_words_get_no_edges() -> None:
    assert as_dict(composition_edges([[], [], ["🔥"]])) == {}


@given(st.lists(st.lists(st.sampled_from("abcdAB"), max_size=3), max_size=10))
def test_composition_equals_plain_twin(words: list[list[str]]) -> None:
    lower = [[word.lower() for word in phrase] for phrase in words]
    expected = {
        (i, j)
        for (i, a), (j, b) in itertools.combinations(enumerate(lower), 2)
        if a and b and (a == b or (len(a) == 1 and a[0] in b) or (len(b) == 1 and b[0] in a))
    }
    assert set(as_dict(composition_edges(words))) == expected


# --- hypernyms -----------------------------------------------------------------------------------------------------


def test_hypernym_by_hand() -> None:
    # poodle -> dog -> canine, domestic animal; canine -> carnivore; paris is an instance of a national capital.
    words = [["poodle"], ["dog"], ["canine"], ["carnivore"], ["paris"], ["national", "capital"], ["xqzzy"]]
    nouns = read_nouns(words)
    assert as_dict(hypernym_edges(nouns, max_steps=1)) == {(0, 1): 1.0, (1, 2): 1.0, (2, 3): 1.0, (4, 5): 1.0}
    two = as_dict(hypernym_edges(nouns, max_steps=2))
    assert two[0, 2] == 0.5
    assert (0, 3) not in two
    assert as_dict(hypernym_edges(nouns, max_steps=3))[0, 3] == pytest.approx(1 / 3)


def test_hypernym_equals_plain_twin() -> None:
    words = ["dance", "waltz", "ballet", "art", "dancer", "performer", "person", "kid", "child", "juvenile", "goat"]
    reader = open_wordnet()
    expected: dict[tuple[int, int], float] = {}
    for (i, low), (j, high) in itertools.permutations(enumerate(words), 2):
        targets = set(reader.synsets(high, "n"))
        for synset in reader.synsets(low, "n"):
            for above, steps in synset.hypernym_distances():
                if above in targets and 1 <= steps <= 3:
                    pair = (min(i, j), max(i, j))
                    expected[pair] = max(expected.get(pair, 0.0), float(np.float32(1 / steps)))
    assert len(expected) > 5
    assert as_dict(hypernym_edges(read_nouns([[word] for word in words]), max_steps=3)) == expected


def test_no_nouns_no_hypernyms() -> None:
    assert len(hypernym_edges(read_nouns([["танец"], ["🔥"], []]))) == 0


# --- co-occurrence -------------------------------------------------------------------------------------------------


def plain_cooccurrence(videos: list[list[int]], *, min_count: int, limit: int) -> dict[tuple[int, int], float]:
    used = Counter(hashtag for video in videos for hashtag in set(video))
    shared = Counter(pair for video in videos for pair in itertools.permutations(sorted(set(video)), 2))
    kept = {}
    for hashtag in used:
        ranked = sorted(
            (-(count / math.sqrt(used[hashtag] * used[other])), -count, other)
            for (one, other), count in shared.items()
            if one == hashtag and count >= min_count
        )
        for score, _, other in ranked[:limit]:
            kept[min(hashtag, other), max(hashtag, other)] = float(np.float32(-score))
    return kept


def test_cooccurrence_by_hand() -> None:
    videos = [[0, 1], [0, 1, 2], [0, 2], [0], [1, 1, 3]]
    # 0 and 1 share two of their 4 and 3 videos; 0 and 2 share two of 4 and 2; every other pair shares one.
    expected = {(0, 1): 2 / math.sqrt(12), (0, 2): 2 / math.sqrt(8)}
    assert as_dict(cooccurrence_edges(Ragged.from_lists(videos), 5)) == pytest.approx(expected)


def test_a_pair_stays_when_it_is_strong_for_either_end() -> None:
    # 0 is used with 1 ten times and once each with 2 and 3: weak for 0, yet the best that 2 and 3 have.
    videos = [[0, 1]] * 10 + [[0, 2], [0, 3]]
    edges = cooccurrence_edges(Ragged.from_lists(videos), 4, min_count=1, max_neighbours=1)
    assert set(as_dict(edges)) == {(0, 1), (0, 2), (0, 3)}


@settings(max_examples=60)
@given(VIDEOS, st.integers(1, 3), st.integers(0, 4))
def test_cooccurrence_equals_plain_twin(videos: list[list[int]], min_count: int, limit: int) -> None:
    edges = cooccurrence_edges(Ragged.from_lists(videos), 8, min_count=min_count, max_neighbours=limit)
    assert as_dict(edges) == plain_cooccurrence(videos, min_count=min_count, limit=limit)


@pytest.mark.parametrize("block", [1, 20])
def test_blocks_do_not_change_the_edges(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = np.random.default_rng(0).integers(0, 8, size=(30, 3)).tolist()
    whole = as_dict(cooccurrence_edges(Ragged.from_lists(videos), 8))
    monkeypatch.setattr(cooccurrence, "BLOCK_PAIRS", block)
    assert whole
    assert as_dict(cooccurrence_edges(Ragged.from_lists(videos), 8)) == whole


def test_cooccurrence_leaves_its_input_alone() -> None:
    ids = Ragged.from_lists([[2, 0, 0], [2, 0]])
    cooccurrence_edges(ids, 3)
    assert ids.values.tolist() == [2, 0, 0, 2, 0]


def test_cooccurrence_names_an_id_outside_the_vocabulary() -> None:
    with pytest.raises(IndexError, match=r"hashtag id 9 is outside 0\.\.4"):
        cooccurrence_edges(Ragged.from_lists([[0, 9]]), 5)


# --- WordNet -------------------------------------------------------------------------------------------------------


def test_phrases_find_their_senses() -> None:
    nouns = read_nouns([["Dogs"], ["ice", "cream"], ["hip", "hop"], ["sun", "shine"], ["xqzzy"], ["собака"], []])
    names = [[nouns.names[i] for i in nouns.senses[row]] for row in range(7)]
    assert "dog.n.01" in names[0]
    assert "ice_cream.n.01" in names[1]
    assert "hip-hop.n.01" in names[2]
    assert "fair_weather.n.01" in names[3]  # sunshine
    assert names[4:] == [[], [], []]
    assert noun_share([["dog"], ["xqzzy"], ["ice", "cream"], ["собака"]]) == 0.5


def test_senses_equal_nltk_with_ancestors_and_depths() -> None:
    reader = open_wordnet()
    nouns = read_nouns([["jazz"], ["men"], ["paris"], ["person"]])
    assert {nouns.names[i] for i in nouns.senses[1]} == {synset.name() for synset in reader.synsets("men", "n")}
    assert nouns.owners[nouns.names.index("person.n.01")].tolist() == [3]
    for number, name in enumerate(nouns.names):
        synset = reader.synset(name)
        assert (nouns.min_depth[number], nouns.max_depth[number]) == (synset.min_depth(), synset.max_depth())
        start, end = nouns.ancestors.offsets[number : number + 2]
        found = {nouns.names[nouns.ancestors.values[i]]: nouns.up[i] for i in range(start, end)}
        steps: dict[str, int] = {}
        for above, distance in synset.hypernym_distances():
            steps[above.name()] = min(distance, steps.get(above.name(), distance))
        assert found == steps


def test_missing_wordnet_says_what_to_do() -> None:
    code = (
        "import nltk; nltk.data.path[:] = []\n"
        "from graph_builders.wordnet import read_nouns\n"
        "from data.files import InputError\n"
        "try: read_nouns([['dog']])\n"
        "except InputError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("WordNet 3.0 is not installed; run `make setup`")


def test_install_copies_wordnet_and_adds_lexnames(tmp_path: Path) -> None:
    source = tmp_path / install_wordnet.DEBIAN_FOLDER
    source.mkdir(parents=True)
    for name in install_wordnet.FILES:
        (source / name).write_text(name)
    target = tmp_path / "nltk_data" / "corpora" / "wordnet"
    assert "Debian's installed packages" in install_wordnet.install(target, root=tmp_path)
    assert sorted(path.name for path in target.iterdir()) == sorted([*install_wordnet.FILES, "lexnames"])
    lines = (target / "lexnames").read_text().splitlines()
    assert [int(line.split("\t")[0]) for line in lines] == list(range(45))
    assert (lines[5], lines[44]) == ("05\tnoun.animal\t1", "44\tadj.ppl\t3")


def test_copying_an_incomplete_wordnet_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(InputError, match=r"has no cntlist\.rev, so it is not WordNet 3\.0"):
        install_wordnet.copy_files(tmp_path / "source", tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert not install_wordnet.is_complete(tmp_path / "source")


def test_install_without_any_source_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("nltk.download", lambda *args, **options: False)
    with pytest.raises(InputError, match=r"cannot be had \(there is no apt-get here, and NLTK's download failed\)"):
        install_wordnet.install(tmp_path / "wordnet", root=tmp_path)


def test_a_failing_apt_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("nltk.download", lambda *args, **options: False)
    failed = subprocess.CompletedProcess([], 100, stdout="", stderr="E: Temporary failure resolving\n")
    monkeypatch.setattr("subprocess.run", lambda *args, **options: failed)
    with pytest.raises(InputError, match=r"apt-get download wordnet-base .*Temporary failure resolving"):
        install_wordnet.install(tmp_path / "wordnet", root=tmp_path)
