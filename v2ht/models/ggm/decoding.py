"""BART's decoder one token at a time, for several beams of each video, which share one memory.

transformers' decoder keeps a copy of the memory's keys and values for every beam and moves all copies when beams change
places. Here the beams of a video stand side by side as queries of one attention, and only their own tokens move.

Shapes: B videos, K beams, L steps of the memory, S tokens so far, D width, N heads, E size of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from v2ht.models.ggm.generator import Generator, Memory


class DecoderSteps:
    """`Steps` of `beam_search` for a generator in evaluation mode.

    Args:
        model: the generator.
        memory: what `Generator.encode` returned.
        beams: K.
    """

    def __init__(self, model: Generator, memory: Memory, *, beams: int) -> None:
        self.model, self.copied = model, memory
        memory_BLD, real_BL = memory.states_BLD, memory.real_BL
        self.layers = list(model.decoder.layers)
        self.heads = self.layers[0].self_attn.num_heads
        self.position = 0
        self.mask_B11L = torch.zeros(real_BL.shape, device=memory_BLD.device).masked_fill(~real_BL, float("-inf"))
        self.mask_B11L = self.mask_B11L[:, None, None]
        self.memory = [self._keys_values(layer.encoder_attn, memory_BLD) for layer in self.layers]
        shape = (len(memory_BLD), beams, self.heads, 0, memory_BLD.shape[2] // self.heads)
        self.past = [(memory_BLD.new_empty(shape), memory_BLD.new_empty(shape)) for _ in self.layers]

    def __call__(self, tokens_BK: Tensor) -> Tensor:
        """Read one token of each beam; return log probabilities of the next, [B, K, V]."""
        model, decoder = self.model, self.model.decoder
        tokens_BK = tokens_BK.to(model.token.weight.device)
        place = torch.tensor([self.position], device=tokens_BK.device)
        states_BKD = model.token(tokens_BK) * model.scale + decoder.embed_positions(tokens_BK, position_ids=place)[0]
        states_BKD = decoder.layernorm_embedding(states_BKD)
        for number, layer in enumerate(self.layers):
            states_BKD = layer.self_attn_layer_norm(states_BKD + self._own(number, states_BKD))
            states_BKD = layer.encoder_attn_layer_norm(states_BKD + self._memory(number, states_BKD))
            changed_BKD = layer.fc2(layer.activation_fn(layer.fc1(states_BKD)))
            states_BKD = layer.final_layer_norm(states_BKD + changed_BKD)
        self.position += 1
        all_BK = torch.ones(tokens_BK.shape, dtype=torch.bool, device=tokens_BK.device)
        return model.log_probabilities(states_BKD, self.copied, all_BK).unflatten(0, tuple(tokens_BK.shape))

    def keep(self, videos_B: Tensor, beams_BK: Tensor) -> None:
        """Go on with these videos and beams."""
        device = self.mask_B11L.device
        videos_B, beams_BK = videos_B.to(device), beams_BK.to(device)
        some = len(videos_B) < len(self.mask_B11L)
        self.past = [
            (keys[videos_B[:, None], beams_BK], values[videos_B[:, None], beams_BK]) for keys, values in self.past
        ]
        if some:
            self.copied = self.copied.keep(videos_B)
            self.mask_B11L = self.mask_B11L[videos_B]
            self.memory = [(keys[videos_B], values[videos_B]) for keys, values in self.memory]

    def _own(self, number: int, states_BKD: Tensor) -> Tensor:
        """Attend to the beam's own tokens, this one included."""
        attention = self.layers[number].self_attn
        videos, beams, _ = states_BKD.shape
        query, key, value = (
            part(states_BKD).reshape(videos, beams, self.heads, 1, -1)
            for part in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        keys, values = self.past[number]
        keys, values = torch.cat([keys, key], dim=3), torch.cat([values, value], dim=3)
        self.past[number] = (keys, values)
        found_BKN1E = F.scaled_dot_product_attention(query, keys, values, scale=attention.scaling)
        attended_BKD: Tensor = attention.out_proj(found_BKN1E.flatten(2))
        return attended_BKD

    def _memory(self, number: int, states_BKD: Tensor) -> Tensor:
        """Attend to the video's memory."""
        attention = self.layers[number].encoder_attn
        query_BNKE = self._split(attention.q_proj(states_BKD))
        keys_BNLE, values_BNLE = self.memory[number]
        found_BNKE = F.scaled_dot_product_attention(
            query_BNKE, keys_BNLE, values_BNLE, attn_mask=self.mask_B11L, scale=attention.scaling
        )
        attended_BKD: Tensor = attention.out_proj(found_BNKE.transpose(1, 2).flatten(2))
        return attended_BKD

    def _keys_values(self, attention: Any, memory_BLD: Tensor) -> tuple[Tensor, Tensor]:
        return self._split(attention.k_proj(memory_BLD)), self._split(attention.v_proj(memory_BLD))

    def _split(self, states_BSD: Tensor) -> Tensor:
        """Return the heads' parts, [B, N, S, E]."""
        return states_BSD.unflatten(2, (self.heads, -1)).transpose(1, 2)
