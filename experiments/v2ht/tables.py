"""Write the tables and figures of README.md from the recorded lines; only the paper's own numbers are typed.

python -m experiments.v2ht.tables [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from experiments.cases import read
from experiments.figures import curves, frequencies
from experiments.summary import Line, difference, floor_lines, markdown, metric, spread, values, verdict, write_tables
from experiments.v2ht.run import CASES, FREQUENCIES, HERE, RESULTS, SOURCES, SYSTEMS, WITH_MODALITIES

README = HERE / "README.md"
NUMBERS = (
    "hit_rate@5",
    "ndcg@5",
    "hit_rate@10",
    "ndcg@10",
)  # what the paper calls Recall and NDCG, see docs/metrics.md
PUBLISHED = {  # on INSVIDEO: tables 2 and 3
    "v2ht": (0.6166, 0.5236, 0.6948, 0.5489),
    "v2ht_without_user": (0.4821, 0.3637, 0.5841, 0.3963),
    "v2ht_without_propagation": (0.5560, 0.4290, 0.6659, 0.4647),
    "v2ht_without_both": (0.4726, 0.3516, 0.5748, 0.3837),
    "user_specific": (0.5063, 0.3809, 0.6304, 0.4211),
    "co_attention": (0.4276, 0.3109, 0.5307, 0.3444),
    "contagnet": (0.3996, 0.2919, 0.4961, 0.3232),
}
PUBLISHED_TAIL = {
    "v2ht": (0.0590, 0.0358, 0.1641, 0.0697),
    "v2ht_without_user": (0.1217, 0.0719, 0.2454, 0.1118),
    "v2ht_without_propagation": (0.0571, 0.0313, 0.1535, 0.0621),
    "v2ht_without_both": (0.0918, 0.0491, 0.1948, 0.0821),
    "user_specific": (0.0528, 0.0288, 0.1414, 0.0573),
    "co_attention": (0.0374, 0.0175, 0.1109, 0.0409),
    "contagnet": (0.0367, 0.0114, 0.1039, 0.0329),
}
PUBLISHED_MODALITIES = {  # table 4
    "modalities_text": (0.4225, 0.3440, 0.5028, 0.3699),
    "modalities_acoustic": (0.4919, 0.4206, 0.5635, 0.4437),
    "modalities_visual": (0.5389, 0.4724, 0.6035, 0.4933),
    "modalities_acoustic_text": (0.5312, 0.4698, 0.6017, 0.4788),
    "modalities_visual_text": (0.5892, 0.5005, 0.6490, 0.5198),
    "modalities_visual_acoustic": (0.6087, 0.5172, 0.6711, 0.5374),
    "v2ht": (0.6166, 0.5236, 0.6948, 0.5489),
}
ORDER = ("v2ht", "user_specific", "co_attention", "contagnet")  # as published, best first
ABLATIONS = ("v2ht_without_propagation", "v2ht_without_user", "v2ht_without_both")


def comparison(
    lines: list[Line], systems: Sequence[str], published: Mapping[str, tuple[float, ...]], subset: str
) -> str:
    """Return a table for each dataset: published and measured pair numbers, then our recall and NDCG, floors last."""
    everything = [*lines, *floor_lines(lines)]
    ours = "overall" if subset == "pair" else "longtail"
    reads = [*(metric(subset, key) for key in NUMBERS), metric(ours, "recall@10"), metric(ours, "ndcg@10")]
    paper = "published hit@5 / NDCG@5 / hit@10 / NDCG@10"
    head = ["system", "seeds", paper, "hit@5", "NDCG@5", "hit@10", "NDCG@10", f"{ours} recall@10", f"{ours} NDCG@10"]
    parts = []
    for dataset in datasets(lines):
        own = [line for line in everything if line["dataset"] == dataset]
        floors = sorted({line["system"] for line in own} - {line["system"] for line in lines})
        rows = []
        for name in [*(name for name in systems if any(line["system"] == name for line in own)), *floors]:
            found = [values(own, dataset=dataset, system=name, read=read) for read in reads]
            numbers = " / ".join(f"{value:.3f}" for value in published.get(name, ())) or "-"
            rows.append([name, str(len(found[0])), numbers, *map(spread, found)])
        counts = own[0]["counts"]
        facts = f"{counts['videos']:,} videos, {counts['users']:,} users, {counts['hashtags']:,} hashtags"
        parts.append(f"**{dataset}** ({facts})\n\n{markdown(head, rows)}")
    return "\n\n".join(parts)


def orders(lines: list[Line], subset: str) -> str:
    """Return what the published order expects of recall@10, and the paired differences found on each dataset."""
    rows = []
    for one, other in [*pairwise(ORDER), *(("v2ht", name) for name in ABLATIONS)]:
        cells = []
        for dataset in datasets(lines):
            pair = [
                values(lines, dataset=dataset, system=name, read=metric(subset, "recall@10")) for name in (one, other)
            ]
            cells.append(verdict(difference(*pair)))
        rows.append([f"{one} > {other}", *cells])
    return markdown(["expected", *datasets(lines)], rows)


def seconds(lines: list[Line]) -> str:
    """Return the mean training time of every system on every dataset."""
    rows = []
    for name in SYSTEMS:
        found = [values(lines, dataset=dataset, system=name, read=_seconds) for dataset in datasets(lines)]
        rows.append([name, *(f"{np.mean(list(times.values())):,.0f}" if times else "-" for times in found)])
    return markdown(["seconds", *datasets(lines)], rows)


def _seconds(line: Line) -> float:
    return float(line["seconds"])


def datasets(lines: list[Line]) -> list[str]:
    """Return the datasets that lines are about, in the order of `SOURCES`."""
    return [name for name in SOURCES if any(line["dataset"] == name for line in lines)]


def case_studies() -> str:
    """Return the posts of figure 6 as Markdown; hits are bold, the number beside a hashtag counts train videos."""
    content = json.loads(CASES.read_text(encoding="utf-8"))
    parts = []
    for post in content["posts"]:
        truth = {hashtag for hashtag, _ in post["truth"]}
        rows = [["truth", _hashtags(post["truth"], set())]]
        rows += [[name, _hashtags(found, truth)] for name, found in post["predicted"].items()]
        parts.append(f'{post["user"]}: "{post["text"]}"\n\n' + markdown(["system", "hashtags"], rows))
    return "\n\n".join(parts)


def _hashtags(found: list[tuple[str, int]], truth: set[str]) -> str:
    return ", ".join(f"**{name}** {count}" if name in truth else f"{name} {count}" for name, count in found)


def main() -> None:
    """Replace tables and figures, or check the tables."""
    lines, check = read(RESULTS), "--check" in sys.argv
    whole = [line for line in lines if line["system"] in SYSTEMS]
    by_modality = [line for line in lines if line["dataset"] in WITH_MODALITIES]
    write_tables(
        [
            (README, "table2", comparison(whole, list(SYSTEMS), PUBLISHED, "pair")),
            (README, "order", orders(whole, "overall")),
            (README, "table3", comparison(whole, list(SYSTEMS), PUBLISHED_TAIL, "pair.longtail")),
            (README, "tail_order", orders(whole, "longtail")),
            (README, "table4", comparison(by_modality, list(PUBLISHED_MODALITIES), PUBLISHED_MODALITIES, "pair")),
            (README, "seconds", seconds(whole)),
            (README, "cases", case_studies()),
        ],
        check=check,
    )
    if not check:
        frequencies(FREQUENCIES, HERE / "figure4.png")
        names = [name for name in SYSTEMS if name.startswith("v2ht")]
        curves(lines, names, datasets(lines), HERE / "figure5.png")


if __name__ == "__main__":
    main()
