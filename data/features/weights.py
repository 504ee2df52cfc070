"""Weights of the visual networks: pretrained, from a file, or random; filled in key by key, known by a fingerprint."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from data.files import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

DEFAULT, RANDOM = "default", "random"
RANDOM_SEED = 0
_DRAWING = Lock()  # threads share torch's random state
WAYS_OUT = "give a local copy with --weights PATH, or choose untrained ones with --weights random"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network without its classifier, in evaluation mode, and what its images must look like."""

    module: nn.Module  # holds the weights
    steps: Callable[[Tensor], Tensor]  # runs it: normalised images [B, 3, size, size] -> [B, *step_shape]
    size: int  # pixels
    mean: tuple[float, float, float]  # of pixels in [0, 1], red, green, blue
    std: tuple[float, float, float]
    source: str  # `random`, or where the weights come from: a name of torchvision's, a file, a folder (not its place)


@contextmanager
def seeded() -> Iterator[None]:
    """Draw weights from a fixed seed and leave the caller's random state as it was."""
    import torch

    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' notes and progress bars off the terminal: what matters of them is raised."""
    from transformers.utils import logging as transformers_logging

    loggers = [logging.getLogger(name) for name in ("transformers", "sentence_transformers")]
    levels = [logger.level for logger in loggers]
    had_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if had_bars:
            transformers_logging.enable_progress_bar()


def download(pretrained: Any) -> dict[str, Tensor]:
    """Return a state dict of torchvision's, from its cache or the network (hash checked).

    Raises `InputError` with the two ways out when it cannot be had. Progress goes to standard error.
    """
    try:
        with redirect_stdout(sys.stderr):  # standard output belongs to the command's own results
            state: dict[str, Tensor] = pretrained.get_state_dict(
                progress=True, check_hash=True, weights_only=True, map_location="cpu"
            )
    except Exception as error:  # no network, a proxy's page, a full disk: whatever it is, there are no weights
        text = " ".join(str(error).split())
        raise InputError(f"the pretrained weights {pretrained} cannot be downloaded ({text}); {WAYS_OUT}") from None
    return state


def read_state(path: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, or of a torch file that holds a state dict and nothing else.

    Raises `InputError` when the file is missing, cannot be read, or holds other things.
    """
    import torch
    from safetensors.torch import load_file

    if not Path(path).is_file():
        raise InputError(f"--weights {path} is no file; {WAYS_OUT}")
    try:
        if Path(path).suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)  # never runs code that a file brings
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be read as weights ({text}); save a state dict as safetensors") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"{path} does not hold a state dict (name -> tensor); save model.state_dict() alone")
    return state


def fill(module: nn.Module, state: Mapping[str, Tensor], *, source: str, unused: tuple[str, ...] = ()) -> None:
    """Copy `state` into `module`; keys that begin with one of `unused` belong to a classifier and are left out.

    Raises `InputError` that names the first key which is missing, unexpected or of another shape.
    """
    own = module.state_dict()
    given = {key: value for key, value in state.items() if not key.startswith(unused)}
    for key, value in own.items():
        if key not in given and not _is_counter(key):
            raise InputError(f"{source} lacks {key!r}; give weights of torchvision's network of this name")
        if key in given and given[key].shape != value.shape:
            found, expected = list(given[key].shape), list(value.shape)
            raise InputError(f"{source} has {key!r} of shape {found}, expected {expected}; it is of another network")
    unexpected = next((key for key in given if key not in own), None)
    if unexpected is not None:
        raise InputError(f"{source} has {unexpected!r}, which the network does not; it is of another network")
    module.load_state_dict(given, strict=False)  # strict but for the counters, which older files lack


def fingerprint(module: nn.Module) -> str:
    """Return a hexadecimal digest (32 digits) of the names, types, shapes and values that decide the output."""
    digest = hashlib.blake2b(digest_size=16)
    for key, value in sorted(module.state_dict().items()):
        if not _is_counter(key):
            digest.update(f"{key} {value.dtype} {list(value.shape)}\0".encode())
            digest.update(value.contiguous().numpy())
    return digest.hexdigest()


def _is_counter(key: str) -> bool:
    """Batch normalisation counts its training batches there; nothing in evaluation mode reads it."""
    return key.endswith(".num_batches_tracked")
