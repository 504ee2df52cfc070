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
from data.synthetic_content import draw_regions, draw_steps, write_captions
from data.synthetic_posts import TASTE, Posts, draw_names, draw_posts, draw_profiles, make_catalog
from data.synthetic_topics import TOPICS

MIN_TRAIN_VIDEOS = 2  # a hashtag with fewer train videos does not enter the vocabulary
SPLIT_CHANCES = (0.6, 0.15, 0.25)  # few train videos for a rare hashtag, many test videos for a steady number
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 365
# Sizes of the topic's, kind's and leaf's directions, per dimension, in standard deviations of a video's noise.
CLARITY = {"visual": (0.58, 0.46, 0.36), "acoustic": (0.7, 0.5, 0.36)}


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
    posts = draw_posts(catalog, num_videos=settings.num_videos, num_users=settings.num_users, rng=for_posts)
    splits = for_split.choice(len(SPLITS), size=settings.num_videos, p=SPLIT_CHANCES)
    common = np.flatnonzero(posts.uses[splits == 0].sum(0) >= MIN_TRAIN_VIDEOS)
    kept = for_ids.permutation(common)  # place = hashtag id
    names = draw_names(catalog, swapped=settings.graph_is_noise, rng=for_names)
    captions = write_captions(posts.leaves, catalog=catalog, rng=for_captions)
    rows = np.flatnonzero(posts.uses[:, kept].any(1))
    users = pl.DataFrame({"user": [f"user{u:03d}" for u in range(settings.num_users)]}, schema=USERS_SCHEMA)
    if settings.profiles:
        users = users.hstack(draw_profiles(posts, rng=spawned[7]))
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
        name: draw_steps(
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
        regions = draw_regions(
            leaves,
            catalog=catalog,
            clarity=CLARITY["visual"],
            dimension=settings.visual_dimension,
            max_steps=settings.visual_steps,
            num_regions=settings.regions,
            rng=rngs[0].spawn(1)[0],
        )
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
