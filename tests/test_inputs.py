"""The border between tables and tensors: histories without leaks, padding, posts from outside."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data.dataset import Dataset, Ragged
from data.files import InputError
from v2ht.dataset_inputs import DatasetInputs
from v2ht.inputs import Inputs, InputSettings, Post, Scaling


@pytest.fixture(scope="module")
def posts(world: Dataset) -> DatasetInputs:
    return DatasetInputs(world, Inputs.of(world, InputSettings(word_dimension=8), seed=0))


def plain_history(posts: DatasetInputs, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean word vector and mean visual features of the user's other train videos, one by one."""
    videos = posts.dataset.videos
    others = [
        other
        for other in range(videos.height)
        if videos["split"][other] == "train" and other != row and videos["user_id"][other] == videos["user_id"][row]
    ]
    vectors = [posts.inputs.hashtag_vectors_HW[tag] for other in others for tag in posts.truth[other]]
    scaling = posts.inputs.scaling["visual"]
    frames = [scaling(posts.dataset.features["visual"][other]) for other in others]
    means = [sequence.mean(0) for sequence in frames if len(sequence)]
    return np.mean(vectors, axis=0), np.mean(means, axis=0)


def test_histories_leave_the_current_video_out_in_train_and_hold_all_of_train_otherwise(posts: DatasetInputs) -> None:
    checked = 0
    for split in ("train", "test"):
        rows = posts.dataset.rows(split)[:20]
        batch = posts.batch(rows)
        for place, row in enumerate(rows):
            if not bool(batch.known_B[place]):
                continue
            tags, frames = plain_history(posts, int(row))
            np.testing.assert_allclose(batch.history_BF[place, -8:], tags, atol=1e-4)
            np.testing.assert_allclose(batch.history_BF[place, 2:-8], frames, atol=1e-3)
            assert batch.history_BF[place, :2].tolist() == [1, 1]
            checked += 1
    assert checked > 30


def test_validation_and_test_posts_leave_no_trace_in_what_training_sees(world: Dataset) -> None:
    """Give valid and test other hashtags and other words: vectors, histories and train batches stay the same."""
    import polars as pl

    shuffled = world.videos.with_columns(
        hashtag_ids=pl.when(pl.col("split") == "train").then("hashtag_ids").otherwise(pl.lit([0], pl.List(pl.Int32()))),
        text=pl.when(pl.col("split") == "train").then("text").otherwise(pl.lit("other words")),
    )
    changed = Dataset(
        videos=shuffled, hashtags=world.hashtags, users=world.users, manifest=world.manifest, features=world.features
    )
    first, second = (DatasetInputs(d, Inputs.of(d, InputSettings(word_dimension=8), seed=0)) for d in (world, changed))
    np.testing.assert_array_equal(first.inputs.word_vectors.matrix, second.inputs.word_vectors.matrix)
    assert (first.inputs.history.counts != second.inputs.history.counts).nnz == 0
    rows = world.rows("train")[:30]
    torch.testing.assert_close(first.batch(rows).history_BF, second.batch(rows).history_BF)


def test_a_post_from_outside_reads_like_the_same_post_in_the_dataset(posts: DatasetInputs) -> None:
    row = int(posts.dataset.rows("test")[0])
    video = posts.dataset.videos.row(row, named=True)
    features = {name: np.asarray(rows[row], np.float32) for name, rows in posts.dataset.features.items()}
    user = posts.dataset.users["user"][video["user_id"]]
    outside = posts.inputs.batch([Post(text=video["text"], user=user, features=features)])
    inside = posts.batch(np.array([row]))
    for name, values in inside.sequences.items():
        torch.testing.assert_close(outside.sequences[name], values)
        assert torch.equal(outside.masks[name], inside.masks[name])
    torch.testing.assert_close(outside.history_BF, inside.history_BF)
    assert torch.equal(outside.user_B, inside.user_B)


def test_nothing_at_all_is_a_post_too(posts: DatasetInputs) -> None:
    batch = posts.inputs.batch([Post()])
    assert not bool(batch.known_B[0])
    assert int(batch.user_B[0]) == -1
    assert not any(bool(mask.any()) for mask in batch.masks.values())
    assert torch.count_nonzero(batch.history_BF) == 0


def test_positives_are_padded_with_minus_one(posts: DatasetInputs) -> None:
    rows = posts.dataset.rows("train")[:8]
    batch = posts.batch(rows)
    for place, row in enumerate(rows):
        found = [tag for tag in batch.positives_BP[place].tolist() if tag >= 0]
        assert found == posts.truth[row].tolist()


def test_words_without_a_vector_are_skipped_before_the_text_is_cut(posts: DatasetInputs) -> None:
    known = posts.inputs.word_vectors.words[:8]
    text = "zzqqxx " + " ".join(known)
    assert posts.inputs.words(text) == posts.inputs.words(" ".join(known))


def test_wrong_features_are_refused_by_name(posts: DatasetInputs) -> None:
    wrong = Post(features={"visual": np.zeros((3, 5), np.float32)})
    with pytest.raises(InputError, match=r"features 'visual': found shape \(3, 5\), expected finite numbers"):
        posts.inputs.batch([wrong])
    size = posts.inputs.feature_sizes["visual"]
    for array, message in (
        (np.full((3, size), 1e300), "finite numbers .*, none too large for 32 bits"),
        (np.zeros((2, 3, size), np.float32), r"found shape \(2, 3,"),
        (np.full((3, size), "a"), "found an array of <U1, expected a NumPy array of real numbers"),
        (np.zeros((3, size), complex), "found an array of complex128"),
        ([[0.0] * size], "found a list, expected a NumPy array"),
    ):
        with pytest.raises(InputError, match=f"features 'visual'.*{message}"):
            posts.inputs.batch([Post(features={"visual": array})])  # type: ignore[dict-item]
    with pytest.raises(InputError, match="features 'smell': this run was trained without them"):
        posts.inputs.batch([Post(features={"smell": np.zeros((3, 5), np.float32)})])


def test_scaling_gives_train_steps_mean_zero_and_variance_one(posts: DatasetInputs) -> None:
    train = posts.dataset.rows("train")
    for name, sequences in posts.dataset.features.items():
        scaled = posts.inputs.scaling[name](sequences.take(train).values)
        np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(scaled.std(0), 1, atol=1e-3)


def test_scaling_by_hand_and_a_dimension_that_never_varies() -> None:
    values = np.array([[1, 7], [3, 7], [100, 100]], np.float16)
    scaling = Scaling.of(Ragged(values=values, offsets=np.array([0, 1, 1, 2, 3])), np.array([0, 1, 2]))
    np.testing.assert_allclose(scaling(values), [[-1, 0], [1, 0], [98, 0]])
    regions = Ragged(values=values.reshape(3, 1, 2), offsets=np.array([0, 1, 1, 2, 3]))
    np.testing.assert_array_equal(Scaling.of(regions, np.array([0, 1, 2])).mean_F, scaling.mean_F)


def test_a_setting_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="text_length is 0; choose at least 1"):
        InputSettings(text_length=0)


def test_a_dataset_folder_reads_back_the_same(world: Dataset, world_folder: Path) -> None:
    again = Dataset.load(world_folder)
    assert again.videos.equals(world.videos)
    assert again.fingerprint == world.fingerprint
    for name, rows in world.features.items():
        np.testing.assert_array_equal(np.asarray(again.features[name].values), np.asarray(rows.values))


@pytest.mark.parametrize("field", ["user", "sound", "text"])
def test_an_id_that_is_a_number_is_refused_not_taken_for_somebody_unknown(field: str, posts: DatasetInputs) -> None:
    with pytest.raises(InputError, match=f"{field} is '101', which is no text"):
        posts.inputs.batch([Post(**{field: 101})])  # type: ignore[arg-type]
