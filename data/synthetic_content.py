"""What a made-up world's posts show: steps of sight and sound, regions of frames, captions.

See `data/synthetic.py` for what is planted in them.
"""

from __future__ import annotations

import numpy as np

from data.dataset import Ragged
from data.synthetic_posts import Catalog
from data.synthetic_topics import CHATTER, STOP_WORDS, TOPICS

SUBJECT_STEP_SHARE = 0.6  # the other steps are background
MISSING_SHARE = 0.02  # of videos, in each modality
BYSTANDER_STEP_SHARE = 0.6  # of frames cut into regions
PRESENCE = 1.5  # length of the direction that marks a step showing the subject, in standard deviations of the noise
# Chances of a caption's words: of the topic, of the kind, the name of a head, kind or leaf itself, chatter.
CAPTION_CHANCES = (0.09, 0.05, 0.02, 0.84)
CAPTION_WORDS = (2, 6)


def draw_steps(
    leaves: np.ndarray,
    *,
    catalog: Catalog,
    clarity: tuple[float, ...],
    dimension: int,
    max_steps: int,
    rng: np.random.Generator,
) -> Ragged:
    """Draw one modality's steps (float16, up to `max_steps` per video, none where the modality is missing)."""
    looks = _looks(catalog, clarity=clarity, dimension=dimension, rng=rng)
    subjects = looks[leaves] + rng.normal(size=(len(leaves), dimension))
    lengths = _lengths(len(leaves), max_steps, rng=rng)
    shown = rng.random(lengths.sum()) < SUBJECT_STEP_SHARE
    steps = rng.normal(size=(len(shown), dimension)) + shown[:, None] * np.repeat(subjects, lengths, axis=0)
    return Ragged(values=steps.astype(np.float16), offsets=np.concatenate([[0], np.cumsum(lengths)]))


def draw_regions(
    leaves: np.ndarray,
    *,
    catalog: Catalog,
    clarity: tuple[float, ...],
    dimension: int,
    max_steps: int,
    num_regions: int,
    rng: np.random.Generator,
) -> Ragged:
    """Draw frames as regions, float16 [frames, R, F]; whoever a frame shows has a region of it to himself."""
    looks = _looks(catalog, clarity=clarity, dimension=dimension, rng=rng)
    lengths = _lengths(len(leaves), max_steps, rng=rng)
    frames = np.arange(lengths.sum())
    values = rng.normal(size=(len(frames), num_regions, dimension))
    places = rng.permuted(np.tile(np.arange(num_regions), (len(frames), 1)), axis=1)
    bystanders = rng.integers(len(looks), size=(num_regions // 2, len(leaves)))
    for place, seen in enumerate([leaves, *bystanders]):
        views = looks[seen] + rng.normal(size=(len(leaves), dimension))
        shown = rng.random(len(frames)) < (BYSTANDER_STEP_SHARE if place else SUBJECT_STEP_SHARE)
        values[frames, places[:, place]] += shown[:, None] * np.repeat(views, lengths, axis=0)
    return Ragged(values=values.astype(np.float16), offsets=np.concatenate([[0], np.cumsum(lengths)]))


def _looks(catalog: Catalog, *, clarity: tuple[float, ...], dimension: int, rng: np.random.Generator) -> np.ndarray:
    """Return what each leaf looks like, [leaves, F]: topic's, kind's and own directions, and the mark of a subject."""
    numbers = (catalog.num_topics, len(catalog.kind_topic), len(catalog.leaf_kind))
    topic, kind, leaf = (size * rng.normal(size=(n, dimension)) for size, n in zip(clarity, numbers, strict=True))
    prototypes = topic[catalog.kind_topic][catalog.leaf_kind] + kind[catalog.leaf_kind] + leaf
    direction = rng.normal(size=dimension)
    presence = PRESENCE * direction / np.linalg.norm(direction) * np.sqrt(dimension)
    marked: np.ndarray = prototypes + presence
    return marked


def _lengths(num_videos: int, max_steps: int, *, rng: np.random.Generator) -> np.ndarray:
    """Draw how many steps each video has, none where the modality is missing."""
    lengths = rng.integers((max_steps + 1) // 2, max_steps + 1, size=num_videos)
    lengths[rng.random(num_videos) < MISSING_SHARE] = 0
    return lengths


def write_captions(leaves: np.ndarray, *, catalog: Catalog, rng: np.random.Generator) -> list[str]:
    """Write a caption per video: words of its topic and kind, at times a hashtag's own name, chatter, stop words."""
    kinds = [kind for topic in TOPICS for kind in topic.kinds]
    leaf_names = [leaf for kind in kinds for leaf in kind.leaves]
    captions = []
    for leaf in leaves:
        kind, topic = kinds[catalog.leaf_kind[leaf]], TOPICS[catalog.kind_topic[catalog.leaf_kind[leaf]]]
        sources = (topic.words, kind.words, (topic.head, kind.name, leaf_names[leaf]), CHATTER)
        length = 0 if rng.random() < MISSING_SHARE else rng.integers(CAPTION_WORDS[0], CAPTION_WORDS[1] + 1)
        words = []
        for source in rng.choice(len(sources), size=length, p=CAPTION_CHANCES):
            words += [rng.choice(STOP_WORDS)] if rng.random() < 0.5 else []
            words.append(rng.choice(sources[source]))
        captions.append(" ".join(words))
    return captions
