"""Comparisons and tables: planted differences, the JSON contract, and the look of the text."""

import json

import numpy as np
import pytest

from data.dataset import Ragged
from data.files import InputError
from v2ht.evaluation import (
    EvaluationInput,
    compare,
    comparison_table,
    evaluate,
    evaluation_report,
    evaluation_table,
)
from v2ht.evaluation.report import check_metrics, number
from v2ht.evaluation.significance import bootstrap_interval, holm, sign_flip_test
from v2ht.evaluation.subsets import SUBSETS

VIDEOS, HASHTAGS = 60, 30


def planted(noise, *, seed=0, rows=None, threshold=20):
    """A system that ranks true hashtags above the others, more or less: the larger the noise, the less."""
    world, random = np.random.default_rng(1), np.random.default_rng(seed)
    truth = [world.choice(HASHTAGS, size=world.integers(1, 5), replace=False) for _ in range(VIDEOS)]
    scores = random.normal(size=(VIDEOS, HASHTAGS)) * noise
    for video, row in enumerate(truth):
        scores[video, row] += 1
    ranked = np.argsort(-scores, axis=1)
    known = world.permuted(np.tile(np.arange(HASHTAGS), (VIDEOS, 1)), axis=1)[:, :6]
    new = np.array([row[~np.isin(row, own)] for row, own in zip(ranked, known, strict=True)])
    given = EvaluationInput(
        rows=np.arange(VIDEOS) if rows is None else rows,
        truth=Ragged.from_lists(truth),
        ranked=ranked,
        ranked_new=new,
        known=Ragged.from_lists(list(known)),
        cold=np.zeros(VIDEOS, dtype=bool),
        train_frequency=np.arange(HASHTAGS) + 5,
    )
    return evaluate(given, longtail_threshold=threshold)


@pytest.fixture(scope="module")
def report():
    floors = {"popularity": planted(3.0, seed=1), "user history": planted(0.8, seed=2)}
    return evaluation_report(planted(0.3), model="v2ht", dataset="ab12", split="test", floors=floors, seconds=1.5)


@pytest.fixture(scope="module")
def comparison():
    systems = {
        "v2ht": planted(0.5),
        "twin": planted(0.5),
        "better": planted(0.2, seed=4),
        "worse": planted(3.0, seed=5),
    }
    return compare(systems, seed=0)


def test_the_report_follows_the_contract(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert {"model", "dataset", "split", "videos", "hashtags", *SUBSETS, "floors", "pair", "seconds"} <= set(report)
    assert report["model"] == "v2ht"
    assert report["cold_user"] is None
    assert report["longtail"]["threshold"] == 20
    assert set(report["floors"]["popularity"]) == {*SUBSETS, "pair"}
    assert report["floors"]["popularity"]["overall"].keys() == report["overall"].keys()
    assert report["overall"]["recall@5"] > report["floors"]["user history"]["overall"]["recall@5"]


def test_the_evaluation_table_reads_well(report):
    lines = evaluation_table(report).text().splitlines()
    assert max(map(len, lines)) <= 120
    assert not any(line != line.rstrip() for line in lines)
    assert lines[0].split()[:4] == ["recall@5", "ndcg@5", "recall@10", "ndcg@10"]
    assert lines[2] == "overall, 30 hashtags ranked: 60 videos"
    row = lines[3]
    assert row.startswith("v2ht ")
    end = lines[0].index("recall@5") + len("recall@5")
    assert row[:end].endswith(f" {number(report['overall']['recall@5'])}")
    assert len(row) == len(lines[0])
    assert "cold user, no train video: no videos" in lines
    pairs = lines.index(f"pair protocol, overall (hit rate as recall): {report['pair']['pairs']} pairs")
    assert lines[pairs + 1].split()[1] == number(report["pair"]["hit_rate@5"])
    assert lines[pairs + 1].split()[-4:] == ["-"] * 4
    assert [line.split("  ")[0] for line in lines].count("user history") == 5  # 3 subsets with videos, 2 pair sections


def test_markdown_has_the_same_cells(report):
    table = evaluation_table(report)
    lines = table.markdown().splitlines()
    assert lines[0].startswith("|  | recall@5 | ndcg@5 |")
    assert lines[1].startswith("| :--- | ---: |")
    assert {line.count("|") for line in lines} == {len(table.header) + 1}
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    expected = [row for title, rows in table.sections for row in [[f"**{title}**"] + [""] * 8, *rows]]
    assert cells == expected


def test_a_name_with_a_bar_does_not_break_markdown(report):
    assert "| a\\|b |" in evaluation_table({**report, "model": "a|b"}).markdown()


def test_planted_differences_are_found_and_nothing_else(comparison):
    overall = comparison["overall"]
    assert overall["videos"] == VIDEOS
    assert comparison["reference"] == "v2ht"
    assert comparison["cold_user"] is None
    assert "p" not in overall["systems"]["v2ht"]["recall@5"]
    twin, better, worse = (overall["systems"][name]["recall@5"] for name in ("twin", "better", "worse"))
    assert twin["p"] == 1.0
    assert twin["difference"] == 0
    assert twin["interval"] == [0, 0]
    assert better["p"] < 0.01
    assert better["interval"][0] > 0
    assert worse["p"] < 0.01
    assert worse["interval"][1] < 0
    assert worse["interval"][0] < worse["difference"] < worse["interval"][1]


def test_the_numbers_are_those_of_the_single_functions(comparison):
    systems = {
        "v2ht": planted(0.5),
        "twin": planted(0.5),
        "better": planted(0.2, seed=4),
        "worse": planted(3.0, seed=5),
    }
    values = {name: evaluation.per_video["longtail"]["ndcg@10"] for name, evaluation in systems.items()}
    found = {name: metrics["ndcg@10"] for name, metrics in comparison["longtail"]["systems"].items()}
    raw = [sign_flip_test(values[name] - values["v2ht"], seed=0) for name in ("twin", "better", "worse")]
    assert [found[name]["p"] for name in ("twin", "better", "worse")] == pytest.approx(holm(np.array(raw)))
    low, high = bootstrap_interval(values["worse"], seed=0)
    assert found["worse"]["half_width"] == pytest.approx((high - low) / 2)
    assert found["worse"]["interval"] == pytest.approx(
        list(bootstrap_interval(values["worse"] - values["v2ht"], seed=0))
    )
    assert found["worse"]["mean"] == pytest.approx(systems["worse"].summary["longtail"]["ndcg@10"])


def test_the_comparison_table_reads_well(comparison):
    assert json.loads(json.dumps(comparison, allow_nan=False)) == comparison
    lines = comparison_table(comparison).text().splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[0].split() == ["recall@5", "p", "ndcg@5", "p", "recall@10", "p", "ndcg@10", "p"]
    first, worse = (next(line.split() for line in lines if line.startswith(name)) for name in ("v2ht", "worse"))
    recall = comparison["overall"]["systems"]["v2ht"]["recall@5"]
    assert first[1:4] == [number(recall["mean"]), f"±{number(recall['half_width'])}", "-"]
    assert worse[3] == "<.001"


def test_one_system_alone_is_compared_with_nothing():
    alone = compare({"v2ht": planted(0.5)}, seed=0)
    assert set(alone["overall"]["systems"]["v2ht"]["recall@5"]) == {"mean", "half_width"}
    assert " - " in comparison_table(alone).text()


def test_runs_that_cannot_be_compared_are_refused():
    with pytest.raises(InputError, match="nothing to compare; give one run or more"):
        compare({}, seed=0)
    other = planted(0.5, rows=np.arange(VIDEOS) + 7)
    with pytest.raises(InputError, match=r"second was evaluated on 60 videos of overall, first on 60 others"):
        compare({"first": planted(0.5), "second": other}, seed=0)
    with pytest.raises(InputError, match=r"second was evaluated with longtail_threshold 9, first with 20"):
        compare({"first": planted(0.5), "second": planted(0.5, threshold=9)}, seed=0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.7231, ".723"),
        (1.0, "1.000"),
        (0.9996, "1.000"),
        (0.0, ".000"),
        (-0.0124, "-.012"),
        (10.5, "10.500"),
        (None, "-"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


def test_other_metrics_can_be_shown_at_every_k(report, comparison):
    wanted = ["precision", "recall", "f1"]
    keys = [f"{name}@{k}" for k in (5, 10) for name in wanted]
    assert evaluation_table(report, metrics=wanted).header == ["", *keys]
    header, row = comparison_table(comparison, metrics=wanted).header, comparison_table(comparison, metrics=wanted)
    assert header[1::2] == keys
    mean = comparison["overall"]["systems"]["v2ht"]["f1@10"]["mean"]
    assert row.sections[0][1][0][header.index("f1@10")].startswith(number(mean))


@pytest.mark.parametrize("names", [["recall", "map"], ["f1", "f1"]])
def test_metrics_that_cannot_be_shown_are_refused(names):
    with pytest.raises(InputError, match=f"metrics names '{names[1]}'; choose among recall, ndcg, precision, f1"):
        check_metrics(names)
