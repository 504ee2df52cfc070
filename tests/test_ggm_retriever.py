"""The retriever, the classifiers and the pool: values by hand, exact retrieval, the place of unseen hashtags."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from test_battery import World, make_world, scores, teach
from v2ht.models.ggm.classifier import Classifier, softmax_over_all
from v2ht.models.ggm.guide import Guide, train_pool
from v2ht.models.ggm.pool import HashtagPool
from v2ht.models.ggm.retriever import Retriever, contrastive_loss, draw_positives, whole_frames
from v2ht.models.ggm.settings import CLASSIFIERS, GGMSettings
from v2ht.nn.top_k import top_k


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(features=True)


@pytest.fixture
def retriever(world: World) -> Retriever:
    model = world.model("ggm")
    assert isinstance(model, Retriever)
    return model


def test_the_contrastive_loss_by_hand() -> None:
    scores_BB = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    none = torch.eye(2, dtype=torch.bool)
    rows = (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(-2))) / 2
    columns = (np.log(1 + np.exp(-1)) + np.log(1 + np.exp(-3))) / 2
    assert float(contrastive_loss(scores_BB, none)) == pytest.approx((rows + columns) / 2)


def test_a_true_hashtag_drawn_for_another_video_is_no_negative() -> None:
    """Video 1 also has the hashtag drawn for video 0, so both its terms lose that pair, whatever its score."""
    also = torch.tensor([[True, False], [True, True]])
    losses = [float(contrastive_loss(torch.tensor([[2.0, 0.0], [high, 3.0]]), also)) for high in (1.0, 50.0)]
    rows, columns = np.log(1 + np.exp(-2)) / 2, np.log(1 + np.exp(-3)) / 2
    assert losses == pytest.approx([(rows + columns) / 2] * 2)


def test_positives_are_drawn_evenly_and_never_padding() -> None:
    positives_BP = torch.tensor([[3, 8, -1]]).expand(4000, 3)
    drawn_B = draw_positives(positives_BP, torch.Generator().manual_seed(0))
    assert set(drawn_B.tolist()) == {3, 8}
    assert float((drawn_B == 3).float().mean()) == pytest.approx(0.5, abs=0.03)
    with pytest.raises(ValueError, match="a training video has no hashtag"):
        draw_positives(torch.tensor([[1], [-1]]), torch.Generator())


def test_hashtags_and_videos_have_length_one_and_scores_are_cosines(retriever: Retriever, world: World) -> None:
    batch = world.posts.batch(world.rows("test", 6))
    with torch.inference_mode():
        hashtags, videos = retriever.hashtag_embeddings(), retriever.videos(batch)
        expected = torch.nn.functional.cosine_similarity(videos[:, None], hashtags[None], dim=2) * retriever.scale
    torch.testing.assert_close(scores(retriever, batch), expected)


def test_a_hashtag_of_no_train_video_is_placed_by_words_and_graph_alone(world: World) -> None:
    retriever = world.model("ggm", "propagation=false")
    assert isinstance(retriever, Retriever)
    teach(retriever, world.posts, steps=3)
    unseen = world.posts.inputs.hashtags["train_videos"].to_numpy() == 0
    assert unseen.sum() == 5
    with torch.no_grad():
        before = retriever.hashtag_embeddings()
        retriever.hashtag.weight.add_(1.0)
        changed = (retriever.hashtag_embeddings() - before).abs().amax(1) > 1e-6
    assert (changed.numpy() == ~unseen).all()


def test_a_new_hashtag_without_edges_lies_where_an_unseen_one_with_its_words_does(world: World) -> None:
    retriever = world.model("ggm", "propagation=false")
    assert isinstance(retriever, Retriever)
    vectors = torch.from_numpy(world.posts.inputs.hashtag_vectors_HW)[-5:]
    with torch.inference_mode():
        new = retriever.new_hashtag_embeddings(vectors, world.graph)
        torch.testing.assert_close(new, retriever.hashtag_embeddings()[-5:])


def test_faiss_finds_what_a_sort_of_all_scores_finds(retriever: Retriever, world: World) -> None:
    batch = world.posts.batch(world.rows("test"))
    with torch.inference_mode():
        hashtags, videos = retriever.hashtag_embeddings(), retriever.videos(batch)
    for ids in (None, np.array([9, 2, 17, 4, 11, 0])):
        pool = HashtagPool(hashtags.numpy(), ids=ids)
        found, products = pool.nearest(videos.numpy(), 4)
        allowed = np.arange(18) if ids is None else ids
        matrix = torch.full((len(batch), 18), float("-inf"))
        matrix[:, allowed] = (videos @ hashtags.T)[:, allowed]
        expected, values = top_k(matrix, 4)
        np.testing.assert_array_equal(found, expected.numpy())
        np.testing.assert_allclose(products, values.numpy(), atol=1e-6)
    assert pool.nearest(videos.numpy(), 50)[0].shape == (len(batch), 6)
    with pytest.raises(ValueError, match="the pool has no hashtags"):
        HashtagPool(hashtags.numpy(), ids=np.array([], np.int64))


def test_equal_hashtags_are_retrieved_in_the_order_of_their_ids() -> None:
    pool = HashtagPool(np.ones((5, 4), np.float32), ids=np.array([4, 1, 3]))
    assert pool.nearest(np.ones((1, 4), np.float32), 3)[0].tolist() == [[1, 3, 4]]


@pytest.mark.parametrize("guidance", ["vlm", "vit"])
def test_guidance_comes_from_the_pool_alone_and_in_the_rankers_order(guidance: str, world: World) -> None:
    ranker = world.model("ggm", f"guidance={guidance}")
    teach(ranker, world.posts, steps=5)
    batch = world.posts.batch(world.rows("test", 4))
    pool = train_pool(world.posts.inputs.hashtags["train_videos"].to_numpy())
    assert pool.tolist() == list(range(13))
    found = Guide(ranker, pool=pool, k=6)(batch)
    order = [[n for n in row if n < 13][:6] for row in scores(ranker, batch).argsort(1, descending=True).tolist()]
    assert found.tolist() == order
    assert Guide(ranker, pool=pool, k=0)(batch).shape == (4, 0)


def test_softmax_over_all_by_hand() -> None:
    """Two hashtags of three are true, half the target each."""
    scores_BH = torch.tensor([[1.0, 2.0, 0.0]])
    total = np.log(np.exp(1) + np.exp(2) + 1)
    loss = softmax_over_all(scores_BH, torch.tensor([[1, 2, -1]]))
    assert float(loss) == pytest.approx(total - 1.0)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_reads_its_modalities_learns_and_never_names_an_unseen_hashtag(kind: str, world: World) -> None:
    model = world.model("ggm", f"kind={kind}", "width=32", "layers=1")
    assert isinstance(model, Classifier)
    assert set(model.modalities) == set(CLASSIFIERS[kind])
    losses = teach(model, world.posts, steps=40, rate=0.01)
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    rows = world.rows("test")
    batch = world.posts.batch(rows)
    ids, _ = model.rank(batch, 13)
    assert set(ids.flatten().tolist()) == set(range(13))
    topics = np.array([world.posts.truth[row][0] for row in rows])
    assert (ids[:, :3].numpy() == topics[:, None]).any(1).mean() > 0.8
    empty = replace(batch, masks={name: torch.zeros_like(mask) for name, mask in batch.masks.items()})
    assert torch.isfinite(scores(model, empty)).all()


def test_a_classifier_of_frames_is_refused_where_there_are_none() -> None:
    with pytest.raises(ValueError, match="vit reads frames, and the dataset has none; choose bert or vlm"):
        make_world(features=False).model("ggm", "kind=vit")


def test_patches_give_their_class_token_and_regions_their_mean() -> None:
    steps = torch.arange(24.0).reshape(1, 2, 3, 4)
    torch.testing.assert_close(whole_frames("patches", steps), steps[:, :, 0])
    torch.testing.assert_close(whole_frames("regions", steps), steps.mean(2))


def test_one_kind_of_frames_and_one_of_sound_is_read() -> None:
    settings = GGMSettings()
    assert settings.chosen({"visual", "patches", "regions", "acoustic", "sentence"}) == [
        "patches",
        "acoustic",
        "sentence",
    ]
    assert GGMSettings(modalities=("text",)).chosen({"visual", "acoustic"}) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"kind": "gpt"}, "kind is 'gpt'; choose one of ggm, vg_bart, bart, trocr_fid, vlm, bert, vit, vit_bert"),
        ({"guidance": "none"}, "guidance is 'none'; choose one of vlm, bert, vit, vit_bert"),
        ({"guidance_k": -1}, "guidance_k is -1; choose at least 0"),
        ({"width": 100, "heads": 3}, "width is 100; choose a multiple of heads, 3"),
        ({"loss": "hinge"}, "loss is 'hinge'; choose one of"),
        ({"dropout": 1.0}, r"dropout is 1.0; choose a share in \[0, 1\)"),
    ],
)
def test_settings_out_of_range_are_named(words: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GGMSettings(**words)
