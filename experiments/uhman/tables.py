"""Write the tables and figures of README.md from the recorded lines; only the paper's own numbers are typed.

python -m experiments.uhman.tables [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from experiments.cases import read
from experiments.figures import frequencies, sweeps
from experiments.summary import Line, difference, floor_lines, markdown, metric, spread, values, verdict, write_tables
from experiments.uhman.run import (
    ABLATIONS,
    BALANCED,
    FREQUENCIES,
    HERE,
    NATURAL,
    RESULTS,
    SIZE,
    SIZES,
    SYSTEMS,
)

README = HERE / "README.md"
METRICS = ("precision@10", "precision@50", "recall@10", "recall@50", "corpus_f1@10", "corpus_f1@50")
PUBLISHED = {  # on Musical.ly: table 1
    "bilinear": (0.0650, 0.0227, 0.1658, 0.4255, 0.0934, 0.0431),
    "user_additive": (0.0733, 0.0301, 0.1823, 0.4389, 0.1046, 0.0563),
    "three_way_multiplicative": (0.0796, 0.0312, 0.1946, 0.4468, 0.113, 0.0583),
    "uhman": (0.0849, 0.0409, 0.2110, 0.4517, 0.1210, 0.075),
}
PUBLISHED_BALANCED = {  # table 2
    "bilinear": (0.0371, 0.0206, 0.1549, 0.4333, 0.0599, 0.0394),
    "user_additive": (0.0389, 0.0221, 0.1607, 0.4604, 0.0626, 0.0421),
    "three_way_multiplicative": (0.0451, 0.0237, 0.1898, 0.4917, 0.0729, 0.0453),
    "uhman": (0.0507, 0.0250, 0.2088, 0.5186, 0.0816, 0.0477),
}
PUBLISHED_ABLATIONS = {  # table 3, at 10 only
    "uhman": (0.0849, 0.2110, 0.1210),
    "uhman_a": (0.0736, 0.1973, 0.1072),
    "uhman_b": (0.0822, 0.2031, 0.1170),
}


def comparison(
    lines: list[Line],
    names: Iterable[str],
    systems: Iterable[str],
    published: Mapping[str, tuple[float, ...]],
    metrics: Sequence[str] = METRICS,
) -> str:
    """Return a table for each dataset: each metric as published and as measured, floors last."""
    systems = list(systems)
    heads = [cell for name in metrics for cell in (f"{_short(name)} published", _short(name))]
    parts = []
    for dataset in (name for name in names if any(line["dataset"] == name for line in lines)):
        own = [line for line in lines if line["dataset"] == dataset and line["system"] in systems]
        floors = floor_lines(own)
        rows = []
        for name in [*(name for name in systems if any(line["system"] == name for line in own)), *_names(floors)]:
            found = [
                values([*own, *floors], dataset=dataset, system=name, read=metric("overall", key)) for key in metrics
            ]
            paper = published.get(name, (None,) * len(metrics))
            cells = [
                cell
                for said, measured in zip(paper, found, strict=True)
                for cell in ("-" if said is None else f"{said:.3f}", spread(measured))
            ]
            rows.append([name, str(len(found[0])), *cells])
        counts = own[0]["counts"]
        facts = f"{counts['videos']:,} videos, {counts['users']:,} users, {counts['hashtags']:,} hashtags"
        parts.append(f"**{dataset}** ({facts})\n\n{markdown(['system', 'seeds', *heads], rows)}")
    return "\n\n".join(parts)


def _names(lines: Iterable[Line]) -> list[str]:
    return sorted({line["system"] for line in lines})


def _short(name: str) -> str:
    kind, _, k = name.partition("@")
    return {"precision": "P", "recall": "R", "corpus_f1": "F1"}[kind] + f"@{k}"


def orders(lines: list[Line]) -> str:
    """Return what the published order expects of recall@10, and the paired differences found on each dataset."""
    expected = [*pairwise(SYSTEMS), ("uhman", "uhman_a"), ("uhman", "uhman_b")]
    names = [name for name in (*NATURAL, *BALANCED) if any(line["dataset"] == name for line in lines)]
    rows = []
    for dataset in names:
        cells = []
        for pair in expected:
            found = [values(lines, dataset=dataset, system=name, read=metric("overall", "recall@10")) for name in pair]
            cells.append(verdict(difference(*found)))
        rows.append([dataset, *cells])
    return markdown(["expected", *(f"{one} > {other}" for one, other in expected)], rows)


def sizes(lines: list[Line]) -> str:
    """Return P, R and F1 at 10 for each K (d fixed) and each d (K fixed) on the made-up world."""
    keys = ("precision@10", "recall@10", "corpus_f1@10")
    rows = []
    for letter in "Kd":
        for size in SIZES:
            system = "uhman" if size == SIZE else f"uhman_{letter}{size}"
            found = [values(lines, dataset="world", system=system, read=metric("overall", key)) for key in keys]
            if not found[0]:
                continue
            other = {"K": "d", "d": "K"}[letter]
            rows.append([f"{letter} = {size}, {other} = {SIZE}", str(len(found[0])), *map(spread, found)])
    return markdown(["size", "seeds", "P@10", "R@10", "F1@10"], rows)


def panels(lines: list[Line]) -> dict[str, dict[str, dict[int, list[float]]]]:
    """Return figure 4's two panels: recall and corpus F1 at 10 over K and over d."""
    shown = {"R@10": "recall@10", "F1@10": "corpus_f1@10"}
    found: dict[str, dict[str, dict[int, list[float]]]] = {}
    for letter, title in (("K", "hidden size K"), ("d", "predictive factor d")):
        systems = {size: "uhman" if size == SIZE else f"uhman_{letter}{size}" for size in SIZES}
        found[title] = {
            label: {
                size: list(values(lines, dataset="world", system=name, read=metric("overall", key)).values())
                for size, name in systems.items()
            }
            for label, key in shown.items()
        }
    return found


def main() -> None:
    """Replace tables and figures, or check the tables."""
    lines, check = read(RESULTS), "--check" in sys.argv
    at_10 = ("precision@10", "recall@10", "corpus_f1@10")
    write_tables(
        [
            (README, "order", orders(lines)),
            (README, "table1", comparison(lines, NATURAL, SYSTEMS, PUBLISHED)),
            (README, "table2", comparison(lines, BALANCED, SYSTEMS, PUBLISHED_BALANCED)),
            (README, "table3", comparison(lines, NATURAL, ABLATIONS, PUBLISHED_ABLATIONS, at_10)),
            (README, "figure4", sizes(lines)),
        ],
        check=check,
    )
    if not check:
        frequencies(FREQUENCIES, HERE / "figure3.png")
        sweeps(panels(lines), HERE / "figure4.png")


if __name__ == "__main__":
    main()
