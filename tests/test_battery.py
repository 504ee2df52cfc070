"""One battery for every entry of MODELS, on a planted world whose answers are known.

The world: a post has the hashtag of its topic, which its frames and its text show, and the hashtag of its user. What a
model cannot know by design is declared in `READS` and `KNOWS_USER`; the tests then hold it to that.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from data.dataset import HASHTAGS_SCHEMA, USERS_SCHEMA, VIDEOS_SCHEMA, Dataset, Ragged
from data.word_vectors import WordVectors
from graph_builders.build import GraphSettings, build_dataset_graph
from graph_builders.hashtag_graph import HashtagGraph
from v2ht.bundle import Bundle, save_weights
from v2ht.dataset_inputs import DatasetInputs
from v2ht.inputs import Batch, Inputs, InputSettings, Post
from v2ht.losses import LOSSES
from v2ht.models import MODELS, entry
from v2ht.models.contract import Ranker
from v2ht.serving import Recommender
from v2ht.settings import apply
from v2ht.training.ranking import model_scorer, rank_rows

TOPICS = ("dog", "cat", "rain", "car", "song", "cake", "ball", "tree")
USERS = ("ann", "bob", "eve", "joe", "kim")
UNUSED = ("moon", "lamp", "fish", "coin", "sand")  # hashtags of no post, so that chance is low
WORDS = (*TOPICS, *USERS, *UNUSED)

SMALL = {  # --set words that make a model small
    "v2ht": ["dim=16", "visual_units=8", "acoustic_units=8", "text_units=8", "hidden=16"],
    "uhman": ["dim=16", "hidden=16", "negatives=20"],  # four tries would need more steps than a test may take
    "contagnet": ["dim=32"],
    "user_specific": ["dim=16", "user_dim=8"],
    "ggm": ["dim=48", "temperature=0.2"],
}
READS = {"contagnet": {"visual"}, "co_attention": {"visual", "text"}}  # the others read every modality
KNOWS_USER = set(MODELS) - {"contagnet", "co_attention", "bilinear"}
KNOWS_ATTRIBUTES = {"uhman", "user_additive", "three_way_multiplicative", "ggm"}  # of users: gender, age, country


@dataclass(frozen=True, kw_only=True)
class World:
    """Posts, their tensors and their graph."""

    posts: DatasetInputs
    graph: HashtagGraph

    def model(self, name: str, *words: str) -> Ranker:
        """Return an untrained model, small."""
        (settings,) = apply([*SMALL.get(name, ["dim=16"]), *words], [entry(name).settings()])
        torch.manual_seed(0)
        return entry(name).build(settings, self.posts.inputs, self.graph).eval()

    def rows(self, split: str, count: int | None = None) -> np.ndarray:
        return self.posts.dataset.rows(split)[:count]


def planted_dataset(*, features: bool) -> Dataset:
    """Four posts of each topic and user, shuffled: three to train on, of the fourth some to validate and test."""
    rng = np.random.default_rng(0)
    triples = [(topic, user, copy) for topic in range(8) for user in range(5) for copy in range(4)]
    triples = [triples[place] for place in rng.permutation(len(triples))]
    split = ["train" if copy < 3 else ("valid" if user == topic else "test") for topic, user, copy in triples]
    fillers = rng.choice(["so", "here", "look", "today"], size=len(triples))
    videos = pl.DataFrame(
        {
            "video_id": [f"video{row}" for row in range(len(triples))],
            "user_id": [user for _, user, _ in triples],
            "time": [None] * len(triples),
            "text": [f"{filler} {TOPICS[topic]}" for filler, (topic, _, _) in zip(fillers, triples, strict=True)],
            "hashtag_ids": [[topic, 8 + user] for topic, user, _ in triples],
            "split": split,
        },
        schema=VIDEOS_SCHEMA,
    )
    hashtags = pl.DataFrame(
        {"hashtag": WORDS, "words": [[word] for word in WORDS], "train_videos": [15] * 8 + [24] * 5 + [0] * 5},
        schema=HASHTAGS_SCHEMA,
    )
    users = pl.DataFrame({"user": [f"user {name}" for name in USERS]}, schema=USERS_SCHEMA)
    users = users.with_columns(country=pl.Series(["AT", "DE", "AT", "CH", None]))
    shown = [np.eye(8)[topic] + 0.1 * rng.normal(size=(2 + (topic + copy) % 2, 8)) for topic, _, copy in triples]
    noise = [rng.normal(size=(2, 4)) for _ in triples]
    sequences = {"visual": _ragged(shown), "acoustic": _ragged(noise)} if features else {}
    return Dataset(
        videos=videos, hashtags=hashtags, users=users, manifest={"fingerprint": "planted"}, features=sequences
    )


def _ragged(rows: list[np.ndarray]) -> Ragged:
    offsets = np.cumsum([0, *map(len, rows)])
    return Ragged(values=np.concatenate(rows).astype(np.float16), offsets=offsets)


def planted_posts(dataset: Dataset, graph: HashtagGraph) -> DatasetInputs:
    """Return tensors of the posts, with word vectors that tell all words apart (so few posts could not teach them)."""
    learned = Inputs.of(dataset, InputSettings(word_dimension=16, evidence=True), seed=0, graph=graph)
    known = (*WORDS, "look", "today")
    vectors = np.random.default_rng(1).normal(size=(len(known), 16)).astype(np.float32)
    inputs = Inputs(
        hashtags=learned.hashtags,
        users=learned.users,
        word_vectors=WordVectors(words=list(known), matrix=vectors),
        history=learned.history,
        scaling=learned.scaling,
        settings=learned.settings,
        attributes=learned.attributes,
        memory=learned.memory,
    )
    return DatasetInputs(dataset, inputs)


def make_world(*, features: bool) -> World:
    dataset = planted_dataset(features=features)
    graph = build_dataset_graph(dataset, GraphSettings())
    return World(posts=planted_posts(dataset, graph), graph=graph)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(features=True)


@pytest.fixture(scope="module")
def text_world() -> World:
    return make_world(features=False)


@pytest.fixture(params=list(MODELS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str, world: World) -> Ranker:
    return world.model(name)


@pytest.fixture
def batch(world: World) -> Batch:
    return world.posts.batch(world.rows("test", 6))


def scores(model: Ranker, batch: Batch) -> torch.Tensor:
    with torch.inference_mode():
        return model.scores(batch, model.hashtag_embeddings())


def teach(model: Ranker, posts: DatasetInputs, *, steps: int, rate: float = 0.02) -> list[float]:
    """Take steps of Adam over batches of 40 train posts; return the losses."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    rows = posts.dataset.rows("train")
    model.train()
    losses = []
    for step in range(steps):
        part = rows[step % 3 * 40 : step % 3 * 40 + 40]
        optimizer.zero_grad()
        loss = model.training_loss(posts.batch(part), generator)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    model.eval()
    return losses


def found(model: Ranker, world: World, *, place: int) -> float:
    """Return the share of test posts whose topic's (place 0) or user's (1) hashtag is among the first two."""
    rows = world.rows("test")
    ids, _ = model.rank(world.posts.batch(rows), 2)
    return float(np.mean([world.posts.truth[row][place] in ids[n].tolist() for n, row in enumerate(rows)]))


@pytest.mark.parametrize("features", [True, False], ids=["frames, sound, text", "text"])
def test_it_learns_the_planted_world(features: bool, name: str, world: World, text_world: World) -> None:
    """It must name the topic of new posts, and the user's own hashtag if it knows the user."""
    chosen = world if features else text_world
    model = chosen.model(name)
    teach(model, chosen.posts, steps=90)
    assert found(model, chosen, place=0) > 0.9
    if name in KNOWS_USER:
        assert found(model, chosen, place=1) > 0.9
    else:
        assert found(model, chosen, place=1) < 0.6


@pytest.mark.parametrize("loss", LOSSES)
def test_it_learns_with_each_loss(loss: str, name: str, world: World) -> None:
    model = world.model(name, f"loss={loss}", "negatives=6")
    losses = teach(model, world.posts, steps=30)
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


@pytest.mark.parametrize("loss", LOSSES)
def test_training_scores_pairs_as_the_ranking_does(loss: str, name: str, world: World) -> None:
    """With all dropout off, the loss is that of the full matrix of scores with the same negatives, gradients too."""
    settings = entry(name).settings()
    model = world.model(name, f"loss={loss}", *(["user_dropout=0"] if hasattr(settings, "user_dropout") else []))
    batch = world.posts.batch(world.rows("train", 10))
    trained = model.training_loss(batch, torch.Generator().manual_seed(0))
    matrix = model.scores(batch, model.hashtag_embeddings())
    ranking_loss = replace(settings, loss=loss, negatives=model.loss.negatives).ranking_loss()  # type: ignore[union-attr]
    plain = ranking_loss.of_matrix(matrix, batch.positives_BP, torch.Generator().manual_seed(0))
    torch.testing.assert_close(trained, plain)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    gradients = torch.autograd.grad(trained, weights, retain_graph=True), torch.autograd.grad(plain, weights)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_batch_equals_its_posts_one_by_one(model: Ranker, world: World, batch: Batch) -> None:
    together = scores(model, batch)
    assert together.shape == (6, world.posts.inputs.num_hashtags)
    for place, row in enumerate(world.rows("test", 6)):
        alone = scores(model, world.posts.batch(np.array([row])))[0]
        torch.testing.assert_close(together[place], alone, atol=1e-5, rtol=1e-4)


def test_a_short_list_of_candidates_scores_as_in_the_whole_vocabulary(model: Ranker, batch: Batch) -> None:
    picked = torch.tensor([7, 0, 12])
    with torch.inference_mode():
        hashtags = model.hashtag_embeddings()
        short = model.scores(batch, hashtags[picked])
        one = model.scores(batch, hashtags[picked[:1]])
    torch.testing.assert_close(short, scores(model, batch)[:, picked], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one, short[:, :1], atol=1e-5, rtol=1e-4)


def test_a_ranking_is_a_plain_sort_of_the_scores(model: Ranker, batch: Batch) -> None:
    ids, values = model.rank(batch, 5)
    for row, all_scores in enumerate(scores(model, batch).tolist()):
        expected = sorted(range(len(all_scores)), key=lambda n, own=all_scores: (-own[n], n))[:5]
        assert ids[row].tolist() == expected
        assert values[row].tolist() == [all_scores[n] for n in expected]


def test_an_unknown_user_counts_only_where_users_are_known(name: str, model: Ranker, batch: Batch) -> None:
    full = scores(model, batch)
    nobody = scores(model, replace(batch, known_B=torch.zeros_like(batch.known_B)))
    assert torch.isfinite(nobody).all()
    assert torch.equal(nobody, full) == (name not in KNOWS_USER)
    new = replace(batch, known_B=torch.zeros_like(batch.known_B), user_B=torch.full_like(batch.user_B, -1))
    assert torch.equal(scores(model, new), nobody)


def test_attributes_of_users_count_only_where_they_are_read(name: str, model: Ranker, world: World) -> None:
    """So they do for somebody new; what is not given, or no train user has, is unknown."""
    given: list[dict[str, str]] = [{}, {"country": "DE"}, {"country": "XX"}]
    own = scores(model, world.posts.inputs.batch([Post(text="my dog", attributes=each) for each in given]))
    torch.testing.assert_close(own[0], own[2], atol=1e-6, rtol=1e-6)  # sums of floats depend on a row's place
    assert torch.allclose(own[0], own[1], atol=1e-6, rtol=1e-6) == (name not in KNOWS_ATTRIBUTES)


def test_a_masked_modality_counts_only_where_it_is_read(name: str, model: Ranker, batch: Batch) -> None:
    full = scores(model, batch)
    assert set(model.modalities) == READS.get(name, {"visual", "acoustic", "text"})
    for modality, mask in batch.masks.items():
        masks = {**batch.masks, modality: mask & (torch.arange(6) >= 3)[:, None]}
        hidden = scores(model, replace(batch, masks=masks))
        assert torch.isfinite(hidden).all()
        torch.testing.assert_close(hidden[3:], full[3:])
        changed = (hidden[:3] - full[:3]).abs().amax(1) > 1e-7
        assert changed.all() if modality in model.modalities else not changed.any(), modality


def test_a_masked_step_is_never_read(model: Ranker, batch: Batch) -> None:
    spoiled = {name: steps.clone() for name, steps in batch.sequences.items()}
    masks = {name: mask.clone() for name, mask in batch.masks.items()}
    for name, mask in masks.items():
        mask[::2, 1:] = False
        spoiled[name][~mask] = 1
    batch = replace(batch, masks=masks)
    torch.testing.assert_close(scores(model, replace(batch, sequences=spoiled)), scores(model, batch))


def test_nothing_at_all_is_a_post_too(name: str, model: Ranker, world: World, text_world: World) -> None:
    for chosen, ranker in ((world, model), (text_world, text_world.model(name))):
        empty = scores(ranker, chosen.posts.inputs.batch([Post()]))
        assert torch.isfinite(empty).all()
        assert empty.std() > 0


def test_every_parameter_gets_a_gradient(name: str, world: World) -> None:
    model = world.model(name, "negatives=6")
    batch = world.posts.batch(world.rows("train", 60))
    some = (torch.arange(60) > 8)[:, None]
    hidden = replace(batch, masks={name: mask & some for name, mask in batch.masks.items()})
    model.train()
    model.training_loss(hidden, torch.Generator().manual_seed(0)).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("loss", LOSSES)
def test_mixed_precision_gives_nearly_the_same_loss(loss: str, name: str, world: World) -> None:
    model, batch = world.model(name, f"loss={loss}"), world.posts.batch(world.rows("train", 20))
    full = model.training_loss(batch, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.training_loss(batch, torch.Generator().manual_seed(0))
    mixed.backward()
    torch.testing.assert_close(mixed, full, atol=0.1, rtol=0.05)
    assert all(weight.grad is None or torch.isfinite(weight.grad).all() for weight in model.parameters())


@pytest.fixture(scope="module")
def changed_world(world: World) -> World:
    """The same train posts; all others have another hashtag."""
    videos = world.posts.dataset.videos.with_columns(
        hashtag_ids=pl.when(pl.col("split") == "train").then("hashtag_ids").otherwise(pl.lit([17], pl.List(pl.Int32())))
    )
    dataset = replace(world.posts.dataset, videos=videos)
    assert dataset.hashtag_ids()[int(dataset.rows("test")[0])].tolist() == [17]
    graph = build_dataset_graph(dataset, GraphSettings())
    return World(posts=planted_posts(dataset, graph), graph=graph)


def test_posts_outside_train_leave_no_trace_in_training(name: str, world: World, changed_world: World) -> None:
    """Valid and test have other hashtags: the weights after a few steps are the same, bit by bit."""
    first, second = world.model(name), changed_world.model(name)
    assert teach(first, world.posts, steps=3) == teach(second, changed_world.posts, steps=3)
    for parameter_name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[parameter_name]), parameter_name


def test_known_hashtags_are_left_out_on_request(model: Ranker, world: World) -> None:
    rows = world.rows("test", 5)
    known, count = world.posts.truth.take(rows), world.posts.inputs.num_hashtags
    ranked = rank_rows(model_scorer(model, world.posts), rows, depth=5, known=known, new_depth=5, num_hashtags=count)
    for place in range(5):
        own = set(known[place].tolist())
        assert not own & set(ranked.ranked_new_NK[place].tolist())
        kept = [tag for tag in ranked.ranked_NK[place].tolist() if tag not in own]
        assert ranked.ranked_new_NK[place][: len(kept)].tolist() == kept


def bundle_of(name: str, model: Ranker, world: World) -> Bundle:
    (settings,) = apply(SMALL.get(name, ["dim=16"]), [entry(name).settings()])
    record: dict[str, Any] = dict.fromkeys(("dataset", "dataset_fingerprint", "seed", "modalities", "made"))
    return Bundle(
        model_name=name,
        model_settings=settings,
        model=model,
        inputs=world.posts.inputs,
        graph=world.graph,
        record=record,
    )


def test_a_saved_model_scores_the_same_bits(
    name: str, model: Ranker, world: World, batch: Batch, tmp_path: Path
) -> None:
    teach(model, world.posts, steps=2)
    bundle_of(name, model, world).save_inputs(tmp_path / "run")
    save_weights(model, tmp_path / "run" / "model.safetensors")
    torch.manual_seed(9)
    loaded = Bundle.load(tmp_path / "run")
    assert type(loaded.model) is type(model)
    assert torch.equal(scores(loaded.model, batch), scores(model, batch))


def test_the_recommender_explains_it(name: str, model: Ranker, world: World) -> None:
    """Reasons come from what the model reads and from nothing else; new_only leaves out the user's own hashtags."""
    recommender = Recommender(bundle_of(name, model, world))
    post = {"user": "user ann", "description": "my dog today"}
    frames = {"visual": np.eye(8, dtype=np.float32)[:1]}
    items = recommender.recommend(**post, video=frames, k=4, explain=True)  # type: ignore[arg-type]
    assert len(items) == 4
    read = {*model.modalities} & {"text", "visual"} | ({"user"} if name in KNOWS_USER else set())
    assert {reason.source for item in items for reason in item.reasons} - {"graph"} == read
    new = recommender.recommend(**post, video=frames, k=18, new_only=True)  # type: ignore[arg-type]
    assert {item.hashtag for item in new} == {*USERS[1:], *UNUSED}


def test_the_battery_covers_every_model_and_every_exception_is_a_model() -> None:
    assert next(iter(MODELS)) == "v2ht"
    assert set(MODELS) >= {"uhman", "contagnet", "co_attention", "user_specific", "bilinear", "user_additive"}
    assert set(SMALL) | set(READS) | KNOWS_USER | KNOWS_ATTRIBUTES <= set(MODELS)
    assert "three_way_multiplicative" in KNOWS_USER
