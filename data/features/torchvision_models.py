"""ResNet-50 and Inception-v3 of torchvision without their classifiers, and the one door through which to import it."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from data.features.weights import DEFAULT, RANDOM, Network, download, fill, read_state, seeded
from data.files import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.library import Library

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1], red, green, blue
INCEPTION_SIZE = 299  # gives 8 x 8 regions; 75 is the least that reaches the last block


def import_torchvision() -> ModuleType:
    """Return torchvision; import it here first wherever it or transformers' vision models are used.

    The CPU build of torch has no use for torchvision's compiled operators and cannot load them where they are linked
    to CUDA; torchvision then stops at describing two that do not exist. Only in that case their schemas are defined,
    without code, which no model here calls.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    _define_operators()
    return importlib.import_module("torchvision")


@cache  # a library that is forgotten takes its definitions with it
def _define_operators() -> Library:
    from torch.library import Library

    library = Library("torchvision", "DEF")
    boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    library.define(f"nms{boxes}")
    library.define(f"qnms{boxes}")
    return library


def resnet50(weights: str, size: int | None) -> Network:
    """Return ResNet-50 up to its pooling: images [B, 3, size, size] -> [B, 2048] (V2HT 4.2). Any size from 32 on.

    Raises `InputError` as `weights.download`, `weights.read_state` and `weights.fill` do, or when `size` is too small.
    """
    import torch

    import_torchvision()
    from torchvision.models import ResNet50_Weights, resnet50

    size = _checked_size("resnet50", 224 if size is None else size, least=32)
    with seeded():
        module = resnet50(weights=None)
    module.fc = torch.nn.Identity()
    source = _load(module, weights, pretrained=ResNet50_Weights.IMAGENET1K_V1, classifiers=("fc.",))
    return Network(module=module.eval(), steps=module, size=size, mean=MEAN, std=STD, source=source)


def inception_v3(weights: str, size: int | None) -> Network:
    """Return Inception-v3 up to Mixed_7c: images [B, 3, 299, 299] -> regions [B, 64, 2048], row by row (UHMAN 2.2).

    Smaller sizes, down to 75, give fewer regions. Raises `InputError` as `resnet50` does.
    """
    import torch

    import_torchvision()
    from torchvision.models import Inception_V3_Weights, inception_v3

    size = _checked_size("inception_v3", INCEPTION_SIZE if size is None else size, least=75)
    with seeded():
        module = inception_v3(weights=None, aux_logits=False, transform_input=True, init_weights=False)
        _kaiming(module)
    module.avgpool = module.dropout = module.fc = torch.nn.Identity()

    def steps(images_B3SS: Tensor) -> Tensor:
        """Undo the network's own flattening, [B, 2048 * regions] -> [B, regions, 2048]."""
        flat_BF: Tensor = module(images_B3SS)
        return flat_BF.unflatten(1, (2048, -1)).transpose(1, 2)

    classifiers = ("fc.", "AuxLogits.")
    source = _load(module, weights, pretrained=Inception_V3_Weights.IMAGENET1K_V1, classifiers=classifiers)
    return Network(module=module.eval(), steps=steps, size=size, mean=MEAN, std=STD, source=source)


def _checked_size(name: str, size: int, *, least: int) -> int:
    if size < least:
        raise InputError(f"{name} needs images of at least {least} x {least} pixels, size is {size}; give a larger one")
    return size


def _load(module: nn.Module, weights: str, *, pretrained: object, classifiers: tuple[str, ...]) -> str:
    """Fill the module by what `weights` says, unless it is to stay random; return the source's name."""
    if weights == RANDOM:
        return RANDOM
    state = download(pretrained) if weights == DEFAULT else read_state(weights)
    fill(module, state, source=weights, unused=classifiers)
    return f"torchvision {pretrained}" if weights == DEFAULT else f"file {Path(weights).name}"


def _kaiming(module: nn.Module) -> None:
    """Draw the convolutions anew: torch's own start shrinks, torchvision's blows up what passes 40 of them."""
    from torch import nn

    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
