"""Made-up worlds with known answers: posts whose hashtags follow from content, user and hashtag relations.

How a post comes to be. Every user has a taste (a few topics, a favourite kind in each) and two habits (style hashtags
such as "life"). A post's subject is a leaf of `TOPICS`, drawn from that taste. The author names it on several levels:
the topic's head ("dog"), the kind ("hound"), the leaf ("beagle"), perhaps a sister leaf; he adds his styles, and now
and then joins head and style in a phrase ("dog life"). Heads, kinds and styles become frequent; leaves and phrases
are the long tail, each with a handful of posts. What the world plants:

- Content. Sight, sound and caption each show the subject dimly, and independently of each other, sight best, caption
  least. A leaf's prototype is its topic's plus its kind's plus a direction of its own, so a rare leaf lies near its
  frequent relatives. Part of the steps is background: a direction common to all others marks the steps that show
  the subject, so that attention pooling has something to find.
- User. Content says nothing about habits, and leaves topics in doubt that a taste settles. With `regions`, a frame is
  cut into regions: one shows the subject, half of them bystanders (subjects of their own, the same all through the
  video), and only the author's taste tells which is which. Whole frames are the means of their regions. With
  `profiles`, country and age hint at a user's favourite topic, gender at his first style; some are false or unknown.
- Relations. Too few posts show where a rare hashtag lies; its relatives, many posts of which are seen, tell.
  "dog life" has composition edges to "dog" (what content shows) and to "life" (what the user likes).

The control world, `graph_is_noise`, holds the same posts, but hashtags have swapped their names with others of the
same role (heads with heads, leaves with leaves, ...), and no swapped name leads to a true relative. Composition and
WordNet edges come from names: they stay about as many, between hashtags about as frequent, but link unrelated ones.
What is left to gain from them is an even lift of rare hashtags beside frequent ones, blind to the post. Co-occurrence
comes from posts and stays true, so an experiment that wants the gain of propagation to vanish builds the graphs of
both worlds without co-occurrence.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from data.attributes import AGE_BANDS, FIRST_BAND
from data.dataset import (
    FEATURE_NAMES,
    FORMAT,
    HASHTAGS_SCHEMA,
    SPLITS,
    USERS_SCHEMA,
    VIDEOS_SCHEMA,
    Dataset,
    Ragged,
    check,
    counts,
)
from data.files import InputError, new_file
from data.synthetic_topics import CHATTER, STOP_WORDS, STYLES, TOPICS

MIN_TRAIN_VIDEOS = 2  # a hashtag with fewer train videos does not enter the vocabulary
SPLIT_CHANCES = (0.6, 0.15, 0.25)  # few train videos for a rare hashtag, many test videos for a steady number
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 365

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

SUBJECT_STEP_SHARE = 0.6  # the other steps are background
MISSING_SHARE = 0.02  # of videos, in each modality
BYSTANDER_STEP_SHARE = 0.6  # of frames cut into regions
PRESENCE = 1.5  # length of the direction that marks a step showing the subject, in standard deviations of the noise
# Sizes of the topic's, kind's and leaf's directions, per dimension, in standard deviations of a video's noise.
CLARITY = {"visual": (0.58, 0.46, 0.36), "acoustic": (0.7, 0.5, 0.36)}
# Chances of a caption's words: of the topic, of the kind, the name of a head, kind or leaf itself, chatter.
CAPTION_CHANCES = (0.09, 0.05, 0.02, 0.84)
CAPTION_WORDS = (2, 6)


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """The size of a made-up world, and whether the names of its hashtags tell their relations."""

    num_videos: int = 2400
    num_users: int = 150
    num_topics: int = len(TOPICS)  # the first so many of `TOPICS`
    graph_is_noise: bool = False  # the control world: same posts, names swapped among hashtags of one role
    visual_dimension: int = 32
    acoustic_dimension: int = 16
    visual_steps: int = 12  # at most, per video
    acoustic_steps: int = 10  # at most, per video
    regions: int = 0  # of a frame, 2 or more; 0: frames are whole
    profiles: bool = False  # users have a gender, an age and a country

    def __post_init__(self) -> None:
        for name in ("num_users", "visual_dimension", "acoustic_dimension", "visual_steps", "acoustic_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"WorldSettings.{name} is {getattr(self, name)}; expected at least 1")
        if self.regions < 0 or self.regions == 1:
            raise InputError(f"WorldSettings.regions is {self.regions}; expected 0 for whole frames, or at least 2")
        if self.num_videos < 100:
            raise InputError(f"WorldSettings.num_videos is {self.num_videos}; expected at least 100")
        if not len(TASTE) <= self.num_topics <= len(TOPICS):
            raise InputError(f"WorldSettings.num_topics is {self.num_topics}; expected {len(TASTE)} to {len(TOPICS)}")


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """All hashtags that authors can use, in blocks by role: styles, heads, kinds, leaves, phrases (head and style)."""

    words: tuple[tuple[str, ...], ...]
    starts: dict[str, int]  # first hashtag of each role's block
    leaf_kind: np.ndarray  # kind of every leaf
    kind_topic: np.ndarray  # topic of every kind

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


def draw_posts(settings: WorldSettings, catalog: Catalog, *, rng: np.random.Generator) -> Posts:
    """Draw users, their tastes and habits, and each post's subject and hashtags."""
    activity = rng.lognormal(sigma=0.6, size=settings.num_users)
    users = rng.choice(settings.num_users, size=settings.num_videos, p=activity / activity.sum())
    leaf_chances = _tastes(settings.num_users, catalog, rng=rng)
    leaves = _draw_rows(leaf_chances[users], rng=rng)
    style_chances = _habits(settings.num_users, rng=rng)
    uses = _draw_uses(leaves, style_chances[users], catalog=catalog, rng=rng)
    topic_chances = leaf_chances @ np.eye(settings.num_topics)[catalog.kind_topic[catalog.leaf_kind]]
    topics, styles = topic_chances.argmax(1), style_chances.argmax(1)
    return Posts(users=users, leaves=leaves, uses=uses, topics=topics, styles=styles)


def _profiles(posts: Posts, *, rng: np.random.Generator) -> pl.DataFrame:
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
    num_topics, num_leaves = catalog.kind_topic[-1] + 1, len(catalog.leaf_kind)
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


def _sequences(
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


def _regions(leaves: np.ndarray, *, catalog: Catalog, settings: WorldSettings, rng: np.random.Generator) -> Ragged:
    """Draw frames as regions, float16 [frames, R, F]; whoever a frame shows has a region of it to himself."""
    dimension = settings.visual_dimension
    looks = _looks(catalog, clarity=CLARITY["visual"], dimension=dimension, rng=rng)
    lengths = _lengths(len(leaves), settings.visual_steps, rng=rng)
    frames = np.arange(lengths.sum())
    values = rng.normal(size=(len(frames), settings.regions, dimension))
    places = rng.permuted(np.tile(np.arange(settings.regions), (len(frames), 1)), axis=1)
    bystanders = rng.integers(len(looks), size=(settings.regions // 2, len(leaves)))
    for place, seen in enumerate([leaves, *bystanders]):
        views = looks[seen] + rng.normal(size=(len(leaves), dimension))
        shown = rng.random(len(frames)) < (BYSTANDER_STEP_SHARE if place else SUBJECT_STEP_SHARE)
        values[frames, places[:, place]] += shown[:, None] * np.repeat(views, lengths, axis=0)
    return Ragged(values=values.astype(np.float16), offsets=np.concatenate([[0], np.cumsum(lengths)]))


def _looks(catalog: Catalog, *, clarity: tuple[float, ...], dimension: int, rng: np.random.Generator) -> np.ndarray:
    """Return what each leaf looks like, [leaves, F]: topic's, kind's and own directions, and the mark of a subject."""
    numbers = (catalog.kind_topic[-1] + 1, len(catalog.kind_topic), len(catalog.leaf_kind))
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


def _captions(leaves: np.ndarray, *, catalog: Catalog, rng: np.random.Generator) -> list[str]:
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


def _names(catalog: Catalog, *, swapped: bool, rng: np.random.Generator) -> list[tuple[str, ...]]:
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


def make_world(settings: WorldSettings, *, seed: int) -> Dataset:
    """Make a world in memory: tables, a random split (80/10/10), `visual` and `acoustic` features.

    The control world of the same seed has the same posts, captions, features and hashtag ids; only the names differ.
    Times lie in 2024 and rise with the row. Posts whose hashtags are all too rare for the vocabulary are left out.
    """
    bare, leaves, rows = make_bare_world(settings, seed=seed)
    features = _features(settings, leaves, rngs=np.random.default_rng(seed).spawn(7)[5:])
    world = replace(bare, features={name: sequences.take(rows) for name, sequences in features.items()})
    check(world)
    return world


def make_bare_world(settings: WorldSettings, *, seed: int) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Make the world of `make_world` without features, to be shown in another way.

    Also returns the subject (leaf) of every post drawn [N], and the posts that became the dataset's videos [videos].
    """
    catalog = make_catalog(settings.num_topics)
    spawned = np.random.default_rng(seed).spawn(8)  # 5 and 6 draw features
    for_posts, for_split, for_ids, for_names, for_captions = spawned[:5]
    posts = draw_posts(settings, catalog, rng=for_posts)
    splits = for_split.choice(len(SPLITS), size=settings.num_videos, p=SPLIT_CHANCES)
    common = np.flatnonzero(posts.uses[splits == 0].sum(0) >= MIN_TRAIN_VIDEOS)
    kept = for_ids.permutation(common)  # place = hashtag id
    names = _names(catalog, swapped=settings.graph_is_noise, rng=for_names)
    captions = _captions(posts.leaves, catalog=catalog, rng=for_captions)
    rows = np.flatnonzero(posts.uses[:, kept].any(1))
    users = pl.DataFrame({"user": [f"user{u:03d}" for u in range(settings.num_users)]}, schema=USERS_SCHEMA)
    if settings.profiles:
        users = users.hstack(_profiles(posts, rng=spawned[7]))
    world = Dataset(
        videos=_videos_table(posts, captions, splits=splits, kept=kept)[rows],
        hashtags=_hashtags_table([names[place] for place in kept], posts.uses[splits == 0][:, kept].sum(0)),
        users=users,
        manifest={"format": FORMAT, "settings": {"made_up_world": asdict(settings), "seed": seed}},
    )
    fingerprint = hashlib.blake2b(json.dumps(world.manifest, sort_keys=True).encode(), digest_size=16).hexdigest()
    manifest = {**world.manifest, "counts": counts(world), "fingerprint": fingerprint}
    return replace(world, manifest=manifest), posts.leaves, rows


def _features(settings: WorldSettings, leaves: np.ndarray, *, rngs: list[np.random.Generator]) -> dict[str, Ragged]:
    """Draw the feature modalities of videos with subjects `leaves` [N]."""
    catalog = make_catalog(settings.num_topics)
    features = {
        name: _sequences(
            leaves,
            catalog=catalog,
            clarity=CLARITY[name],
            dimension=getattr(settings, f"{name}_dimension"),
            max_steps=getattr(settings, f"{name}_steps"),
            rng=rng,
        )
        for name, rng in zip(FEATURE_NAMES, rngs, strict=True)
    }
    if settings.regions:
        regions = _regions(leaves, catalog=catalog, settings=settings, rng=rngs[0].spawn(1)[0])
        features["visual"] = Ragged(
            values=regions.values.mean(1, dtype=np.float32).astype(np.float16), offsets=regions.offsets
        )
        features["regions"] = regions
    return features


def _videos_table(posts: Posts, captions: list[str], *, splits: np.ndarray, kept: np.ndarray) -> pl.DataFrame:
    """Lay out the videos, one every few hours; `kept` [H] are the catalog numbers of the hashtag ids."""
    count = len(captions)
    columns = {
        "video_id": [f"clip{row:05d}" for row in range(count)],
        "user_id": posts.users,
        "time": [FIRST_DAY + timedelta(days=DAYS) * (row / count) for row in range(count)],
        "text": captions,
        "hashtag_ids": [np.flatnonzero(row).tolist() for row in posts.uses[:, kept]],
        "split": [SPLITS[split] for split in splits],
    }
    return pl.DataFrame(columns, schema=VIDEOS_SCHEMA)


def _hashtags_table(names: list[tuple[str, ...]], train_videos: np.ndarray) -> pl.DataFrame:
    columns = {"hashtag": [" ".join(words) for words in names], "words": names, "train_videos": train_videos}
    return pl.DataFrame(columns, schema=HASHTAGS_SCHEMA)


def raw_table(world: Dataset) -> pl.DataFrame:
    """Return the world's posts as a user would bring them: id, user, text, hashtags (a list of names), time.

    Profiles, where the world has them, stand in columns gender, age and country.
    """
    names = world.hashtags["hashtag"]
    posters = world.users[world.videos["user_id"]]
    return world.videos.select(
        id="video_id",
        user=posters["user"],
        text="text",
        hashtags=pl.col("hashtag_ids").list.eval(pl.lit(names).gather(pl.element())),
        time="time",
        **{name: posters[name] for name in world.users.columns if name != "user"},
    )


def write_table(world: Dataset, path: Path) -> None:
    """Write the world's posts as a raw table, as Parquet or CSV (hashtags joined by ";"), by the ending of `path`.

    Raises `InputError` on any other ending.
    """
    table = raw_table(world)
    with new_file(path) as temporary:
        if path.suffix == ".parquet":
            table.write_parquet(temporary, compression="zstd")
        elif path.suffix == ".csv":
            table.with_columns(pl.col("hashtags").list.join(";")).write_csv(temporary)
        else:
            raise InputError(f"{path} ends with {path.suffix!r}; name a file that ends with .parquet or .csv")


def attach_features(dataset: Dataset, world: Dataset) -> Dataset:
    """Return `dataset` (imported from the world's table) with the world's features, matched by video id.

    Raises `InputError` when a video of `dataset` is not in `world`.
    """
    places = {video_id: row for row, video_id in enumerate(world.videos["video_id"])}
    missing = [video_id for video_id in dataset.videos["video_id"] if video_id not in places]
    if missing:
        raise InputError(f"video {missing[0]!r} is not in the made-up world; import the table that it wrote")
    rows = np.array([places[video_id] for video_id in dataset.videos["video_id"]])
    return replace(dataset, features={name: sequences.take(rows) for name, sequences in world.features.items()})
