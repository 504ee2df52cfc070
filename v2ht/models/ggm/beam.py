"""Beam search that never writes a hashtag twice (GGM 4.2).

Shapes: B videos, K beams, V vocabulary, T tokens written, L steps of the memory, D hidden size, N heads, M hashtags.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

LOW = -1e9  # score of what is not to be chosen
ODD = -0x61C8864680B583EB  # base of the hash of joined words; 64-bit products wrap around


class Steps(Protocol):
    """A decoder that goes on token by token, for some videos with K beams each."""

    def __call__(self, tokens_BK: Tensor) -> Tensor:
        """Read one more token of each beam; return the logits of the next, [B, K, V]."""
        ...

    def keep(self, videos_B: Tensor, beams_BK: Tensor) -> None:
        """Go on with these videos only, and in each with these beams, in this order, as often as they are named."""
        ...


@dataclass(frozen=True, kw_only=True)
class Written:
    """The K best outputs of each video, best first: tokens without BOS, padded after their end; log probabilities.

    `scores_BK` is the mean log probability of an output's tokens, `LOW` or less where there is no such output.
    """

    tokens_BKT: Tensor
    log_probabilities_BKT: Tensor
    scores_BK: Tensor


class OnceOnly:
    """Forbids to end a hashtag whose joined words stand in the same output already, and to end an empty one.

    Joined words are compared by a 64-bit hash, so however tokens spell them, `kid dancer` equals `kiddancer`.

    Args:
        pieces: the bytes that each token adds to joined words.
        ends: the tokens that end a hashtag: separator and end of the output.
    """

    _open_BK: Tensor  # hash of the hashtag that is being written
    _done_BKM: Tensor  # hashes of those that are written

    def __init__(self, pieces: Sequence[bytes], ends: Sequence[int]) -> None:
        self._hash_V, self._power_V = _hashes(pieces)
        self._ends = torch.as_tensor(list(ends))

    def started(self, videos: int, beams: int) -> OnceOnly:
        """Return the rule at the beginning of empty outputs; this one stays as it is: several searches may share it."""
        rule = copy(self)
        rule._open_BK = torch.zeros(videos, beams, dtype=torch.int64)
        rule._done_BKM = torch.zeros(videos, beams, 1, dtype=torch.int64)  # 0 is the hash of no words
        return rule

    def forbid(self, log_probabilities_BKV: Tensor) -> Tensor:
        """Return the log probabilities with the ends that are not allowed at -inf."""
        repeats_BK1 = (self._done_BKM == self._open_BK[..., None]).any(2, keepdim=True)
        ends_V = torch.zeros(log_probabilities_BKV.shape[-1], dtype=torch.bool)
        ends_V[self._ends] = True
        return log_probabilities_BKV.masked_fill((repeats_BK1 & ends_V).to(log_probabilities_BKV.device), float("-inf"))

    def keep(self, videos_B: Tensor, beams_BK: Tensor) -> None:
        """Go on with these videos and beams."""
        self._open_BK = self._open_BK[videos_B].gather(1, beams_BK)
        places_BKM = beams_BK[..., None].expand(-1, -1, self._done_BKM.shape[2])
        self._done_BKM = self._done_BKM[videos_B].gather(1, places_BKM)

    def read(self, tokens_BK: Tensor) -> None:
        """Append one token to each beam."""
        ended_BK = torch.isin(tokens_BK, self._ends)
        if ended_BK.any():
            closed_BK1 = torch.where(ended_BK, self._open_BK, 0)[..., None]
            self._done_BKM = torch.cat([self._done_BKM, closed_BK1], dim=2)
        longer_BK = self._open_BK * self._power_V[tokens_BK] + self._hash_V[tokens_BK]
        self._open_BK = torch.where(ended_BK, 0, longer_BK)


def beam_search(
    steps: Steps, *, videos: int, beams: int, limit: int, bos: int, eos: int, pad: int, rule: OnceOnly | None
) -> Written:
    """Write at most `limit` tokens for each video.

    Scores, candidates and the end of the search are those of transformers' `generate` with `num_beams=beams`,
    `max_length=limit + 1`, `length_penalty=1` and `early_stopping=False`, so without a rule the outputs are too: each
    step takes the 2 K best continuations, ends among the first K of them compete with the K best ended so far by mean
    log probability, and a video is done when its best open beam falls behind its worst ended one. A video that is done
    leaves the computation.
    """
    search = _Search(videos, beams, limit, pad)
    if rule is not None:
        rule = rule.started(videos, beams)
    tokens_BK = torch.full((videos, beams), bos)
    for step in range(limit):
        log_probabilities_BKV = steps(tokens_BK).float().log_softmax(-1).cpu()
        if rule is not None:
            log_probabilities_BKV = rule.forbid(log_probabilities_BKV)
        open_B, beams_BK, tokens_BK = search.advance(log_probabilities_BKV, step, eos)
        if not len(open_B):
            break
        steps.keep(open_B, beams_BK)
        if rule is not None:
            rule.keep(open_B, beams_BK)
            rule.read(tokens_BK)
    return search.written


class _Search:
    """Open and ended outputs of all videos; the open ones only of videos that are not done."""

    def __init__(self, videos: int, beams: int, limit: int, pad: int) -> None:
        self.beams, self.limit = beams, limit
        self.video_B = torch.arange(videos)  # which videos are open
        self.score_BK = torch.full((videos, beams), LOW)
        self.score_BK[:, 0] = 0  # all beams begin alike: let only one of them branch
        shape = (videos, beams, limit)
        self.tokens_BKT, self.log_BKT = torch.full(shape, pad), torch.zeros(shape)
        self.written = Written(
            tokens_BKT=torch.full(shape, pad),
            log_probabilities_BKT=torch.zeros(shape),
            scores_BK=torch.full((videos, beams), LOW),
        )

    def advance(self, log_probabilities_BKV: Tensor, step: int, eos: int) -> tuple[Tensor, Tensor, Tensor]:
        """Take one step; return which open videos stay open, their new beams' old places, and their last tokens."""
        size = log_probabilities_BKV.shape[-1]
        totals_BC = (self.score_BK[..., None] + log_probabilities_BKV).flatten(1)
        scores_BC, places_BC = totals_BC.topk(2 * self.beams, dim=1)
        from_BC, token_BC = places_BC // size, places_BC % size
        tokens_BCT, log_BCT = _rows(self.tokens_BKT, from_BC), _rows(self.log_BKT, from_BC)
        tokens_BCT[..., step] = token_BC
        log_BCT[..., step] = log_probabilities_BKV.flatten(1).gather(1, places_BC)
        ended_BC = (token_BC == eos) | (step + 1 == self.limit)
        counts_BC = ended_BC & (torch.arange(2 * self.beams) < self.beams)
        self._end(tokens_BCT, log_BCT, (scores_BC / (step + 1)).masked_fill(~counts_BC, LOW))
        self.score_BK, kept_BK = (scores_BC + LOW * ended_BC).topk(self.beams, dim=1)
        worst_B = self.written.scores_BK[self.video_B].amin(1)
        going_B = (self.score_BK[:, 0] / (step + 1) > worst_B) & ~ended_BC.all(1)
        open_B = torch.nonzero(going_B)[:, 0]
        self.video_B, self.score_BK = self.video_B[open_B], self.score_BK[open_B]
        self.tokens_BKT = _rows(tokens_BCT, kept_BK)[open_B]
        self.log_BKT = _rows(log_BCT, kept_BK)[open_B]
        return open_B, from_BC.gather(1, kept_BK)[open_B], token_BC.gather(1, kept_BK)[open_B]

    def _end(self, tokens_BCT: Tensor, log_BCT: Tensor, scores_BC: Tensor) -> None:
        """Let ended outputs compete with those ended before."""
        if not bool((scores_BC > LOW).any()):
            return
        old, videos = self.written, self.video_B
        scores_BK, best_BK = torch.cat([old.scores_BK[videos], scores_BC], dim=1).topk(self.beams, dim=1)
        old.scores_BK[videos] = scores_BK
        for kept, new in ((old.tokens_BKT, tokens_BCT), (old.log_probabilities_BKT, log_BCT)):
            kept[videos] = _rows(torch.cat([kept[videos], new], dim=1), best_BK)


def _rows(values_BCT: Tensor, places_BK: Tensor) -> Tensor:
    return values_BCT.gather(1, places_BK[..., None].expand(-1, -1, values_BCT.shape[2]))


def _hashes(pieces: Sequence[bytes]) -> tuple[Tensor, Tensor]:
    """Return each piece's polynomial hash, and the base to the power of its length, modulo 2 ** 64."""
    hashes, powers = [], []
    for piece in pieces:
        value, power = 0, 1
        for byte in piece:
            value, power = value * ODD + byte + 1, power * ODD
        hashes.append(_signed(value))
        powers.append(_signed(power))
    return torch.tensor(hashes), torch.tensor(powers)


def _signed(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63
