"""The GGM experiments: which cases a table has, what a case measures, and how pairs are compared, by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from data.dataset import Dataset
from experiments.cases import Case, identity, missing
from experiments.ggm import run as experiment
from experiments.ggm import tables
from experiments.ggm.cases import OPEN_POOL, TOPS, TRAIN_POOL, Table, count_words, numbers, prepare, run
from experiments.ggm.comparisons import PAIRS, compare, compare_cases, interval
from test_battery import planted_dataset
from test_ggm_training import SHORT, TINY, write_planted
from v2ht.dataset_inputs import DatasetInputs
from v2ht.inputs import Inputs, InputSettings
from v2ht.training.train import Plan

UNSEEN = 17  # a hashtag of no train post


def planted() -> Dataset:
    """The planted world, in which every other test post has an unseen hashtag too."""
    dataset = planted_dataset(features=True)
    rows = set(dataset.rows("test")[::2].tolist())
    lists = [[*ids, UNSEEN] if row in rows else ids for row, ids in enumerate(dataset.videos["hashtag_ids"].to_list())]
    return replace(dataset, videos=dataset.videos.with_columns(hashtag_ids=pl.Series(lists, dtype=pl.List(pl.Int32()))))


def lines_of(folder: Path, kind: str, seed: int = 0) -> tuple[dict, pl.DataFrame]:
    case = Case(dataset="planted", system=kind, model="ggm", words=(f"kind={kind}",), seed=seed)
    line = run(case, (*TINY, *SHORT, f"kind={kind}"), folder)
    return line, pl.read_parquet(folder / "written" / f"planted-{kind}-{seed}.parquet")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    write_planted(folder / "datasets" / "planted-0", planted())
    return folder


def test_every_system_is_a_plan_and_stands_in_a_table() -> None:
    used = {name for names in experiment.OF_TARGET.values() for name in names}
    assert used == set(experiment.SYSTEMS) == {name for names in experiment.OF_DATASET.values() for name in names}
    assert set(experiment.OF_DATASET) == set(experiment.TABLES)
    for table in experiment.TABLES.values():
        for words in experiment.SYSTEMS.values():
            plan = Plan.of("ggm", [*table.words, *words], seed=0)
            assert plan.model_settings.user == ("user=true" in words)
    assert {name for pair in PAIRS for name in (pair.one, pair.other)} <= set(experiment.SYSTEMS)


def test_text_tables_have_no_system_that_reads_frames() -> None:
    found = experiment.cases(["table2", "table3", "table5", "ablations"], ["kuairec", "world"], [10])
    of_text = {case.system for case in found if case.dataset == "kuairec"}
    assert of_text == {"ggm", "bart", "bert", "vlm"}
    of_world = [case.system for case in found if case.dataset == "world"]
    assert len(of_world) == len(set(of_world))
    assert set(of_world) == set(experiment.OF_DATASET["world"])


def test_a_recorded_case_is_not_run_again_unless_its_settings_changed() -> None:
    one, other = experiment.cases(["table2"], ["pyvideo"], [10])[:2]
    words = (*experiment.TABLES["pyvideo"].words, *one.words)
    line = {**identity(one, words), "written": {}}
    tables = experiment.TABLES
    assert [case for case, _ in missing([one, other], tables, [line])] == [other]
    changed = [{**line, "settings": [*words, "dim=8"]}]
    assert missing([one, other], tables, changed)[0] == (one, words)
    assert [case for case, _ in missing([one, other], tables, changed)] == [one, other]
    assert missing([], tables, [line]) == []


def test_estimates_come_from_the_nearest_recorded_cases() -> None:
    def line(dataset: str, system: str, seconds: float) -> dict:
        return {"dataset": dataset, "system": system, "cpu_seconds": seconds}

    def case(dataset: str, system: str) -> Case:
        return Case(dataset=dataset, system=system, model="ggm", seed=10)

    lines = [
        line("youtube", "ggm", 100),
        line("youtube", "ggm", 50),
        line("world", "bart", 30),
        line("world", "vlm", 2),
    ]
    assert experiment.estimate(case("youtube", "ggm"), lines) == 75
    assert experiment.estimate(case("kuairec", "ggm"), lines) == 60
    assert experiment.estimate(case("kuairec", "bert"), lines) == 2
    assert experiment.estimate(case("kuairec", "bert"), []) == 20


def test_recall_of_rare_and_of_unseen_hashtags_by_hand() -> None:
    """A post's topic has 15 train posts, so it is rare; its author's name has 24."""
    dataset = planted()
    posts = DatasetInputs(dataset, Inputs.of(dataset, InputSettings(word_dimension=8), seed=0))
    names = dataset.hashtags["hashtag"].to_list()
    rows = dataset.rows("test")[:3]
    ids = [posts.truth[row] for row in rows]
    written = [[names[UNSEEN], names[ids[0][0]]], [names[ids[1][1]]], [names[ids[2][0]]]]
    found, table = numbers(posts, rows, written, unseen=np.array([True, False, True]))
    by_id = {row.pop("video_id"): row for row in table.iter_rows(named=True)}
    own = [by_id[dataset.videos["video_id"][int(row)]] for row in rows]
    assert [row["unseen"] for row in own] == [True, False, True]
    assert [row["longtail"] for row in own] == [1, 0, 1]
    assert [row["new"] for row in own] == [1, None, 0]
    assert [row["f1"] for row in own] == pytest.approx([4 / 5, 2 / 3, 1 / 2])
    assert (found["unseen"]["new"], found["unseen"]["new_posts"], found["seen"]["new"]) == (0.5, 2, None)
    assert (found["unseen"]["unseen_recalled"], found["seen"]["longtail"]) == (1, 0)


def test_a_generators_case(out: Path) -> None:
    line, table = lines_of(out, "ggm")
    assert json.loads(json.dumps(line, allow_nan=False)) == line
    assert set(line["written"]) == {TRAIN_POOL, OPEN_POOL}
    assert line["recall"] is None
    assert line["generator"]["guidance"]["valid_recall"] >= 0
    own = table.filter(pl.col("output") == TRAIN_POOL)
    seen = own.filter(~pl.col("unseen"))
    assert own.height == line["seen_posts"] + line["unseen_posts"]
    assert seen["f1"].mean() == pytest.approx(line["written"][TRAIN_POOL]["seen"]["f1"])


def test_a_rankers_case(out: Path) -> None:
    line, table = lines_of(out, "vlm")
    lists = {f"{pool}, top {n}" for pool in (TRAIN_POOL, OPEN_POOL) for n in TOPS}
    assert set(line["written"]) == {TRAIN_POOL, OPEN_POOL, *lists} == set(table["output"])
    assert line["written"][TRAIN_POOL] == line["written"][f"{TRAIN_POOL}, top 5"]
    assert line["written"][TRAIN_POOL]["unseen"]["unseen_recalled"] == 0  # not in its pool
    recall = line["recall"][TRAIN_POOL]["seen"]
    assert recall["100"] == pytest.approx(1)  # there are fewer hashtags
    assert recall["5"] <= recall["10"] <= recall["20"]
    assert line["recall"][OPEN_POOL] != line["recall"][TRAIN_POOL]


def test_pairs_are_joined_by_post_and_pooled_over_seeds(tmp_path: Path) -> None:
    def write(system: str, seed: int, ids: list[str], f1: list[float], new: list[float | None]) -> None:
        table = pl.DataFrame({"output": [TRAIN_POOL] * len(ids), "video_id": ids, "f1": f1, "rouge1": f1})
        table = table.with_columns(
            longtail=pl.Series([None] * len(ids), dtype=pl.Float64), new=pl.Series(new, dtype=pl.Float64)
        )
        (tmp_path / "written").mkdir(exist_ok=True)
        table.write_parquet(tmp_path / "written" / f"posts-{system}-{seed}.parquet")

    write("ggm", 1, ["a", "b"], [1.0, 0.5], [1.0, None])
    write("bart", 1, ["b", "a"], [0.5, 0.0], [None, 0.0])
    write("ggm", 2, ["a"], [0.25], [None])
    write("bart", 2, ["a"], [0.5], [None])
    found = {line["metric"]: line for line in compare(PAIRS[0], "posts", [1, 2], tmp_path / "written")}
    assert set(found) == {"rouge1", "f1", "new"}  # no post has a long tail
    assert (found["f1"]["posts"], found["f1"]["mean"]) == (3, pytest.approx((1.0 + 0.0 - 0.25) / 3))
    assert (found["new"]["posts"], found["new"]["mean"], found["new"]["p"]) == (1, 1.0, 1.0)
    lines = [{"dataset": "posts", "system": system, "seed": seed} for system in ("ggm", "bart") for seed in (1, 2)]
    compare_cases(lines, tmp_path, results=tmp_path / "comparisons.jsonl")
    written = [json.loads(text) for text in (tmp_path / "comparisons.jsonl").read_text().splitlines()]
    assert [line["metric"] for line in written] == ["rouge1", "f1", "new"]


def test_an_interval_by_hand() -> None:
    found = interval(np.full(12, 0.5))
    assert (found["mean"], found["low"], found["high"], found["p"]) == (0.5, 0.5, 0.5, 2 / 2**12)


def test_posts_are_drawn_by_seed_before_the_import(tmp_path: Path) -> None:
    rows = [
        {
            "item_id": str(number),
            "user_id": f"u{number % 3}",
            "text": "cat dog",
            "hashtags": ["cat", "coldweather"][: number % 3],
        }
        for number in range(60)
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "posts.parquet")
    table = Table(
        file="posts.parquet",
        posts=30,
        settings=replace(experiment.TABLES["pyvideo"].settings, columns={}, min_hashtag_videos=2, split="random"),
        words=(),
    )
    for name, seed in (("one-1", 1), ("one-2", 2)):
        prepare(table, tmp_path / "datasets" / name, data=tmp_path, seed=seed)
    drawn = [set(Dataset.load(tmp_path / "datasets" / name).videos["video_id"]) for name in ("one-1", "one-2")]
    assert len(drawn[0]) == len(drawn[1]) == 30
    assert drawn[0] != drawn[1]
    count_words(["one"], {"one": table}, 1, data=tmp_path, out=tmp_path, results=tmp_path / "words.jsonl")
    line = json.loads((tmp_path / "words.jsonl").read_text())
    both = sum(int(name) % 3 == 2 for name in drawn[0])
    assert line["uses_by_words"] == {"1": 30, "2": both}
    assert line["in_description"] == pytest.approx(30 / (30 + both))


def test_shares_of_figure_4_by_hand() -> None:
    line = {"dataset": "posts", "uses_by_words": {"1": 5, "2": 2, "4": 2, "7": 1}, "in_description": 0.3}
    assert tables.lengths([line]) == [("posts", pytest.approx([0.5, 0.2, 0, 0.3]), 0.3)]


def test_tables_of_two_systems(out: Path) -> None:
    lines = [lines_of(out, "ggm")[0], lines_of(out, "vlm")[0]]
    lines = [{**line, "dataset": "youtube"} for line in lines]
    assert "| ggm | 1 |" in tables.numbers(lines, ["ggm", "bart", "vlm"])
    assert "| bart |" not in tables.numbers(lines, ["ggm", "bart", "vlm"])
    row = next(text for text in tables.unseen(lines).splitlines() if "unseen, open pool" in text)
    counts = lines[0]["written"][OPEN_POOL]["unseen"]
    assert row.endswith(f"| {counts['unseen_recalled']} of {counts['unseen_hashtags']} |")
    assert tables.recalls(lines).count("vlm") == 3
    assert "ggm > vg_bart | +8.11 and 2.17 | - |" in tables.orders(lines)
    assert "| youtube | 1 | all | 10 / 5 | 120 |" in tables.facts(lines)


def test_the_readmes_tables_are_those_of_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tables", "--check"])
    tables.main()
