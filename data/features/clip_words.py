"""Word vectors of CLIP's text side: a start for hashtags and descriptions that has seen images (GGM 3.2).

The model is a Hugging Face folder (config.json, tokenizer.json, safetensors); nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.features.torchvision_models import import_torchvision
from data.features.weights import quiet
from data.files import InputError, read_json
from data.word_vectors import WordVectors

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 256  # words encoded together


def clip_word_vectors(folder: Path, words: Set[str]) -> WordVectors:
    """Return CLIP's text embedding of each word, of length one, in the space that it shares with images.

    Raises `InputError` when the folder holds no whole CLIP with its tokenizer.
    """
    folder = Path(folder)
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in ("clip", "clip_text_model"):
        raise InputError(f"word_vectors={folder} holds a model of type {kind!r}, expected a CLIP; give another folder")
    ordered = sorted(words)
    if not ordered:
        raise InputError("the train split has no words to look up; import descriptions, or leave word_vectors out")
    return WordVectors(words=ordered, matrix=_encoded(folder, ordered))


def _encoded(folder: Path, words: list[str]) -> np.ndarray:
    import torch
    from tokenizers import Tokenizer

    import_torchvision()  # transformers imports it
    from transformers import CLIPTextModelWithProjection

    loaded: Any
    try:
        with quiet():
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            loaded = CLIPTextModelWithProjection.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except Exception as error:  # tokenizers raises plain Exception
        text = " ".join(str(error).split())[:200]
        raise InputError(f"word_vectors={folder} holds no whole CLIP ({text}); give another folder") from None
    model, report = loaded
    if report["missing_keys"]:
        raise InputError(f"word_vectors={folder} lacks {min(report['missing_keys'])}; give the folder of a whole CLIP")
    tokenizer.enable_truncation(model.config.max_position_embeddings)
    tokenizer.enable_padding(pad_id=model.config.eos_token_id)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(words), BATCH):
            encodings = tokenizer.encode_batch(words[start : start + BATCH])
            ids, mask = (torch.tensor([getattr(row, name) for row in encodings]) for name in ("ids", "attention_mask"))
            found: Tensor = model(input_ids=ids, attention_mask=mask).text_embeds
            parts.append(torch.nn.functional.normalize(found, dim=1).numpy())
    return np.concatenate(parts).astype(np.float32)
