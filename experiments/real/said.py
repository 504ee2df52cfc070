"""Recall@10 of posts by users never seen before, by how much their text says.

    python -m experiments.real.said --out RUNS [--table tiktok_trending] [--systems "text kNN" ...]

A text says as much as it has terms (words and pairs of words) that at least two train texts have, which is what
`v2ht_memory` and the nearest texts read. Test posts of all seeds of the cold protocol, after `experiments.real.run`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from data.dataset import Dataset
from experiments.real.compare import videos_of
from experiments.real.run import OURS, TABLES, read
from experiments.summary import markdown, number
from v2ht.evidence.texts import TextIndex, tokens

BOUNDS = (0, 1, 5)  # the fewest terms of each row of the table
PROTOCOL = "cold"
SYSTEMS = ("text kNN", "text kNN + history + latest", OURS)


def known_terms(dataset: Dataset) -> pl.DataFrame:
    """Return `video`, `terms`: how many terms of train texts each test post's text has."""
    texts = dataset.videos["text"]
    index = TextIndex.of([tokens(text) for text in texts.gather(dataset.rows("train")).to_list()])
    rows = dataset.rows("test")
    vectors_NV = index.vectors([tokens(text) for text in texts.gather(rows).to_list()])
    return pl.DataFrame(
        {"video": dataset.videos["video_id"].gather(rows), "terms": np.diff(vectors_NV.indptr).astype(np.int64)}
    )


def recalls(table: str, systems: list[str], *, out: Path) -> pl.DataFrame:
    """Return `system`, `terms` and `value` (recall@10) of each test post and system."""
    lines, parts = read(), []
    for seed in sorted({line[2] for line in lines if line[:2] == (table, PROTOCOL)}):
        place = f"{table}-{PROTOCOL}-{seed}"
        terms = known_terms(Dataset.load(out / "datasets" / place))
        for system in systems:
            found = videos_of([lines[table, PROTOCOL, seed, system]], "overall", "recall@10", out)
            parts.append(found.join(terms, on="video").select("terms", "value", system=pl.lit(system)))
    return pl.concat(parts)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of datasets and lines of experiments.real.run")
    parser.add_argument("--table", choices=list(TABLES), default="tiktok_trending")
    parser.add_argument("--systems", nargs="*", default=SYSTEMS)
    given = parser.parse_args()
    found = recalls(given.table, given.systems, out=given.out)
    rows = []
    for least, next_least in zip(BOUNDS, [*BOUNDS[1:], None], strict=True):
        said = found.filter(pl.col("terms") >= least)
        said = said if next_least is None else said.filter(pl.col("terms") < next_least)
        span = f"{least} or more" if next_least is None else f"{least} to {next_least - 1}" if least else "none"
        own = [said.filter(pl.col("system") == system)["value"] for system in given.systems]
        rows.append([span, f"{len(own[0]):,}", *(number(values.mean()) for values in own)])
    print(markdown(["known terms", "posts", *given.systems], rows))


if __name__ == "__main__":
    main()
