"""Sound as log-mel steps: a 128-d vector per 0.2 s (V2HT 4.2), or patches for a transformer (GGM 3.2).

Shapes: N samples, T steps, M mel bands (128), S spectra of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from data.features.clip import ClipError, decode_sound
from data.files import InputError

MEL_BANDS = 128
PATCH = 16  # mel bands, and spectra, of a patch
FLOOR = 1e-10  # power that counts as silence; the largest is about 1e4


@dataclass(frozen=True, kw_only=True)
class StepSpectra:
    """How sound becomes steps: short spectra, a fixed number for each step, of at most `steps` steps of a clip."""

    sample_rate: int  # hertz
    window: int  # samples of a spectrum (Hann)
    transform: int  # samples of the Fourier transform, the window padded with zeros
    hop: int  # samples from one spectrum to the next
    per_step: int  # spectra
    steps: int

    @property
    def step_samples(self) -> int:
        return self.hop * self.per_step

    @property
    def step_seconds(self) -> float:
        return self.step_samples / self.sample_rate

    def seconds_apart(self, samples: int) -> float:
        """Return the mean time from one chosen step of so many samples to the next: a step, or more of a long sound."""
        available = max(1, samples // self.step_samples)
        return self.step_seconds * available / min(available, self.steps)

    def power(self, waveform_N: np.ndarray) -> np.ndarray:
        """Return the mel power of each step, float32 [T, M, S], for mono sound in [-1, 1].

        A sound of more than `steps` whole steps gives `steps` of them, the middles of equal parts; a shorter one all
        of its whole steps, at least one if it has a sample. Only the chosen steps are transformed. Spectrum i of a
        step is centred i hops after its start; beyond the sound's ends there is silence.
        """
        import librosa  # takes two seconds

        if not len(waveform_N):
            return np.zeros((0, MEL_BANDS, self.per_step), np.float32)
        starts_T = self._chosen(max(1, len(waveform_N) // self.step_samples)) * self.step_samples
        half = self.transform // 2
        padded = np.pad(waveform_N, (half, half + self.step_samples))
        pieces_TN = padded[starts_T[:, None] + np.arange((self.per_step - 1) * self.hop + self.transform)]
        power_TMS: np.ndarray = librosa.feature.melspectrogram(
            y=pieces_TN,
            sr=self.sample_rate,
            n_fft=self.transform,
            win_length=self.window,
            hop_length=self.hop,
            center=False,
            n_mels=MEL_BANDS,
        )
        return power_TMS

    def _chosen(self, available: int) -> np.ndarray:
        """Return ascending numbers of steps: all, or the middles of `steps` equal parts."""
        count = min(available, self.steps)
        return (2 * np.arange(count) + 1) * available // (2 * count)

    def of(self, path: Path) -> np.ndarray:
        """Return `power` of a file, with no steps where it has no sound stream. Raises `ClipError`."""
        waveform_N = decode_sound(path, sample_rate=self.sample_rate)
        if waveform_N is None:
            return self.power(np.zeros(0, np.float32))
        if not np.isfinite(waveform_N).all():
            raise ClipError("damaged", f"{path} has sound samples that are not numbers; get the file again")
        return self.power(waveform_N)


V2HT_SOUND = StepSpectra(sample_rate=22050, window=2048, transform=2048, hop=441, per_step=10, steps=60)
GGM_SOUND = StepSpectra(sample_rate=16000, window=400, transform=1024, hop=160, per_step=PATCH, steps=64)


def level(power: np.ndarray) -> np.ndarray:
    """Return the level in units of 100 decibels above `FLOOR`, the same shape: silence is 0, full scale about 1.4."""
    import librosa

    decibels: np.ndarray = librosa.power_to_db(power, ref=FLOOR, amin=FLOOR, top_db=None)
    return np.maximum(decibels, 0) / 100  # the logarithm rounds: silence itself may come out as -1e-5


@cache
def compile_for(spectra: StepSpectra) -> None:
    """Let librosa make its machine code, and keep it where it can: the first time takes a minute on a slow machine."""
    level(spectra.power(np.zeros(spectra.step_samples, np.float32)))


class SoundPreparation(Protocol):
    """Decode a file's sound to its features. Runs in a worker process."""

    @property
    def spectra(self) -> StepSpectra: ...

    def __call__(self, path: Path) -> np.ndarray: ...


@dataclass(frozen=True, kw_only=True)
class LogMel:
    """The level of each step's mean mel power, float32 [T, 128]."""

    spectra: StepSpectra = V2HT_SOUND

    def __call__(self, path: Path) -> np.ndarray:
        return level(self.spectra.of(path).mean(2))


@dataclass(frozen=True, kw_only=True)
class MelPatches:
    """The levels of each step's spectra, cut in 16 x 16 patches from low to high: float32 [T, 8, 256].

    A patch holds 16 mel bands times 16 spectra, band by band. Patches do not overlap.
    """

    spectra: StepSpectra = GGM_SOUND

    def __call__(self, path: Path) -> np.ndarray:
        level_TMS = level(self.spectra.of(path))
        return level_TMS.reshape(len(level_TMS), MEL_BANDS // PATCH, PATCH * PATCH)


class SoundExtractor:
    """Sound features as an `Extractor`. All work is done where the file is decoded; there are no weights."""

    def __init__(self, name: str, preparation: SoundPreparation, *, modality: str, step_shape: tuple[int, ...]) -> None:
        self.name, self.modality, self.step_shape = name, modality, step_shape
        self._preparation = preparation

    def settings(self) -> dict[str, Any]:
        """Return everything that changes the numbers, as JSON."""
        spectra = asdict(self._preparation.spectra)
        return {
            "extractor": self.name,
            **spectra,
            "mel_bands": MEL_BANDS,
            "floor": FLOOR,
            "weights": "none",
            "weights_fingerprint": "none",
        }

    def preparation(self) -> Callable[[Path], np.ndarray]:
        """Return what reads a file. Compiles what it calls, so that it does not count as time that a file took."""
        compile_for(self._preparation.spectra)
        return self._preparation

    def encode(self, prepared: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return what was prepared as float16 [T, *step_shape]. Raises ValueError for another shape."""
        for steps in prepared:
            if steps.shape[1:] != self.step_shape:
                raise ValueError(f"sound is {list(steps.shape)}, expected [T, *{self.step_shape}]; use preparation()")
        return [steps.astype(np.float16) for steps in prepared]


def with_steps(spectra: StepSpectra, steps: int | None) -> StepSpectra:
    """Return the spectra with at most `steps` steps. Raises `InputError` below one."""
    if steps is None:
        return spectra
    if steps < 1:
        raise InputError(f"frames is {steps}; give 1 or more")
    return replace(spectra, steps=steps)
