"""Evaluations and comparisons as JSON-ready dicts and as tables. Strings only: printing is the caller's business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.files import InputError
from v2ht.evaluation.evaluate import Evaluation
from v2ht.evaluation.metrics import NAMES
from v2ht.evaluation.subsets import SUBSETS

SHOWN = ("recall", "ndcg")  # of the metrics, unless others are asked for


@dataclass(frozen=True, kw_only=True)
class Table:
    """A header (its first cell is empty), and sections: a title and rows of as many cells as the header has. Notes
    stand below.
    """

    header: list[str]
    sections: list[tuple[str, list[list[str]]]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Return the table with aligned columns, names to the left and numbers to the right."""
        rows = [self.header, *(row for _, rows in self.sections for row in rows)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(self.header))]
        lines = [_aligned(self.header, widths)]
        for title, rows in self.sections:
            lines += ["", title, *(_aligned(row, widths) for row in rows)]
        return "\n".join([*lines, *(["", *self.notes] if self.notes else [])]) + "\n"

    def markdown(self) -> str:
        """Return the table in GitHub's Markdown; a section's title is a bold row."""
        lines = [_piped(self.header), _piped([":---", *["---:"] * (len(self.header) - 1)])]
        for title, rows in self.sections:
            lines += [_piped([f"**{title}**", *[""] * (len(self.header) - 1)]), *(_piped(row) for row in rows)]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)]) + "\n"


def evaluation_report(
    evaluation: Evaluation, *, model: str, dataset: str, split: str, floors: Mapping[str, Evaluation], seconds: float
) -> dict[str, Any]:
    """Return the evaluation JSON: what was evaluated, every subset, the pair protocol, and the same for each floor."""
    head = {"model": model, "dataset": dataset, "split": split, **evaluation.summary}
    return {**head, "floors": {name: _numbers(floor.summary) for name, floor in floors.items()}, "seconds": seconds}


def evaluation_table(report: Mapping[str, Any], *, metrics: Sequence[str] = ()) -> Table:
    """Return the table of `evaluation_report`: a section per subset, a row for the model and for each floor.

    `metrics` are shown at every k; without them recall and NDCG, and at the largest k the others.
    """
    systems = {report["model"]: _numbers(report), **report["floors"]}
    last = max(report["ks"])
    keys = [f"{name}@{k}" for k in report["ks"] for name in metrics or SHOWN]
    keys += [f"{name}@{last}" for name in ("precision", "f1", "corpus_f1", "coverage") if not metrics]
    sections = []
    for subset in SUBSETS:
        rows = [
            [name, *(number(numbers[subset][key]) for key in keys)]
            for name, numbers in systems.items()
            if numbers[subset]
        ]
        sections.append((_title(subset, report, videos=(report[subset] or {}).get("videos", 0)), rows))
    pairs = {name: numbers["pair"] for name, numbers in systems.items()}
    sections.append(_pair_section("overall", pairs, keys=keys))
    sections.append(
        _pair_section("long tail", {name: (pair or {}).get("longtail") for name, pair in pairs.items()}, keys=keys)
    )
    return Table(header=["", *keys], sections=sections)


def comparison_table(comparison: Mapping[str, Any], *, metrics: Sequence[str] = SHOWN) -> Table:
    """Return the table of `compare`: mean, half width of its interval, and p against the first system."""
    keys = [f"{name}@{k}" for k in comparison["ks"] for name in metrics]
    header = ["", *(cell for key in keys for cell in (key, "p"))]
    sections = []
    for subset in SUBSETS:
        part = comparison[subset] or {"videos": 0, "systems": {}}
        rows = [
            [name, *(cell for key in keys for cell in _compared(metrics[key]))]
            for name, metrics in part["systems"].items()
        ]
        sections.append((_title(subset, comparison, videos=part["videos"]), rows))
    return Table(header=header, sections=sections)


def check_metrics(metrics: Sequence[str]) -> None:
    """Raise `InputError` on a metric that single videos do not have, or one named twice."""
    wrong = [name for name in metrics if name not in NAMES or list(metrics).count(name) > 1]
    if wrong:
        raise InputError(f"metrics names {wrong[0]!r}; choose among {', '.join(NAMES)}, each once")


def number(value: float | None) -> str:
    """Return 0.7231 as `.723`, 1 as `1.000`, None as `-`."""
    if value is None:
        return "-"
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def _p_value(value: float | None) -> str:
    return "<.001" if value is not None and value < 0.001 else number(value)


def _compared(metric: Mapping[str, Any]) -> tuple[str, str]:
    return f"{number(metric['mean'])} ±{number(metric['half_width'])}", _p_value(metric.get("p"))


def _numbers(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {name: summary[name] for name in (*SUBSETS, "pair")}


def _title(subset: str, settings: Mapping[str, Any], *, videos: int) -> str:
    meaning = {
        "overall": f"overall, {settings['hashtags']:,} hashtags ranked",
        "longtail": f"long tail, true hashtags of fewer than {settings['longtail_threshold']} train videos",
        "new_to_user": "new to user, hashtags of the user's train videos left out",
        "cold_user": "cold user, no train video",
        "unseen": "unseen, true hashtags of no train video",
    }[subset]
    return f"{meaning}: {videos:,} videos" if videos else f"{meaning}: no videos"


def _pair_section(
    name: str, pairs: Mapping[str, Mapping[str, Any] | None], *, keys: Sequence[str]
) -> tuple[str, list[list[str]]]:
    """The pair protocol's hit rate stands in the recall columns: with a single true hashtag they are the same."""
    rows = [
        [system, *(number(pair.get(key.replace("recall", "hit_rate"))) for key in keys)]
        for system, pair in pairs.items()
        if pair
    ]
    count = next((pair["pairs"] for pair in pairs.values() if pair), 0)
    return f"pair protocol, {name} (hit rate as recall): {f'{count:,}' if count else 'no'} pairs", rows


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
    return "  ".join(cells).rstrip()


def _piped(row: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
