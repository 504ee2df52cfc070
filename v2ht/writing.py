"""A run's generator at work: the files that it lies in, and hashtags written for posts.

RUN/generator/
  config.json           configuration of BART, how train videos were guided, where training stands
  tokenizer.json        byte-level BPE
  model.safetensors     weights of the best epoch
  guidance.safetensors, checkpoint.safetensors, log.jsonl

Shapes: B videos, H hashtags, K beams, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from data.files import InputError, read_json
from data.hashtags import normalise
from v2ht.bundle import Bundle, load_weights
from v2ht.inputs import Batch
from v2ht.models.ggm.beam import LOW, OnceOnly, beam_search
from v2ht.models.ggm.beam import Written as Outputs
from v2ht.models.ggm.decoding import DecoderSteps
from v2ht.models.ggm.generator import Generator, Memory
from v2ht.models.ggm.guide import Guide, train_pool
from v2ht.models.ggm.settings import GGMSettings
from v2ht.models.ggm.tokens import HashtagTokenizer, Hypothesis
from v2ht.nn.top_k import top_k

FOLDER = "generator"
CLASSIFIED = 5  # hashtags that a ranker alone "writes": its best (GGM 5.1)


@dataclass(frozen=True, kw_only=True)
class Written:
    """A hashtag that was written for a post."""

    origin: ClassVar[str] = "written by the generator"
    hashtag: str  # as the vocabulary spells it, if it is known; else its words, joined
    words: tuple[str, ...]
    score: float  # geometric mean of its tokens' probabilities, in (0, 1]; of a ranker alone its score
    known: bool  # in the vocabulary that the run was trained on


class HashtagWriter:
    """Writes hashtags for batches of posts.

    Args:
        bundle: a `ggm` run.
        generator, tokenizer: its generator; None for a run of a ranker alone, whose best hashtags are then written.
        pool: ids of the hashtags that may be guidance, or a ranker alone may write; None for those of train videos.
    """

    def __init__(
        self,
        bundle: Bundle,
        generator: Generator | None,
        tokenizer: HashtagTokenizer | None,
        *,
        pool: np.ndarray | None = None,
    ) -> None:
        settings = bundle.model_settings
        assert isinstance(settings, GGMSettings)
        self.bundle, self.settings = bundle, settings
        self.generator, self.tokenizer = generator, tokenizer
        hashtags = bundle.inputs.hashtags
        self._names = hashtags["hashtag"].to_list()
        self._words = [tuple(words) for words in hashtags["words"].to_list()]
        rarest_first = np.argsort(hashtags["train_videos"].to_numpy(), kind="stable").tolist()
        self._known = {"".join(self._words[number]): number for number in rarest_first}  # the most used spelling stays
        self._known |= {name: number for number, name in enumerate(self._names)}
        self.pool = train_pool(hashtags["train_videos"].to_numpy()) if pool is None else pool
        self.guide = Guide(bundle.model, pool=self.pool, k=settings.guides)
        if tokenizer is not None:
            self.hashtag_tokens = [tokenizer.hashtag(words) for words in self._words]
            self._rule = OnceOnly(tokenizer.pieces(), [tokenizer.sep, tokenizer.eos])

    @staticmethod
    def load(run: Path, bundle: Bundle, *, pool: np.ndarray | None = None) -> HashtagWriter:
        """Read the generator of a `ggm` run. Raises `InputError` when the run is another model's or is unfinished."""
        if not isinstance(bundle.model_settings, GGMSettings):
            raise InputError(
                f"{run} is a run of {bundle.model_name}, which writes no hashtags; give one of --model ggm"
            )
        if bundle.model_settings.writes is None:
            return HashtagWriter(bundle, None, None, pool=pool)
        folder = Path(run) / FOLDER
        if not (folder / "config.json").is_file():
            raise InputError(f"{run} has no generator yet; continue with `v2ht train --resume`")
        tokenizer = HashtagTokenizer.load(folder / "tokenizer.json")
        generator = build_generator(bundle, bart_of(read_json(folder / "config.json"), folder))
        load_weights(generator, folder / "model.safetensors")
        return HashtagWriter(bundle, generator.eval(), tokenizer, pool=pool)

    def write(
        self, texts: Sequence[str], batch: Batch, *, n: int | None = None, beams: int | None = None
    ) -> list[list[Written]]:
        """Return the hashtags written for each post, without repetition.

        Those of the best output come first, by score. With `n`, at most n, filled up by score from the other outputs;
        without, the best output's alone, and of a ranker alone its best five.
        """
        if self.generator is None:
            return self.ranked(batch, CLASSIFIED if n is None else n)
        outputs = self.outputs(texts, batch, beams=beams or self.settings.beams)
        return [self._merged(row, n) for row in self._hypotheses(outputs)]

    @torch.inference_mode()
    def memory(self, texts: Sequence[str], batch: Batch) -> Memory:
        """Return what the decoder reads of each post."""
        assert self.generator is not None
        assert self.tokenizer is not None
        prompts = self.tokenizer.prompts(
            [self.tokenizer.text(text, limit=self.settings.text_tokens) for text in texts],
            self.guide(batch).tolist(),
            self.hashtag_tokens,
            limit=self.generator.bart.max_position_embeddings - 1,
        )
        return self.generator.encode(prompts, batch)

    @torch.inference_mode()
    def outputs(self, texts: Sequence[str], batch: Batch, *, beams: int) -> Outputs:
        """Return the tokens of the best outputs of each post."""
        assert self.generator is not None
        assert self.tokenizer is not None
        return beam_search(
            DecoderSteps(self.generator, self.memory(texts, batch), beams=beams),
            videos=len(texts),
            beams=beams,
            limit=self.settings.max_length,
            bos=self.tokenizer.bos,
            eos=self.tokenizer.eos,
            pad=self.tokenizer.pad,
            rule=self._rule,
        )

    def _hypotheses(self, outputs: Outputs) -> list[list[list[Hypothesis]]]:
        """Return the hashtags of each video's outputs."""
        assert self.tokenizer is not None
        rows = zip(outputs.tokens_BKT.tolist(), outputs.log_probabilities_BKT.tolist(), strict=True)
        kept_BK = (outputs.scores_BK > LOW / 2).tolist()
        return [
            [self.tokenizer.written(*parts) for kept, *parts in zip(kept_K, tokens_KT, logs_KT, strict=True) if kept]
            for kept_K, (tokens_KT, logs_KT) in zip(kept_BK, rows, strict=True)
        ]

    def _merged(self, outputs: Sequence[Sequence[Hypothesis]], n: int | None) -> list[Written]:
        first = self._distinct(outputs[0] if outputs else [])
        if n is None:
            return first
        others = self._distinct([item for output in outputs[1:] for item in output])
        names = {item.hashtag for item in first}
        return [*first, *(item for item in others if item.hashtag not in names)][:n]

    def _distinct(self, hypotheses: Sequence[Hypothesis]) -> list[Written]:
        """Return each hashtag once, where it scores best, by score; one without visible characters is left out."""
        best: dict[str, Written] = {}
        for hypothesis in sorted(hypotheses, key=lambda item: -item.log_probability):
            item = self._named(hypothesis)
            if item.hashtag:
                best.setdefault(item.hashtag, item)
        return list(best.values())

    def _named(self, hypothesis: Hypothesis) -> Written:
        """Name a hashtag: known when its joined words are those of a known one, or its spelling."""
        joined = normalise("".join(hypothesis.words))
        number = self._known.get(joined)
        return Written(
            hashtag=joined if number is None else self._names[number],
            words=hypothesis.words if number is None else self._words[number],
            score=exp(hypothesis.log_probability),
            known=number is not None,
        )

    @torch.inference_mode()
    def ranked(self, batch: Batch, n: int) -> list[list[Written]]:
        """Return the n best hashtags of the pool for each video, as the run's ranker has them."""
        pool = torch.from_numpy(self.pool)
        scores_BN = self.bundle.model.scores(batch, self.bundle.model.hashtag_embeddings()[pool])
        places_BK, scores_BK = top_k(scores_BN, n)
        return [
            [
                Written(hashtag=self._names[number], words=self._words[number], score=score, known=True)
                for number, score in zip(ids, scores, strict=True)
            ]
            for ids, scores in zip(pool[places_BK].tolist(), scores_BK.tolist(), strict=True)
        ]


def build_generator(bundle: Bundle, bart: Any) -> Generator:
    """Build the untrained generator of a `ggm` run; what it shares with the run's ranker is as trained there."""
    settings, inputs = bundle.model_settings, bundle.inputs
    vectors_HG = None
    if settings.graph_guidance and settings.guides:
        with torch.no_grad():
            vectors_HG = bundle.model.eval().hashtag_embeddings().detach()
    return Generator(
        bart=bart,
        writes=settings.writes,
        guides=settings.guides,
        copying=settings.copying,
        feature_sizes={name: inputs.feature_sizes[name] for name in settings.chosen(inputs.feature_sizes)},
        hashtag_vectors_HG=vectors_HG,
        history_size=inputs.history_size if settings.user else None,
        attribute_sizes=inputs.attribute_sizes,
        user_dropout=settings.user_dropout,
    )


def bart_of(config: dict[str, Any], folder: Path) -> Any:
    """Return BART's configuration as config.json holds it. Raises `InputError` when it is not one."""
    from data.features.torchvision_models import import_torchvision

    import_torchvision()  # transformers imports it
    from transformers import BartConfig

    try:
        return BartConfig.from_dict(config["bart"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder}/config.json is damaged ({error}); train again") from None
