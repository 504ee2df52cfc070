"""Beam search: equal to transformers' `generate`, to a slow twin, and in a batch as alone; no hashtag comes twice."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from benchmarks.beam import ours, same, theirs, twin
from v2ht.models.ggm.beam import LOW, OnceOnly, beam_search
from v2ht.models.ggm.decoding import DecoderSteps
from v2ht.models.ggm.generator import Generator, Memory, small_bart
from v2ht.models.ggm.settings import GENERATORS
from v2ht.models.ggm.tokens import HashtagTokenizer

PAD, BOS, EOS, SEP, A, B, AB = range(7)
PIECES = [b"", b"", b"", b"", b"a", b"b", b"ab"]


class TableSteps:
    """Logits that depend on the last token alone, different for each video."""

    def __init__(self, table_BVV: Tensor) -> None:
        self.table_BVV = table_BVV

    def __call__(self, tokens_BK: Tensor) -> Tensor:
        videos = torch.arange(len(tokens_BK))[:, None]
        return self.table_BVV[videos, tokens_BK]

    def keep(self, videos_B: Tensor, beams_BK: Tensor) -> None:
        self.table_BVV = self.table_BVV[videos_B]


def table(videos: int, seed: int) -> Tensor:
    return torch.randn(videos, 7, 7, generator=torch.Generator().manual_seed(seed)) * 2


def search(logits: Tensor, *, beams: int, limit: int, rule: OnceOnly | None = None):
    settings = {"beams": beams, "limit": limit, "bos": BOS, "eos": EOS, "pad": PAD, "rule": rule}
    return beam_search(TableSteps(logits), videos=len(logits), **settings)


def log_probability(table_VV: Tensor, tokens: tuple[int, ...]) -> float:
    log_VV = table_VV.log_softmax(-1)
    return float(sum(log_VV[last, token] for last, token in zip((BOS, *tokens), tokens, strict=False)))


@pytest.mark.parametrize("seed", range(4))
def test_with_beams_for_every_output_it_finds_the_best_of_all(seed: int) -> None:
    """All outputs of at most three tokens, enumerated: the highest mean log probability wins."""
    logits = table(2, seed)
    found = search(logits, beams=60, limit=3)
    for video in range(2):
        ended = [
            (*body, EOS) for n in (0, 1, 2) for body in itertools.product([t for t in range(7) if t != EOS], repeat=n)
        ]
        cut = list(itertools.product([t for t in range(7) if t != EOS], repeat=3))
        best = max(ended + cut, key=lambda tokens: log_probability(logits[video], tokens) / len(tokens))
        tokens = found.tokens_BKT[video, 0].tolist()
        assert tuple(tokens[: len(best)]) == best
        assert float(found.scores_BK[video, 0]) == pytest.approx(
            log_probability(logits[video], best) / len(best), abs=1e-5
        )
        assert float(found.log_probabilities_BKT[video, 0].sum()) == pytest.approx(
            log_probability(logits[video], best), abs=1e-5
        )


def test_a_batch_writes_what_its_videos_write_alone() -> None:
    logits = table(5, 7)
    together = search(logits, beams=3, limit=8)
    for video in range(5):
        alone = search(logits[video : video + 1], beams=3, limit=8)
        assert torch.equal(alone.tokens_BKT[0], together.tokens_BKT[video])
        torch.testing.assert_close(alone.scores_BK[0], together.scores_BK[video])


def hashtags(tokens: list[int]) -> list[str]:
    """Return the joined words of the ended hashtags."""
    found, open_ = [], b""
    for token in tokens:
        if token in (SEP, EOS):
            found.append(open_.decode())
            open_ = b""
            if token == EOS:
                break
        else:
            open_ += PIECES[token]
    return found


@pytest.mark.parametrize("seed", range(6))
def test_no_hashtag_is_written_twice_however_tokens_spell_it(seed: int) -> None:
    """`a` `b` and `ab` are the same hashtag; empty ones are forbidden too."""
    logits = table(8, seed)
    logits[..., PAD], logits[..., BOS] = -50, -50
    free = search(logits, beams=4, limit=12)
    ruled = search(logits, beams=4, limit=12, rule=OnceOnly(PIECES, [SEP, EOS]))
    repeats = 0
    for video in range(8):
        for beam in range(4):
            if ruled.scores_BK[video, beam] > LOW / 2:
                written = hashtags(ruled.tokens_BKT[video, beam].tolist())
                assert len(set(written)) == len(written)
                assert "" not in written
            written = hashtags(free.tokens_BKT[video, beam].tolist())
            repeats += len(set(written)) < len(written) or "" in written
    assert repeats > 0, "without the rule nothing is repeated, so the test shows nothing"


def test_searches_share_a_rule() -> None:
    """A writer has one rule for all its threads: what one search has written must not reach another."""
    rule = OnceOnly(PIECES, [SEP, EOS])
    one = rule.started(1, 1)
    one.read(torch.tensor([[A]]))
    one.read(torch.tensor([[SEP]]))
    other = rule.started(2, 1)
    other.read(torch.tensor([[A], [A]]))
    one.read(torch.tensor([[A]]))
    assert one.forbid(torch.zeros(1, 1, 7)).isinf().nonzero()[:, 2].tolist() == [EOS, SEP]  # `a` comes again
    assert not other.forbid(torch.zeros(2, 1, 7)).isinf().any()


@pytest.fixture(scope="module")
def generator() -> Generator:
    """A small generator whose random weights are large, so that outputs differ and some end early."""
    tokenizer = HashtagTokenizer.train(["dog cat rain car"], size=300)
    bart = small_bart(tokenizer, width=32, layers=2, heads=4, dropout=0.1)
    model = Generator(
        bart=bart,
        writes=GENERATORS["bart"],
        copying=True,
        feature_sizes={},
        hashtag_vectors_HG=None,
        history_size=None,
        user_dropout=0.0,
    ).eval()
    torch.manual_seed(3)
    with torch.no_grad():
        for layer in model.decoder.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.normal_(std=0.5)
        model.token.weight.normal_(std=0.16)
        model.token.weight[bart.eos_token_id].mul_(5)
    return model


@pytest.fixture(scope="module")
def memory(generator: Generator) -> Memory:
    drawn = torch.Generator().manual_seed(0)
    memory_BLD = torch.randn(12, 9, 32, generator=drawn)
    real_BL = torch.arange(9) < torch.randint(1, 10, (12, 1), generator=drawn)
    assert generator.copying is not None
    return Memory(
        states_BLD=memory_BLD,
        real_BL=real_BL,
        tokens_BL=torch.randint(-1, len(generator.token.weight), (12, 9), generator=drawn).masked_fill(~real_BL, -1),
        keys_BLD=generator.copying.key(memory_BLD).detach(),
    )


@pytest.mark.parametrize("beams", [1, 5])
def test_outputs_are_those_of_transformers(beams: int, generator: Generator, memory: Memory) -> None:
    limit = 20
    mine = ours(generator, memory, beams=beams, limit=limit, rule=None)
    other = theirs(twin(generator), generator, memory, beams=beams, limit=limit)
    lengths = (mine != generator.bart.pad_token_id).sum(1).tolist()
    assert len(set(lengths)) > 2, "nearly all outputs are equally long, so the test shows little"
    assert len({tuple(row) for row in mine.tolist()}) > 6
    assert same(mine, other, eos=generator.bart.eos_token_id).all()


@torch.inference_mode()
def test_step_by_step_the_decoder_gives_the_same_logits(generator: Generator, memory: Memory) -> None:
    """Against transformers' decoder over whole outputs, with beams that change places and videos that leave."""
    steps = DecoderSteps(generator, memory, beams=2)
    drawn = torch.Generator().manual_seed(1)
    read = torch.empty(12, 2, 0, dtype=torch.int64)
    videos = torch.arange(12)
    for step in range(6):
        tokens = torch.randint(4, len(generator.token.weight), read.shape[:2], generator=drawn)
        read = torch.cat([read, tokens[..., None]], dim=2)
        found = steps(tokens)
        for beam in range(2):
            states = generator.states(read[:, beam], memory.keep(videos))[:, -1:]
            expected = generator.log_probabilities(states, memory.keep(videos), torch.ones(len(videos), 1).bool())
            torch.testing.assert_close(found[:, beam], expected, atol=1e-3, rtol=1e-3)
        kept = torch.arange(len(videos) - 1) if step % 2 else torch.arange(len(videos))
        beams = torch.randint(2, (len(kept), 2), generator=drawn)
        steps.keep(kept, beams)
        videos = videos[kept]
        read = read[kept][torch.arange(len(kept))[:, None], beams]
