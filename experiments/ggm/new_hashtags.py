"""How well hashtags that are new are found in validation posts (README.md, "New hashtags").

    python -m experiments.ggm.new_hashtags DATASET [--run RUN] [-n 3]

DATASET keeps its rare hashtags (rare.parquet). The phrase model is fitted on its train posts. With RUN, a `ggm` run
of the same dataset, also its generator alone. A shown hashtag is right when the post has it; it is not in the
vocabulary then, and may be in train posts as one that was too rare. `recall` is of all such hashtags of the posts,
`unseen` the same for those that no train post has. The floors take phrases in capitals, the first ones first, or those
of the largest tf-idf.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from math import log
from pathlib import Path

from data.dataset import Dataset
from data.files import InputError
from data.phrases import joined, words_in_place
from v2ht.inputs import Post
from v2ht.phrases import FEATURES, PhraseModel, describe, read_rare
from v2ht.serving.phrases import PhraseWriter

HALF = len(FEATURES) // 2
CAPITAL = FEATURES.index("whole name, one word")


def main() -> None:
    """Print a JSON line for each system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("-n", "--n", type=int, default=3)
    given = parser.parse_args()
    dataset = Dataset.load(given.dataset)
    rare = read_rare(given.dataset, dataset)
    model = None if rare is None else PhraseModel.fit(dataset, rare, seed=0)
    if rare is None or model is None:
        raise InputError(f"{given.dataset} keeps no rare hashtags that stand in its texts; import again")
    users = dataset.users["user"].to_list()
    rows = dataset.rows("valid").tolist()
    columns = (dataset.videos[name].gather(rows).to_list() for name in ("text", "user_id"))
    posts = [Post(text=text or "", user=users[user]) for text, user in zip(*columns, strict=True)]
    systems = {
        "phrases": [[item.hashtag for item in row] for row in PhraseWriter(model).write(posts, given.n)],
        "phrases, no threshold": [
            [item.hashtag for item in row] for row in PhraseWriter(model, least=0.0).write(posts, given.n)
        ],
        "capitals": [floor(post.text, model, capitals=True)[: given.n] for post in posts],
        "tf-idf": [floor(post.text, model, capitals=False)[: given.n] for post in posts],
    }
    if given.run is not None:
        from v2ht.serving.writer import SURE, Writer

        for name, least in (("generator", 0.0), (f"generator, {SURE} and more", SURE)):
            written = Writer(given.run, least=least).write(posts, 20)
            systems[name] = [[item.hashtag for item in row if not item.known][: given.n] for row in written]
    truth, unseen = new_hashtags(dataset, rare, rows)
    for name, shown in systems.items():
        print(json.dumps({"system": name, **numbers(shown, truth, unseen)}), flush=True)


def new_hashtags(
    dataset: Dataset, rare: Sequence[Sequence[str]], rows: Sequence[int]
) -> tuple[list[set[str]], list[set[str]]]:
    """Return the hashtags of posts that are outside the trained vocabulary, and those that no train post has."""
    names, videos = dataset.hashtags["hashtag"].to_list(), dataset.hashtags["train_videos"].to_list()
    ids = dataset.videos["hashtag_ids"].to_list()
    in_train = {joined([name]) for row in dataset.rows("train").tolist() for name in rare[row]}
    trained = {joined([name]) for name, count in zip(names, videos, strict=True) if count}
    own = [{joined([name]) for name in (*rare[row], *(names[number] for number in ids[row]))} - trained for row in rows]
    return own, [found - in_train for found in own]


def floor(text: str, model: PhraseModel, *, capitals: bool) -> list[str]:
    """Return phrases of a text that share no word, by tf-idf, or those in capitals alone as they come."""
    words = words_in_place(text)
    phrases, features_NF = describe(words, model.counts)
    places = range(len(phrases))
    if capitals:
        own_N = features_NF[:, CAPITAL] + features_NF[:, CAPITAL + HALF]
        order = [place for place in places if own_N[place] > 0]
    else:
        lower = [word.lower for word in words]

        def weight(place: int) -> float:
            return sum(
                lower.count(word) * log((1 + model.counts.texts) / (1 + model.counts.elsewhere([word], own=0)))
                for word in phrases[place].words
            ) / len(phrases[place].words)

        order = sorted(places, key=lambda place: -weight(place))
    kept: list[str] = []
    taken: set[str] = set()
    for place in order:
        if taken.isdisjoint(phrases[place].words):
            kept.append(phrases[place].hashtag)
            taken.update(phrases[place].words)
    return kept


def numbers(
    shown: Sequence[Sequence[str]], truth: Sequence[set[str]], unseen: Sequence[set[str]]
) -> dict[str, int | float]:
    """Return what was shown, how much of it is right, and how much of what is right was shown."""

    def hits(true: Sequence[set[str]]) -> int:
        return sum(joined([name]) in own for row, own in zip(shown, true, strict=True) for name in row)

    total = sum(map(len, shown))
    return {
        "posts": len(shown),
        "posts with one": sum(bool(row) for row in shown),
        "shown": total,
        "precision": round(hits(truth) / max(total, 1), 3),
        "recall": round(hits(truth) / max(sum(map(len, truth)), 1), 3),
        "unseen": round(hits(unseen) / max(sum(map(len, unseen)), 1), 3),
        "unseen hashtags": sum(map(len, unseen)),
    }


if __name__ == "__main__":
    main()
