"""The feature store: what it remembers of files, its shards, and how finished features become a dataset's."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dataset import Dataset, Ragged, commit_features, listed_features, read_manifest
from data.features import contents as contents_module
from data.features import shards as shards_module
from data.features.contents import Contents, identify, read_media
from data.features.pool import Failure, Workers
from data.features.reading import content_of
from data.features.shards import Shards, write_array
from data.features.store import Store, account, locked
from data.files import InputError
from data.synthetic import WorldSettings, make_world
from fake_clips import STEP_SHAPE, FakeExtractor, make_clips
from graph_builders.build import GRAPH_FILE, GraphSettings, build_dataset_graph, load_dataset_graph


class InThisProcess(Workers):
    """Does the work of the pool without processes."""

    def __init__(self) -> None:
        super().__init__(processes=1, timeout=1)
        self.done: list[Any] = []

    def run(self, function: Any, arguments: Any) -> Iterator[tuple[Any, Any]]:
        for argument in arguments:
            self.done.append(argument)
            try:
                yield argument, function(argument)
            except OSError:
                yield argument, Failure("unreadable", "Permission denied")


def no_report(what: str, done: int, total: int) -> None:
    pass


def shards_in(folder: Path) -> Shards:
    return Shards(folder, step_shape=STEP_SHAPE, about={})


def steps_of(count: int, value: float) -> np.ndarray:
    return np.full((count, *STEP_SHAPE), value, np.float16)


# --- what is known of the files ---


def identify_all(dataset: Path, workers: Workers) -> Contents:
    media = read_media(dataset, read_manifest(dataset))
    return identify(media, workers, table=dataset / "contents.parquet", report=no_report)


def test_the_content_of_a_file_is_a_hash_of_its_bytes_alone(tmp_path: Path) -> None:
    for name, text in (("a", "x" * 3_000_000), ("b", "x" * 3_000_000), ("c", "x" * 2_999_999 + "y"), ("d", "")):
        (tmp_path / name).write_text(text)
    hashes = [content_of(tmp_path / name) for name in "abcd"]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    assert hashes[3] == "cae66941d9efbd404e4d88758ea67670"  # BLAKE2b-128 of nothing, as b2sum -l 128 prints it


def test_files_are_read_once_and_again_only_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents_module, "SAVE_EVERY", 2)
    dataset = make_clips(tmp_path, ["ok 1 a", "ok 1 b", None, "ok 1 a"])
    first = InThisProcess()
    found = identify_all(dataset, first)
    assert first.done == ["v00.mp4", "v01.mp4", "v03.mp4"]
    assert found.hashes["v00.mp4"] == found.hashes["v03.mp4"] == content_of(tmp_path / "media" / "v00.mp4")
    assert found.stamps["v01.mp4"] == (6, (tmp_path / "media" / "v01.mp4").stat().st_mtime_ns)
    (tmp_path / "media" / "v01.mp4").write_text("ok 1 B")
    os.utime(tmp_path / "media" / "v01.mp4", ns=(1, 1))
    (tmp_path / "media" / "v00.mp4").unlink()
    second = InThisProcess()
    again = identify_all(dataset, second)
    assert second.done == ["v01.mp4"]
    assert again.hashes == {**found.hashes, "v01.mp4": content_of(tmp_path / "media" / "v01.mp4")}
    assert list(again.stamps) == ["v01.mp4", "v03.mp4"]
    assert again.failures == {}


def test_an_interrupted_reading_keeps_what_it_has_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents_module, "SAVE_EVERY", 2)
    dataset = make_clips(tmp_path, [f"ok 1 {n}" for n in range(5)])
    first, second = InThisProcess(), InThisProcess()
    media = read_media(dataset, read_manifest(dataset))

    def stop(what: str, done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        identify(media, first, table=dataset / "contents.parquet", report=stop)
    identify_all(dataset, second)
    assert second.done == ["v04.mp4"]


def test_files_that_cannot_be_read_are_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_clips(tmp_path, ["a", "b", "c", "d"])
    (tmp_path / "media" / "v01.mp4").unlink()
    os.mkfifo(tmp_path / "media" / "v01.mp4")
    (tmp_path / "media" / "v02.mp4").unlink()

    def refuse(path: Path) -> str:
        if path.name == "v03.mp4":
            raise PermissionError(path)
        return content_of(path)

    identify_all(dataset, InThisProcess())
    (tmp_path / "media" / "v03.mp4").write_text("other bytes")  # what is remembered of it counts no more
    monkeypatch.setattr(contents_module, "content_of", refuse)
    found = identify_all(dataset, InThisProcess())
    assert list(found.hashes) == ["v00.mp4"]
    assert {path: failure.cause for path, failure in found.failures.items()} == {
        "v01.mp4": "unreadable",
        "v02.mp4": "missing",
        "v03.mp4": "unreadable",
    }
    again = InThisProcess()
    identify_all(dataset, again)
    assert again.done == ["v03.mp4"]


def test_a_broken_table_of_contents_is_named(tmp_path: Path) -> None:
    dataset = make_clips(tmp_path, ["a"])
    (dataset / "contents.parquet").write_text("x")
    with pytest.raises(InputError, match=r"contents\.parquet cannot be read .*delete it"):
        identify_all(dataset, InThisProcess())
    pl.DataFrame({"path": ["a"]}).write_parquet(dataset / "contents.parquet")
    with pytest.raises(InputError, match=r"contents\.parquet has columns .*delete it"):
        identify_all(dataset, InThisProcess())


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.mp4", "a/../../x.mp4", "a\0b", ".", ""])
def test_a_path_that_leaves_the_media_folder_is_refused(tmp_path: Path, path: str) -> None:
    dataset = make_clips(tmp_path, ["a"])
    pl.DataFrame({"video_id": ["v00"], "path": [path]}).write_parquet(dataset / "media.parquet")
    with pytest.raises(InputError, match=r"video 'v00' has the path .*, which leaves the media folder"):
        read_media(dataset, read_manifest(dataset))


def test_media_are_matched_by_video_and_may_have_moved(tmp_path: Path) -> None:
    dataset = make_clips(tmp_path, ["a", None, "b"])
    table = pl.read_parquet(dataset / "media.parquet")
    table.filter(pl.col("path").is_not_null()).reverse().write_parquet(dataset / "media.parquet")
    media = read_media(dataset, read_manifest(dataset))
    assert (media.folder, media.video_ids) == (tmp_path / "media", ["v00", "v01", "v02"])
    assert media.paths == ["v00.mp4", None, "v02.mp4"]
    (tmp_path / "media").rename(tmp_path / "moved")
    with pytest.raises(InputError, match="media does not exist; give the folder where the files are now"):
        read_media(dataset, read_manifest(dataset))
    assert read_media(dataset, read_manifest(dataset), media_folder=tmp_path / "moved").folder == tmp_path / "moved"
    (dataset / "media.parquet").unlink()
    with pytest.raises(InputError, match="names no media files; import the table again with `--format clips`"):
        read_media(dataset, read_manifest(dataset))


# --- shards ---


def number_of_shards(sizes: list[int], *, size: int, byte_limit: int) -> int:
    """Return how many shards contents of these bytes make; the eighth ends one in any case."""
    count, held = 0, []
    for number, nbytes in enumerate(sizes):
        held.append(nbytes)
        if len(held) == size or sum(held) >= byte_limit or number == 7:
            count, held = count + 1, []
    return count + bool(held)


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(0, 5), max_size=20),
    failed=st.sets(st.integers(0, 19)),
    size=st.integers(1, 6),
    byte_limit=st.sampled_from([1, 40, 1 << 20]),
)
def test_shards_give_back_what_was_added(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], failed: set[int], size: int, byte_limit: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    added: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards_module, "SHARD_CONTENTS", size)
        patch.setattr(shards_module, "SHARD_BYTES", byte_limit)
        shards = shards_in(folder)
        for number, length in enumerate(lengths):
            failure = Failure("damaged", f"line {number}")
            added[f"c{number}"] = failure if number in failed else steps_of(length, number)
            shards.add(f"c{number}", added[f"c{number}"], seconds=number / 4)
            if number == 7:
                shards.flush()
                shards = shards_in(folder)  # as after a restart
        shards.flush()
    sizes = [0 if isinstance(steps, Failure) else steps.nbytes for steps in added.values()]
    assert len(list(folder.glob("*.npy"))) == number_of_shards(sizes, size=size, byte_limit=byte_limit)
    found = shards_in(folder).entries()
    assert list(found) == list(added)
    for number, (content, entry) in enumerate(found.items()):
        assert entry.seconds == number / 4
        if isinstance(added[content], Failure):
            assert (entry.failure, entry.length) == (added[content], 0)
        else:
            values = np.load(entry.array)[entry.start : entry.start + entry.length]
            assert entry.failure is None
            np.testing.assert_array_equal(values, added[content])


def test_a_shard_counts_only_with_its_list_and_a_later_one_counts_more(tmp_path: Path) -> None:
    for value in (1, 2):
        shards = shards_in(tmp_path)
        shards.add("a", steps_of(value, value), seconds=0)
        shards.flush()
    assert shards.entries()["a"].length == 2
    (tmp_path / "shard-00001.json").unlink()  # as if killed between the two files
    assert shards.entries()["a"].length == 1
    shards.add("b", steps_of(3, 3), seconds=0)
    shards.flush()
    assert sorted(shards.entries()) == ["a", "b"]
    assert np.load(tmp_path / "shard-00001.npy").shape == (3, *STEP_SHAPE)


def test_a_shard_does_not_wait_for_slow_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.0, 109.0, 110.5, 200.0, 200.0])  # first added and looked at; second; third; fourth twice
    monkeypatch.setattr("data.features.shards.time.monotonic", lambda: next(clock))
    shards = shards_in(tmp_path)
    held = []
    for content in "abcd":
        shards.add(content, steps_of(1, 1), seconds=0)
        held.append(len(shards.entries()))
    assert held == [0, 0, 3, 3]


@pytest.mark.parametrize("lengths", [[2, 0, 3], [0], []])
def test_arrays_are_written_as_numpy_writes_them(tmp_path: Path, lengths: list[int]) -> None:
    parts = [steps_of(length, length) for length in lengths]
    write_array(tmp_path / "ours.npy", iter(parts), shape=(sum(lengths), *STEP_SHAPE))
    np.save(tmp_path / "numpy.npy", np.concatenate([steps_of(0, 0), *parts]))
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()
    with pytest.raises(AssertionError):
        write_array(tmp_path / "ours.npy", iter(parts), shape=(sum(lengths) + 1, *STEP_SHAPE))


# --- finished features ---


def filled(dataset: Path, *, scale: float = 1.0, modality: str = "visual") -> tuple[Store, pl.DataFrame, Mapping]:
    """Return a store with shards of the dataset's two contents, and what commit takes."""
    store = Store(dataset, FakeExtractor(dataset / "log", scale=scale, modality=modality))
    contents = identify_all(dataset, InThisProcess())
    store.shards.add(contents.hashes["v00.mp4"], steps_of(3, scale), seconds=1.5)
    store.shards.add(contents.hashes["v02.mp4"], Failure("damaged", "broken"), seconds=0)
    store.shards.flush()
    known = store.known(read_manifest(dataset))
    return store, account(read_media(dataset, read_manifest(dataset)), contents, known), known


def commit(dataset: Path, **options: Any) -> Store:
    store, videos, known = filled(dataset, **options)
    store.commit(videos, known, fingerprint=read_manifest(dataset)["fingerprint"])
    return store


TEXTS = ["a", None, "b", "a"]


def test_the_account_names_every_video(tmp_path: Path) -> None:
    _, videos, _ = filled(make_clips(tmp_path, TEXTS))
    a, b = (content_of(tmp_path / "media" / f"v0{n}.mp4") for n in (0, 2))
    assert videos.rows() == [
        ("v00", "v00.mp4", a, 1.5, None, None),
        ("v01", None, None, 0.0, None, None),
        ("v02", "v02.mp4", b, 0.0, "damaged", "broken"),
        ("v03", "v03.mp4", a, 1.5, None, None),
    ]


def test_committed_features_are_the_datasets(tmp_path: Path) -> None:
    dataset = make_clips(tmp_path, TEXTS)
    before = Dataset.load(dataset)
    store = commit(dataset)
    loaded = Dataset.load(dataset)
    rows = loaded.features["visual"]
    assert rows.lengths.tolist() == [3, 0, 0, 3]
    np.testing.assert_array_equal(rows[3], steps_of(3, 1))
    assert isinstance(rows.values, np.memmap)
    assert np.shares_memory(rows[3], rows.values)
    assert loaded.fingerprint != before.fingerprint
    entry = loaded.manifest["features"]["visual"]
    assert {key: entry[key] for key in ("extractor", "key", "settings", "failed")} == {
        "extractor": "fake",
        "key": store.key,
        "settings": {"scale": 1.0},
        "failed": 1,
    }
    record = json.loads((dataset / "features" / f"{entry['file']}.json").read_text())
    assert [record[key] for key in ("videos", "videos_with_features", "contents", "steps")] == [4, 2, 2, 6]
    assert record["failures"] == {"damaged": 1}
    assert record["failed"] == [{"video_id": "v02", "path": "v02.mp4", "cause": "damaged", "message": "broken"}]
    known = store.known(loaded.manifest)
    store.tidy(loaded.manifest)
    assert not store.shards.folder.exists()
    kept = store.known(loaded.manifest)  # now from the features alone
    assert {content: replace(e, array=Path(), start=0) for content, e in kept.items()} == {
        content: replace(e, array=Path(), start=0) for content, e in known.items()
    }
    assert sorted((e.start, e.length) for e in kept.values()) == [(3, 0), (3, 3)]


class Killed(BaseException):
    """Stands for the end of the process."""


def die_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """End the process at its rename of this number, counted from 0."""
    left = [number]
    rename = os.replace

    def replace_or_die(source: Any, target: Any) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace_or_die)


def test_a_kill_at_any_step_of_the_commit_leaves_the_old_dataset_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_clips(tmp_path, TEXTS)
    old = commit(dataset, scale=1.0)
    old.tidy(read_manifest(dataset))
    store, videos, known = filled(dataset, scale=2.0)
    kills = 0
    while True:
        fingerprint = Dataset.load(dataset).fingerprint
        with monkeypatch.context() as patch:
            die_at(patch, kills)
            try:
                store.commit(videos, known, fingerprint=fingerprint)
                break
            except Killed:
                kills += 1
        np.testing.assert_array_equal(Dataset.load(dataset).features["visual"][0], steps_of(3, 1))
    assert kills == 5  # values, offsets, videos, record, manifest
    np.testing.assert_array_equal(Dataset.load(dataset).features["visual"][0], steps_of(3, 2))
    assert len(list((dataset / "features").iterdir())) == 8
    (dataset / "features" / ".visual-0123.npy.host-1-x.partial").touch()
    (dataset / "features" / "visuals of mine.txt").touch()
    store.tidy(read_manifest(dataset))
    assert Dataset.load(dataset).features["visual"].lengths.tolist() == [3, 0, 0, 3]
    assert len(list((dataset / "features").glob("visual-*"))) == 4
    assert (dataset / "features" / "visuals of mine.txt").exists()
    assert len(list((dataset / "features").iterdir())) == 5


def test_modalities_do_not_disturb_each_other_and_keep_their_order(tmp_path: Path) -> None:
    dataset = make_clips(tmp_path, TEXTS)
    for modality in ("patches", "acoustic", "visual"):
        commit(dataset, modality=modality).tidy(read_manifest(dataset))
    loaded = Dataset.load(dataset)
    assert list(loaded.features) == ["visual", "acoustic", "patches"]
    assert len(list((dataset / "features").iterdir())) == 12


def test_a_dataset_that_changed_meanwhile_gets_no_features(tmp_path: Path) -> None:
    dataset = make_clips(tmp_path, TEXTS)
    store, videos, known = filled(dataset)
    with pytest.raises(InputError, match="was changed while features were extracted; extract again"):
        store.commit(videos, known, fingerprint="another")
    assert Dataset.load(dataset).features == {}


def test_the_key_follows_everything_that_changes_the_numbers(tmp_path: Path) -> None:
    extractor = FakeExtractor(tmp_path)
    others = [
        extractor,
        replace(extractor, scale=2.0),
        replace(extractor, name="other"),
        replace(extractor, modality="regions"),
        replace(extractor, step_shape=(3, 2)),
    ]
    assert len({Store(tmp_path, other).key for other in others}) == 5
    assert Store(tmp_path, replace(extractor, log=tmp_path / "x")).key == Store(tmp_path, extractor).key


def test_only_one_extraction_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(InputError, match=r"another extraction is at work on .*; wait until it ends"):
        locked(tmp_path).__enter__()
    with locked(tmp_path):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"store/lock cannot be written .*make the dataset's folder writable"):
        locked(tmp_path / "file").__enter__()


# --- what the dataset's own code knows of features ---


def test_datasets_from_before_the_list_of_features_still_load(tmp_path: Path) -> None:
    dataset = make_clips(tmp_path, TEXTS)
    rows = Ragged(values=steps_of(4, 1), offsets=np.arange(5))
    replace(Dataset.load(dataset), features={"visual": rows, "acoustic": rows}).save(tmp_path / "old")
    manifest = read_manifest(tmp_path / "old")
    assert manifest.pop("features") == {"visual": {"file": "visual"}, "acoustic": {"file": "acoustic"}}
    (tmp_path / "old" / "manifest.json").write_text(json.dumps(manifest))
    assert list(Dataset.load(tmp_path / "old").features) == ["visual", "acoustic"]
    (tmp_path / "old" / "features" / "visual-0123.npy").touch()  # what an extraction wrote before it was killed
    assert list(Dataset.load(tmp_path / "old").features) == ["visual", "acoustic"]
    np.save(tmp_path / "old" / "features" / "regions-1.npy", steps_of(4, 2))
    np.save(tmp_path / "old" / "features" / "regions-1.offsets.npy", np.arange(5))
    commit_features(tmp_path / "old", "regions", {"file": "regions-1"})
    loaded = Dataset.load(tmp_path / "old")
    assert {name: float(rows[0].max()) for name, rows in loaded.features.items()} == {
        "visual": 1,
        "acoustic": 1,
        "regions": 2,
    }


def test_a_saved_copy_says_how_its_features_were_made(tmp_path: Path) -> None:
    commit(make_clips(tmp_path, TEXTS))
    loaded = Dataset.load(tmp_path / "posts")
    copy = loaded.save(tmp_path / "copy")
    assert copy.features["visual"].lengths.tolist() == [3, 0, 0, 3]
    assert copy.manifest["features"]["visual"] == {**loaded.manifest["features"]["visual"], "file": "visual"}
    bare = replace(loaded, features={}).save(tmp_path / "bare")
    assert (bare.features, bare.manifest.get("features")) == ({}, None)


@pytest.mark.parametrize("features", [{"visual": {"file": "../x"}}, {"visual": {}}, {"visual": "x"}, ["visual"], "x"])
def test_a_list_of_features_that_cannot_be_used_is_refused(tmp_path: Path, features: Any) -> None:
    with pytest.raises(InputError, match=r"manifest\.json: its features have no usable file names; import again"):
        listed_features(tmp_path, {"features": features})


def test_changed_or_broken_feature_files_are_named(tmp_path: Path) -> None:
    dataset = make_clips(tmp_path, TEXTS)
    commit(dataset)
    (values,) = (dataset / "features").glob("*[0-9a-f].npy")
    whole = values.read_bytes()
    values.write_bytes(whole[:-1] + b"\1")
    with pytest.raises(InputError, match="its files have changed since it was imported"):
        Dataset.load(dataset)
    values.write_bytes(b"x")
    entry = read_manifest(dataset)["features"]["visual"]
    commit_features(dataset, "visual", entry)  # so that the fingerprint is not what complains
    with pytest.raises(InputError, match=r"features/visual-[0-9a-f]+\.npy cannot be read .*; extract again"):
        Dataset.load(dataset)


def test_a_graph_outlives_features_that_come_after_it(tmp_path: Path) -> None:
    world = make_world(WorldSettings(num_videos=100), seed=0)
    dataset = replace(world, features={"acoustic": world.features["acoustic"]}).save(tmp_path / "world")
    built = build_dataset_graph(dataset, GraphSettings())
    built.save(tmp_path / "world" / GRAPH_FILE)
    frames = world.features["visual"]
    np.save(tmp_path / "world" / "features" / "late.npy", frames.values)
    np.save(tmp_path / "world" / "features" / "late.offsets.npy", frames.offsets)
    commit_features(tmp_path / "world", "visual", {"file": "late"})
    later = Dataset.load(tmp_path / "world")
    assert later.fingerprint != dataset.fingerprint
    assert load_dataset_graph(tmp_path / "world", later).counts() == built.counts()
