"""Text vectors from outside: word vectors of a local file, descriptions encoded by a local model."""

import builtins
import gzip
import json
import shutil
import socket
import string
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import word_vectors as word_vectors_module
from data.dataset import Dataset, read_manifest
from data.features import sentences
from data.features.sentences import SentenceEncoder, check_encoder, encode_sentences, extract_sentences
from data.files import InputError
from data.word_vectors import WordVectors, dataset_words, read_word_vectors
from test_cli import v2ht
from v2ht.dataset_inputs import DatasetInputs
from v2ht.inputs import Inputs, InputSettings, Post
from worlds import SMALL

THREE = b"3 2\ncat 0.5 1\ndog -2 0.25\ncar 3 4e-1 \n"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def as_binary(vectors: dict[str, list[float]], *, newline: bytes = b"") -> bytes:
    size = len(next(iter(vectors.values())))
    records = [word.encode() + b" " + struct.pack(f"<{size}f", *row) + newline for word, row in vectors.items()]
    return f"{len(vectors)} {size}\n".encode() + b"".join(records)


def as_text(vectors: dict[str, list[float]]) -> bytes:
    size = len(next(iter(vectors.values())))
    lines = [f"{word} {' '.join(map(repr, row))}\n" for word, row in vectors.items()]
    return f"{len(vectors)} {size}\n{''.join(lines)}".encode()


# --- word vectors of a file ---


@pytest.mark.parametrize("name", ["v.txt", "v.vec", "v.txt.gz"])
def test_a_text_file_by_hand(name: str, tmp_path: Path) -> None:
    found = read_word_vectors(write(tmp_path / name, THREE), {"car", "cat", "boat"})
    assert found.words == ["cat", "car"]  # in the file's order; `dog` is not wanted, `boat` not invented
    assert found.matrix.dtype == np.float32
    np.testing.assert_array_equal(found.matrix, np.float32([[0.5, 1], [3, 0.4]]))


@pytest.mark.parametrize("content", [THREE.split(b"\n", 1)[1], THREE.replace(b"\n", b"\r\n"), THREE.rstrip()])
def test_a_missing_first_line_other_line_ends_and_an_open_end_change_nothing(content: bytes, tmp_path: Path) -> None:
    found = read_word_vectors(write(tmp_path / "v.txt", content), {"car", "cat"})
    np.testing.assert_array_equal(found.matrix, np.float32([[0.5, 1], [3, 0.4]]))


@pytest.mark.parametrize("newline", [b"", b"\n"])
@pytest.mark.parametrize("name", ["v.bin", "v.bin.gz"])
def test_a_binary_file_by_hand(name: str, newline: bytes, tmp_path: Path) -> None:
    content = as_binary({"cat": [0.5, 1], "dog": [-2, 0.25], "car": [3, 4]}, newline=newline)
    found = read_word_vectors(write(tmp_path / name, content), {"car", "dog"})
    assert found.words == ["dog", "car"]
    assert found.matrix.tolist() == [[-2, 0.25], [3, 4]]


def test_of_a_word_that_comes_twice_the_first_counts(tmp_path: Path) -> None:
    found = read_word_vectors(write(tmp_path / "v.txt", b"2 1\ncat 1\ncat 2\n"), {"cat"})
    assert found.matrix.tolist() == [[1]]


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_vectors_module, "LONGEST", 10_000)
    path = write(tmp_path / "v.bin", as_binary({f"w{number}": [1.0] * 50 for number in range(20_000)}))
    read_word_vectors(path, {"w3"})  # loads gensim
    tracemalloc.start()
    found = read_word_vectors(path, {"w19999"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.words == ["w19999"]
    assert path.stat().st_size > 4_000_000
    assert peak < 400_000


WORDS = st.text(st.sampled_from("ab\u00e9\u732b\U0001f525-"), min_size=1, max_size=4)
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=40)
@given(st.dictionaries(WORDS, st.lists(NUMBERS, min_size=3, max_size=3), min_size=1), st.data(), st.integers(1, 40))
def test_both_formats_give_what_gensim_reads_of_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, vectors: dict[str, list[float]], data: Any, block: int
) -> None:
    from gensim.models import KeyedVectors

    wanted = data.draw(st.sets(st.sampled_from(sorted(vectors)), min_size=1)) | {"unknown"}
    folder = tmp_path_factory.mktemp("vectors")
    for name, content in (("v.txt", as_text(vectors)), ("v.bin", as_binary(vectors))):
        path = write(folder / name, content)
        whole = KeyedVectors.load_word2vec_format(str(path), binary=name == "v.bin")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(word_vectors_module, "LONGEST", 100 + block)  # so that records cross blocks
            found = read_word_vectors(path, wanted)
        assert found.words == [word for word in whole.index_to_key if word in wanted]
        np.testing.assert_array_equal(found.matrix, np.stack([whole[word] for word in found.words]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.model", b"", r"v\.model is no \.txt, \.vec, \.bin file .*save_word2vec_format"),
        ("v.kv.gz", b"", r"v\.kv\.gz is no"),
        ("v.txt", b"what is this\n", r"v\.txt cannot be read \(could not convert string to float.*word2vec format"),
        ("v.txt", b"", "gives vectors of 0 numbers|gives vectors of -?[01] numbers"),
        ("v.txt", b"3 0\n", "gives vectors of 0 numbers"),
        ("v.txt", b"3 99999999999\n", "gives vectors of 99999999999 numbers"),
        ("v.txt", b"3 2\ncat 1 2\n", "it ends after 1 of 3 words"),
        ("v.txt", b"1 2\ncat 1\n", "'cat' has 1 numbers, expected 2"),
        ("v.txt", b"1 2\ncat 1 x\n", "could not convert"),
        ("v.txt", b"1 2\ncat 1 nan\n", "the vector of 'cat' is not finite"),
        ("v.txt", b"1 2\n" + b"c" * 300 + b" 1 2\n", "line 1 is longer than 200 bytes"),
        ("v.bin", b"cat 1 2\n", "it does not begin with COUNT DIMENSION"),
        ("v.bin", as_binary({"cat": [1, 2]})[:-1], "it ends after 0 of 1 words"),
        ("v.bin", b"1 2\n" + b"c" * 900, "word 1 is longer than 200 bytes"),
        ("v.txt", b"1 2\nbird 1 2\n", "knows none of the 1 words .* of their language"),
    ],
)
def test_a_file_that_is_no_use_stops_with_one_line(
    name: str, content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_vectors_module, "LONGEST", 200)
    with pytest.raises(InputError, match=message) as caught:
        read_word_vectors(write(tmp_path / name, content), {"cat"})
    assert "\n" not in str(caught.value)


def test_a_missing_or_cut_file_stops_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"word_vectors=.*none\.txt: there is no such file"):
        read_word_vectors(tmp_path / "none.txt", {"cat"})
    for content in (gzip.compress(THREE)[:-12], THREE):
        (tmp_path / "cut.txt.gz").write_bytes(content)
        with pytest.raises(InputError, match=r"cut\.txt\.gz cannot be read"):
            read_word_vectors(tmp_path / "cut.txt.gz", {"cat"})


def with_texts(world: Dataset, texts: list[str]) -> Dataset:
    videos = world.videos.with_columns(text=pl.Series([texts[row % len(texts)] for row in range(world.videos.height)]))
    return Dataset(videos=videos, hashtags=world.hashtags, users=world.users, manifest=world.manifest)


def test_the_words_are_those_of_train_descriptions_and_of_all_hashtags(world: Dataset) -> None:
    tags = {word for words in world.hashtags["words"].to_list() for word in words}
    videos = world.videos.with_columns(text=pl.when(split="test").then(pl.lit("secret")).otherwise(pl.lit("Two Dogs!")))
    changed = Dataset(videos=videos, hashtags=world.hashtags, users=world.users, manifest=world.manifest)
    words = dataset_words(changed)
    assert {"dog"} <= words
    assert not {"secret", "dogs", "Two"} & words
    assert len(words) > len(tags) / 2


def test_inputs_take_the_vectors_of_the_file_as_they_are(world: Dataset, tmp_path: Path) -> None:
    lines: list[str] = []
    words = sorted(dataset_words(world))[:10]
    path = write(tmp_path / "v.txt", as_text({word: [float(n), 1, 2] for n, word in enumerate([*words, "never"])}))
    inputs = Inputs.of(
        world, InputSettings(word_vectors=str(path)), seed=0, report=lambda line, done, total: lines.append(line)
    )
    assert inputs.word_vectors.words == words
    assert inputs.word_vectors.matrix[3].tolist() == [3, 1, 2]
    assert inputs.words(f"never {words[0]}") == [words[0]]
    assert lines == [f"10 of {len(dataset_words(world)):,} words have a vector in {path}"]
    assert DatasetInputs(world, inputs).batch(world.rows("train")[:4]).history_BF.shape[1] == inputs.history_size


def test_another_dimension_than_the_one_set_stops(world: Dataset, tmp_path: Path) -> None:
    word = min(dataset_words(world))
    path = str(write(tmp_path / "v.txt", f"1 3\n{word} 1 2 3\n".encode()))
    Inputs.of(world, InputSettings(word_vectors=path, word_dimension=3), seed=0)
    with pytest.raises(InputError, match=r"word_dimension is 8, but the vectors of .* have 3 numbers; leave"):
        Inputs.of(world, InputSettings(word_vectors=path, word_dimension=8), seed=0)


def test_without_a_file_word2vec_learns_as_before(world: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    made = WordVectors(words=["a"], matrix=np.ones((1, 7), np.float32))
    asked: list[dict[str, int]] = []
    monkeypatch.setattr("v2ht.inputs.train_word_vectors", lambda dataset, **how: asked.append(how) or made)
    assert Inputs.of(world, InputSettings(word_dimension=7), seed=5).word_vectors is made
    assert asked == [{"dimension": 7, "seed": 5}]


# --- sentences ---


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a random BERT of one layer and 16 dimensions that reads letter by letter, mean pooled."""
    import torch

    from data.features.torchvision_models import import_torchvision

    import_torchvision()
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    letters = string.ascii_lowercase
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        BertModel(config).save_pretrained(folder / "bert")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    modules = [Transformer(str(folder / "bert")), Pooling(16)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "tiny"), create_model_card=False)
    return folder / "tiny"


def by_hand(folder: Path, text: str) -> np.ndarray:
    """The mean of the last hidden states, by transformers alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    with torch.no_grad():
        tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
        states_1TD = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state
    return np.asarray(states_1TD.mean(1))


@pytest.fixture
def described(world: Dataset, tmp_path: Path) -> Path:
    """Return a dataset of 300 videos with 81 different descriptions, every fifth empty; without features."""
    texts = [f"dogs run {letter}{other}" for letter in "abcdefghi" for other in "abcdefghi"]
    rows = [("" if place % 5 == 4 else texts[place % 81]) for place in range(world.videos.height)]
    with_texts(world, rows).save(tmp_path / "dataset")
    return tmp_path / "dataset"


def test_a_step_is_the_mean_state_of_the_text_alone_or_among_others(encoder_folder: Path) -> None:
    texts = ["hello dogs", "", "a much longer description than that", " \n", "x"]
    steps = encode_sentences(encoder_folder, texts)
    assert [step.shape for step in steps] == [(1, 16), (0, 16), (1, 16), (0, 16), (1, 16)]
    assert all(step.dtype == np.float16 for step in steps)
    for row in (0, 2, 4):
        np.testing.assert_allclose(steps[row], by_hand(encoder_folder, texts[row]), atol=2e-3)
        np.testing.assert_allclose(steps[row], encode_sentences(encoder_folder, [texts[row]])[0], atol=2e-3)


def test_extraction_gives_every_described_video_one_step_and_asking_again_does_nothing(
    described: Path, encoder_folder: Path
) -> None:
    told: list[tuple[int, int]] = []
    done = extract_sentences(described, encoder_folder, report=lambda line, now, total: told.append((now, total)))
    dataset = Dataset.load(described)
    texts = dataset.videos["text"].to_list()
    assert dataset.features["sentence"].lengths.tolist() == [int(bool(text)) for text in texts]
    distinct = len(set(texts) - {""})
    assert (done["distinct"], done["encoded_now"], done["dimension"], done["failed"]) == (distinct, distinct, 16, 0)
    assert done["videos_with_text"] == sum(map(bool, texts))
    assert told == [(32, distinct), (64, distinct), (distinct, distinct)]
    for row in (0, 7, 200):
        np.testing.assert_allclose(dataset.features["sentence"][row], by_hand(encoder_folder, texts[row]), atol=2e-3)
    before = {path: path.stat().st_mtime_ns for path in described.rglob("*") if path.name != "lock"}
    assert extract_sentences(described, encoder_folder)["encoded_now"] == 0
    assert {path: path.stat().st_mtime_ns for path in described.rglob("*") if path.name != "lock"} == before
    entry = read_manifest(described)["features"]["sentence"]
    assert entry["file"].startswith("sentence-")
    assert entry["settings"]["weights"] == "folder tiny"
    check_encoder(encoder_folder, entry["settings"])


def test_an_interrupted_extraction_goes_on_and_ends_in_the_same_bytes(
    described: Path, encoder_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(described, tmp_path / "other")
    extract_sentences(tmp_path / "other", encoder_folder)

    def stop(line: str, done: int, total: int) -> None:
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_sentences(described, encoder_folder, report=stop)
    assert "features" not in read_manifest(described) or "sentence" not in read_manifest(described)["features"]
    done = extract_sentences(described, encoder_folder)
    assert done["encoded_now"] == done["distinct"] - 32
    assert read_manifest(described)["fingerprint"] == read_manifest(tmp_path / "other")["fingerprint"]


def test_another_model_replaces_the_features_and_is_told_apart(
    described: Path, encoder_folder: Path, tmp_path: Path
) -> None:
    extract_sentences(described, encoder_folder)
    recorded = read_manifest(described)["features"]["sentence"]
    other = shutil.copytree(encoder_folder, tmp_path / "other")
    (other / "README.md").write_text("notes")
    check_encoder(other, recorded["settings"])  # a copy with notes is the same model
    change_weights(other, {"embeddings.LayerNorm.bias": 1.0})
    with pytest.raises(InputError, match=r"other \(fingerprint .* is not the sentence encoder .*folder tiny"):
        check_encoder(other, recorded["settings"])
    extract_sentences(described, other)
    assert read_manifest(described)["features"]["sentence"]["key"] != recorded["key"]
    assert not list((described / "features").glob(f"{recorded['file']}*"))
    row = Dataset.load(described).features["sentence"][0]
    np.testing.assert_allclose(row, by_hand(other, Dataset.load(described).videos["text"][0]), atol=2e-3)


def change_weights(folder: Path, changes: dict[str, float | None]) -> None:
    """Fill tensors of a model with a number, or leave them out."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    for name, value in changes.items():
        if value is None:
            del tensors[name]
        else:
            tensors[name] = np.full_like(tensors[name], value)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_vector_that_is_not_finite_leaves_its_video_without_features(
    described: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = SentenceEncoder._vectors

    def broken(encoder: SentenceEncoder, texts: list[str]) -> np.ndarray:
        vectors = whole(encoder, texts).copy()
        vectors[[place for place, text in enumerate(texts) if text == "dogs run aa"]] = 1e6  # beyond float16
        return vectors

    monkeypatch.setattr(SentenceEncoder, "_vectors", broken)
    done = extract_sentences(described, encoder_folder)
    dataset = Dataset.load(described)
    bad = [row for row, text in enumerate(dataset.videos["text"].to_list()) if text == "dogs run aa"]
    assert done["failed"] == len(bad) > 0
    assert not dataset.features["sentence"].lengths[bad].any()
    assert np.isfinite(dataset.features["sentence"].values).all()


def test_the_modality_reaches_batches_and_posts_from_outside(described: Path, encoder_folder: Path) -> None:
    extract_sentences(described, encoder_folder)
    dataset = Dataset.load(described)
    inputs = Inputs.of(dataset, InputSettings(word_dimension=4), seed=0)
    rows = np.array([0, 4])  # the second has no description
    batch = DatasetInputs(dataset, inputs).batch(rows)
    assert batch.masks["sentence"].tolist() == [[True], [False]]
    text = dataset.videos["text"][0]
    post = Post(text=text, features={"sentence": encode_sentences(encoder_folder, [text])[0]})
    np.testing.assert_allclose(
        inputs.batch([post]).sequences["sentence"][0], batch.sequences["sentence"][0], atol=0.3
    )  # scaled by 1 / deviation, so float16's rounding is larger here


def edited(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def break_folder(folder: Path, how: str) -> None:
    if how == "no list of parts":
        (folder / "modules.json").unlink()
    elif how == "list broken":
        (folder / "modules.json").write_text("{")
    elif how == "part missing":
        shutil.rmtree(folder / "1_Pooling")
    elif how == "weights broken":
        (folder / "model.safetensors").write_bytes(b"x" * 100)
    elif how == "weights missing":
        change_weights(folder, {"encoder.layer.0.output.dense.weight": None})
    else:
        modules = json.loads((folder / "modules.json").read_text())
        modules[1]["type"] = "own_code.Pooling"
        (folder / "own_code.py").write_text("raise SystemExit('own code was run')")
        (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no list of parts", r"is no local sentence-transformers folder \(it has no modules\.json\)"),
        ("list broken", "a part of the model cannot be read"),
        ("part missing", "a part of the model cannot be read .*1_Pooling"),
        ("weights broken", "cannot be read as a sentence encoder"),
        ("weights missing", "lacks some of its model's weights"),
        ("own code", "cannot be read as a sentence encoder .*own_code"),
    ],
)
def test_a_folder_that_is_no_whole_model_stops_with_one_line(
    how: str, message: str, described: Path, encoder_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(encoder_folder, tmp_path / "broken")
    break_folder(folder, how)
    before = (described / "manifest.json").read_bytes()
    with pytest.raises(InputError, match=message) as caught:
        extract_sentences(described, folder)
    assert "\n" not in str(caught.value)
    assert (described / "manifest.json").read_bytes() == before


def test_a_name_that_is_no_folder_is_never_looked_up_elsewhere(
    described: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    with pytest.raises(InputError, match="sentence-transformers/all-MiniLM-L6-v2 is no local sentence-transformers"):
        extract_sentences(described, Path("sentence-transformers/all-MiniLM-L6-v2"))
    assert extract_sentences(described, encoder_folder)["failed"] == 0


def test_without_the_optional_part_the_command_to_install_it_is_named(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "sentence_transformers":
            raise ModuleNotFoundError("No module named 'sentence_transformers'")
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"No module named .*pip install 'v2ht\[sentences\]'"):
        encode_sentences(encoder_folder, ["x"])


def test_a_dataset_without_descriptions_stops(world: Dataset, encoder_folder: Path, tmp_path: Path) -> None:
    with_texts(world, ["", "  "]).save(tmp_path / "silent")
    with pytest.raises(InputError, match="no descriptions to encode"):
        extract_sentences(tmp_path / "silent", encoder_folder)
    assert "features" not in read_manifest(tmp_path / "silent")


def test_the_encoder_leaves_the_callers_random_numbers_alone(encoder_folder: Path) -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    encoder = SentenceEncoder(encoder_folder)
    encoder.check_whole()
    assert torch.equal(torch.rand(2), expected)
    assert sentences.MODALITY == encoder.modality == "sentence"


def test_a_run_reads_sentence_vectors_and_asks_for_their_encoder(
    described: Path, encoder_folder: Path, tmp_path: Path
) -> None:
    """From the command line: extract, train, recommend."""
    assert "have a text and its vector" in v2ht("extract", described, "--sentences", encoder_folder).stdout
    v2ht("graph", described)
    words = [part for word in [*SMALL, "epochs=1", "modalities=sentence,text"] for part in ("--set", word)]
    v2ht("train", described, "--model", "v2ht", "--out", tmp_path / "run", *words)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["modalities"] == ["sentence", "text"]
    message = v2ht("recommend", tmp_path / "run", "--text", "a dog", code=2).stderr
    assert "say with --sentences where their encoder's folder lies" in message
    shown = v2ht("recommend", tmp_path / "run", "--text", "a dog", "--sentences", encoder_folder, "--explain").stdout
    assert "sentence: what the text means" in shown
