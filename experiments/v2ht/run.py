"""Run what a table or figure of the V2HT paper (CIKM 2019) shows; append one JSON line a case to results.jsonl.

    python -m experiments.v2ht.run table2 --data FOLDER --out RUNS [--datasets world youtube] [--seeds 10 11 12]
    python -m experiments.v2ht.tables            # writes the tables and figures of README.md from the lines

table2, table3 (its long tail) and figure5 (its training curves) share their cases; figure4 only counts hashtags.
"""

from __future__ import annotations

from pathlib import Path

from data.synthetic import WorldSettings
from experiments.cases import Case, Source, count_hashtags, parser, run_cases
from experiments.v2ht.case_studies import case_studies

HERE = Path(__file__).parent
RESULTS = HERE / "results.jsonl"
FREQUENCIES = HERE / "frequencies.jsonl"
CASES = HERE / "cases.json"
SEEDS = (10, 11, 12)  # settings were chosen on seeds 0 to 2

SOURCES = {
    "world": Source(world=WorldSettings(), words=("dim=64", "word_dimension=50", "epochs=60", "patience=10")),
    "tiktok_news_de": Source(file="tiktok_news_de_2023.parquet", format="tiktok_news", words=("text_length=12",)),
    "youtube": Source(file="youtube_trending_2017_us_gb_ca.parquet", format="youtube", words=("text_length=12",)),
    "tiktok_vn": Source(
        file="tiktok_vn_2025.parquet",
        format="tiktok",
        words=("text_length=12", "dim=64", "batch_size=128", "learning_rate=0.004", "epochs=20", "patience=3"),
    ),
    "lastfm": Source(
        file="lastfm_hetrec2011_taggings.parquet",
        format="lastfm",
        words=(
            "text_length=12",
            "dim=64",
            "batch_size=256",
            "learning_rate=0.004",
            "epochs=5",
            "epoch_videos=0",
            "patience=3",
        ),
    ),
}
IN_WORLD = {  # what suits the world, by model
    "v2ht": ("visual_units=64", "acoustic_units=32", "text_units=32", "alpha=0.5"),
    "user_specific": ("user_dropout=0.5", "weight_decay=0.0003"),
}
IN_TABLES = {"user_specific": ("weight_decay=0.00003",)}
SYSTEMS = {  # of tables 2 and 3: model and settings
    "v2ht": ("v2ht", ()),
    "v2ht_without_user": ("v2ht", ("user=false",)),
    "v2ht_without_propagation": ("v2ht", ("propagation=false",)),
    "v2ht_without_both": ("v2ht", ("user=false", "propagation=false")),
    "user_specific": ("user_specific", ("negatives=50",)),
    "co_attention": ("co_attention", ()),
    "contagnet": ("contagnet", ()),
}
MODALITIES = {  # of table 4; all three together are table 2's v2ht
    f"modalities_{name.replace(',', '_')}": ("v2ht", (f"modalities={name}",))
    for name in ("text", "acoustic", "visual", "acoustic,text", "visual,text", "visual,acoustic")
}
WITH_MODALITIES = ("world", "tiktok_news_de")  # the other datasets are text alone
TARGETS = ("table2", "table3", "table4", "figure4", "figure5", "figure6")


def cases(target: str, datasets: list[str], seeds: list[int]) -> list[Case]:
    """Return the cases of a table or figure: every system on every dataset, with every seed."""
    chosen = datasets
    systems = SYSTEMS
    if target == "table4":
        chosen = [name for name in datasets if name in WITH_MODALITIES]
        systems = {"v2ht": SYSTEMS["v2ht"], **MODALITIES}
    elif target == "figure6":
        chosen, seeds = ["world"], seeds[:1]
        systems = {name: system for name, system in SYSTEMS.items() if name.startswith("v2ht")}
    return [
        Case(dataset=dataset, system=name, model=model, words=(*suited.get(model, ()), *words), seed=seed)
        for seed in seeds
        for dataset in chosen
        for suited in [IN_WORLD if dataset == "world" else IN_TABLES]
        for name, (model, words) in systems.items()
    ]


def main() -> None:
    """Run what the command line names."""
    given = parser(__doc__, targets=TARGETS, datasets=list(SOURCES), seeds=SEEDS).parse_args()
    for target in given.targets:
        if target == "figure4":
            count_hashtags(given.datasets, SOURCES, given.seeds[0], data=given.data, out=given.out, results=FREQUENCIES)
            continue
        todo = cases(target, given.datasets, given.seeds)
        run_cases(todo, SOURCES, data=given.data, out=given.out, results=RESULTS, workers=given.workers)
        if target == "figure6":
            case_studies(todo, out=given.out, results=CASES)


if __name__ == "__main__":
    main()
