"""New posts folded into a run in seconds, without training: what `v2ht update` does.

Counted anew over train and folded posts, exactly as a run trained on them would count it: users' histories (those of
new users too), and with evidence all that it rests on: popularity, trend, terms of texts and their weights,
neighbours, co-occurrence, sounds, what others posted last, ridge regressions.

Left as they were learned: weights, word vectors, scaling of features, and the values that attributes of users may have.
So these are approximate: how far evidence is trusted was learned on train posts; a hashtag's own vector and bias do not
see its new posts; the frames in users' histories are those of train posts, because features of new posts are not read.

New hashtags, where the ranker has a graph (`GraphRanker`) and writes none (`ggm`), become nodes once enough new posts
have them: their words and what they listen to give them a place (`graph_builders.grow`), their bias is that of the
rarest trained hashtags, and evidence treats them like all others. Nothing passes from them to trained hashtags. Edges
of co-occurrence are counted anew, so that a trained hashtag's propagated vector moves where its neighbours change.

An updated run keeps its folded posts in updates.parquet, as cleaned, and is made from them, the dataset and the trained
weights alone: two updates give what one with both tables gives.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from data.attributes import UserAttributes, most_frequent
from data.dataset import Dataset
from data.files import InputError, file_fingerprint, new_folder
from data.hashtags import words
from data.importing import read_more
from data.vocabulary import number_videos
from graph_builders.grow import grow
from graph_builders.hashtag_graph import HashtagGraph
from v2ht.bundle import UPDATES_FILE, Bundle, folded_posts, save_weights, set_weights
from v2ht.evidence.memory import Memory
from v2ht.inputs import History, Inputs
from v2ht.models import entry
from v2ht.models.baselines.user_specific import UserSpecific
from v2ht.models.contract import GraphRanker, Ranker
from v2ht.models.ggm.settings import GGMSettings
from v2ht.phrases import FOLDER as PHRASES
from v2ht.training.evaluate import dataset_of
from v2ht.writing import FOLDER as GENERATOR

LEAST_POSTS = 3  # folded posts that a new hashtag needs to become a node


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A dataset's train posts with the folded ones behind them, and the vocabularies of both.

    Hashtags and users of the dataset keep their ids; new ones come after them by name.
    """

    posts: Dataset  # all in train; hashtags also with `new_videos` and `trained`
    waiting: int  # new hashtags that are not among the hashtags

    @staticmethod
    def of(dataset: Dataset, folded: pl.DataFrame, *, least_posts: int | None) -> Grown:
        """Join both. New hashtags of at least `least_posts` folded posts are taken in; None: none are."""
        uses = folded.select("row", hashtag="hashtags").explode("hashtag", empty_as_null=False)
        counts = dict(uses.group_by("hashtag").len().sort("hashtag").iter_rows())
        known = dataset.hashtags["hashtag"].to_list()
        new = sorted(set(counts).difference(known))
        taken = [name for name in new if least_posts is not None and counts[name] >= least_posts]
        names = [*known, *taken]
        segment = dataset.manifest["settings"]["segment"]
        phrases = [*dataset.hashtags["words"].to_list(), *(list(words(name, segment=segment)) for name in taken)]
        hashtags = pl.DataFrame(
            {
                "hashtag": names,
                "words": phrases,
                "train_videos": [*dataset.hashtags["train_videos"].to_list(), *(0 for _ in taken)],
                "new_videos": [counts.get(name, 0) for name in names],
                "trained": [number < len(known) for number in range(len(names))],
            },
            schema={**dataset.hashtags.schema, "new_videos": pl.Int32(), "trained": pl.Boolean()},
        )
        in_vocabulary = pl.element().is_in(hashtags["hashtag"].implode())
        own = folded.with_columns(pl.col("hashtags").list.eval(pl.element().filter(in_vocabulary)))
        own = own.filter(pl.col("hashtags").list.len() > 0).with_columns(split=pl.lit("train"))
        users = pl.concat([dataset.users.select("user"), _new_users(dataset, own)])
        train = dataset.videos.filter(pl.col("split") == "train")
        videos = pl.concat([train, number_videos(own, hashtags, users)], how="diagonal")
        posts = Dataset(videos=videos, hashtags=hashtags, users=users, manifest=dataset.manifest)
        return Grown(posts=posts, waiting=len(new) - len(taken))


def update(
    run: Path,
    source: Path,
    out: Path,
    *,
    least_posts: int = LEAST_POSTS,
    dataset_path: Path | None = None,
) -> dict[str, Any]:
    """Fold the posts of a table into a run: `out` becomes the new run, whole or not at all. Return what was done.

    The table is read as the run's dataset was imported; nothing is dropped for being rare but new hashtags of fewer
    than `least_posts` folded posts, which wait for more. Posts whose id is in the run, by training or by an earlier
    update, are left out. What is returned is `update` of the new run.json: counts of all folded posts, and of each
    table's.

    Raises `InputError` when the run or the table cannot be used, `out` exists, or the table has no post that is new.
    """
    run, source, out = Path(run), Path(source), Path(out)
    if out.exists():
        raise InputError(f"{out} exists already; choose another folder")
    if least_posts < 1:
        raise InputError(f"the least number of posts is {least_posts}; choose at least 1")
    bundle = Bundle.load(run)
    _check_can(bundle, run)
    dataset = dataset_of(bundle, run, dataset_path)
    read, cleaning = read_more(source, dataset.manifest.get("settings", {}), dataset.hashtags)
    before = folded_posts(run)
    known = [
        dataset.videos["video_id"].gather(dataset.rows("train")),
        *([] if before is None else [before["video_id"]]),
    ]
    fresh = read.filter(~pl.col("video_id").is_in(pl.concat(known).implode()))
    if not fresh.height:
        raise InputError(f"{source}: all {read.height} posts are in {run} already; give new ones")
    table = {
        "file": source.name,
        "fingerprint": file_fingerprint([source]),
        "rows": cleaning[0]["videos_before"],
        "cleaning": cleaning,
        "in_the_run_already": read.height - fresh.height,
        "folded_in": fresh.height,
    }
    folded = _together(before, fresh)
    joins = isinstance(bundle.model, GraphRanker) and not isinstance(bundle.model_settings, GGMSettings)
    grown = Grown.of(dataset, folded, least_posts=least_posts if joins else None)
    updated = _bundle(bundle, dataset, grown, folded, joins=joins)
    updated.record["update"] = {
        "posts": folded.height,
        "posts_that_count": grown.posts.videos.height - len(dataset.rows("train")),
        "new_users": grown.posts.num_users - dataset.num_users,
        "new_hashtags": grown.posts.hashtags.filter(~pl.col("trained"))["hashtag"].to_list(),
        "waiting_hashtags": grown.waiting,
        "least_posts": least_posts,
        "tables": [*bundle.record.get("update", {}).get("tables", []), table],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with new_folder(out) as folder:
        updated.write_into(folder)
        save_weights(updated.model, folder / "model.safetensors")
        folded.drop("row").write_parquet(folder / UPDATES_FILE, compression="zstd")
        for part in (GENERATOR, PHRASES):
            if (run / part).is_dir():
                shutil.copytree(run / part, folder / part)
    done: dict[str, Any] = updated.record["update"]
    return done


def _check_can(bundle: Bundle, run: Path) -> None:
    if bundle.record.get("training") is None:
        raise InputError(f"{run}: training has not finished; continue with `v2ht train --resume`, then update")
    if isinstance(bundle.model, UserSpecific):
        raise InputError(
            f"{run} is a run of {bundle.model_name}, which learns a vector for each user and reads no history; "
            "train it again with the new posts"
        )


def _together(before: pl.DataFrame | None, fresh: pl.DataFrame) -> pl.DataFrame:
    """Return all folded posts by time (those without one last), then by id, whichever table they came from."""
    parts = [fresh.drop("row"), *([] if before is None else [before])]
    both = pl.concat(parts, how="diagonal").sort("time", "video_id", nulls_last=True)
    return both.with_row_index("row")


def _new_users(dataset: Dataset, posts: pl.DataFrame) -> pl.DataFrame:
    return posts.filter(~pl.col("user").is_in(dataset.users["user"].implode())).select("user").unique().sort("user")


def _bundle(bundle: Bundle, dataset: Dataset, grown: Grown, folded: pl.DataFrame, *, joins: bool) -> Bundle:
    posts, graph = grown.posts, bundle.graph
    if joins:
        graph = grow(graph, posts.hashtags["words"].to_list(), posts.hashtag_ids(), known=dataset.num_hashtags)
    inputs = _inputs(bundle.inputs, dataset, posts, folded, graph)
    model = entry(bundle.model_name).build(bundle.model_settings, inputs, graph)
    weights = _weights(
        bundle.model, num_trained=dataset.num_hashtags, num_new=posts.num_hashtags - dataset.num_hashtags
    )
    set_weights(model, weights, Path("the grown model"))
    return replace(bundle, model=model.eval(), inputs=inputs, graph=graph, record=dict(bundle.record))


def _inputs(old: Inputs, dataset: Dataset, posts: Dataset, folded: pl.DataFrame, graph: HashtagGraph) -> Inputs:
    history = History.of(posts, np.empty((posts.videos.height, 0), np.float32))
    num_new = posts.num_users - dataset.num_users
    visual_UV, videos_U = (
        np.concatenate([part[: dataset.num_users], np.zeros((num_new, *part.shape[1:]), part.dtype)])
        for part in (old.history.visual_UV, old.history.visual_videos_U)
    )
    return Inputs(
        hashtags=posts.hashtags,
        users=posts.users["user"].to_list(),
        word_vectors=old.word_vectors,
        history=replace(history, visual_UV=visual_UV, visual_videos_U=videos_U),
        scaling=old.scaling,
        settings=old.settings,
        attributes=_attributes(old.attributes, dataset, posts.users["user"], folded),
        memory=Memory.of(posts, graph) if old.settings.evidence else None,
    )


def _attributes(old: UserAttributes, dataset: Dataset, users: pl.Series, folded: pl.DataFrame) -> UserAttributes:
    """Return the attributes of known users as they are, and of new ones; a value that no train user has is unknown."""
    new = pl.DataFrame({"user": users[dataset.num_users :]})
    for name, values in old.values.items():
        if name not in folded.columns:
            new = new.with_columns(pl.lit(None, dtype=pl.String()).alias(name))
            continue
        new = new.join(most_frequent(folded, name), on="user", how="left", maintain_order="left")
        new = new.with_columns(pl.when(pl.col(name).is_in(values)).then(pl.col(name)))
    return UserAttributes(pl.concat([old.table[: dataset.num_users], new.drop("user")]))


def _weights(model: Ranker, *, num_trained: int, num_new: int) -> dict[str, Tensor]:
    """Return the trained weights, with rows of new hashtags: no learned vector, the mean bias of the rarest ones."""
    weights = dict(model.state_dict())
    if not isinstance(model, GraphRanker):
        return weights
    rows = {"hashtag.weight": weights["hashtag.weight"].new_zeros(num_new, weights["hashtag.weight"].shape[1])}
    if "bias_H" in weights:
        rows["bias_H"] = weights["bias_H"][model.rarest_R].mean().expand(num_new)
    return weights | {name: torch.cat([weights[name][:num_trained], own]) for name, own in rows.items()}


def summary(done: dict[str, Any]) -> str:
    """Return what `update` did as lines for people."""
    table, names = done["tables"][-1], done["new_hashtags"]
    dropped = table["rows"] - table["folded_in"] - table["in_the_run_already"]
    shown = ", ".join(f"#{name}" for name in names[:10]) + (", ..." if len(names) > 10 else "")
    left = f"{table['in_the_run_already']:,} were in the run, {dropped:,} unusable"
    new = f"{done['new_users']:,} new users; {len(names):,} new hashtags" + (f" ({shown})" if names else "")
    return (
        f"{table['folded_in']:,} of {table['rows']:,} posts folded in ({left}); {done['posts_that_count']:,} of all "
        f"{done['posts']:,} folded posts have a known hashtag\n"
        f"{new}; {done['waiting_hashtags']:,} have too few posts or cannot join\n"
    )
