"""What makes features of clips: the contract, and the one list of extractors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from data.features.clip import GGM_FRAMES, UHMAN_FRAMES, V2HT_FRAMES, Sampling
from data.features.sound import (
    GGM_SOUND,
    MEL_BANDS,
    PATCH,
    V2HT_SOUND,
    LogMel,
    MelPatches,
    SoundExtractor,
    with_steps,
)
from data.features.torchvision_models import inception_v3, resnet50
from data.features.visual import FrameExtractor, with_frames
from data.features.vit import vit
from data.features.weights import DEFAULT, RANDOM, Network
from data.files import InputError


class Extractor(Protocol):
    """Files to sequences of steps, in two halves: `preparation` in worker processes, `encode` in the main one."""

    name: str
    modality: str  # key of `Dataset.features`
    step_shape: tuple[int, ...]

    def settings(self) -> dict[str, Any]:
        """Return everything that changes the numbers, as JSON, with `weights` and `weights_fingerprint`."""
        ...

    def preparation(self) -> Callable[[Path], np.ndarray]:
        """Return a picklable function that decodes a file to [T, ...]; T may be 0. It may raise `ClipError`."""
        ...

    def encode(self, prepared: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return float16 [T, *step_shape] for each video's prepared array."""
        ...


Maker = Callable[[str, int | None, int | None], Extractor]  # weights, frames, size


def _visual(name: str, build: Callable[[str, int | None], Network], *, modality: str, sampling: Sampling) -> Maker:
    def make(weights: str, frames: int | None, size: int | None) -> Extractor:
        chosen = with_frames(sampling, frames)
        return FrameExtractor(name, build(weights, size), modality=modality, sampling=chosen)

    return make


def _log_mel(weights: str, frames: int | None, size: int | None) -> Extractor:
    _no_size("log_mel", size)
    preparation = LogMel(spectra=with_steps(V2HT_SOUND, frames))
    return SoundExtractor("log_mel", preparation, modality="acoustic", step_shape=(MEL_BANDS,))


def _mel_patches(weights: str, frames: int | None, size: int | None) -> Extractor:
    _no_size("mel_patches", size)
    preparation = MelPatches(spectra=with_steps(GGM_SOUND, frames))
    shape = (MEL_BANDS // PATCH, PATCH * PATCH)
    return SoundExtractor("mel_patches", preparation, modality="sound_patches", step_shape=shape)


def _no_size(name: str, size: int | None) -> None:
    if size is not None:
        raise InputError(f"{name} makes features of sound, which has no image size; leave size {size} out")


EXTRACTORS: dict[str, Maker] = {
    "resnet50": _visual("resnet50", resnet50, modality="visual", sampling=V2HT_FRAMES),
    "inception_v3": _visual("inception_v3", inception_v3, modality="regions", sampling=UHMAN_FRAMES),
    "vit": _visual("vit", vit, modality="patches", sampling=GGM_FRAMES),
    "log_mel": _log_mel,
    "mel_patches": _mel_patches,
}


def make_extractor(name: str, *, weights: str, frames: int | None = None, size: int | None = None) -> Extractor:
    """Make an extractor, its weights loaded.

    Args:
        name: a key of `EXTRACTORS`.
        weights: `default` (torchvision's pretrained ones, downloaded once), the path of a file (for `vit` of a
            Hugging Face folder), or `random` (a fixed seed). Sound has none; the argument then changes nothing.
        frames: steps of a clip at most, instead of the paper's number.
        size: pixels of the square image's side, instead of what the network was trained with: `resnet50` takes any
            from 32 on, `inception_v3` from 75 on (only 299 gives 64 regions), `vit` multiples of its patch.

    Raises `InputError` for an unknown name, weights that cannot be had, or a size or number that does not fit.
    """
    if name not in EXTRACTORS:
        raise InputError(f"extractor {name!r} is unknown; choose one of {', '.join(EXTRACTORS)}")
    return EXTRACTORS[name](weights, frames, size)


def remake_extractor(settings: Mapping[str, Any], *, weights: str | None = None) -> Extractor:
    """Make the extractor whose `settings()` were recorded, for clips that come later.

    Args:
        settings: as recorded.
        weights: where the file or folder of weights lies now, of which the record keeps name and fingerprint; it may
            have another name. Without use where the recorded weights came from no file.

    The precision may differ: it is that of this processor. Raises `InputError` when the extractor made now would give
    other numbers than the recorded one, and says why.
    """
    name, source = str(settings.get("extractor")), str(settings.get("weights"))
    if not source.startswith(("file ", "folder ")):
        weights = RANDOM if source == RANDOM else DEFAULT
    elif weights is None:
        raise InputError(f"{name} used the weights of {source}; say with --weights where they lie now")
    frames = settings["sampling"]["frames"] if "sampling" in settings else settings.get("steps")
    extractor = make_extractor(name, weights=weights, frames=frames, size=settings.get("size"))
    found = json.loads(json.dumps(extractor.settings()))
    for key in sorted({*found, *settings} - {"precision", "weights"}):
        if found.get(key) != settings.get(key):
            raise InputError(
                f"{name} was made with {key} {settings.get(key)}, here it is {found.get(key)}; extract again"
            )
    return extractor
