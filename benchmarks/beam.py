"""Beam search of a trained `ggm` run beside transformers' `generate`: same weights, same settings, same posts.

    python -m benchmarks.beam RUN [--split test] [--videos 256] [--beams 5]

Both start from the same memory of the posts and write without the rule against repeated hashtags, which `generate` does
not know. Printed are the seconds of each, their ratio, the share of posts whose best output is the same to the token,
and the seconds of ours with the rule.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import machine, peak_memory_gib
from data.features.torchvision_models import import_torchvision
from v2ht.bundle import Bundle
from v2ht.dataset_inputs import DatasetInputs
from v2ht.models.ggm.beam import OnceOnly, beam_search
from v2ht.models.ggm.decoding import DecoderSteps
from v2ht.models.ggm.generator import Generator, Memory
from v2ht.training.evaluate import dataset_of
from v2ht.writing import HashtagWriter

TOGETHER = 32  # posts


class Head(nn.Module):
    """The generator's output in place of transformers': log probabilities, copied tokens included."""

    def __init__(self, model: Generator, memory: Memory) -> None:
        super().__init__()
        self.model, self.memory = [model], memory  # in a list, so that the generator is no part of it

    def forward(self, states_N1D: Tensor) -> Tensor:
        """Return log probabilities, [N, 1, V], of N = B * K beams."""
        states_BKD = states_N1D.unflatten(0, (len(self.memory), -1))[:, :, 0]
        all_BK = torch.ones(states_BKD.shape[:2], dtype=torch.bool)
        return self.model[0].log_probabilities(states_BKD, self.memory, all_BK)[:, None]


def twin(model: Generator) -> Any:
    """Return transformers' own model with a copy of the generator's weights."""
    import_torchvision()
    from transformers import BartForConditionalGeneration

    other = BartForConditionalGeneration(model.bart)
    with torch.no_grad():
        other.model.shared.weight.copy_(model.token.weight)
    other.tie_weights()
    other.model.decoder.load_state_dict(
        {**model.decoder.state_dict(), "embed_tokens.weight": model.token.weight.detach().clone()}
    )
    return other.eval()


@torch.inference_mode()
def theirs(other: Any, model: Generator, memory: Memory, *, beams: int, limit: int) -> Tensor:
    """Return the best output of each post as `generate` finds it, without BOS, [B, T]."""
    from transformers.modeling_outputs import BaseModelOutput

    if model.copying is not None:
        other.lm_head = Head(model, memory)
    found: Tensor = other.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=memory.states_BLD),
        attention_mask=memory.real_BL.long(),
        num_beams=beams,
        max_length=limit + 1,
        do_sample=False,
        early_stopping=False,
        length_penalty=1.0,
    )
    return found[:, 1:]


@torch.inference_mode()
def ours(model: Generator, memory: Memory, *, beams: int, limit: int, rule: OnceOnly | None) -> Tensor:
    """Return the best output of each post as `beam_search` finds it, [B, T]."""
    found = beam_search(
        DecoderSteps(model, memory, beams=beams),
        videos=len(memory),
        beams=beams,
        limit=limit,
        bos=model.bart.bos_token_id,
        eos=model.bart.eos_token_id,
        pad=model.bart.pad_token_id,
        rule=rule,
    )
    return found.tokens_BKT[:, 0]


def same(first_BT: Tensor, second_BT: Tensor, *, eos: int) -> np.ndarray:
    """Return which rows are equal up to their ends, bool [B]; what pads them after that differs."""
    pairs = zip(first_BT.tolist(), second_BT.tolist(), strict=True)
    return np.array([_until(first, eos) == _until(second, eos) for first, second in pairs])


def _until(tokens: list[int], eos: int) -> list[int]:
    return tokens[: tokens.index(eos) + 1] if eos in tokens else tokens


def main() -> None:
    """Write for the same posts all ways and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--videos", type=int, default=256)
    parser.add_argument("--beams", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    bundle = Bundle.load(options.run)
    dataset = dataset_of(bundle, options.run, None)
    posts, writer = DatasetInputs(dataset, bundle.inputs), HashtagWriter.load(options.run, bundle)
    model, tokenizer = writer.generator, writer.tokenizer
    assert model is not None
    assert tokenizer is not None
    other, rule = twin(model), OnceOnly(tokenizer.pieces(), [tokenizer.sep, tokenizer.eos])
    rows = dataset.rows(options.split)[: options.videos]
    texts, limit = dataset.videos["text"].fill_null(""), bundle.model_settings.max_length
    seconds = dict.fromkeys(("ours", "generate", "ours with the rule"), 0.0)
    cpu, equal = dict(seconds), []
    for start in range(0, len(rows), TOGETHER):
        part = rows[start : start + TOGETHER]
        memory = writer.memory(texts.gather(part).to_list(), posts.batch(part))
        outputs = {}
        for name in seconds:
            began, began_cpu = time.perf_counter(), time.process_time()
            if name == "generate":
                outputs[name] = theirs(other, model, memory, beams=options.beams, limit=limit)
            else:
                chosen = rule if name.endswith("rule") else None
                outputs[name] = ours(model, memory, beams=options.beams, limit=limit, rule=chosen)
            seconds[name] += time.perf_counter() - began
            cpu[name] += time.process_time() - began_cpu
        equal += same(outputs["ours"], outputs["generate"], eos=tokenizer.eos).tolist()
    print(f"{len(rows):,} posts, {options.beams} beams, {limit} tokens at most")
    for name in seconds:
        per_post = 1000 * cpu[name] / len(rows)
        print(f"  {name:<20} {seconds[name]:7.2f} s  {cpu[name]:7.2f} s of processor  {per_post:6.2f} ms a post")
    print(f"ratio {cpu['generate'] / cpu['ours']:.2f}; the same output for {np.mean(equal):.2%} of the posts")
    print(f"peak {peak_memory_gib():.2f} GiB")


if __name__ == "__main__":
    main()
