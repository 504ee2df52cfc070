"""Starts from local folders: a BART for the generator, a CLIP's text side for words. Both tiny, random, made here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from data.features.clip_words import clip_word_vectors
from data.features.torchvision_models import import_torchvision
from data.files import InputError
from test_battery import planted_dataset
from test_ggm_training import plan, write_planted
from v2ht.bundle import Bundle
from v2ht.inputs import Post
from v2ht.models.ggm.generator import pretrained_bart
from v2ht.models.ggm.tokens import HashtagTokenizer
from v2ht.serving.writer import Writer
from v2ht.training.train import Plan, train


def write_tokenizer(folder: Path, *, special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["so dog here cat look rain today car"], trainer)
    first, last = (token for token in special if token != "<pad>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


@pytest.fixture(scope="module")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_torchvision()
    from transformers import BartConfig, BartForConditionalGeneration

    folder = tmp_path_factory.mktemp("bart")
    tokenizer = write_tokenizer(folder, special=["<s>", "<pad>", "</s>"])
    config = BartConfig(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
    )
    torch.manual_seed(0)
    BartForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_torchvision()
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    tokenizer = write_tokenizer(folder, special=["<|startoftext|>", "<|endoftext|>"])
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    small["projection_dim"] = 8
    text = {
        **small,
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": 16,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    vision = {**small, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    return folder


def test_the_generator_starts_from_the_folders_weights(bart: Path) -> None:
    tokenizer = HashtagTokenizer.of_folder(bart)
    config, weights = pretrained_bart(bart, tokenizer)
    stored = load_file(bart / "model.safetensors")
    assert len(tokenizer) == config.vocab_size == stored["model.shared.weight"].shape[0] + 1
    assert torch.equal(weights["token.weight"][:-1], stored["model.shared.weight"])
    name = "decoder.layers.0.encoder_attn.k_proj.weight"
    assert torch.equal(weights[name], stored[f"model.{name}"])
    assert (tokenizer.bos, tokenizer.pad, tokenizer.eos, tokenizer.sep) == (0, 1, 2, len(tokenizer) - 1)


def test_a_run_from_a_bart_trains_and_no_longer_needs_the_folder(bart: Path, tmp_path: Path) -> None:
    folder = write_planted(tmp_path / "posts", planted_dataset(features=True))
    moved = tmp_path / "bart"
    moved.mkdir()
    for path in bart.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    train(folder, tmp_path / "run", plan("epochs=1", "generator_epochs=1", f"text_model={moved}", "text_tokens=20"))
    for path in moved.iterdir():
        path.unlink()
    assert len(Writer(tmp_path / "run").write([Post(text="my dog")], 2)[0]) <= 2
    start = load_file(bart / "model.safetensors")["model.encoder.layers.0.fc1.weight"]
    trained = load_file(tmp_path / "run" / "generator" / "model.safetensors")["encoder.layers.0.fc1.weight"]
    assert 0 < float((trained - start).abs().max()) < 0.2


def test_a_folder_that_is_no_whole_bart_is_named(bart: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.json does not exist; give a whole folder"):
        HashtagTokenizer.of_folder(tmp_path)
    tokenizer = HashtagTokenizer.of_folder(bart)
    with pytest.raises(InputError, match=r"text_model=.* holds no BART \("):
        pretrained_bart(tmp_path, tokenizer)
    for path in bart.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(bart / "model.safetensors")
    del weights["model.decoder.layers.0.fc1.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks model\.decoder\.layers\.0\.fc1\.weight; give the folder of a whole"):
        pretrained_bart(tmp_path, tokenizer)


def test_word_vectors_are_the_clips_text_embeddings(clip: Path) -> None:
    """Each word as `get_text_features` of the whole CLIP embeds it, of length one, whatever stands beside it."""
    from transformers import CLIPModel

    vectors = clip_word_vectors(clip, {"rain", "dog", "supercalifragilistic"})
    assert vectors.words == ["dog", "rain", "supercalifragilistic"]
    assert vectors.dimension == 8
    np.testing.assert_allclose(np.linalg.norm(vectors.matrix, axis=1), 1, rtol=1e-5)
    model, tokenizer = CLIPModel.from_pretrained(clip).eval(), Tokenizer.from_file(str(clip / "tokenizer.json"))
    with torch.inference_mode():
        hidden = model.text_model(input_ids=torch.tensor([tokenizer.encode("dog").ids])).pooler_output
        expected = torch.nn.functional.normalize(model.text_projection(hidden), dim=1)[0]
    np.testing.assert_allclose(vectors.matrix[0], expected.numpy(), atol=1e-5)


def test_a_run_starts_from_a_clip_and_carries_its_vectors(clip: Path, tmp_path: Path) -> None:
    folder = write_planted(tmp_path / "posts", planted_dataset(features=True))
    words = [f"word_vectors={clip}", "epochs=1", "generator_epochs=1"]
    settings = ["dim=16", "width=32", "layers=1", "heads=2", "vocabulary=320", "guidance_folds=2"]
    train(folder, tmp_path / "run", Plan.of("ggm", [*settings, *words], seed=0))
    vectors = Bundle.load(tmp_path / "run").inputs.word_vectors
    dog = vectors.words.index("dog")
    np.testing.assert_array_equal(vectors.matrix[dog], clip_word_vectors(clip, {*vectors.words}).matrix[dog])


def test_a_folder_that_is_no_clip_is_named(bart: Path, clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds a model of type 'bart', expected a CLIP; give another folder"):
        clip_word_vectors(bart, {"dog"})
    with pytest.raises(InputError, match=r"config\.json does not exist"):
        clip_word_vectors(tmp_path, {"dog"})
    (tmp_path / "config.json").write_bytes((clip / "config.json").read_bytes())
    with pytest.raises(InputError, match=r"holds no whole CLIP \("):
        clip_word_vectors(tmp_path, {"dog"})
