"""A memory as plain arrays, and back: what a run keeps of the train posts.

Shapes: T train posts, H hashtags, V terms, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse

from graph_builders.hashtag_graph import HashtagGraph
from v2ht.evidence.memory import Memory
from v2ht.evidence.posts import Past
from v2ht.evidence.relatives import static_shares
from v2ht.evidence.texts import TextIndex
from v2ht.evidence.words import NamedHashtags

_PARTS = ("data", "indices", "indptr")
_UNSIGNED = 2**32 - 1  # what earlier versions wrote in place of -1 for a post without a sound


def memory_arrays(memory: Memory) -> dict[str, np.ndarray]:
    """Return all of a memory but its terms, hashtags, names of sounds and graph."""
    past = memory.past
    arrays = {"users": past.users_T, "times": past.times_T, "sounds": past.sounds_T, "idf": memory.texts.idf_V}
    if memory.periods_T is not None:
        arrays["periods"] = memory.periods_T
    for name, matrix in {"texts": past.texts_TV, "uses": past.uses_TH, **memory.ridges}.items():
        arrays |= {f"{name}.{part}": getattr(matrix, part) for part in _PARTS}
    return arrays


def memory_of(
    arrays: Mapping[str, np.ndarray],
    *,
    terms: Sequence[str],
    sounds: Sequence[str],
    hashtags: Sequence[str],
    words: Sequence[Sequence[str]],
    num_users: int,
    graph: HashtagGraph,
) -> Memory:
    """Return the memory that `memory_arrays` was made of.

    Raises KeyError when an array is missing, and ValueError when one has another type or size than the others ask for,
    or numbers that no memory has.
    """
    num_hashtags, num_terms, num_posts = len(hashtags), len(terms), len(arrays["users"])
    arrays = {**arrays, "sounds": np.where(arrays["sounds"] == _UNSIGNED, -1, arrays["sounds"])}
    for name, least, end in (("users", 0, num_users), ("sounds", -1, len(sounds)), ("periods", 0, num_posts)):
        if name in arrays:
            _check(arrays, name, np.int64, num_posts)
            if num_posts and not (arrays[name].min() >= least and arrays[name].max() < end):
                raise ValueError(f"{name} of posts are not in {least} to {end - 1}")
    _check(arrays, "times", np.float64, num_posts)
    _check(arrays, "idf", np.float32, num_terms)
    rows = {"texts": num_posts, "uses": num_posts, "ridge.text": num_terms, "ridge.user": num_terms + num_users}
    for name, expected in rows.items():
        _check(arrays, f"{name}.data", np.float32, len(arrays[f"{name}.indices"]))
        if len(arrays[f"{name}.indptr"]) != expected + 1:
            raise ValueError(f"{name} has {len(arrays[f'{name}.indptr']) - 1} rows, expected {expected}")
        lowest = 0.0 if name in ("texts", "uses") else -np.inf
        if not (np.isfinite(arrays[f"{name}.data"]) & (arrays[f"{name}.data"] >= lowest)).all():
            raise ValueError(f"{name} holds numbers that it cannot hold")
    past = Past(
        users_T=arrays["users"],
        times_T=arrays["times"],
        sounds_T=arrays["sounds"],
        texts_TV=_matrix(arrays, "texts", num_terms),
        uses_TH=_matrix(arrays, "uses", num_hashtags),
        rarity_V=np.exp(arrays["idf"] - 1),
        num_users=num_users,
    )
    return Memory(
        texts=TextIndex(terms, arrays["idf"]),
        named=NamedHashtags(hashtags, words),
        sounds=sounds,
        shares_GH=static_shares(graph),
        past=past,
        periods_T=arrays.get("periods"),
        ridges={name: _matrix(arrays, name, num_hashtags) for name in ("ridge.text", "ridge.user")},
    )


def _check(arrays: Mapping[str, np.ndarray], name: str, kind: type, size: int) -> None:
    found = arrays[name]
    if found.dtype != kind or found.shape != (size,):
        raise ValueError(f"{name} is {found.dtype} of shape {found.shape}, expected {np.dtype(kind)} of ({size},)")


def _matrix(arrays: Mapping[str, np.ndarray], name: str, columns: int) -> sparse.csr_matrix:
    data, indices, indptr = (arrays[f"{name}.{part}"] for part in _PARTS)
    matrix = sparse.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, columns))
    matrix.check_format()
    return matrix
