"""Extractors made again from what a run records: the same numbers, or a line that says why not."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.features.extractors import Extractor, make_extractor, remake_extractor
from data.features.torchvision_models import import_torchvision
from data.files import InputError

import_torchvision()
from transformers import ViTConfig, ViTModel  # noqa: E402


def recorded(extractor: Extractor) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(extractor.settings()))
    return content


@pytest.fixture
def vit_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Path:
    torch.manual_seed(3)
    config = ViTConfig(
        image_size=32, hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=40, patch_size=8
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "first")
    capfd.readouterr()
    return tmp_path / "first"


@pytest.mark.parametrize(("name", "size"), [("resnet50", 32), ("log_mel", None), ("mel_patches", None)])
def test_without_a_file_of_weights_it_needs_none_and_ignores_one(name: str, size: int | None) -> None:
    first = make_extractor(name, weights="random", frames=3, size=size)
    again = remake_extractor(recorded(first), weights="somebody's weights")
    assert again.settings() == first.settings()
    assert again.preparation() == first.preparation()


def test_it_gives_the_same_features() -> None:
    first = make_extractor("resnet50", weights="random", frames=2, size=32)
    frames = np.random.default_rng(0).integers(0, 256, size=(2, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(remake_extractor(recorded(first)).encode([frames])[0], first.encode([frames])[0])


def test_weights_of_a_folder_must_be_named_and_be_the_same(vit_folder: Path) -> None:
    settings = recorded(make_extractor("vit", weights=str(vit_folder)))
    with pytest.raises(InputError, match=r"vit used the weights of folder first; say with --weights where they lie"):
        remake_extractor(settings)
    moved = vit_folder.rename(vit_folder.with_name("moved"))
    assert remake_extractor(settings, weights=str(moved)).settings()["weights"] == "folder moved"
    other = vit_folder.with_name("other")
    shutil.copytree(moved, other)
    changed = ViTModel.from_pretrained(other, add_pooling_layer=False)
    with torch.no_grad():
        changed.embeddings.cls_token += 1
    changed.save_pretrained(other)
    with pytest.raises(InputError, match=r"vit was made with weights_fingerprint \w+, here it is \w+; extract again"):
        remake_extractor(settings, weights=str(other))


def test_a_setting_that_this_version_makes_otherwise_is_named() -> None:
    settings = recorded(make_extractor("log_mel", weights="random")) | {"mel_bands": 64}
    with pytest.raises(InputError, match="log_mel was made with mel_bands 64, here it is 128; extract again"):
        remake_extractor(settings)


def test_another_processors_precision_is_no_hindrance() -> None:
    settings = recorded(make_extractor("resnet50", weights="random", size=32)) | {"precision": "float8"}
    assert remake_extractor(settings).settings()["size"] == 32
