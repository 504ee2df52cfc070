"""The vision transformer of transformers: every patch of a frame as a vector (GGM 3.2)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.features.torchvision_models import import_torchvision
from data.features.weights import DEFAULT, RANDOM, WAYS_OUT, Network, quiet, seeded
from data.files import InputError, read_json

if TYPE_CHECKING:
    from torch import Tensor

HALF = (0.5, 0.5, 0.5)  # mean and deviation for the published ViT-base; a folder's preprocessor_config.json comes first


def vit(weights: str, size: int | None) -> Network:
    """Return ViT-base: images [B, 3, 224, 224] -> last hidden states [B, 197, 768], class token first.

    `weights` is `random` or a Hugging Face folder of a ViT, whose own dimensions count. A `size` other than the
    folder's interpolates its position embeddings. Raises `InputError` for `default` (nothing is downloaded), a folder
    that holds no whole ViT, or a size that is no multiple of the patch.
    """
    import_torchvision()  # transformers imports it
    module = _random(size or 224) if weights == RANDOM else _from_folder(weights)
    trained, patch = module.config.image_size, module.config.patch_size
    size = trained if size is None else size
    if size < patch or size % patch:
        raise InputError(f"vit needs a size that is a multiple of its patch, {patch} pixels, found {size}; change it")

    def steps(images_B3SS: Tensor) -> Tensor:
        states_BPD: Tensor = module(images_B3SS, interpolate_pos_encoding=size != trained).last_hidden_state
        return states_BPD

    mean, std = (HALF, HALF) if weights == RANDOM else _normalisation(Path(weights))
    source = RANDOM if weights == RANDOM else f"folder {Path(weights).resolve().name}"
    return Network(module=module.eval(), steps=steps, size=size, mean=mean, std=std, source=source)


def _random(size: int) -> Any:
    from transformers import ViTConfig, ViTModel

    with seeded():
        return ViTModel(ViTConfig(image_size=size), add_pooling_layer=False)


def _from_folder(weights: str) -> Any:
    """Read a folder; nothing may be missing from it, a classifier and a pooler may be left over."""
    import torch
    from transformers import ViTModel

    if weights == DEFAULT:
        raise InputError(f"vit's pretrained weights are not downloaded here; {WAYS_OUT} (PATH: a Hugging Face folder)")
    if not (Path(weights) / "config.json").is_file():
        raise InputError(f"{weights} is no Hugging Face folder (it has no config.json); {WAYS_OUT}")
    kind = read_json(Path(weights) / "config.json").get("model_type")
    if kind != "vit":
        raise InputError(f"{weights}/config.json has model_type {kind!r}, expected 'vit'; give the folder of a ViT")
    try:
        with quiet():
            loaded: Any = ViTModel.from_pretrained(
                weights, add_pooling_layer=False, local_files_only=True, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:  # files missing, broken or of other shapes: the library has an error for each
        text = " ".join(str(error).split())[:200]
        raise InputError(f"{weights} cannot be read as a ViT ({text}); save it again with save_pretrained") from None
    module, found = loaded
    if found["missing_keys"]:  # the library would go on with random ones
        raise InputError(f"{weights} lacks {min(found['missing_keys'])!r}; save it again with save_pretrained")
    return module


def _normalisation(folder: Path) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and deviation of pixels in [0, 1] that the folder's network was trained with."""
    file = folder / "preprocessor_config.json"
    if not file.exists():
        return HALF, HALF
    content = read_json(file)
    numbers = [content.get(key, HALF) for key in ("image_mean", "image_std")]
    for found in numbers:
        if not (isinstance(found, list | tuple) and len(found) == 3 and all(isinstance(x, int | float) for x in found)):
            raise InputError(f"{file} has image_mean or image_std {found!r}, expected three numbers; correct it")
    mean, std = (tuple(map(float, found)) for found in numbers)
    if min(std) <= 0:
        raise InputError(f"{file} has image_std {list(std)}, expected numbers above 0; correct it")
    return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
