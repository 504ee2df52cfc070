"""Run what a table or figure of the GGM paper (ACL 2023) shows; append one JSON line a case to results.jsonl.

    python -m experiments.ggm.run table2 --data FOLDER --out RUNS [--datasets youtube world] [--seeds 10 11 12]
    python -m experiments.ggm.tables             # writes the tables and the figure of README.md from the lines

table2: classifiers, generators, GGM; table3: guidance by others and of k hashtags; table4: recall of the rankers;
table5: test posts with unseen hashtags; ablations: plain guidance, the user; comparisons: paired over posts, from what
the runs wrote; figure4: words of a hashtag. Tables share cases. A case that is recorded with the same settings is not
run again, so a killed experiment goes on. What will run, and about how long, is printed first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data.importing import ImportSettings
from experiments.cases import Case, Line, missing, parser, read
from experiments.ggm.cases import Table, count_words, run_cases
from experiments.ggm.comparisons import compare_cases

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
COMPARISONS = HERE / "comparisons.jsonl"
WORDS = HERE / "words.jsonl"
SEEDS = (10, 11, 12)  # settings were chosen on seed 0

SMALL = (  # of all systems: what one core trains in one or two minutes
    "user=false",  # as in the paper
    "dim=64",
    "epochs=20",
    "patience=6",
    "guidance_folds=2",
    "guidance_k=10",
    "width=64",
    "layers=1",
    "text_tokens=32",
    "generator_batch=8",
    "generator_rate=0.006",
    "generator_patience=4",
)
SHORT = (*SMALL, "max_length=32", "generator_epochs=10")
NO_USERS = ImportSettings(min_hashtag_videos=5, min_user_videos=1, split="unseen")  # 5 posts as in the paper
TABLES = {  # in the order in which they run
    "youtube": Table(
        file="youtube_trending_2017_us_gb_ca.parquet",
        # so few move about the paper's share of posts, 13 %, out of train
        settings=ImportSettings(format="youtube", split="unseen", unseen_hashtags=12),
        words=(*SMALL, "max_length=48", "generator_epochs=16", "dropout=0"),
    ),
    "world": Table(
        settings=ImportSettings(min_hashtag_videos=3, min_user_videos=1, split="unseen", unseen_hashtags=8),
        words=(*SHORT, "word_dimension=50"),
    ),
    "pyvideo": Table(
        file="pyvideo_talks.parquet",
        posts=2500,
        settings=replace(NO_USERS, columns={"text": ("title", "description")}),
        words=SHORT,
    ),
    "tiktok_trending": Table(
        file="tiktok_trending_2025.parquet",
        posts=2500,
        settings=replace(NO_USERS, format="tiktok"),
        words=SHORT,
    ),
    "kuairec": Table(
        file="kuairec_captions_2020.parquet",
        posts=2500,
        settings=replace(NO_USERS, columns={"user": ("item_id",)}),  # the table has no authors
        words=SHORT,
    ),
}
UNGUIDED = ("epochs=1",)  # their retriever guides nothing
SYSTEMS: dict[str, tuple[str, ...]] = {
    "ggm": (),
    "bart": ("kind=bart", *UNGUIDED),
    "vg_bart": ("kind=vg_bart", *UNGUIDED),
    "trocr_fid": ("kind=trocr_fid", *UNGUIDED),
    "bert": ("kind=bert",),
    "vlm": ("kind=vlm",),
    "vit": ("kind=vit",),
    "vit_bert": ("kind=vit_bert",),
    "ggm_by_bert": ("guidance=bert",),
    "ggm_by_vit": ("guidance=vit",),
    "ggm_k50": ("guidance_k=50",),
    "ggm_k100": ("guidance_k=100",),
    "ggm_plain": ("graph_guidance=false",),
    "ggm_with_user": ("user=true",),
}
OF_TEXT = ("ggm", "bart", "bert", "vlm")
OF_DATASET = {  # guidance is varied where it costs least and says most; only youtube has users that return
    "youtube": (*OF_TEXT, "ggm_plain", "ggm_with_user", "ggm_by_bert", "ggm_k50"),
    "world": (*OF_TEXT, "vg_bart", "trocr_fid", "vit", "vit_bert", "ggm_by_vit", "ggm_k50", "ggm_k100"),
    "pyvideo": (*OF_TEXT, "ggm_plain"),
    "tiktok_trending": OF_TEXT,
    "kuairec": OF_TEXT,
}
TABLE2 = ("ggm", "bart", "vg_bart", "trocr_fid", "bert", "vlm", "vit", "vit_bert")
OF_TARGET = {
    "table2": TABLE2,
    "table3": (*TABLE2, "ggm_by_bert", "ggm_by_vit", "ggm_k50", "ggm_k100"),
    "table4": ("bert", "vlm", "vit", "vit_bert"),
    "table5": ("ggm", "bart", "vg_bart"),
    "ablations": ("ggm", "bart", "ggm_plain", "ggm_with_user"),
}
TARGETS = (*OF_TARGET, "comparisons", "figure4")


def systems(target: str, dataset: str) -> list[str]:
    """Return the systems of a table on a dataset."""
    return [name for name in OF_TARGET[target] if name in OF_DATASET[dataset]]


def cases(targets: Sequence[str], datasets: Sequence[str], seeds: Sequence[int]) -> list[Case]:
    """Return the cases of tables, each once; seed by seed, so that what is done first compares systems."""
    found = [
        Case(dataset=dataset, system=name, model="ggm", words=SYSTEMS[name], seed=seed)
        for target in targets
        if target in OF_TARGET
        for dataset in datasets
        for seed in seeds
        for name in systems(target, dataset)
    ]
    return list(dict.fromkeys(found))


def main() -> None:
    """Run what the command line names."""
    line = parser(__doc__, targets=TARGETS, datasets=list(TABLES), seeds=SEEDS)
    line.add_argument("--plan", action="store_true", help="print what would run, and stop")
    given = line.parse_args()
    todo = missing(cases(given.targets, given.datasets, given.seeds), TABLES, read(RESULTS))
    print_plan([case for case, _ in todo], read(RESULTS))
    if given.plan:
        return
    run_cases(todo, TABLES, data=given.data, out=given.out, results=RESULTS, workers=given.workers)
    if "comparisons" in given.targets:
        compare_cases(read(RESULTS), given.out, results=COMPARISONS)
    if "figure4" in given.targets:
        count_words(given.datasets, TABLES, given.seeds[0], data=given.data, out=given.out, results=WORDS)


def print_plan(todo: Sequence[Case], lines: Sequence[Line]) -> None:
    """Print the cases of each dataset and the processor minutes they may take, as recorded cases took."""
    total = 0.0
    for dataset in dict.fromkeys(case.dataset for case in todo):
        own = [case for case in todo if case.dataset == dataset]
        minutes = sum(estimate(case, lines) for case in own) / 60
        total += minutes
        print(f"{dataset}: {len(own)} cases, {minutes:.0f} minutes of one core")
    print(f"{len(todo)} cases, {total:.0f} minutes of one core", flush=True)


def estimate(case: Case, lines: Sequence[Line]) -> float:
    """Return the seconds that a case may take: as others of its system and dataset, else of its kind anywhere."""
    ranks = case.system in OF_TARGET["table4"]
    alike = [line for line in lines if (line["system"] in OF_TARGET["table4"]) == ranks]
    same = [line for line in alike if (line["dataset"], line["system"]) == (case.dataset, case.system)]
    seconds = [line["cpu_seconds"] for line in same or alike] or [20.0 if ranks else 90.0]
    return sum(seconds) / len(seconds)


if __name__ == "__main__":
    main()
