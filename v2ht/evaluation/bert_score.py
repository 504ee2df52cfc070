"""BERTScore (Zhang et al., ICLR 2020): texts compared by the contextual vectors of their tokens.

Shapes: N pairs of texts, P and R tokens of a candidate and of a reference, D dimensions.
The encoder is a local Hugging Face folder; nothing is downloaded, and no code that a folder brings is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.features.torchvision_models import import_torchvision
from data.features.weights import quiet
from data.files import InputError, file_fingerprint, read_json

BATCH = 64  # texts


class BertScore:
    """F1 of BERTScore with the last hidden layer of the encoder in `folder`.

    Departs from the bert-score package: special tokens take part nowhere (there they have no weight, but can be
    matched), the layer is the last one (there a table of published encoders says which), no rescaling by a baseline.
    A text with more tokens than the encoder has places for is cut there.

    Raises `InputError` when the folder holds no whole encoder with its tokenizer.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._fingerprint = encoder_fingerprint(self._folder)
        self._tokenizer, self._model = _load(self._folder)
        places = int(getattr(self._model.config, "max_position_embeddings", self._tokenizer.model_max_length))
        self._places = min(int(self._tokenizer.model_max_length), places)

    def settings(self) -> dict[str, str]:
        """Return what decides the numbers, as JSON."""
        return {"encoder": self._folder.resolve().name, "fingerprint": self._fingerprint, "layer": "last"}

    def f1(self, candidates: Sequence[str], references: Sequence[str]) -> np.ndarray:
        """Return float64 [N]. A text without tokens has 0."""
        texts = sorted({*candidates, *references} - {""}, key=lambda text: (len(text), text))
        vectors = {"": np.empty((0, 0)), **dict(zip(texts, self._encode(texts), strict=True))}
        pairs = zip(candidates, references, strict=True)
        return np.array([greedy_f1(vectors[candidate], vectors[reference]) for candidate, reference in pairs])

    def _encode(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """Yield each text's token vectors, float64 [tokens, D], without special tokens."""
        import torch

        for start in range(0, len(texts), BATCH):
            batch = self._tokenizer(
                texts[start : start + BATCH],
                padding=True,
                truncation=True,
                max_length=self._places,
                return_special_tokens_mask=True,
                return_tensors="pt",
            )
            words_BT = ~batch.pop("special_tokens_mask").bool()  # padding counts as special
            with torch.inference_mode():
                hidden_BTD = self._model(**batch).last_hidden_state
            for hidden_TD, words_T in zip(hidden_BTD, words_BT, strict=True):
                yield hidden_TD[words_T].double().numpy()


def greedy_f1(candidate_PD: np.ndarray, reference_RD: np.ndarray) -> float:
    """Return 2PR / (P + R) of the two greedy matchings by cosine (section 3); 0 unless P and R are positive.

    P is the mean over the candidate's tokens of the best cosine with a token of the reference, R the reverse.
    """
    if not len(candidate_PD) or not len(reference_RD):
        return 0.0
    cosines_PR = _unit(candidate_PD) @ _unit(reference_RD).T
    precision, recall = float(cosines_PR.max(axis=1).mean()), float(cosines_PR.max(axis=0).mean())
    return 2 * precision * recall / (precision + recall) if min(precision, recall) > 0 else 0.0


def encoder_fingerprint(folder: Path) -> str:
    """Return a hexadecimal digest (32 digits) of the folder's files; notes (.md) may change."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} is no Hugging Face folder (it has no config.json); give a local encoder's folder")
    files = (path for path in folder.iterdir() if path.is_file())
    return file_fingerprint(sorted(path for path in files if path.suffix != ".md" and not path.name.startswith(".")))


def _load(folder: Path) -> tuple[Any, Any]:
    """Read the tokenizer and the model; nothing may be missing but a pooler, which is not used."""
    import torch

    import_torchvision()  # transformers imports it
    from transformers import AutoModel, AutoTokenizer

    if read_json(folder / "config.json").get("is_encoder_decoder"):
        raise InputError(f"{folder} holds an encoder with a decoder, BERTScore needs an encoder alone; give another")
    here = {"local_files_only": True, "trust_remote_code": False}
    weights = {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), **here)
            model, found = AutoModel.from_pretrained(str(folder), **weights, **here)
    except Exception as error:  # files missing, broken or of other shapes: the library has an error for each
        text = " ".join(str(error).split())[:200]
        raise InputError(
            f"{folder} cannot be read as an encoder ({text}); save it again with save_pretrained"
        ) from None
    missing = [key for key in found["missing_keys"] if not key.startswith("pooler.")]
    if missing:  # the library would go on with random ones
        raise InputError(f"{folder} lacks {min(missing)!r}; save it again with save_pretrained")
    if tokenizer.pad_token is None:
        raise InputError(f"{folder}: its tokenizer has no padding token; set one and save it again")
    return tokenizer, model.eval()


def _unit(vectors_TD: np.ndarray) -> np.ndarray:
    return vectors_TD / np.maximum(np.linalg.norm(vectors_TD, axis=1, keepdims=True), np.finfo(np.float64).tiny)
