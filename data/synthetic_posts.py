"""What a made-up world plants: its hashtags and their relations, who posts what, and who the users are.

See `data/synthetic.py` for how a post comes to be, and for the control world.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from data.attributes import AGE_BANDS, FIRST_BAND
from data.synthetic_topics import STYLES, TOPICS

TASTE = (0.45, 0.25, 0.15)  # shares of a user's posts on his three topics; the rest falls on any topic
FAVOURITE_KIND_WEIGHT = 3.0  # the other kinds of a topic weigh 1
HABIT = (0.6, 0.4)  # chances that a post carries its author's first and second style
STRAY_STYLE_CHANCE = 0.03
PHRASE_SHARE = 0.55  # of a style's chance: the phrase of head and style
LEVEL_CHANCES = (0.75, 0.75, 0.7)  # head, kind, leaf
SISTER_CHANCE = 0.2

COUNTRIES = ("BR", "DE", "IN", "JP", "US")
AGES = (FIRST_BAND, *AGE_BANDS.values())
GENDERS = ("female", "male")
TRUE_SHARE, UNKNOWN_SHARE = 0.7, 0.15  # of the entries of profiles; what is not true is drawn at random


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """All hashtags that authors can use, in blocks by role: styles, heads, kinds, leaves, phrases (head and style)."""

    words: tuple[tuple[str, ...], ...]
    starts: dict[str, int]  # first hashtag of each role's block
    leaf_kind: np.ndarray  # kind of every leaf
    kind_topic: np.ndarray  # topic of every kind

    @property
    def num_topics(self) -> int:
        return int(self.kind_topic[-1]) + 1

    @property
    def roles(self) -> np.ndarray:
        """Return each hashtag's role as the number of its block."""
        bounds = np.array([*self.starts.values(), len(self.words)])
        return np.repeat(np.arange(len(self.starts)), np.diff(bounds))


def make_catalog(num_topics: int = len(TOPICS)) -> Catalog:
    """Lay out the hashtags of the first `num_topics` of `TOPICS`, and of `STYLES`."""
    topics = TOPICS[:num_topics]
    kinds = [(number, kind) for number, topic in enumerate(topics) for kind in topic.kinds]
    leaves = [(number, leaf) for number, (_, kind) in enumerate(kinds) for leaf in kind.leaves]
    blocks: dict[str, list[tuple[str, ...]]] = {
        "style": [(style,) for style in STYLES],
        "head": [(topic.head,) for topic in topics],
        "kind": [(kind.name,) for _, kind in kinds],
        "leaf": [(leaf,) for _, leaf in leaves],
        "phrase": [(topic.head, style) for topic in topics for style in STYLES],
    }
    ends = np.cumsum([len(block) for block in blocks.values()]).tolist()
    return Catalog(
        words=tuple(words for block in blocks.values() for words in block),
        starts=dict(zip(blocks, [0, *ends], strict=False)),
        leaf_kind=np.array([kind for kind, _ in leaves]),
        kind_topic=np.array([topic for topic, _ in kinds]),
    )


@dataclass(frozen=True, kw_only=True)
class Posts:
    """The planted truth: who posted what about which subject, in order of time."""

    users: np.ndarray  # [N]
    leaves: np.ndarray  # [N] subject
    uses: np.ndarray  # [N, hashtags of the catalog] bool
    topics: np.ndarray  # [users] favourite topic
    styles: np.ndarray  # [users] first style


def draw_posts(catalog: Catalog, *, num_videos: int, num_users: int, rng: np.random.Generator) -> Posts:
    """Draw users, their tastes and habits, and each post's subject and hashtags."""
    activity = rng.lognormal(sigma=0.6, size=num_users)
    users = rng.choice(num_users, size=num_videos, p=activity / activity.sum())
    leaf_chances = _tastes(num_users, catalog, rng=rng)
    leaves = _draw_rows(leaf_chances[users], rng=rng)
    style_chances = _habits(num_users, rng=rng)
    uses = _draw_uses(leaves, style_chances[users], catalog=catalog, rng=rng)
    topic_chances = leaf_chances @ np.eye(catalog.num_topics)[catalog.kind_topic[catalog.leaf_kind]]
    topics, styles = topic_chances.argmax(1), style_chances.argmax(1)
    return Posts(users=users, leaves=leaves, uses=uses, topics=topics, styles=styles)


def draw_profiles(posts: Posts, *, rng: np.random.Generator) -> pl.DataFrame:
    """Draw each user's gender, age band and country, as text or null."""
    told = {
        "gender": (posts.styles, GENDERS),
        "age": (posts.topics // len(COUNTRIES), AGES),
        "country": (posts.topics, COUNTRIES),
    }
    columns = {}
    for name, (hints, values) in told.items():
        chances = rng.random(len(hints))
        places = np.where(chances < TRUE_SHARE, hints % len(values), rng.integers(len(values), size=len(hints)))
        known = chances < 1 - UNKNOWN_SHARE
        columns[name] = [values[place] if said else None for place, said in zip(places, known, strict=True)]
    return pl.DataFrame(columns, schema=dict.fromkeys(told, pl.String()))


def _draw_rows(chances: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Draw one column per row of `chances` [N, C], whose rows sum to 1."""
    return (chances.cumsum(1)[:, :-1] < rng.random((len(chances), 1))).sum(1)


def _tastes(num_users: int, catalog: Catalog, *, rng: np.random.Generator) -> np.ndarray:
    """Return the chance [users, leaves] that a user's post is about a leaf."""
    num_topics, num_leaves = catalog.num_topics, len(catalog.leaf_kind)
    topics = np.full((num_users, num_topics), (1 - sum(TASTE)) / num_topics)
    favourites = rng.permuted(np.tile(np.arange(num_topics), (num_users, 1)), axis=1)[:, : len(TASTE)]
    np.put_along_axis(topics, favourites, np.array(TASTE)[None] + topics[:, : len(TASTE)], axis=1)
    kinds = np.where(_one_per_group(catalog.kind_topic, num_users, rng=rng), FAVOURITE_KIND_WEIGHT, 1.0)
    kinds = topics[:, catalog.kind_topic] * kinds / _group_sums(kinds, catalog.kind_topic)
    leaves = np.broadcast_to(rng.lognormal(sigma=0.4, size=num_leaves), (num_users, num_leaves))
    return kinds[:, catalog.leaf_kind] * leaves / _group_sums(leaves, catalog.leaf_kind)


def _one_per_group(groups: np.ndarray, num_rows: int, *, rng: np.random.Generator) -> np.ndarray:
    """Mark, in each row, one random member of every group (bool [rows, members])."""
    draws = rng.random((num_rows, len(groups)))
    return np.stack([draws[:, member] == draws[:, groups == group].max(1) for member, group in enumerate(groups)], 1)


def _group_sums(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return, for every member, the sum of `values` [rows, members] over its group."""
    return values @ (groups[:, None] == groups[None, :])


def _habits(num_users: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return the chance [users, styles] that a user's post carries a style."""
    order = rng.permuted(np.tile(np.arange(len(STYLES)), (num_users, 1)), axis=1)
    chances = np.array([*HABIT, *[STRAY_STYLE_CHANCE] * (len(STYLES) - len(HABIT))])
    return chances[order]


def _draw_uses(
    leaves: np.ndarray, style_chances: np.ndarray, *, catalog: Catalog, rng: np.random.Generator
) -> np.ndarray:
    """Draw the hashtags (bool [N, hashtags]) of posts with subjects `leaves` [N]; each has at least one."""
    starts, rows = catalog.starts, np.arange(len(leaves))
    kinds = catalog.leaf_kind[leaves]
    topics = catalog.kind_topic[kinds]
    uses = np.zeros((len(leaves), len(catalog.words)), dtype=bool)
    uses[:, : len(STYLES)] = rng.random(style_chances.shape) < style_chances
    levels = (starts["head"] + topics, starts["kind"] + kinds, starts["leaf"] + leaves)
    for hashtags, chance in zip(levels, LEVEL_CHANCES, strict=True):
        uses[rows, hashtags] = rng.random(len(rows)) < chance
    phrases = starts["phrase"] + topics[:, None] * len(STYLES) + np.arange(len(STYLES))
    uses[rows[:, None], phrases] = rng.random(style_chances.shape) < PHRASE_SHARE * style_chances
    same_kind = (catalog.leaf_kind[None, :] == kinds[:, None]).astype(float)
    sisters = starts["leaf"] + _draw_rows(same_kind / same_kind.sum(1, keepdims=True), rng=rng)
    uses[rows, sisters] |= rng.random(len(rows)) < SISTER_CHANCE
    uses[rows, levels[0]] |= ~uses.any(1)
    return uses


def _parents(catalog: Catalog) -> np.ndarray:
    """Return what each hashtag hangs on ([H, 2], -1 for none): a leaf on kind and head, a phrase on head and style."""
    starts, parents = catalog.starts, np.full((len(catalog.words), 2), -1)
    heads = starts["head"] + catalog.kind_topic
    parents[starts["kind"] : starts["leaf"], 0] = heads
    parents[starts["leaf"] : starts["phrase"]] = np.stack(
        [starts["kind"] + catalog.leaf_kind, heads[catalog.leaf_kind]], 1
    )
    topics, styles = np.divmod(np.arange(len(catalog.words) - starts["phrase"]), len(STYLES))
    parents[starts["phrase"] :] = np.stack([starts["head"] + topics, starts["style"] + styles], 1)
    return parents


def _tells_truth(source: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Mark the hashtags (bool [H]) with their own name, or whose name hangs on a name that a parent of theirs carries.

    Hashtag i carries the name of `source[i]`.
    """
    carrier = np.append(np.argsort(source), -2)  # a missing parent (-1) is carried by nobody
    named = carrier[parents[source]]
    return (source == np.arange(len(source))) | (named[:, :, None] == parents[:, None, :]).any((1, 2))


def draw_names(catalog: Catalog, *, swapped: bool, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Return each hashtag's words; with `swapped`, exchanged at random inside every role until no name tells the truth.

    A plain shuffle would leave a fifth of the phrases linked to their own style or head.
    """
    source = np.arange(len(catalog.words))
    if swapped:
        parents = _parents(catalog)
        for role in range(len(catalog.starts)):  # parents before children
            members = np.flatnonzero(catalog.roles == role)
            source[members] = rng.permutation(members)
            while (wrong := members[_tells_truth(source, parents)[members]]).size:
                pair = np.array([wrong[0], rng.choice(members)])
                source[pair] = source[pair[::-1]]
    return [catalog.words[place] for place in source]
