"""Benchmarks of a run do what benchmarks/README.md says: they run, and compare ways that give the same."""

import subprocess
import sys
from pathlib import Path

import pytest

from v2ht.training.train import Plan, train

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("name", "model", "words", "says"),
    [
        ("recommend", "v2ht_memory", ["--posts", "20"], ["one by one", "the same ten hashtags for 100.0% of posts"]),
        ("evidence", "v2ht_memory", ["--posts", "5"], ["by the loop", "the same bits: True"]),
        ("training", "v2ht_memory", ["--rounds", "1"], ["ridge", "decay", "Adam", "same"]),
        ("ranking", "v2ht", [], ["the same hashtag at "]),
    ],
)
def test_benchmarks_of_a_run(
    name: str, model: str, words: list[str], says: list[str], world_folder: Path, tmp_path: Path
) -> None:
    settings = ["dim=8", "word_dimension=8", "epochs=1"]
    train(world_folder, tmp_path / "run", Plan.of(model, settings, seed=0), report=lambda what, done, total: None)
    command = [sys.executable, "-m", f"benchmarks.{name}", str(tmp_path / "run"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for text in (*says, "peak"):
        assert text in done.stdout
    assert "DIFFER" not in done.stdout
    assert "False" not in done.stdout
