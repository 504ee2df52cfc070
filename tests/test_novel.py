"""New hashtags as nodes: inserted inductively, filtered, scored by the run's ranker, shown among the known ones."""

import json
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.dataset import Dataset
from data.files import InputError
from data.hashtags import words as words_of
from graph_builders.build import GraphSettings, build_dataset_graph
from graph_builders.hashtag_graph import HashtagGraph
from graph_builders.insert import Inserter
from test_cli import v2ht
from v2ht.bundle import Bundle, save_weights
from v2ht.dataset_inputs import DatasetInputs
from v2ht.inputs import Inputs, InputSettings, Post
from v2ht.models import entry
from v2ht.models.contract import GraphRanker
from v2ht.models.v2ht import V2HT, rarest
from v2ht.nn.hashtag_gcn import HashtagGCN
from v2ht.serving import Recommender
from v2ht.serving.explain import Explainer
from v2ht.serving.near_duplicates import NearDuplicates
from v2ht.serving.recommender import Shown
from v2ht.serving.safety import UNSAFE_WORDS, WordFilter
from v2ht.settings import apply
from v2ht.writing import Written

POST = Post(text="bark paw", user="user003")


def written(hashtag: str) -> Written:
    return Written(hashtag=hashtag, words=words_of(hashtag), score=0.5, known=False)


class Scripted:
    """A writer that writes the same hashtags for every post."""

    def __init__(self, *hashtags: str) -> None:
        self.hashtags = hashtags
        self.asked: list[int] = []

    def write(self, posts: Sequence[Post], n: int) -> list[list[Written]]:
        self.asked.append(n)
        return [[written(hashtag) for hashtag in self.hashtags] for _ in posts]


@pytest.fixture(scope="module")
def graph(world: Dataset) -> HashtagGraph:
    return build_dataset_graph(world, GraphSettings())


@pytest.fixture(scope="module")
def inputs(world: Dataset) -> Inputs:
    return Inputs.of(world, InputSettings(word_dimension=16), seed=0)


def make_bundle(inputs: Inputs, graph: HashtagGraph, *, name: str = "v2ht", words: Sequence[str] = ()) -> Bundle:
    small = (
        ["dim=16", "visual_units=8", "acoustic_units=8", "text_units=8", "hidden=16"] if name == "v2ht" else ["dim=16"]
    )
    (chosen,) = apply([*small, *words], [entry(name).settings()])
    torch.manual_seed(0)
    model = entry(name).build(chosen, inputs, graph).eval()
    record: dict[str, Any] = dict.fromkeys(("dataset", "dataset_fingerprint", "seed", "modalities", "made"))
    return Bundle(model_name=name, model_settings=chosen, model=model, inputs=inputs, graph=graph, record=record)


@pytest.fixture(scope="module")
def bundle(inputs: Inputs, graph: HashtagGraph) -> Bundle:
    return make_bundle(inputs, graph)


def show(bundle: Bundle, *hashtags: str, block: Path | None = None, **options: Any) -> Shown:
    recommender = Recommender(bundle, writer=Scripted(*hashtags), block=block)
    return recommender.show([POST], **{"k": 5, "novel": 10, **options})[0]


def new_of(shown: Shown) -> list[str]:
    return [item.hashtag for item in shown.items if not item.known]


# --- one inductive propagation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_insertion_equals_propagation_over_the_graph_with_the_new_hashtags_in_it(layers: int) -> None:
    """In the bigger graph the new hashtags' edges lead one way, so known rows cannot move there either."""
    known, new, dim, rng = 12, 5, 6, np.random.default_rng(layers)
    linked = np.argwhere(np.triu(rng.random((known, known)) < 0.3, 1))
    both = np.concatenate([linked, linked[:, ::-1]])
    joins = np.argwhere(rng.random((new, known)) < 0.4)
    joins = joins[joins[:, 0] != 3]  # one of the new hashtags has no edge
    relation_of = rng.integers(0, 3, size=(known + new, known))

    def gcn(pairs: np.ndarray, size: int) -> HashtagGCN:
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        rows_E, columns_E = torch.from_numpy(pairs[:, 0].copy()), torch.from_numpy(pairs[:, 1].copy())
        relations = np.minimum(relation_of[pairs[:, 0], pairs[:, 1]], relation_of.T[pairs[:, 1] % known, pairs[:, 0]])
        torch.manual_seed(0)
        return HashtagGCN(
            dim=dim,
            layers=layers,
            alpha=0.4,
            rank=3,
            num_relations=3,
            rows_E=rows_E,
            columns_E=columns_E,
            relation_E=torch.from_numpy(relations),
            num_hashtags=size,
        )

    small, big = gcn(both, known), gcn(np.concatenate([both, joins + np.array([known, 0])]), known + new)
    torch.manual_seed(1)
    for parameter in small.parameters():
        torch.nn.init.normal_(parameter)
    big.load_state_dict(small.state_dict())
    rows_HD, rows_ND = torch.randn(known, dim), torch.randn(new, dim)
    inserted_ND = small.insert(
        rows_HD,
        rows_ND,
        known_E=torch.from_numpy(joins[:, 1].copy()),
        new_E=torch.from_numpy(joins[:, 0] + known),
        relation_E=torch.from_numpy(relation_of[joins[:, 0] + known, joins[:, 1]]),
    )
    whole_AD = big(torch.cat([rows_HD, rows_ND]))
    torch.testing.assert_close(whole_AD[:known], small(rows_HD))
    torch.testing.assert_close(inserted_ND, whole_AD[known:])
    torch.testing.assert_close(inserted_ND[3:4], small.alone(rows_ND[3:4]))


def test_an_edge_of_a_relation_without_a_learned_weight_is_left_out() -> None:
    ends = torch.tensor([0, 1]), torch.tensor([1, 0])
    gcn = HashtagGCN(
        dim=2, layers=1, alpha=0.5, rank=2, num_relations=3, num_hashtags=2,
        rows_E=ends[0], columns_E=ends[1], relation_E=torch.tensor([1, 1]),
    )  # fmt: skip
    known_HD, new_ND = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[4.0, 4.0]])

    def insert(*relations: int) -> list[list[float]]:
        places = torch.arange(len(relations))
        found = gcn.insert(
            known_HD, new_ND, known_E=places, new_E=torch.full_like(places, 2), relation_E=torch.tensor(relations)
        )
        return [[round(value, 5) for value in row] for row in found.tolist()]

    assert insert(1) == [[2.5, 2.0]]  # half its own, half its one neighbour's
    assert insert(1, 0) == insert(1)
    assert insert(0, 2) == insert() == [[4.0, 4.0]]


@pytest.mark.parametrize("name", ["v2ht", "ggm"])
def test_a_hashtag_inserted_by_name_gets_the_row_of_a_known_one_without_a_learned_vector(
    name: str, world: Dataset, inputs: Inputs
) -> None:
    """Words, edges and propagation are the same: only the learned vector and the bias are a known hashtag's own."""
    graph = build_dataset_graph(world, GraphSettings(cooccurrence_neighbours=0))
    model = make_bundle(inputs, graph, name=name).model
    assert isinstance(model, GraphRanker)
    words, number = world.hashtags["words"].to_list(), int(np.argmax(graph.degrees()))
    with torch.no_grad():
        model.hashtag.weight[number] = 0  # type: ignore[union-attr, operator, index]
        expected = model.hashtag_embeddings()[number]  # type: ignore[operator]
        # Under another id, for a graph has no edge from a hashtag to its double but the composition of spellings.
        edges = Inserter(words, GraphSettings()).edges([words[number]])
        others = (edges.source != number) & (edges.target == len(words))
        kept = replace(
            edges, **{key: getattr(edges, key)[others] for key in ("source", "target", "relation", "weight")}
        )
        vectors = torch.from_numpy(inputs.hashtag_vectors_HW[number : number + 1])
        found = model.new_hashtag_embeddings(vectors, kept)[0]
    width = 16
    torch.testing.assert_close(found[:width], expected[:width])
    assert found.shape == expected.shape


def test_a_new_hashtag_has_the_bias_of_the_rarest(bundle: Bundle, graph: HashtagGraph) -> None:
    model = bundle.model
    assert isinstance(model, V2HT)
    assert rarest(torch.tensor([5, 0, 3, 9, 3])).tolist() == [2]
    assert rarest(torch.tensor([5, 1, 3, 9, 3, 8, 7, 2, 6, 4] * 2)).tolist() == [1, 11]
    assert rarest(torch.tensor([0, 0])).tolist() == [0, 1]
    edges = Inserter.of(graph, bundle.inputs.hashtags["words"].to_list()).edges([["kqz"]])
    row = model.new_hashtag_embeddings(torch.zeros(1, 16), edges)[0]
    videos = bundle.inputs.hashtags["train_videos"].to_numpy()
    low = model.bias_H.detach().numpy()[np.argsort(videos, kind="stable")[: len(videos) // 10]].mean()
    assert row[-1].item() == pytest.approx(low, abs=1e-6)
    assert not row[:-1].any()  # neither words nor relatives: nothing is known of it


def test_hashtag_dropout_shows_hashtags_in_training_as_new_ones(
    inputs: Inputs, graph: HashtagGraph, world: Dataset
) -> None:
    model = make_bundle(inputs, graph, words=["hashtag_dropout=0.5"]).model
    assert isinstance(model, V2HT)
    batch = DatasetInputs(world, inputs).batch(world.rows("train")[:4])
    assert torch.equal(model.hashtag_embeddings(generator=torch.Generator()), model.hashtag_embeddings())
    model.train()
    initial_HD = model.initial_embeddings(generator=torch.Generator().manual_seed(0))
    words_HD = model.hashtag_words(model.hashtag_vectors_HW)
    hidden = (initial_HD == words_HD).all(1)
    assert 0.35 < hidden.float().mean() < 0.65
    torch.testing.assert_close(initial_HD[~hidden], (model.hashtag.weight + words_HD)[~hidden])
    model.training_loss(batch, torch.Generator().manual_seed(0)).backward()
    without = make_bundle(inputs, graph).model
    state = (generator := torch.Generator().manual_seed(0)).get_state()
    without.train().initial_embeddings(generator=generator)  # type: ignore[operator]
    assert torch.equal(generator.get_state(), state)  # nothing is drawn, so runs of before repeat to the bit


# --- what is shown -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v2ht", "ggm"])
def test_known_and_new_come_as_one_list_and_no_known_score_moves(
    name: str, inputs: Inputs, graph: HashtagGraph
) -> None:
    bundle = make_bundle(inputs, graph, name=name)
    writer = Scripted("beagle life", "dog park", "zzkqz")
    recommender = Recommender(bundle, writer=writer)
    before = recommender.show([POST, Post()], k=6)
    rows = recommender._hashtags_HD.clone()
    with torch.inference_mode():
        scores = bundle.model.scores(inputs.batch([POST]), rows)
    found = recommender.show([POST, Post()], k=6, novel=2)
    with torch.inference_mode():
        assert torch.equal(bundle.model.scores(inputs.batch([POST]), bundle.model.hashtag_embeddings()), scores)
    assert torch.equal(recommender._hashtags_HD, rows)
    assert writer.asked == [20]
    for old, new in zip(before, found, strict=True):
        assert [item for item in new.items if item.known] == old.items
        assert len(new_of(new)) == 2
        assert [item.score for item in new.items] == sorted((item.score for item in new.items), reverse=True)
        assert new.counts["written by the generator"] == 3
    assert recommender.recommend(user=POST.user, description=POST.text, k=6, novel=2) == found[0].items


def test_a_new_hashtag_scores_the_same_alone_and_in_company(bundle: Bundle) -> None:
    alone = {item.hashtag: item.score for item in show(bundle, "beagle life").items}
    company = {item.hashtag: item.score for item in show(bundle, "hound park", "beagle life", "kqz").items}
    assert company["beagle life"] == pytest.approx(alone["beagle life"], abs=1e-4)


def test_threads_share_a_recommender(bundle: Bundle) -> None:
    """New hashtags and their reasons read WordNet, whose reader is not made for several threads."""
    posts = [replace(POST, text=f"bark paw {number}") for number in range(24)]
    names = ("night dog", "hound walk", "cathedral cat", "puppy tower", "musical boat")

    def ask(recommender: Recommender, post: Post) -> list[tuple[str, float]]:
        (shown,) = recommender.show([post], k=5, novel=5, explain=True)
        return [(item.hashtag, item.score) for item in shown.items]

    alone = [ask(Recommender(bundle, writer=Scripted(*names)), post) for post in posts[:3]]
    shared = Recommender(bundle, writer=Scripted(*names))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(partial(ask, shared), posts))
    assert found[:3] == alone
    assert len(found) == len(posts)


def test_what_is_known_however_it_is_spelled_is_not_new(bundle: Bundle) -> None:
    names = bundle.inputs.hashtags["hashtag"].to_list()
    phrase = next(name for name in names if " " in name)
    shown = show(
        bundle, "#Dog", phrase.replace(" ", ""), phrase.replace(" ", "_").upper(), "moon dog", "Moon_Dog", "moon dog"
    )
    assert {"dog", phrase} <= set(names)
    assert shown.counts == {"written by the generator": 6, "known": 3, "repeated": 1, "demoted": 1}
    assert new_of(shown) == ["moon dog", "moon_dog"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("keep", {"moon lovers", "moonlover", "moon_lover", "dogs"}),
        ("demote", {"moon lovers", "moonlover"}),
        ("merge", {"moon lovers"}),
    ],
)
def test_near_duplicates_are_kept_demoted_or_merged(mode: str, expected: set[str], bundle: Bundle) -> None:
    shown = show(bundle, "moon lovers", "moonlover", "moon_lover", "dogs", near_duplicates=mode)
    near = {item.hashtag: item.near for item in shown.items if not item.known}
    if mode == "merge":
        assert near == {"moon lovers": None}
        assert shown.counts["merged"] == 3
        return
    assert near == {"moon lovers": None, "moonlover": "moon lovers", "moon_lover": "moon lovers", "dogs": "dog"}
    behind = [item.near is not None for item in shown.items]
    assert behind == sorted(behind) or mode == "keep"
    assert shown.counts["demoted"] == (3 if mode == "demote" else 0)
    few = show(bundle, "dogs", "moonlover", "moon lovers", near_duplicates=mode, novel=1)
    assert (few.items[-1].near is None) or mode == "keep"


def test_refused_hashtags_are_never_shown_known_or_new(bundle: Bundle, tmp_path: Path) -> None:
    block = tmp_path / "block.txt"
    best = show(bundle, novel=0).items[0].hashtag
    block.write_text(f"#{best}\n\nmoon walk\n", encoding="utf-8")
    shown = show(bundle, "Moon_Walks day", "moonwalk", "moon", "shit happens", "scunthorpe", block=block)
    assert best not in [item.hashtag for item in shown.items]
    assert len([item for item in shown.items if item.known]) == 5
    assert sorted(new_of(shown)) == ["moon", "scunthorpe"]
    assert shown.counts == {
        "written by the generator": 5,
        "blocked": 3,
        "unsafe": 1,
    }  # two written ones and the known one
    assert show(bundle, novel=0, block=block).counts == {"blocked": 1}


def test_refused_hashtags_are_not_named_beside_others(bundle: Bundle, tmp_path: Path) -> None:
    block = tmp_path / "block.txt"
    names = bundle.inputs.hashtags["hashtag"].to_list()
    long = next(name for name in names if len(name) > 8 and " " not in name)
    slip = f"{long[:4]}{long[5:]}"
    block.write_text(f"{long}\n", encoding="utf-8")
    assert [item.near for item in show(bundle, slip).items if not item.known] == [long]
    for mode in ("keep", "demote", "merge"):
        shown = show(bundle, slip, block=block, near_duplicates=mode)
        assert [item.near for item in shown.items if not item.known] == [None]
    block.write_text("dog\n", encoding="utf-8")
    sources = []
    for path in (None, block):
        shown = show(bundle, "puppy", block=path, explain=True)
        (puppy,) = [item for item in shown.items if not item.known]
        sources.append({reason.source: reason.detail for reason in puppy.reasons})
    assert sources[0]["graph"].startswith("#dog: 'puppy' is a kind of 'dog'")
    assert "graph" not in sources[1]


def test_refused_neighbours_are_not_reasons(bundle: Bundle) -> None:
    names = bundle.inputs.hashtags["hashtag"].to_list()
    with torch.inference_mode():
        rows_HD = bundle.model.hashtag_embeddings()

    def neighbours(number: int, refused: Collection[int]) -> set[str]:
        (reasons,) = Explainer(bundle, rows_HD, refused=refused).reasons(POST, torch.zeros(len(names)), [number])
        (graph,) = [reason.detail for reason in reasons if reason.source == "graph"]
        return {part.split(" (")[0].removeprefix("#") for part in graph.split(", ")}

    number = names.index("dog")
    first = neighbours(number, ())
    assert len(first) == 3
    others = neighbours(number, {names.index(name) for name in first})
    assert len(others) == 3
    assert not others & first


def test_new_hashtags_leave_known_ones_in_the_order_that_diversity_gave_them(bundle: Bundle) -> None:
    options: dict[str, Any] = {"k": 12, "diversity": 0.7}
    alone = show(bundle, novel=0, **options).items
    scores = [item.score for item in alone]
    assert scores != sorted(scores, reverse=True)
    shown = show(bundle, "moon dog", "zorg", "moon lovers", "moonlover", **options).items
    assert [item for item in shown if item.known] == alone
    for place, item in enumerate(shown):
        if not item.known and item.near is None:
            assert all(other.score >= item.score for other in shown[:place])


def test_a_reason_says_what_a_new_hashtag_hangs_on(bundle: Bundle) -> None:
    shown = show(bundle, "moon dog", "kqz", explain=True)
    reasons = {item.hashtag: {reason.source: reason for reason in item.reasons} for item in shown.items}
    assert reasons["moon dog"]["graph"].detail == "#dog: 'dog' is a word of 'moon dog'"
    assert "graph" not in reasons["kqz"]
    assert reasons["kqz"]["user"].detail == "like other hashtags of user003"
    known = show(bundle, novel=0, explain=True).items
    assert [item for item in shown.items if item.known] == known
    assert all(item.reasons for item in known)


def test_what_cannot_be_done_is_said_in_one_line(
    inputs: Inputs, graph: HashtagGraph, bundle: Bundle, tmp_path: Path
) -> None:
    for options, message in (
        ({"novel": -1}, "novel is -1; ask for a whole number of hashtags, at least 0"),
        ({"near_duplicates": "drop"}, "near_duplicates is 'drop'; choose one of keep, demote, merge"),
    ):
        with pytest.raises(InputError, match=message):
            show(bundle, "moon", **options)
    with pytest.raises(InputError, match="new hashtags need somebody who writes them; name a run with --writer"):
        Recommender(bundle).show([POST], novel=1)
    with pytest.raises(InputError, match="model bilinear has no hashtag graph that new hashtags could join"):
        show(make_bundle(inputs, graph, name="bilinear"), "moon")
    with pytest.raises(InputError, match=r"block list .*none\.txt cannot be read"):
        Recommender(bundle, block=tmp_path / "none.txt")


def test_a_writer_that_writes_nothing_new_leaves_the_known_ones(bundle: Bundle) -> None:
    for hashtags in ((), ("dog",), ("#", "dog")):
        shown = show(bundle, *hashtags)
        assert shown.items == show(bundle, novel=0).items
        assert shown.counts["written by the generator"] == len(hashtags)
        assert show(bundle, *hashtags, explain=True).items == show(bundle, novel=0, explain=True).items


# --- filters -------------------------------------------------------------------------------------------------------


def test_words_are_refused_whole() -> None:
    words = WordFilter(["black friday", "#CatLover"])
    refused = {name: words.refuses(words_of(name)) for name in (
        "scunthorpe", "class", "assassin", "therapist", "cockpit", "titanic", "sussex",
        "fuckyou", "bitches", "holy_shit", "blackfriday", "black fridays deals", "friday black", "catlovers", "cat",
    )}  # fmt: skip
    assert {name for name, kind in refused.items() if kind == "unsafe"} == {"fuckyou", "bitches", "holy_shit"}
    assert {name for name, kind in refused.items() if kind == "blocked"} == {
        "blackfriday", "black fridays deals", "catlovers"
    }  # fmt: skip


def test_the_safety_list_is_short_sorted_and_lower_case() -> None:
    lines = UNSAFE_WORDS.read_text(encoding="utf-8").splitlines()
    assert 30 < len(lines) < 100
    assert lines == sorted({line.strip().lower() for line in lines})
    assert all(WordFilter().refuses([line]) == "unsafe" for line in lines)


def test_near_duplicates_by_lemma_spelling_and_slip() -> None:
    known = NearDuplicates()
    for name in ("cat", "cat lover", "photography", "summer2024", "intention", "football"):
        known.add(name, words_of(name))
    found = {name: known.find(words_of(name)) for name in (
        "cats", "catlover", "cat_lovers", "photograpy", "summer2025", "invention", "footbal", "cart", "dog", "танец"
    )}  # fmt: skip
    assert {name: near for name, near in found.items() if near} == {
        "cats": "cat", "catlover": "cat lover", "cat_lovers": "cat lover", "photograpy": "photography"
    }  # fmt: skip


# --- the command line ----------------------------------------------------------------------------------------------


def test_the_command_shows_new_hashtags_marked(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle.save_inputs(tmp_path / "run")
    save_weights(bundle.model, tmp_path / "run" / "model.safetensors")
    words = ("recommend", tmp_path / "run", "--text", "bark paw", "--novel", 2, "-k", 3)
    refused = v2ht(*words, code=2).stderr
    assert refused.startswith(f"v2ht: {tmp_path / 'run'} has learned no phrases and has no generator, so nothing that")
    assert refused.endswith("where train texts hold too few of these, name a ggm run with --writer\n")
    monkeypatch.setattr("v2ht.serving.writer.writer_of", lambda run, **_: Scripted("moon dog", "dog", "dogs"))
    done = json.loads(v2ht(*words, "--writer", "anything", "--json").stdout)
    assert done["counts"] == {"written by the generator": 3, "known": 1, "demoted": 1}
    items = {item["hashtag"]: item for item in done["recommendations"]}
    assert len(items) == 5
    assert [name for name, item in items.items() if not item["known"]] == ["moon dog", "dogs"]
    assert items["dogs"]["near"] == "dog"
    assert "near" not in items["moon dog"]
    text = v2ht(*words, "--writer", "anything", "--near-duplicates", "merge").stdout
    assert [line.split("  ")[-1] for line in text.splitlines() if "#moon dog" in line] == [
        "new, written by the generator"
    ]
    assert text.splitlines()[-1] == "candidates: 3 written by the generator, 1 known, 1 merged"
