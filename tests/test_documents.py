"""README and docs say only what is true: their commands run, their files and options exist."""

import json
import re
import shlex
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from data.rendering import ClipSettings, write_clips
from data.synthetic import WorldSettings, make_world, write_table
from test_cli import v2ht
from v2ht.training.train import Plan, train

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        ROOT / "benchmarks" / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "experiments").rglob("*.md"),
    ]
)


def blocks(path: Path, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def test_the_readme_from_posts_to_recommendations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the block of `v2ht` commands, then the Python example, on a made-up table of that name."""
    monkeypatch.chdir(tmp_path)
    write_table(make_world(WorldSettings(num_videos=600, num_users=30), seed=0), tmp_path / "posts.csv")
    lines = [line for block in blocks(ROOT / "README.md", "") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("v2ht ") and "clips" not in line]
    assert [shlex.split(line)[1] for line in commands] == ["import", "graph", "train", "evaluate", "recommend"]
    for line in commands:
        words = shlex.split(line)[1:]
        if words[0] == "train":
            words += [part for word in ("dim=16", "word_dimension=16", "epochs=2") for part in ("--set", word)]
        v2ht(*words)
    (example,) = blocks(ROOT / "README.md", "python")
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["item"].hashtag  # type: ignore[attr-defined]


def test_the_readme_from_clips_to_recommendations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the block about clips on a rendered world, with few and small frames."""
    monkeypatch.chdir(tmp_path)
    settings = WorldSettings(num_videos=100, num_users=10, num_topics=3)
    small = ClipSettings(width=64, height=48, min_seconds=1, max_seconds=1.5)
    write_clips(settings, seed=0, folder=tmp_path / "clips", clips=small, report=lambda what, done, total: None)
    lines = [line for block in blocks(ROOT / "README.md", "") for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("v2ht ") and "clips" in line]
    assert [words[0] for words in commands] == ["import", "extract", "graph", "train", "recommend"]
    more = {"train": [part for word in ("dim=16", "word_dimension=16", "epochs=1") for part in ("--set", word)]}
    more["extract"] = ["--frames", "2", "--size", "32"]
    for words in commands:
        done = v2ht(*words, *more.get(words[0], []))
    assert len(done.stdout.splitlines()) == 10
    content = json.loads(v2ht(*words, "--json").stdout)
    assert len(content["recommendations"]) == 10
    stages = [f"{stage} {name}" for name in ("visual", "acoustic") for stage in ("decode", "extract")]
    assert {"load", "rank", *stages} <= set(content["seconds"])
    message = v2ht("recommend", "clips-run", "clips/split.parquet", code=2).stderr
    assert "split.parquet" in message
    assert message.count("\n") == 1


def test_the_service_of_the_docs_answers(world_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the example on a free port, with good and bad posts at the same time."""
    monkeypatch.chdir(tmp_path)
    settings = ["dim=8", "word_dimension=8", "epochs=1"]
    train(
        world_folder, tmp_path / "run", Plan.of("v2ht_memory", settings, seed=0), report=lambda what, done, total: None
    )
    (example,) = blocks(ROOT / "docs" / "serving.md", "python")
    assert example.endswith("server.serve_forever()\n")
    names: dict[str, Any] = {}
    exec(compile(example.replace("8000", "0").replace("server.serve_forever()", ""), "serving.md", "exec"), names)
    server = names["server"]
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def ask(body: str) -> tuple[int, Any]:
        connection = HTTPConnection(*server.server_address)
        connection.request("POST", "/", body=body)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        connection.close()
        return answer.status, content

    bodies = ['{"user": "user001", "description": "my dog"}', '{"user": 3}', "[]", "no json", "{}"] * 6
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, bodies))
    server.shutdown()
    server.server_close()
    assert [status for status, _ in answers] == [200, 400, 400, 400, 200] * 6
    assert all(answers[place] == answers[place % 5] for place in range(len(answers)))
    assert len(answers[0][1]) == 10
    assert "send an object" in answers[1][1]["error"]


def test_commands_in_the_text_parse(tmp_path: Path) -> None:
    """Each `v2ht ...` in a sentence names a verb and options that exist."""
    found = [match for path in DOCUMENTS for match in re.findall(r"`(v2ht [^`]+)`", path.read_text(encoding="utf-8"))]
    assert len(found) >= 5
    for command in found:
        verb, *words = shlex.split(command)[1:]
        help_text = v2ht(verb, "--help").stdout
        for word in words:
            if word.startswith("-"):
                assert word.split("=")[0] in help_text, command


def test_links_and_make_targets_lead_somewhere() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    checked = 0
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
            checked += 1
        for target in re.findall(r"`make (\w+)`", text):
            assert f"\n{target}:" in makefile, f"{path.name}: make {target}"
    assert checked >= 3


def test_modules_that_documents_run_exist() -> None:
    found = [name for path in DOCUMENTS for name in re.findall(r"python -m ([\w.]+)", path.read_text(encoding="utf-8"))]
    assert found
    for name in found:
        assert (ROOT / Path(*name.split("."))).with_suffix(".py").is_file(), name


def test_tables_are_what_the_recorded_results_say() -> None:
    """Run the writers of tables in their checking mode; the READMEs beside them hold tables, not empty places."""
    writers = sorted((ROOT / "experiments").glob("*/tables.py"))
    assert len(writers) >= 2
    modules = [f"experiments.{writer.parent.name}.tables" for writer in writers]
    all_in_one = "import runpy, sys; [runpy.run_module(name, run_name='__main__') for name in sys.argv[2:]]"
    command = [sys.executable, "-c", all_in_one, "--check", *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for path in (ROOT / "README.md", *(writer.parent / "README.md" for writer in writers)):
        tables = re.findall(r"<!-- \w+ -->\n(.*?)<!-- end", path.read_text(encoding="utf-8"), re.DOTALL)
        assert tables, path
        assert all(table.strip() for table in tables), path
