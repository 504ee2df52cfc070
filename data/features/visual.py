"""Frames of clips through a network: decoded in worker processes, encoded in batches that span videos.

Shapes: B frames of a batch, S pixels of the square image's side, T frames of a video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.features.clip import Sampling, sample_frames
from data.features.weights import Network, fingerprint

if TYPE_CHECKING:
    import torch

FRAMES_PER_BATCH = 16  # on one core 8 and 16 cost the same a frame, 32 fall out of the cache


@dataclass(frozen=True, kw_only=True)
class FramePreparation:
    """Decode a clip to its sampled frames, uint8 [T, size, size, 3]. Runs in a worker process, so: no torch here."""

    sampling: Sampling
    size: int

    def __call__(self, path: Path) -> np.ndarray:
        return sample_frames(path, self.sampling, size=self.size).images


def with_frames(sampling: Sampling, frames: int | None) -> Sampling:
    """Return a sampling of `frames` uniform frames; a rate stays, for clips that are shorter in the same proportion.

    So 30 instead of UHMAN's 60 frames are 5 a second up to 6 instead of 12 s. Raises `InputError` as `Sampling` does.
    """
    if frames is None:
        return sampling
    return replace(sampling, frames=frames, up_to_seconds=sampling.up_to_seconds * frames / sampling.frames)


def precision() -> str:
    """Return the precision that networks run in: bfloat16 where the processor multiplies it, else float32."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


class FrameExtractor:
    """One of the visual networks as an `Extractor`.

    Weights are rounded to `precision()` once. A frame's features depend on the other frames of its batch only by the
    rounding of kernels chosen for the batch's size: at most 2 % of the features' standard deviation.
    """

    def __init__(self, name: str, network: Network, *, modality: str, sampling: Sampling) -> None:
        import torch

        self.name, self.modality = name, modality
        self._network, self._sampling = network, sampling
        self._fingerprint = fingerprint(network.module)  # of the weights as given, whatever the processor
        self._dtype: torch.dtype = getattr(torch, precision())
        network.module.to(dtype=self._dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        blank_BSS3 = np.zeros((1, network.size, network.size, 3), np.uint8)
        self.step_shape: tuple[int, ...] = self._steps(blank_BSS3).shape[1:]

    def settings(self) -> dict[str, Any]:
        """Return everything that changes the numbers, as JSON."""
        sampling = {key: value for key, value in asdict(self._sampling).items() if value is not None}
        return {
            "extractor": self.name,
            "size": self._network.size,
            "sampling": {key: value for key, value in sampling.items() if not isinf(value)},
            "mean": list(self._network.mean),
            "std": list(self._network.std),
            "precision": precision(),
            "weights": self._network.source,
            "weights_fingerprint": self._fingerprint,
        }

    def preparation(self) -> Callable[[Path], np.ndarray]:
        return FramePreparation(sampling=self._sampling, size=self._network.size)

    def encode(self, prepared: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return float16 [T, *step_shape] for each video's frames, uint8 [T, S, S, 3]; T may be 0.

        A feature beyond float16 is infinite here: the caller refuses that video alone. Raises ValueError for frames of
        another type or size.
        """
        size = self._network.size
        for frames_TSS3 in prepared:
            if frames_TSS3.dtype != np.uint8 or frames_TSS3.shape[1:] != (size, size, 3):
                found = f"{frames_TSS3.dtype} {list(frames_TSS3.shape)}"
                raise ValueError(f"frames are {found}, expected uint8 [T, {size}, {size}, 3]; use preparation()")
        if not prepared:
            return []
        frames_NSS3 = np.concatenate(prepared)
        encoded = np.empty((len(frames_NSS3), *self.step_shape), np.float16)
        for start in range(0, len(encoded), FRAMES_PER_BATCH):
            encoded[start : start + FRAMES_PER_BATCH] = self._steps(frames_NSS3[start : start + FRAMES_PER_BATCH])
        return np.split(encoded, np.cumsum([len(frames) for frames in prepared])[:-1])

    def _steps(self, frames_BSS3: np.ndarray) -> np.ndarray:
        """Run the network over one batch: uint8 -> float16 [B, *step_shape]."""
        import torch

        std_3 = torch.tensor(self._network.std)
        with torch.inference_mode():
            images_BSS3 = torch.from_numpy(frames_BSS3) / (255 * std_3) - torch.tensor(self._network.mean) / std_3
            images_B3SS = images_BSS3.permute(0, 3, 1, 2)  # a view, and just what "channels last" means
            steps: np.ndarray = self._network.steps(images_B3SS.to(self._dtype)).to(torch.float16).numpy()
        return steps
