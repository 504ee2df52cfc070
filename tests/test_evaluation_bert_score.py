"""BERTScore: a value by hand, the definition written out on a tiny random encoder, folders that cannot be used."""

import json
import shutil
import string
from pathlib import Path

import numpy as np
import pytest

from data.files import InputError
from data.hashtags import words
from v2ht.evaluation.bert_score import BertScore, encoder_fingerprint, greedy_f1
from v2ht.evaluation.generation import GenerationInput, compare_generation, evaluate_generation, generation_table

TEXTS = ["cat dog", "dog cat", "coldweather", "cats", "a", "dog dog dog", "phở"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a random BERT of one layer and 16 dimensions that reads letter by letter, 12 at most."""
    import torch

    from data.features.torchvision_models import import_torchvision

    import_torchvision()
    from transformers import BertConfig, BertModel, BertTokenizerFast

    found = tmp_path_factory.mktemp("bert") / "tiny-bert"
    letters = string.ascii_lowercase
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (found.parent / "vocab.txt").write_text("\n".join(tokens))
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        BertModel(BertConfig(vocab_size=len(tokens), max_position_embeddings=14, **shape)).save_pretrained(found)
    BertTokenizerFast(vocab=str(found.parent / "vocab.txt")).save_pretrained(found)
    return found


def by_definition(folder: Path, candidate: str, reference: str) -> float:
    """Zhang et al., section 3, one text and one token at a time."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def vectors(text: str) -> list[torch.Tensor]:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        return list(states[1:-1])  # between [CLS] and [SEP]

    def best(token: torch.Tensor, others: list[torch.Tensor]) -> float:
        return max(float(token @ other / (token.norm() * other.norm())) for other in others)

    x, y = vectors(candidate), vectors(reference)
    precision, recall = sum(best(t, y) for t in x) / len(x), sum(best(t, x) for t in y) / len(y)
    return 2 * precision * recall / (precision + recall)


def test_greedy_matching_by_hand():
    candidate, reference = np.array([[2.0, 0], [0, 1]]), np.array([[3.0, 0]])
    assert greedy_f1(candidate, reference) == pytest.approx(2 * 0.5 * 1 / 1.5)  # P = (1 + 0) / 2, R = 1
    assert greedy_f1(reference, candidate) == pytest.approx(2 * 0.5 * 1 / 1.5)
    assert greedy_f1(np.empty((0, 2)), reference) == 0
    assert greedy_f1(-reference, reference) == 0
    assert greedy_f1(np.zeros((1, 2)), reference) == 0


def test_it_equals_the_definition_whatever_is_encoded_together(folder):
    pairs = [(candidate, reference) for candidate in TEXTS for reference in TEXTS]
    candidates, references = zip(*pairs, strict=True)
    expected = [by_definition(folder, *pair) for pair in pairs]
    score = BertScore(folder)
    np.testing.assert_allclose(score.f1(candidates, references), expected, atol=1e-6)
    np.testing.assert_allclose(score.f1(candidates[:1], references[:1]), expected[:1], atol=1e-6)
    assert np.std(expected) > 0.01
    assert score.f1(["cat", ""], ["cat", "cat"]) == pytest.approx([1, 0])


def test_a_text_longer_than_the_encoder_is_cut(folder):
    assert BertScore(folder).f1(["a" * 12], ["a" * 40]) == pytest.approx([1])


def test_the_number_comes_with_the_encoders_name_and_fingerprint(folder):
    given = GenerationInput(
        generated=[["cat", "dog"], [], ["cat"]],
        truth=[["dog", "cat"], ["cat"], []],
        descriptions=[""] * 3,
        train_hashtags=(),
        unseen_hashtags=(),
        words=words,
        seed=0,
    )
    found = evaluate_generation(given, bert_folder=folder)
    assert found.per_video["bert_score"].shape == (2,)
    assert found.per_video["bert_score"][1] == 0
    assert found.summary["bert_score"] == found.per_video["bert_score"].mean() > 0
    fingerprint = encoder_fingerprint(folder)
    assert found.summary["settings"]["bert"] == {"encoder": "tiny-bert", "fingerprint": fingerprint, "layer": "last"}
    table = generation_table({"ggm": found.summary}, decoding="beam size 5").text()
    assert f"BERTScore of tiny-bert ({fingerprint}), last layer" in table
    compared = compare_generation({"a": found, "b": found}, seed=0)
    assert compared["systems"]["b"]["bert_score"]["p"] == 1
    with pytest.raises(InputError, match=r"b was evaluated with bert None, a with .*tiny-bert"):
        compare_generation({"a": found, "b": evaluate_generation(given)}, seed=0)


def test_the_fingerprint_is_of_the_contents(folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "README.md").write_text("a note")
    assert encoder_fingerprint(copy) == encoder_fingerprint(folder)
    with (copy / "model.safetensors").open("ab") as target:
        target.write(b" ")
    assert encoder_fingerprint(copy) != encoder_fingerprint(folder)


def test_folders_that_cannot_be_used(folder, tmp_path):
    with pytest.raises(InputError, match=r"nowhere is no Hugging Face folder \(it has no config.json\)"):
        BertScore(tmp_path / "nowhere")
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:500])
    with pytest.raises(InputError, match=r"broken cannot be read as an encoder"):
        BertScore(broken)
    config = json.loads((folder / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "is_encoder_decoder": True}))
    with pytest.raises(InputError, match=r"broken holds an encoder with a decoder"):
        BertScore(broken)


def test_missing_weights_are_refused_not_drawn(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    weights = load_file(broken / "model.safetensors")
    key = "encoder.layer.0.output.dense.weight"
    save_file(
        {name: value for name, value in weights.items() if name != key}, broken / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(InputError, match=f"broken lacks '{key}'"):
        BertScore(broken)
    save_file(
        {n: v for n, v in weights.items() if not n.startswith("pooler.")},
        broken / "model.safetensors",
        {"format": "pt"},
    )
    np.testing.assert_array_equal(BertScore(broken).f1(["cat"], ["dog"]), BertScore(folder).f1(["cat"], ["dog"]))
