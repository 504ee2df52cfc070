"""Log-mel steps and patches: tones and silence worked out by hand, the whole spectrogram as the twin, real sounds."""

import json
import pickle
import wave
from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.features import sound
from data.features.clip import ClipError
from data.features.extractors import make_extractor
from data.features.sound import GGM_SOUND, V2HT_SOUND, LogMel, MelPatches, StepSpectra, level, with_steps
from data.files import InputError

SOUNDS = [V2HT_SOUND, GGM_SOUND]


def tone(hertz: float, *, spectra: StepSpectra, seconds: float) -> np.ndarray:
    times = np.arange(round(seconds * spectra.sample_rate)) / spectra.sample_rate
    return np.sin(2 * np.pi * hertz * times).astype(np.float32)


def give_sound(monkeypatch: pytest.MonkeyPatch, waveform: np.ndarray | None) -> None:
    monkeypatch.setattr(sound, "decode_sound", lambda path, *, sample_rate: waveform)


def test_a_step_is_a_fifth_of_a_second_or_sixteen_spectra_of_ten_milliseconds() -> None:
    assert V2HT_SOUND.step_samples / V2HT_SOUND.sample_rate == 0.2
    assert (GGM_SOUND.hop / GGM_SOUND.sample_rate, GGM_SOUND.window / GGM_SOUND.sample_rate) == (0.01, 0.025)
    assert GGM_SOUND.step_samples == 16 * 160


@pytest.mark.parametrize("spectra", SOUNDS)
@pytest.mark.parametrize("hertz", [440.0, 3000.0])
def test_a_tone_is_loudest_in_the_band_of_its_frequency(spectra: StepSpectra, hertz: float) -> None:
    power = spectra.power(tone(hertz, spectra=spectra, seconds=1.0))
    centres = librosa.mel_frequencies(130, fmax=spectra.sample_rate / 2)[1:-1]
    assert (power.mean((0, 2)).argmax(), power.shape[1]) == (np.abs(centres - hertz).argmin(), 128)


def test_a_tone_that_begins_in_the_second_step_leaves_the_first_quieter() -> None:
    step = V2HT_SOUND.step_samples
    waveform = np.concatenate([np.zeros(2 * step, np.float32), tone(440, spectra=V2HT_SOUND, seconds=0.4)])
    loudest = level(V2HT_SOUND.power(waveform)).max((1, 2))
    assert loudest[0] == 0
    assert loudest[2] > 1.2


@pytest.mark.parametrize("spectra", SOUNDS)
def test_silence_is_zero_and_ten_times_the_amplitude_is_a_fifth_more(spectra: StepSpectra) -> None:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 20000).astype(np.float32)
    assert not level(spectra.power(np.zeros(20000, np.float32))).any()
    np.testing.assert_allclose(level(spectra.power(10 * noise)), level(spectra.power(noise)) + 0.2, atol=1e-5)


def whole_spectrogram(spectra: StepSpectra, waveform: np.ndarray) -> np.ndarray:
    """Transform the whole sound at once, cut it in steps: [all steps, 128, spectra of a step]."""
    steps = max(1, len(waveform) // spectra.step_samples)
    padded = np.pad(waveform, (0, 2 * spectra.step_samples + spectra.transform))
    mel = librosa.feature.melspectrogram(
        y=padded,
        sr=spectra.sample_rate,
        n_fft=spectra.transform,
        win_length=spectra.window,
        hop_length=spectra.hop,
        center=True,
        pad_mode="constant",
    )
    return np.stack([mel[:, i * spectra.per_step : (i + 1) * spectra.per_step] for i in range(steps)])


@settings(max_examples=20)
@given(
    spectra=st.sampled_from(SOUNDS), samples=st.integers(1, 40_000), most=st.integers(1, 12), seed=st.integers(0, 99)
)
def test_steps_are_those_of_the_whole_spectrogram(spectra: StepSpectra, samples: int, most: int, seed: int) -> None:
    waveform = np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)
    whole = whole_spectrogram(spectra, waveform)
    found = with_steps(spectra, most).power(waveform)
    chosen = [int((i + 0.5) * len(whole) / len(found)) for i in range(len(found))]
    assert len(found) == min(most, len(whole))
    np.testing.assert_allclose(found, whole[chosen], rtol=1e-3, atol=1e-5)


def test_sixty_steps_of_a_long_sound_are_the_middles_of_equal_parts() -> None:
    assert V2HT_SOUND._chosen(60).tolist() == list(range(60))
    assert V2HT_SOUND._chosen(120).tolist() == list(range(1, 120, 2))
    assert with_steps(V2HT_SOUND, 2)._chosen(5).tolist() == [1, 3]


def test_the_time_between_steps_of_a_long_sound_by_hand() -> None:
    step = V2HT_SOUND.step_samples
    assert V2HT_SOUND.seconds_apart(26 * step) == pytest.approx(0.2)
    assert V2HT_SOUND.seconds_apart(52 * 22050) == pytest.approx(52 / 60)
    assert V2HT_SOUND.seconds_apart(1) == pytest.approx(0.2)


@given(available=st.integers(1, 4000), most=st.integers(1, 64))
def test_chosen_steps_are_distinct_in_order_and_evenly_spaced(available: int, most: int) -> None:
    chosen = with_steps(V2HT_SOUND, most)._chosen(available)
    assert len(chosen) == min(available, most)
    assert 0 <= chosen[0] <= chosen[-1] < available
    gaps = np.diff(chosen)
    assert (gaps >= 1).all()
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_log_mel_is_the_level_of_the_mean_power(monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = np.random.default_rng(0).uniform(-1, 1, 3 * V2HT_SOUND.step_samples + 50).astype(np.float32)
    give_sound(monkeypatch, waveform)
    power = whole_spectrogram(V2HT_SOUND, waveform)
    expected = (10 * np.log10(power.mean(2)) + 100) / 100
    np.testing.assert_allclose(LogMel()(Path("x")), expected, atol=1e-4)


def test_patches_hold_sixteen_bands_times_sixteen_spectra(monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = np.random.default_rng(0).uniform(-1, 1, 3 * GGM_SOUND.step_samples).astype(np.float32)
    give_sound(monkeypatch, waveform)
    patches, levels = MelPatches()(Path("x")), level(whole_spectrogram(GGM_SOUND, waveform))
    assert patches.shape == (3, 8, 256)
    for patch in range(8):
        for band in range(16):
            piece = patches[:, patch, 16 * band : 16 * band + 16]
            np.testing.assert_allclose(piece, levels[:, 16 * patch + band], atol=1e-4)


@pytest.mark.parametrize("preparation", [LogMel(), MelPatches()])
@pytest.mark.parametrize("waveform", [None, np.zeros(0, np.float32)])
def test_no_sound_has_no_steps(monkeypatch: pytest.MonkeyPatch, preparation: LogMel, waveform: np.ndarray) -> None:
    give_sound(monkeypatch, waveform)
    assert preparation(Path("x")).shape in {(0, 128), (0, 8, 256)}


def test_samples_that_are_not_numbers_are_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    give_sound(monkeypatch, np.array([0, np.nan], np.float32))
    with pytest.raises(ClipError, match=r"x\.wav has sound samples that are not numbers") as caught:
        LogMel()(Path("x.wav"))
    assert caught.value.cause == "damaged"


def test_a_file_is_decoded_at_the_rate_of_the_extractor(tmp_path: Path) -> None:
    """A tone in an 8 kHz stereo file keeps its frequency and its length."""
    path = tmp_path / "tone.wav"
    samples = (np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000) * 20000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.repeat(samples, 2).tobytes())
    for name, spectra in (("log_mel", V2HT_SOUND), ("mel_patches", GGM_SOUND)):
        prepared = make_extractor(name, weights="random").preparation()(path)
        assert abs(len(prepared) - 8000 / 8000 * spectra.sample_rate / spectra.step_samples) <= 1
    centres = librosa.mel_frequencies(130, fmax=11025)[1:-1]
    assert LogMel()(path).mean(0).argmax() == np.abs(centres - 1000).argmin()


@pytest.mark.parametrize("name", ["log_mel", "mel_patches"])
def test_librosa_is_compiled_before_a_file_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    plain = librosa.feature.melspectrogram
    monkeypatch.setattr(librosa.feature, "melspectrogram", lambda **words: called.append(name) or plain(**words))
    sound.compile_for.cache_clear()
    for _ in range(2):
        make_extractor(name, weights="random").preparation()
    assert called == [name]


@pytest.mark.parametrize(
    ("name", "modality", "shape"), [("log_mel", "acoustic", (128,)), ("mel_patches", "sound_patches", (8, 256))]
)
def test_sound_extractors(name: str, modality: str, shape: tuple[int, ...]) -> None:
    extractor = make_extractor(name, weights="random", frames=7)
    assert (extractor.name, extractor.modality, extractor.step_shape) == (name, modality, shape)
    facts = extractor.settings()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert (facts["steps"], facts["weights"], facts["weights_fingerprint"]) == (7, "none", "none")
    assert facts != make_extractor(name, weights="random").settings()
    preparation = extractor.preparation()
    assert pickle.loads(pickle.dumps(preparation)) == preparation  # noqa: S301
    prepared = [np.full((2, *shape), 0.5, np.float32), np.zeros((0, *shape), np.float32)]
    encoded = extractor.encode(prepared)
    assert [(array.dtype, array.shape) for array in encoded] == [(np.float16, array.shape) for array in prepared]
    assert (encoded[0] == 0.5).all()
    with pytest.raises(ValueError, match=r"sound is \[2, 3\]"):
        extractor.encode([np.zeros((2, 3), np.float32)])
    with pytest.raises(InputError, match="no image size"):
        make_extractor(name, weights="random", size=224)
    with pytest.raises(InputError, match="frames is 0; give 1 or more"):
        make_extractor(name, weights="random", frames=0)


def test_real_clips_and_sounds(real_data: Path) -> None:
    """Steps follow from the lengths that the list gives; the clip without a sound track has none."""
    seconds = {"robin_bird.ogg": 2.7, "humpback_whale.ogg": 64.8, "friday.mp4": 6.2, "stream_of_water.webm": 3.1}
    files = sorted(path for kind in ("video", "audio") for path in (real_data / "clips" / kind).iterdir())
    assert len(files) == 14
    for name, spectra in (("log_mel", V2HT_SOUND), ("mel_patches", GGM_SOUND)):
        extractor = make_extractor(name, weights="random")
        for path in files:
            steps = extractor.encode([extractor.preparation()(path)])[0]
            assert np.isfinite(steps).all()
            assert (len(steps) == 0) == (path.name == "dog_eating_noaudio.mp4")
            assert steps.any() == (path.name not in {"dog_eating_noaudio.mp4", "flower.mp4"})  # flower's is silence
            if path.name in seconds:
                expected = seconds[path.name] * spectra.sample_rate / spectra.step_samples
                assert abs(len(steps) - min(expected, spectra.steps)) <= 1.5
