"""Word2Vec vectors of description and hashtag words, learned from the train split (V2HT 4.2, DESIGN: no leaks)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.dataset import Dataset
from data.text import hashtag_words, text_words


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
