"""Vectors of description and hashtag words: learned from the train split (V2HT 4.2, DESIGN: no leaks), or of a file."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, cast

import numpy as np

from data.dataset import Dataset
from data.files import InputError
from data.text import hashtag_words, text_words

VECTOR_FILES = (".txt", ".vec", ".bin")  # each also with .gz behind it
LARGEST = 1 << 16  # numbers that a vector may have: a file that claims more holds no vectors
LONGEST = 1 << 20  # bytes that a line, or a word of a binary file, may have


@dataclass(frozen=True, kw_only=True)
class WordVectors:
    """A vocabulary of words and one vector for each: `matrix` is float32 [words, dimension]."""

    words: list[str]
    matrix: np.ndarray

    def __post_init__(self) -> None:
        if len(self.words) != len(self.matrix):
            raise ValueError(f"{len(self.words)} words but {len(self.matrix)} vectors; give one vector a word")

    @property
    def dimension(self) -> int:
        return int(self.matrix.shape[1])

    def index(self) -> dict[str, int]:
        """Return word -> row."""
        return {word: row for row, word in enumerate(self.words)}

    def means(self, texts: Sequence[Sequence[str]]) -> np.ndarray:
        """Return the mean vector of each list of words, float32 [texts, dimension]; zero where no word is known."""
        index = self.index()
        result = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            known = [index[word] for word in text if word in index]
            if known:
                result[row] = self.matrix[known].mean(0)
        return result


def train_word_vectors(
    dataset: Dataset, *, dimension: int, seed: int, epochs: int = 20, max_words: int = 60
) -> WordVectors:
    """Learn vectors with gensim's skip-gram; a train video is one sentence: its description's and its hashtags' words.

    Words of the vocabulary's hashtags that no train video holds get a zero vector: the graph, not Word2Vec, must tell
    where they lie. One worker, so that the same seed gives the same vectors.
    """
    from gensim.models import Word2Vec

    train = dataset.videos[dataset.rows("train")]
    tag_words = [hashtag_words(row) for row in dataset.hashtags["words"].to_list()]
    sentences = [
        text_words(text)[:max_words] + [word for tag in tags for word in tag_words[tag]]
        for text, tags in zip(train["text"].to_list(), train["hashtag_ids"].to_list(), strict=True)
    ]
    model = Word2Vec(
        sentences, vector_size=dimension, window=10, min_count=1, sg=1, negative=5, epochs=epochs, seed=seed, workers=1
    )
    counts = {word: model.wv.get_vecattr(word, "count") for word in model.wv.index_to_key}
    tag_vocabulary = {word for tag in tag_words for word in tag}
    kept = [word for word in model.wv.index_to_key if counts[word] > 1 or word in tag_vocabulary]
    unseen = sorted(tag_vocabulary.difference(counts))
    matrix = np.concatenate([np.stack([model.wv[word] for word in kept]), np.zeros((len(unseen), dimension))])
    return WordVectors(words=kept + unseen, matrix=matrix.astype(np.float32))


def dataset_words(dataset: Dataset) -> set[str]:
    """Return the words of the train descriptions and of the vocabulary's hashtags, in the form that is looked up."""
    train = dataset.videos[dataset.rows("train")]
    words = {word for text in train["text"].to_list() for word in text_words(text)}
    return words.union(*(hashtag_words(row) for row in dataset.hashtags["words"].to_list()))


def read_word_vectors(path: Path, wanted: Set[str]) -> WordVectors:
    """Read the vectors of the `wanted` words that a local file knows: as they are there, and in its order.

    The file is in word2vec format: text (.txt, .vec; without the first line "COUNT DIMENSION" in GloVe's files) or
    binary (.bin), each also with .gz. It is read once, a block at a time. Only the records of wanted words, and of a
    word that comes twice the first, are kept and parsed, by gensim.

    Raises `InputError` when the file is missing, of another kind or damaged, or knows no wanted word.
    """
    path = Path(path)
    binary = _is_binary(path)
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as source:
            vectors = _parsed(_excerpt(cast(BinaryIO, source), wanted, binary=binary), binary=binary)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(
            f"word_vectors={path} cannot be read ({text}); give a whole file in word2vec format, text or binary"
        ) from None
    if not vectors.words:
        raise InputError(
            f"word_vectors={path} knows none of the {len(wanted):,} words of the train descriptions and hashtags "
            "(lower case, dictionary forms); give vectors of their language"
        )
    return vectors


def _is_binary(path: Path) -> bool:
    kind = Path(path.name.removesuffix(".gz")).suffix
    if kind not in VECTOR_FILES:
        raise InputError(
            f"word_vectors={path} is no {', '.join(VECTOR_FILES)} file (or one with .gz) in word2vec format; gensim's "
            "own files (.model, .kv) can run code and are not read: write one with save_word2vec_format"
        )
    if not path.is_file():
        raise InputError(f"word_vectors={path}: there is no such file; correct the path")
    return kind == ".bin"


def _excerpt(source: BinaryIO, wanted: Set[str], *, binary: bool) -> bytes:
    """Return the file of the wanted words alone, in the same format."""
    first = source.readline(LONGEST)
    count, size = _header(first)
    if count is None and binary:
        raise ValueError("it does not begin with COUNT DIMENSION")
    begun = first if count is None else b""
    records = _binary_records(source, count or 0, size) if binary else _text_records(source, count, begun=begun)
    missing = {word.encode() for word in wanted}
    kept = []
    for word, record in records:
        if word in missing:
            missing.remove(word)
            if not binary and len(record.split()) != size + 1:
                raise ValueError(f"{word.decode()!r} has {len(record.split()) - 1} numbers, expected {size}")
            kept.append(record)
    return f"{len(kept)} {size}\n".encode() + b"".join(kept)


def _header(line: bytes) -> tuple[int | None, int]:
    """Return COUNT and DIMENSION of a file's first line; if it holds a word already, no count and its dimension."""
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        count, size = int(fields[0]), int(fields[1])
    else:
        count, size = None, len([float(field) for field in fields[1:]])
    if not 1 <= size <= LARGEST:
        raise ValueError(f"its first line gives vectors of {size} numbers")
    return count, size


def _text_records(source: BinaryIO, count: int | None, *, begun: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each word with its line; `begun` is the first line if that was read already."""
    done = 0
    while count is None or done < count:
        line = begun or source.readline(LONGEST)
        begun = b""
        if not line and count is None:
            return
        if not line:
            raise EOFError(f"it ends after {done:,} of {count:,} words")
        if len(line) == LONGEST:
            raise ValueError(f"line {done + 1:,} is longer than {LONGEST:,} bytes")
        yield line.split(b" ", 1)[0], line
        done += 1


def _binary_records(source: BinaryIO, count: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield each word with its record: the word, a space, `size` float32 numbers; maybe a newline before it."""
    block, start = b"", 0
    for done in range(count):
        while (space := block.find(b" ", start)) < 0 or len(block) < space + 1 + 4 * size:
            more = source.read(LONGEST)
            if not more:
                raise EOFError(f"it ends after {done:,} of {count:,} words")
            if space < 0 and len(block) - start > LONGEST:
                raise ValueError(f"word {done + 1:,} is longer than {LONGEST:,} bytes")
            block, start = block[start:] + more, 0
        end = space + 1 + 4 * size
        yield block[start:space].lstrip(b"\n"), block[start:end]
        start = end


def _parsed(excerpt: bytes, *, binary: bool) -> WordVectors:
    """Return the vectors of a file in word2vec format. Raises ValueError on numbers that are not finite."""
    from gensim.models import KeyedVectors

    with NamedTemporaryFile() as file:  # gensim opens names only
        file.write(excerpt)
        file.flush()
        found = KeyedVectors.load_word2vec_format(file.name, binary=binary)
    words, matrix = list(found.index_to_key), np.asarray(found.vectors, np.float32)
    for word, row in zip(words, matrix, strict=True):
        if not np.isfinite(row).all():
            raise ValueError(f"the vector of {word!r} is not finite")
    return WordVectors(words=words, matrix=matrix)
