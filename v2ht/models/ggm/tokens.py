"""Texts and hashtags as tokens: a byte-level BPE, the generator's prompts, its targets, and hashtags back from tokens.

Shapes: B videos, L tokens of a prompt, S tokens of a target, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from data.files import InputError, new_file
from data.text import without_addresses

PAD, BOS, EOS, SEP = "<pad>", "<s>", "</s>", "<sep>"  # BART's names, and the separator that it lacks
IGNORED = -100  # target of padding


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """What the text encoder reads: `[BOS] description [SEP] hashtag [SEP] hashtag ... [EOS]`, padded."""

    tokens_BL: Tensor
    real_BL: Tensor  # bool
    hashtags_BL: Tensor  # id of the guidance hashtag that a token is part of, -1 elsewhere
    places_BL: Tensor  # that hashtag's place in the guidance, from 1 on; 0 elsewhere
    words_BL: Tensor  # the tokens, -1 in place of the special ones


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A hashtag as it was written: its words, and the mean of its tokens' log probabilities, separator included."""

    words: tuple[str, ...]
    log_probability: float


class HashtagTokenizer:
    """Tokens of descriptions and of hashtags, which are written as their words with spaces between.

    Args:
        tokenizer: a BPE of `tokenizers` with the four special tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.pad, self.bos, self.eos, self.sep = (self._special(name) for name in (PAD, BOS, EOS, SEP))

    def _special(self, name: str) -> int:
        number = self._tokenizer.token_to_id(name)
        if number is None:
            raise InputError(f"the tokenizer has no token {name}; give the folder of a BART, or train without one")
        return int(number)

    @staticmethod
    def train(texts: Iterable[str], *, size: int) -> HashtagTokenizer:
        """Learn at most `size` tokens from lower-cased texts: all bytes, the special tokens, merges by frequency."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[PAD, BOS, EOS, SEP],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return HashtagTokenizer(tokenizer)

    @staticmethod
    def of_folder(folder: Path) -> HashtagTokenizer:
        """Read a BART folder's tokenizer.json and add the separator. Raises `InputError` when it cannot be read."""
        tokenizer = _read(Path(folder) / "tokenizer.json")
        tokenizer.add_special_tokens([SEP])
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return HashtagTokenizer(tokenizer)

    @staticmethod
    def load(path: Path) -> HashtagTokenizer:
        """Read what `save` wrote. Raises `InputError` when it cannot be read."""
        return HashtagTokenizer(_read(path))

    def save(self, path: Path) -> None:
        """Write tokenizer.json, whole or not at all."""
        with new_file(path) as temporary:
            temporary.write_text(self._tokenizer.to_str(), encoding="utf-8")

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def text(self, text: str, *, limit: int) -> list[int]:
        """Return the first tokens of a description, links and mentions left out."""
        return self._encode(" ".join(without_addresses(text).split()))[:limit]

    def hashtag(self, words: Sequence[str]) -> list[int]:
        """Return the tokens of a hashtag's words."""
        return self._encode(" ".join(words))

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text if text[:1] == " " else f" {text}", add_special_tokens=False).ids
        return ids

    def prompts(
        self,
        texts: Sequence[Sequence[int]],
        guidance: Sequence[Sequence[int]],
        hashtags: Sequence[Sequence[int]],
        *,
        limit: int,
    ) -> Prompts:
        """Return the prompts of descriptions (tokens) and guidance (hashtag ids, best first), cut at `limit` tokens.

        `hashtags` holds the tokens of every hashtag of the vocabulary.
        """
        rows = []
        for text, ids in zip(texts, guidance, strict=True):
            row = [(self.bos, -1, 0), *((token, -1, 0) for token in text)]
            for place, number in enumerate(ids, 1):
                row += [(self.sep, -1, 0), *((token, int(number), place) for token in hashtags[number])]
            rows.append([*row[: limit - 1], (self.eos, -1, 0)])
        padded = torch.tensor(_padded(rows, (self.pad, -1, 0)), dtype=torch.int64)
        lengths_B1 = torch.tensor([[len(row)] for row in rows])
        tokens_BL = padded[..., 0]
        special_BL = torch.isin(tokens_BL, torch.tensor([self.pad, self.bos, self.eos, self.sep]))
        return Prompts(
            tokens_BL=tokens_BL,
            real_BL=torch.arange(padded.shape[1]) < lengths_B1,
            hashtags_BL=padded[..., 1],
            places_BL=padded[..., 2],
            words_BL=tokens_BL.masked_fill(special_BL, -1),
        )

    def targets(self, rows: Sequence[Sequence[Sequence[int]]], *, limit: int) -> tuple[Tensor, Tensor]:
        """Return what the decoder reads and what it should write, both int64 [B, S].

        A row holds the tokens of each hashtag of a video, in the order to write them; those that would not fit into
        `limit` tokens, the end included, are left out. Targets of padding are `IGNORED`.
        """
        written = []
        for hashtags in rows:
            row: list[int] = []
            for tokens in hashtags:
                if len(row) + len(tokens) + 1 < limit:
                    row += [self.sep, *tokens] if row else tokens
            written.append([*row, self.eos])
        read = _padded([[self.bos, *row[:-1]] for row in written], self.pad)
        return torch.tensor(read), torch.tensor(_padded(written, IGNORED))

    def written(self, tokens: Sequence[int], log_probabilities: Sequence[float]) -> list[Hypothesis]:
        """Return the hashtags of an output, in its order; one that was cut off before its end is left out."""
        found, begun = [], 0
        for place, token in enumerate(tokens):
            if token not in (self.sep, self.eos):
                continue
            text = self._tokenizer.decode(list(tokens[begun:place])).replace("\ufffd", "")
            if text.strip():
                mean = sum(log_probabilities[begun : place + 1]) / (place + 1 - begun)
                found.append(Hypothesis(words=tuple(text.split()), log_probability=mean))
            begun = place + 1
            if token == self.eos:
                break
        return found

    def pieces(self) -> list[bytes]:
        """Return what each token adds to a hashtag's joined words: its bytes without white space; none if special."""
        byte_of = {letter: byte for byte, letter in enumerate(_byte_letters())}
        special = {self.pad, self.bos, self.eos, self.sep}
        names = [self._tokenizer.id_to_token(number) or "" for number in range(len(self))]
        return [
            b""
            if number in special
            else bytes(byte_of[letter] for letter in name if letter in byte_of).replace(b" ", b"")
            for number, name in enumerate(names)
        ]


def _byte_letters() -> list[str]:
    """Return the letter that byte-level BPE writes for each byte: itself if visible, else the next from U+0100 on."""
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = iter(range(256, 512))
    return [chr(byte) if byte in visible else chr(next(hidden)) for byte in range(256)]


def _padded(rows: Sequence[Sequence], filler: object) -> list[list]:
    longest = max(len(row) for row in rows)
    return [[*row, *[filler] * (longest - len(row))] for row in rows]


def _read(path: Path) -> Tokenizer:
    if not path.is_file():
        raise InputError(f"{path} does not exist; give a whole folder")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise InputError(
            f"{path} is no tokenizer ({' '.join(str(error).split())[:200]}); give a whole folder"
        ) from None
