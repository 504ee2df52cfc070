"""Networks over frames: twins made with the libraries alone, weights from everywhere, what is refused."""

import json
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from clips import write_clip
from data.features import torchvision_models, visual, weights
from data.features.clip import GGM_FRAMES, UHMAN_FRAMES, V2HT_FRAMES, Sampling
from data.features.extractors import EXTRACTORS, Extractor, make_extractor
from data.features.torchvision_models import import_torchvision
from data.features.visual import FrameExtractor, with_frames
from data.features.weights import Network
from data.files import InputError
from v2ht.serving.clips import ClipReader

import_torchvision()
from torchvision.models import resnet50  # noqa: E402
from torchvision.transforms.functional import normalize  # noqa: E402
from transformers import ViTConfig, ViTForImageClassification  # noqa: E402

SMALL = {"resnet50": 32, "inception_v3": 139, "vit": 32}  # pixels
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something asked for the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@cache
def small(name: str) -> Extractor:
    return make_extractor(name, weights="random", frames=2, size=SMALL[name])


def frames(count: int, size: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def toy(steps: Callable[[torch.Tensor], torch.Tensor], *, mean: float = 0.0, std: float = 1.0) -> FrameExtractor:
    """Return an extractor whose "network" is `steps` of 4 x 4 images."""
    network = Network(
        module=torch.nn.Identity(), steps=steps, size=4, mean=(mean,) * 3, std=(std,) * 3, source="made up"
    )
    return FrameExtractor("toy", network, modality="visual", sampling=V2HT_FRAMES)


@pytest.mark.parametrize(
    ("name", "modality", "size", "shape", "sampling", "colours"),
    [
        ("resnet50", "visual", 224, (2048,), {"frames": 40}, IMAGENET),
        ("inception_v3", "regions", 299, (64, 2048), {"frames": 60, "per_second": 5, "up_to_seconds": 12}, IMAGENET),
        ("vit", "patches", 224, (197, 768), {"frames": 15, "per_second": 2, "up_to_seconds": 7}, HALF),
    ],
)
def test_the_papers_networks(
    name: str, modality: str, size: int, shape: tuple[int, ...], sampling: dict[str, int], colours: dict[str, list]
) -> None:
    torch.manual_seed(1)  # what stands here must not matter
    before = torch.get_rng_state()
    extractor = make_extractor(name, weights="random")
    assert torch.equal(torch.get_rng_state(), before)
    assert (extractor.name, extractor.modality, extractor.step_shape) == (name, modality, shape)
    facts = extractor.settings()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert {**facts, **colours, "extractor": name, "size": size, "sampling": sampling, "weights": "random"} == facts
    preparation = extractor.preparation()
    assert pickle.loads(pickle.dumps(preparation)) == preparation  # noqa: S301
    torch.manual_seed(2)
    if name != "vit":  # a vit of another size has other position embeddings
        assert facts["weights_fingerprint"] == small(name).settings()["weights_fingerprint"]


def plain_resnet50(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    return output_of(network.layer4, network, images).mean((2, 3))


def plain_inception_v3(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    regions = output_of(network.Mixed_7c, network, images)
    side = regions.shape[-1]
    return torch.stack([regions[:, :, row, column] for row in range(side) for column in range(side)], dim=1)


def plain_vit(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    return output_of(network.layernorm, network, images)


def output_of(part: torch.nn.Module, network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Run the network in float32 and return what `part` gave on the way."""
    found: list[torch.Tensor] = []
    hook = part.register_forward_hook(lambda module, inputs, output: found.append(output))
    dtype = next(network.parameters()).dtype
    network.float()(images)
    network.to(dtype)
    hook.remove()
    return found[0]


@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "vit"])
def test_features_equal_those_of_the_library_in_float32(name: str) -> None:
    """The twin runs frame by frame in float32 over the same (rounded) weights: what differs is rounding on the way."""
    plain = {"resnet50": plain_resnet50, "inception_v3": plain_inception_v3, "vit": plain_vit}[name]
    video, colours = frames(2, SMALL[name]), HALF if name == "vit" else IMAGENET
    encoded = small(name).encode([video])[0].astype(np.float32)
    with torch.no_grad():
        for frame, found in zip(video, encoded, strict=True):
            image = normalize(torch.from_numpy(frame).permute(2, 0, 1) / 255, **colours)
            expected = plain(small(name)._network.module, image[None])[0].numpy()  # type: ignore[attr-defined]
            assert expected.shape == found.shape == small(name).step_shape
            error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
            assert error < (0.03 if visual.precision() == "bfloat16" else 2e-3)


@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "vit"])
def test_random_networks_tell_images_apart(name: str) -> None:
    """Finite in float16, and far more apart for two images than rounding puts them."""
    size = SMALL[name]
    plain = np.stack([np.full((size, size, 3), value, np.uint8) for value in (30, 220)])
    steps = small(name).encode([np.concatenate([plain, frames(2, size)])])[0].astype(np.float32).reshape(4, -1)
    assert np.isfinite(steps).all()
    assert 0.05 < steps.std() < 500  # neither died out nor blew up on the way
    for one in range(4):
        for other in range(one):
            assert np.linalg.norm(steps[one] - steps[other]) > 0.02 * np.linalg.norm(steps[one])


@settings(max_examples=12)
@given(lengths=st.lists(st.integers(0, 20), max_size=4), seed=st.integers(0, 99))
def test_a_video_does_not_depend_on_its_neighbours(lengths: list[int], seed: int) -> None:
    extractor = small("resnet50")
    videos = [frames(length, 32, seed=seed + i) for i, length in enumerate(lengths)]
    together = extractor.encode(videos)
    assert [(steps.dtype, steps.shape) for steps in together] == [(np.float16, (length, 2048)) for length in lengths]
    for video, steps in zip(videos, together, strict=True):
        alone = [extractor.encode([video[i : i + 1]])[0] for i in range(min(len(video), 3))]
        for single, step in zip(alone, steps, strict=False):
            wide = single.astype(np.float32)
            np.testing.assert_allclose(wide[0], step.astype(np.float32), atol=0.02 * wide.std())


def test_threads_load_one_network_of_the_same_random_weights(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", frames=4, rate=4)
    record = {"visual": {"settings": json.loads(json.dumps(small("resnet50").settings()))}}
    alone = ClipReader(record, ["visual"]).read(tmp_path / "clip.mp4")[0]["visual"]
    shared = ClipReader(record, ["visual"])
    with ThreadPoolExecutor(4) as pool:
        for features, _ in pool.map(shared.read, [tmp_path / "clip.mp4"] * 4):
            np.testing.assert_array_equal(features["visual"], alone)


def test_pixels_are_normalised_by_colour_before_the_network() -> None:
    """(1 - 0.5) / 0.25 = 2 for white, -2 for black; red, green and blue stay in that order."""
    video = np.zeros((17, 4, 4, 3), np.uint8)
    video[:, :, :, 1] = 255
    video[16, :, :, 2] = 255
    encoded = toy(lambda images: images.mean((2, 3)), mean=0.5, std=0.25).encode([video[:16], video[16:]])
    assert encoded[0].tolist() == [[-2, 2, -2]] * 16
    assert encoded[1].tolist() == [[-2, 2, 2]]


def test_what_encode_refuses_and_what_it_passes_on() -> None:
    extractor = toy(lambda images: images.mean((2, 3)) * 1e6)
    assert extractor.encode([]) == []
    assert np.isinf(extractor.encode([frames(1, 4)])[0]).all()  # beyond float16, for the caller to see
    for wrong in (frames(1, 5), frames(1, 4).astype(np.float32), frames(1, 4)[0]):
        with pytest.raises(ValueError, match=r"expected uint8 \[T, 4, 4, 3\]; use preparation"):
            extractor.encode([wrong])


def test_another_number_of_frames_keeps_the_rate() -> None:
    assert with_frames(UHMAN_FRAMES, 30) == Sampling(frames=30, per_second=5, up_to_seconds=6)
    assert with_frames(GGM_FRAMES, None) == GGM_FRAMES
    assert with_frames(V2HT_FRAMES, 8) == Sampling(frames=8)
    with pytest.raises(InputError, match="frames is 0; give 1 or more"):
        with_frames(V2HT_FRAMES, 0)


def test_unknown_names_and_sizes_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=f"'resnet' is unknown; choose one of {', '.join(EXTRACTORS)}"):
        make_extractor("resnet", weights="random")
    for name, size, least in (("resnet50", 31, "32 x 32"), ("inception_v3", 74, "75 x 75")):
        with pytest.raises(InputError, match=f"{name} needs images of at least {least} pixels, size is {size}"):
            make_extractor(name, weights="random", size=size)
    with pytest.raises(InputError, match="multiple of its patch, 16 pixels, found 40"):
        make_extractor("vit", weights="random", size=40)


@pytest.fixture(scope="module")
def trained_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a whole ResNet-50 as torchvision saves it: with a classifier, here without the training counters."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    state = resnet50(weights=None).state_dict()
    torch.save({key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}, path)
    return path


def test_default_weights_are_downloaded(
    trained_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same weights give the same numbers and fingerprint wherever they come from; other weights do not."""

    def fake(url: str, destination: str, hash_prefix: str, progress: bool) -> None:
        assert hash_prefix == "0676ba61"
        os.symlink(trained_file, destination)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fake)
    default = make_extractor("resnet50", weights="default", size=32)
    assert capsys.readouterr().out == ""
    assert default.settings()["weights"] == "torchvision ResNet50_Weights.IMAGENET1K_V1"
    again = make_extractor("resnet50", weights=str(trained_file), size=32)
    assert again.settings() == {**default.settings(), "weights": "file resnet50.pth"}
    assert again.settings()["weights_fingerprint"] != small("resnet50").settings()["weights_fingerprint"]
    video = frames(1, 32)
    assert (default.encode([video])[0] == again.encode([video])[0]).all()
    assert (default.encode([video])[0] != small("resnet50").encode([video])[0]).any()


@pytest.mark.parametrize("name", ["resnet50", "inception_v3"])
def test_without_the_pretrained_weights_it_stops_and_names_two_ways_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(InputError, match=r"cannot be downloaded .*--weights PATH.*--weights random") as caught:
        make_extractor(name, weights="default")
    assert "\n" not in str(caught.value)


def test_vit_has_no_download() -> None:
    with pytest.raises(InputError, match=r"vit's pretrained weights are not downloaded.*Hugging Face folder"):
        make_extractor("vit", weights="default")


class Code:
    """What a hostile file would hold: unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    broken, hostile, other = tmp_path / "broken.safetensors", tmp_path / "hostile.pt", tmp_path / "other.pt"
    with pytest.raises(InputError, match=r"missing\.pt is no file; give a local copy"):
        weights.read_state(str(tmp_path / "missing.pt"))
    for path in (broken, tmp_path / "broken.pt"):
        path.write_bytes(b"not weights at all")
        with pytest.raises(InputError, match=f"{path.name} cannot be read as weights"):
            weights.read_state(str(path))
    torch.save({"weight": Code(tmp_path / "made")}, hostile)
    with pytest.raises(InputError, match=r"hostile\.pt cannot be read as weights") as caught:
        weights.read_state(str(hostile))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "made").exists()
    torch.save({"epoch": 3, "state_dict": {}}, other)
    with pytest.raises(InputError, match=r"other\.pt does not hold a state dict"):
        weights.read_state(str(other))


def layers() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))


def test_filling_names_the_first_key_that_does_not_fit(tmp_path: Path) -> None:
    state = {key: value + 1 for key, value in layers().state_dict().items()}
    without = {key: value for key, value in state.items() if key != "1.running_var"}
    wrong = {**state, "0.weight": torch.zeros(3, 5)}
    for broken, message in (
        (without, r"F lacks '1\.running_var'"),
        ({**state, "2.bias": torch.zeros(1)}, r"F has '2\.bias', which the network does not"),
        (wrong, r"F has '0\.weight' of shape \[3, 5\], expected \[3, 2\]"),
    ):
        with pytest.raises(InputError, match=message):
            weights.fill(layers(), broken, source="F")
    module = layers()
    save_file(state, tmp_path / "a.safetensors")
    read = weights.read_state(str(tmp_path / "a.safetensors"))
    weights.fill(module, {**read, "head.x": torch.zeros(1)}, source="F", unused=("head.",))
    for key, value in module.state_dict().items():
        assert torch.equal(value, state[key])


def test_the_fingerprint_sees_every_value_but_the_counter() -> None:
    module = layers()
    first = weights.fingerprint(module)
    module[1].num_batches_tracked += 1
    assert weights.fingerprint(module) == first
    seen = {first}
    for key, value in module.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            value.view(-1)[-1] += 1
            seen.add(weights.fingerprint(module))
    assert len(seen) == 7


def test_the_wrong_network_is_refused(trained_file: Path) -> None:
    with pytest.raises(InputError, match=r"resnet50\.pth lacks 'Conv2d_1a_3x3\.conv\.weight'"):
        make_extractor("inception_v3", weights=str(trained_file))
    with pytest.raises(InputError, match=r"resnet50\.pth is no Hugging Face folder \(it has no config\.json\)"):
        make_extractor("vit", weights=str(trained_file))


@pytest.fixture
def vit_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Path:
    """Return the folder of a small ViT with a classifier, as published ones are."""
    torch.manual_seed(3)
    config = ViTConfig(
        image_size=32, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40, patch_size=8
    )
    ViTForImageClassification(config).save_pretrained(tmp_path)
    capfd.readouterr()
    return tmp_path


def test_vit_from_a_folder(vit_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    normalisation = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.9, 0.8, 0.7]}
    (vit_folder / "preprocessor_config.json").write_text(json.dumps(normalisation))
    extractor = make_extractor("vit", weights=str(vit_folder))
    assert capfd.readouterr() == ("", "")
    assert (extractor.step_shape, extractor.settings()["weights"]) == ((17, 24), f"folder {vit_folder.name}")
    assert (extractor.settings()["mean"], extractor.settings()["std"]) == ([0.1, 0.2, 0.3], [0.9, 0.8, 0.7])
    own = ViTForImageClassification.from_pretrained(vit_folder).eval()
    image = normalize(torch.from_numpy(frames(1, 32)[0]).permute(2, 0, 1) / 255, [0.1, 0.2, 0.3], [0.9, 0.8, 0.7])
    with torch.no_grad():
        expected = own.vit(image[None]).last_hidden_state.numpy()
    found = extractor.encode([frames(1, 32)])[0].astype(np.float32)
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)
    larger = make_extractor("vit", weights=str(vit_folder), size=48)
    assert larger.step_shape == (37, 24)
    assert larger.settings()["weights_fingerprint"] == extractor.settings()["weights_fingerprint"]


def test_a_folder_that_is_no_whole_vit(vit_folder: Path) -> None:
    state = load_file(vit_folder / "model.safetensors")
    gone = next(key for key in sorted(state) if "layernorm_before.weight" in key)
    save_file({k: v for k, v in state.items() if k != gone}, vit_folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 'layers\.0\.layernorm_before\.weight'; save it again"):
        make_extractor("vit", weights=str(vit_folder))
    (vit_folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read as a ViT") as caught:
        make_extractor("vit", weights=str(vit_folder))
    assert "\n" not in str(caught.value)
    (vit_folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="has model_type 'bert', expected 'vit'"):
        make_extractor("vit", weights=str(vit_folder))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"image_mean": [0.5, 0.5]}, r"image_mean or image_std \[0\.5, 0\.5\], expected three numbers"),
        ({"image_std": [0.5, 0, 0.5]}, "expected numbers above 0"),
    ],
)
def test_a_folder_with_a_broken_normalisation(vit_folder: Path, content: dict[str, object], message: str) -> None:
    (vit_folder / "preprocessor_config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        make_extractor("vit", weights=str(vit_folder))


FRESH = """
import sys, pickle, warnings
warnings.simplefilter("error")
from pathlib import Path
from data.features.extractors import EXTRACTORS
from data.features.clip import V2HT_FRAMES
from data.features.visual import FramePreparation
preparation = pickle.loads(pickle.dumps(FramePreparation(sampling=V2HT_FRAMES, size=32)))
try:
    preparation(Path("missing.mp4"))
except ValueError as error:
    print(type(error).__name__)
print("torch" in sys.modules)
from data.features.torchvision_models import import_torchvision
print(import_torchvision() is import_torchvision() is sys.modules["torchvision"])
"""


def test_worker_processes_need_no_torch_and_torchvision_imports_without_warnings() -> None:
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["ClipError", "False", "True"], "")


def test_operators_are_defined_only_where_they_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    defined: list[str] = []
    monkeypatch.setattr(torchvision_models, "_define_operators", lambda: defined.append("nms"))
    assert import_torchvision().__name__ == "torchvision"  # it is imported: nothing to define
    assert defined == []

    def lacking(name: str) -> str:
        if not defined:
            raise RuntimeError("operator torchvision::nms does not exist")
        return name

    monkeypatch.setattr(torchvision_models.importlib, "import_module", lacking)
    assert import_torchvision() == "torchvision"
    assert defined == ["nms"]

    def other(name: str) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(torchvision_models.importlib, "import_module", other)
    with pytest.raises(RuntimeError, match="something else"):
        import_torchvision()
    assert defined == ["nms"]


def test_real_clips(real_data: Path) -> None:
    """Every clip gives different features, of its own number of frames."""
    clips = sorted((real_data / "clips" / "video").iterdir())
    assert len(clips) == 7
    extractor = make_extractor("resnet50", weights="random", frames=3, size=64)
    prepared = [extractor.preparation()(clip) for clip in clips]
    assert {array.shape for array in prepared} == {(3, 64, 64, 3)}
    means = [steps.astype(np.float32).mean(0) for steps in extractor.encode(prepared)]
    distances = [np.linalg.norm(a - b) / np.linalg.norm(a) for i, a in enumerate(means) for b in means[:i]]
    assert min(distances) > 0.02
