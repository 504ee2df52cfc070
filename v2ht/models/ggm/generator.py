"""The generator: from a video, its description and guidance hashtags to written hashtags (GGM, ACL 2023, section 3.2).

Shapes: B videos, L tokens of a prompt, T steps of frames, A steps of sound, F features, S written tokens, H hashtags,
G vector of a hashtag, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.features.torchvision_models import import_torchvision
from data.features.weights import quiet
from data.files import InputError
from v2ht.inputs import Batch
from v2ht.models.ggm.settings import FRAMES, SOUND, Writes
from v2ht.models.ggm.tokens import IGNORED, HashtagTokenizer, Prompts
from v2ht.nn.steps import with_stand_in
from v2ht.nn.user import UserEncoder

LONGEST = 512  # tokens of a prompt or of an output, from scratch
TINY = 1e-12  # least probability whose logarithm is taken


class CrossModalAttention(nn.Module):
    """CAM(x W_Q, y W_K, y W_V) + x (equations 3 and 4): x asks, y answers, x stays.

    Equation 3 lets the frames ask and the sound answer; the sentence beside it says the reverse. The formula is kept:
    what attention returns has as many steps as what asks, and only then can the frames be added to it.
    """

    def __init__(self, *, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)

    def forward(self, asking_BLD: Tensor, answering_BTD: Tensor, real_BT: Tensor) -> Tensor:
        """Return the grounded steps, [B, L, D]; at least one answering step of each video is real."""
        found_BLD, _ = self.attention(
            asking_BLD, answering_BTD, answering_BTD, key_padding_mask=~real_BT, need_weights=False
        )
        grounded_BLD: Tensor = found_BLD + asking_BLD
        return grounded_BLD


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What the decoder reads of B videos, and what it may copy."""

    states_BLD: Tensor
    real_BL: Tensor  # bool
    tokens_BL: Tensor | None = None  # of the prompt at each step, -1 where nothing can be copied; None: no copying
    keys_BLD: Tensor | None = None  # of copying

    def __len__(self) -> int:
        return len(self.states_BLD)

    def keep(self, videos_B: Tensor) -> Memory:
        """Return the memory of these videos."""
        return Memory(
            states_BLD=self.states_BLD[videos_B],
            real_BL=self.real_BL[videos_B],
            tokens_BL=None if self.tokens_BL is None else self.tokens_BL[videos_B],
            keys_BLD=None if self.keys_BLD is None else self.keys_BLD[videos_B],
        )


class Copying(nn.Module):
    """p(token) = (1 - g) softmax(logits) + g * attention on the prompt's steps that hold the token.

    The pointer of keyphrase generation (Meng et al., ACL 2017; See et al., ACL 2017), g = sigmoid(w . state + b). A
    small decoder trained on some hundred videos hardly learns to spell out a hashtag that it reads; to point at it is
    easy. Special tokens are not copied.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, 1)

    def forward(self, states_BSD: Tensor, logits_NV: Tensor, memory: Memory, where_BS: Tensor) -> Tensor:
        """Return log probabilities, [N, V], of the N places of a batch where `where_BS` is True, in its order."""
        tokens_BL, keys_BLD = memory.tokens_BL, memory.keys_BLD
        assert tokens_BL is not None
        assert keys_BLD is not None
        scores_BSL = self.query(states_BSD) @ keys_BLD.transpose(1, 2) / keys_BLD.shape[2] ** 0.5
        copied_BL = tokens_BL >= 0
        lowest = torch.finfo(scores_BSL.dtype).min
        shares_NL = scores_BSL.masked_fill(~copied_BL[:, None], lowest).softmax(-1)[where_BS]
        videos_N = torch.nonzero(where_BS)[:, 0]
        gate_N1 = self.gate(states_BSD[where_BS]).sigmoid() * copied_BL.any(1)[videos_N, None]
        shares_NV = logits_NV.softmax(-1) * (1 - gate_N1)
        shares_NV = shares_NV.scatter_add(1, tokens_BL.clamp(min=0)[videos_N], shares_NL * gate_N1)
        return shares_NV.clamp(min=TINY).log()


class VideoEncoder(nn.Module):
    """The audio-grounded video encoder (equation 3): frames, or patches of frames, that attend to the sound.

    A video without frames is one learned step, one without sound hears one. Only for a dataset without any frames or
    sound that part is not there at all.

    Args:
        feature_sizes: F of the frames and of the sound that a dataset has, at most one kind each, at least one.
        width, heads, dropout: of the generator.

    Departs from the paper: frames and sound come encoded by the networks that extracted them (ViT for `patches`), and
    are normalised and mapped to D; there are no further layers over the sound.
    """

    def __init__(self, *, feature_sizes: Mapping[str, int], width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.frames = next((name for name in FRAMES if name in feature_sizes), None)
        self.sound = next((name for name in SOUND if name in feature_sizes), None)
        self.to_width = nn.ModuleDict(
            {name: nn.Sequential(nn.LayerNorm(size), nn.Linear(size, width)) for name, size in feature_sizes.items()}
        )
        self.no_frames_D = nn.Parameter(torch.randn(width) * 0.02)
        self.no_sound_D = nn.Parameter(torch.randn(width) * 0.02) if self.sound else None
        self.listen = CrossModalAttention(width=width, heads=heads, dropout=dropout) if self.sound else None

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return v, [B, T, D], and which of its steps are real."""
        frames_BTD, real_BT = self._steps(batch, self.frames, self.no_frames_D)
        if self.listen is not None:
            sound_BAD, heard_BA = self._steps(batch, self.sound, self.no_sound_D)
            frames_BTD = self.listen(frames_BTD, sound_BAD, heard_BA)
        return frames_BTD, real_BT

    def _steps(self, batch: Batch, name: str | None, stand_in_D: Tensor | None) -> tuple[Tensor, Tensor]:
        assert stand_in_D is not None
        if name is None:
            shape = (len(batch), 1)
            return stand_in_D.expand(*shape, -1), torch.ones(shape, dtype=torch.bool, device=stand_in_D.device)
        steps, real_BT = batch.sequences[name], batch.masks[name]
        if steps.ndim == 4:  # parts of a frame, or of a stretch of sound, become steps of their own
            real_BT = real_BT.repeat_interleave(steps.shape[2], dim=1)
            steps = steps.flatten(1, 2)
        return with_stand_in(self.to_width[name](steps), real_BT, stand_in_D)


class Generator(nn.Module):
    """Writes hashtags token by token: `hashtag [SEP] hashtag ... [EOS]`.

    The text encoder and the decoder are those of transformers' BART, on one table of token embeddings, which also
    gives the output's logits. Text that attends to the video (equation 4) is what the decoder reads. A guidance token
    is its embedding, plus one of its hashtag's place in the guidance, plus a map of its hashtag's vector in the
    retriever, which has been propagated over the hashtag graph. The user, if there is one, is a first step before the
    text. Without text (TrOCR-FiD) the decoder reads the video's steps, all frames side by side: fusion in the decoder.

    Args:
        bart: transformers' configuration of a BART.
        writes: what to read of a post.
        guides: hashtags of guidance.
        copying: whether tokens of the prompt can be copied; False is the paper's decoder.
        feature_sizes: F of the frames and the sound that a dataset has; they are read if `writes.video`.
        hashtag_vectors_HG: vectors of all hashtags, not trained here; None leaves guidance to its tokens.
        history_size: F of the user's history; None leaves the user out.
        attribute_sizes: of the user, see `UserEncoder`.
        user_dropout: share of training videos shown without their user's history.

    Raises ValueError when nothing is left to read.
    Departs from the paper: copying, the hashtags' vectors and the user, all optional; the places in the guidance,
    which tell a small model that the first hashtags are the likeliest.
    """

    def __init__(
        self,
        *,
        bart: Any,
        writes: Writes,
        guides: int = 0,
        copying: bool = False,
        feature_sizes: Mapping[str, int],
        hashtag_vectors_HG: Tensor | None,
        history_size: int | None,
        attribute_sizes: Sequence[int] = (),
        user_dropout: float,
    ) -> None:
        super().__init__()
        import_torchvision()  # transformers imports it
        from transformers.models.bart.modeling_bart import BartDecoder, BartEncoder

        self.bart, width = bart, bart.d_model
        sizes = {name: size for name, size in feature_sizes.items() if writes.video and name in (*FRAMES, *SOUND)}
        if not writes.text and not sizes:
            raise ValueError("this kind of generator reads frames only, and the dataset has none; choose another kind")
        self.token = nn.Embedding(bart.vocab_size, width, padding_idx=bart.pad_token_id)
        self.encoder = _without_tokens(BartEncoder(bart)) if writes.text else None
        self.decoder = _without_tokens(BartDecoder(bart))
        nn.init.normal_(self.token.weight, std=bart.init_std)
        self.scale = width**0.5 if bart.scale_embedding else 1.0
        fused = {"width": width, "heads": bart.encoder_attention_heads, "dropout": bart.attention_dropout}
        self.video = VideoEncoder(feature_sizes=sizes, **fused) if sizes else None
        self.watch = CrossModalAttention(**fused) if self.video is not None and writes.text else None
        self.user = None
        if history_size is not None:
            self.user = UserEncoder(
                features=history_size, dim=width, dropout=user_dropout, attribute_sizes=attribute_sizes
            )
        self.copying = Copying(width) if copying and writes.text else None
        self.place = None
        if guides:
            self.place = nn.Embedding(guides + 1, width, padding_idx=0)
            nn.init.normal_(self.place.weight[1:], std=bart.init_std)
        self.guide = None
        if hashtag_vectors_HG is not None and guides:
            self.guide = nn.Linear(hashtag_vectors_HG.shape[1], width, bias=False)
            nn.init.normal_(self.guide.weight, std=bart.init_std)
            self.register_buffer("hashtag_vectors_HG", hashtag_vectors_HG.clone(), persistent=False)

    hashtag_vectors_HG: Tensor

    def encode(self, prompts: Prompts, batch: Batch, *, generator: torch.Generator | None = None) -> Memory:
        """Return what the decoder reads; `generator` draws the user dropout of training."""
        device = self.token.weight.device
        users_B1D = None
        if self.user is not None:
            users_B1D = self.user(batch.history_BF, batch.known_B, batch.attributes_BA, generator=generator)[:, None]
        video = None if self.video is None else self.video(batch)
        if self.encoder is None:
            assert video is not None
            states_BLD, real_BL = _after(users_B1D, *video)
            return Memory(states_BLD=states_BLD, real_BL=real_BL)
        steps_BLD, real_BL = _after(users_B1D, self._embedded(prompts), prompts.real_BL.to(device))
        text_BLD: Tensor = self.encoder(inputs_embeds=steps_BLD, attention_mask=real_BL.long()).last_hidden_state
        if self.watch is not None and video is not None:
            text_BLD = self.watch(text_BLD, *video)
        if self.copying is None:
            return Memory(states_BLD=text_BLD, real_BL=real_BL)
        tokens_BL = F.pad(prompts.words_BL, (text_BLD.shape[1] - prompts.words_BL.shape[1], 0), value=-1).to(device)
        keys_BLD = self.copying.key(text_BLD)
        return Memory(states_BLD=text_BLD, real_BL=real_BL, tokens_BL=tokens_BL, keys_BLD=keys_BLD)

    def _embedded(self, prompts: Prompts) -> Tensor:
        device = self.token.weight.device
        embedded_BLD: Tensor = self.token(prompts.tokens_BL.to(device)) * self.scale
        if self.place is not None:
            embedded_BLD = embedded_BLD + self.place(prompts.places_BL.to(device))
        if self.guide is not None:
            ids_BL = prompts.hashtags_BL.to(device)
            vectors_BLG = self.hashtag_vectors_HG[ids_BL.clamp(min=0)] * (ids_BL >= 0)[..., None]
            embedded_BLD = embedded_BLD + self.guide(vectors_BLG)
        return embedded_BLD

    def states(self, read_BS: Tensor, memory: Memory) -> Tensor:
        """Return the decoder's states after each token that it read, [B, S, D]."""
        states_BSD: Tensor = self.decoder(
            inputs_embeds=self.token(read_BS) * self.scale,
            encoder_hidden_states=memory.states_BLD,
            encoder_attention_mask=memory.real_BL.long(),
            use_cache=False,
        ).last_hidden_state
        return states_BSD

    def log_probabilities(self, states_BSD: Tensor, memory: Memory, where_BS: Tensor) -> Tensor:
        """Return log probabilities of the next token, [N, V], at the N places where `where_BS` is True."""
        logits_NV = states_BSD[where_BS] @ self.token.weight.T
        if self.copying is None:
            return logits_NV.log_softmax(-1)
        log_NV: Tensor = self.copying(states_BSD, logits_NV, memory, where_BS)
        return log_NV

    def loss(
        self, prompts: Prompts, batch: Batch, targets: tuple[Tensor, Tensor], *, generator: torch.Generator
    ) -> Tensor:
        """Return the mean cross-entropy of the tokens to write; `targets` as `HashtagTokenizer.targets` makes them."""
        read_BS, wanted_BS = (part.to(self.token.weight.device) for part in targets)
        memory = self.encode(prompts, batch, generator=generator)
        real_BS = wanted_BS != IGNORED
        return F.nll_loss(self.log_probabilities(self.states(read_BS, memory), memory, real_BS), wanted_BS[real_BS])


def _after(users_B1D: Tensor | None, steps_BLD: Tensor, real_BL: Tensor) -> tuple[Tensor, Tensor]:
    """Return the steps and their mask with the user as a first step."""
    if users_B1D is None:
        return steps_BLD, real_BL
    return torch.cat([users_B1D, steps_BLD], dim=1), torch.cat([real_BL.new_ones(len(real_BL), 1), real_BL], dim=1)


def _without_tokens(part: Any) -> Any:
    """Drop a BART part's own token embeddings: it gets vectors."""
    part.embed_tokens = None
    return part


def small_bart(tokenizer: HashtagTokenizer, *, width: int, layers: int, heads: int, dropout: float) -> Any:
    """Return the configuration of a small BART to train from scratch."""
    import_torchvision()
    from transformers import BartConfig

    return BartConfig(
        vocab_size=len(tokenizer),
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        dropout=dropout,
        attention_dropout=dropout,
        max_position_embeddings=LONGEST,
        pad_token_id=tokenizer.pad,
        bos_token_id=tokenizer.bos,
        eos_token_id=tokenizer.eos,
        decoder_start_token_id=tokenizer.bos,
        forced_eos_token_id=None,
    )


def pretrained_bart(folder: Path, tokenizer: HashtagTokenizer) -> tuple[Any, dict[str, Tensor]]:
    """Read a local BART: its configuration with room for the separator, and weights by the names of `Generator`.

    Raises `InputError` when the folder holds no whole BART.
    """
    import_torchvision()
    from transformers import BartForConditionalGeneration

    loaded: Any
    try:
        with quiet():
            loaded = BartForConditionalGeneration.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(
            f"text_model={folder} holds no BART ({text}); give a folder with safetensors weights"
        ) from None
    found, report = loaded
    if report["missing_keys"]:
        raise InputError(f"text_model={folder} lacks {min(report['missing_keys'])}; give the folder of a whole BART")
    found.resize_token_embeddings(len(tokenizer))
    state = found.model.state_dict()
    weights = {name: value for name, value in state.items() if "embed_tokens" not in name and name != "shared.weight"}
    found.config.decoder_start_token_id, found.config.vocab_size = tokenizer.bos, len(tokenizer)
    return found.config, {**weights, "token.weight": state["shared.weight"]}
