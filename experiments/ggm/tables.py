"""Write the tables and the figure of README.md from the recorded lines; only the paper's own numbers are typed.

python -m experiments.ggm.tables [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from experiments.cases import read
from experiments.figures import save
from experiments.ggm.cases import KS, OPEN_POOL, TOPS, TRAIN_POOL
from experiments.ggm.run import COMPARISONS, HERE, OF_TARGET, RESULTS, TABLE2, TABLES, WORDS
from experiments.summary import Line, Read, difference, markdown, spread, values, verdict, write_tables
from v2ht.evaluation.report import number

README = HERE / "README.md"
COLUMNS = {
    "ROUGE-1": "rouge1",
    "ROUGE-2": "rouge2",
    "F1": "corpus_f1",
    "long tail": "longtail",
    "novelty": "novelty",
    "validity": "validity",
    "empty": "empty",
}
ORDER = (  # what sections 5.1 and 5.2 say: better, worse, and by how much ROUGE-1 if that is said
    ("ggm", "vg_bart", "8.11 and 2.17"),
    ("ggm", "bart", ""),
    ("bart", "bert", ""),
    ("vg_bart", "vit_bert", ""),
    ("vit", "trocr_fid", ""),
    ("vit", "vlm", ""),
    ("ggm", "ggm_by_vit", ""),
    ("ggm", "ggm_by_bert", ""),
)
SWEEP = ("bart", "vg_bart", "ggm", "ggm_k50", "ggm_k100")


def written(name: str, *, subset: str = "seen", output: str = TRAIN_POOL) -> Read:
    """Return the reader of a number of what was written for a test set."""

    def read_one(line: Line) -> float | None:
        value = line["written"].get(output, {}).get(subset, {}).get(name)
        return None if value is None else float(value)

    return read_one


def recall(k: int, *, subset: str, pool: str) -> Read:
    """Return the reader of a ranker's recall@k."""

    def read_one(line: Line) -> float | None:
        found = (line["recall"] or {}).get(pool)
        return None if found is None else float(found[subset][str(k)])

    return read_one


def seconds(line: Line) -> float:
    """Return the processor seconds of a case, evaluation included."""
    return float(line["cpu_seconds"])


def datasets(lines: Sequence[Line]) -> list[str]:
    """Return the datasets that lines are about, in the order of `TABLES`."""
    return [name for name in TABLES if any(line["dataset"] == name for line in lines)]


def facts(lines: Sequence[Line]) -> str:
    """Return the size of each dataset, the mean over seeds."""
    rows = []
    for name in datasets(lines):
        own = list({line["seed"]: line for line in lines if line["dataset"] == name}.values())
        parts = ("train", "valid", "hashtags")
        counts = [sum(line["counts"][part] for line in own) / len(own) for part in parts]
        tests = [sum(line[f"{part}_posts"] for line in own) / len(own) for part in ("seen", "unseen")]
        unseen = sum(line["written"][TRAIN_POOL]["unseen"]["unseen_hashtags"] for line in own) / len(own)
        drawn = f"{TABLES[name].posts:,}" if TABLES[name].posts else "all"
        settings = TABLES[name].settings
        least = f"{settings.min_hashtag_videos} / {settings.min_user_videos}"
        rows.append([name, str(len(own)), drawn, least, *(f"{value:,.0f}" for value in (*counts, unseen, *tests))])
    head = ["dataset", "seeds", "tagged posts drawn", "posts a hashtag / a user needs", "train", "validation"]
    return markdown([*head, "hashtags", "of them unseen", "test, seen", "test, unseen"], rows)


def numbers(lines: Sequence[Line], systems: Sequence[str]) -> str:
    """Return a table for each dataset: the text metrics of the seen test set."""
    parts = []
    for dataset in datasets(lines):
        rows = []
        for name in systems:
            found = [
                values(lines, dataset=dataset, system=name, read=read)
                for read in (*(written(key) for key in COLUMNS.values()), seconds)
            ]
            if found[0]:
                times = found.pop()
                time = f"{sum(times.values()) / len(times):,.0f}"
                rows.append([name, str(len(found[0])), *map(spread, found), time])
        parts.append(f"**{dataset}**\n\n{markdown(['system', 'seeds', *COLUMNS, 'seconds'], rows)}")
    return "\n\n".join(parts)


def orders(lines: Sequence[Line]) -> str:
    """Return what the paper says of ROUGE-1, and the paired differences over seeds found on each dataset."""
    rows = []
    for one, other, published in ORDER:
        cells = []
        for dataset in datasets(lines):
            pair = [values(lines, dataset=dataset, system=name, read=written("rouge1")) for name in (one, other)]
            cells.append(verdict(difference(*pair)))
        rows.append([f"{one} > {other}", f"+{published}" if published else "yes", *cells])
    return markdown(["expected", "published, of 100", *datasets(lines)], rows)


def sweep(lines: Sequence[Line]) -> str:
    """Return table 3: generators by their guidance, and rankers by how many hashtags they give."""
    rows: list[list[str]] = []
    found = [
        name
        for name in datasets(lines)
        if any((line["dataset"], line["system"]) == (name, "ggm_k50") for line in lines)
    ]
    if not found:
        return "Not run yet."
    rows += [[name, *_cells(lines, name, found, TRAIN_POOL)] for name in (*SWEEP, "ggm_by_bert", "ggm_by_vit")]
    for name in ("bert", "vit_bert", "vlm"):
        rows += [[f"{name}, best {n}", *_cells(lines, name, found, f"{TRAIN_POOL}, top {n}")] for n in TOPS]
    rows = [row for row in rows if set(row[1:]) != {"-"}]
    return markdown(["", *(f"{name} {metric}" for name in found for metric in ("ROUGE-1", "F1"))], rows)


def _cells(lines: Sequence[Line], system: str, found: Sequence[str], output: str) -> list[str]:
    return [
        spread(values(lines, dataset=dataset, system=system, read=written(name, output=output)))
        for dataset in found
        for name in ("rouge1", "corpus_f1")
    ]


def recalls(lines: Sequence[Line]) -> str:
    """Return table 4: recall@k of the rankers on both test sets, and of the retriever with unseen hashtags."""
    rows = []
    for dataset in datasets(lines):
        for subset, pool in (("seen", TRAIN_POOL), ("unseen", TRAIN_POOL), ("unseen", OPEN_POOL)):
            for name in OF_TARGET["table4"]:
                reads = [recall(k, subset=subset, pool=pool) for k in KS]
                cells = [spread(values(lines, dataset=dataset, system=name, read=read)) for read in reads]
                if set(cells) != {"-"}:
                    rows.append([dataset, f"{subset}, {pool}", name, *cells])
    return markdown(["dataset", "test set, pool", "ranker", *(f"recall@{k}" for k in KS)], rows)


def unseen(lines: Sequence[Line]) -> str:
    """Return table 5: the seen and the unseen test set, without and with unseen hashtags in the pool of guidance."""
    rows = []
    sets = (("seen", TRAIN_POOL), ("unseen", TRAIN_POOL), ("unseen", OPEN_POOL))
    for dataset in datasets(lines):
        for name in OF_TARGET["table5"]:
            for subset, pool in sets:
                keys = ("rouge1", "rouge2", "corpus_f1")
                reads = [written(key, subset=subset, output=pool) for key in keys]
                cells = [spread(values(lines, dataset=dataset, system=name, read=read)) for read in reads]
                if cells[0] == "-":
                    continue
                rows.append([dataset, name, f"{subset}, {pool}", *cells, _recalled(lines, dataset, name, subset, pool)])
    return markdown(["dataset", "system", "test set, pool", "ROUGE-1", "ROUGE-2", "F1", "unseen recalled"], rows)


def _recalled(lines: Sequence[Line], dataset: str, system: str, subset: str, pool: str) -> str:
    """Return how many unseen hashtags were written at least once where they are true, of how many, over all seeds."""
    if subset == "seen":
        return "-"
    counts = [
        sum(values(lines, dataset=dataset, system=system, read=written(key, subset=subset, output=pool)).values())
        for key in ("unseen_recalled", "unseen_hashtags")
    ]
    return "{:.0f} of {:.0f}".format(*counts)


def comparisons(found: Sequence[Line]) -> str:
    """Return the paired differences over posts with their 95 % intervals."""
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for line in found:
        cells = rows.setdefault((line["question"], f"{line['one']} − {line['other']}", line["dataset"]), {})
        cells["seeds"] = str(len(line["seeds"]))
        interval = f"[{line['low']:+.3f}, {line['high']:+.3f}]"
        cells[line["metric"]] = f"{line['mean']:+.3f} {interval}, p {number(line['p'])}, {line['posts']:,} posts"
    metrics = {"rouge1": "ROUGE-1", "f1": "F1", "longtail": "long-tail recall", "new": "unseen recall"}
    body = [[*key, cells["seeds"], *(cells.get(name, "-") for name in metrics)] for key, cells in sorted(rows.items())]
    return markdown(["question", "difference", "dataset", "seeds", *metrics.values()], body)


def decodings(lines: Sequence[Line]) -> str:
    """Return how each dataset's systems decode, and the settings that they share."""
    parts = []
    for name in datasets(lines):
        told = sorted({line["decoding"] for line in lines if line["dataset"] == name})
        parts.append(f"- {name}: {'; '.join(told)}. Settings: `{' '.join(TABLES[name].words)}`")
    return "\n".join(parts)


def lengths(lines: Sequence[Line]) -> list[tuple[str, list[float], float]]:
    """Return each dataset's shares of hashtag uses of 1, 2, 3, 4 and more words, and of those in the description."""
    found = []
    for line in lines:
        uses = {int(words): count for words, count in line["uses_by_words"].items()}
        shares = [uses.get(words, 0) / sum(uses.values()) for words in (1, 2, 3)]
        found.append((line["dataset"], [*shares, 1 - sum(shares)], line["in_description"]))
    return found


def lengths_table(lines: Sequence[Line]) -> str:
    """Return figure 4 as a table."""
    rows = [[name, *map(number, shares), number(copied)] for name, shares, copied in lengths(lines)]
    return markdown(["dataset", "1 word", "2", "3", "4 and more", "in the description"], rows)


def lengths_figure(lines: Sequence[Line], path: Path) -> None:
    """Draw figure 4: bars of the shares, a colour for each dataset."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for place, (name, shares, _) in enumerate(lengths(lines)):
        axes.bar([words + (place - len(lines) / 2 + 0.5) * 0.15 for words in range(4)], shares, 0.15, label=name)
    axes.set_xticks(range(4), ["1", "2", "3", "4 and more"])
    axes.set(xlabel="words of a hashtag", ylabel="share of hashtag uses", ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8)
    save(figure, path)


def recorded(path: Path) -> list[Line]:
    """Return the lines of a file; none where there is no file yet."""
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def main() -> None:
    """Replace tables and figure, or check the tables."""
    lines, words, check = read(RESULTS), recorded(WORDS), "--check" in sys.argv
    tables = [
        (README, "facts", facts(lines)),
        (README, "decoding", decodings(lines)),
        (README, "order", orders(lines)),
        (README, "table2", numbers(lines, [*TABLE2, "ggm_plain", "ggm_with_user"])),
        (README, "table3", sweep(lines)),
        (README, "table4", recalls(lines)),
        (README, "table5", unseen(lines)),
        (README, "comparisons", comparisons(recorded(COMPARISONS))),
        (README, "words", lengths_table(words)),
    ]
    write_tables(tables, check=check)
    if words and not check:
        lengths_figure(words, HERE / "figure4.png")


if __name__ == "__main__":
    main()
