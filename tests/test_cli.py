"""The command line as a user meets it: help with examples, JSON, one line and exit code 2 on bad input."""

import io
import json
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import numpy as np
import pytest
from safetensors.numpy import load_file

from clips import write_clip
from data.dataset import Dataset
from data.files import InputError
from data.synthetic import WorldSettings, make_world, write_table
from v2ht.cli import main
from v2ht.cli.recommending import _features
from worlds import SMALL

VERBS = ("import", "extract", "graph", "train", "evaluate", "compare", "recommend", "demo")


class Done(NamedTuple):
    stdout: str
    stderr: str


def v2ht(*words: object, code: int = 0) -> Done:
    """Run the command line in this process, which has the libraries loaded already."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    assert (caught.value.code or 0) == code, err.getvalue() + out.getvalue()
    return Done(out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw table taken through import, graph, train and evaluate by the command line alone."""
    folder = tmp_path_factory.mktemp("chain")
    write_table(make_world(WorldSettings(num_videos=300, num_users=30), seed=0), folder / "posts.csv")
    columns = "id=id,user=user,text=text,hashtags=hashtags,time=time"
    v2ht("import", folder / "posts.csv", "--out", folder / "posts", "--columns", columns, "--min-hashtag-videos", 3)
    v2ht("graph", folder / "posts")
    sets = [word for pair in SMALL for word in ("--set", pair)]
    v2ht("train", folder / "posts", "--model", "v2ht", "--out", folder / "run", *sets, "--set", "epochs=3")
    v2ht("evaluate", folder / "run")
    return folder


def test_the_installed_command_answers_in_a_process_of_its_own() -> None:
    command = Path(sys.executable).with_name("v2ht")
    done = subprocess.run([command, "evaluate", "nowhere"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "v2ht: nowhere is not a run (it has no run.json); make one with `v2ht train`\n"


def test_help_lists_the_verbs_in_the_order_of_work_and_each_has_an_example() -> None:
    text = v2ht("--help").stdout
    listed = [found for line in text.splitlines() for found in re.findall(r"^\W*(\w+)  ", line)]
    assert [verb for verb in listed if verb in VERBS] == list(VERBS)
    for verb in VERBS:
        assert "Example: v2ht " + verb in " ".join(v2ht(verb, "--help").stdout.split()), verb


def test_import_says_what_it_kept(chain: Path, tmp_path: Path) -> None:
    words = ["import", chain / "posts.csv", "--out", tmp_path / "p", "--columns", "id=id,user=user,time=time"]
    manifest = json.loads(v2ht(*words, "--json").stdout)
    assert manifest["counts"]["videos"] == Dataset.load(tmp_path / "p").videos.height
    again = v2ht(*words, code=2)
    assert "exists already; choose another folder or pass --overwrite" in again.stderr


def test_graph_describes_itself_and_one_hashtag(chain: Path) -> None:
    text = v2ht("graph", chain / "posts", "--stats").stdout
    assert all(word in text for word in ("composition", "hypernym", "wup", "cooccurrence", "isolated", "degree"))
    content = json.loads(v2ht("graph", chain / "posts", "--stats", "--neighbours", "dog", "--json").stdout)
    assert content["edges"] == sum(content["relations"].values())
    assert {"hashtag", "relation", "weight", "why"} == set(content["neighbours"][0])
    assert v2ht("graph", chain / "posts", "--neighbours", "#DOG").stdout.startswith("neighbours of #DOG")
    before = (chain / "posts" / "graph.parquet").read_bytes()
    for words, message in (
        (["--neighbours", "nosuchtag"], "is not in the dataset"),
        (["--export", "dot"], "export 'dot' is unknown; choose one of graphml, networkx, pyg"),
        (["--stats", "--wup-threshold", "0.6"], "the graph was built with wup_threshold 0.9, not 0.6"),
    ):
        assert message in v2ht("graph", chain / "posts", *words, code=2).stderr
        assert (chain / "posts" / "graph.parquet").read_bytes() == before


def test_graph_exports_read_back(chain: Path) -> None:
    edges = json.loads(v2ht("graph", chain / "posts", "--stats", "--json").stdout)["edges"]
    paths = {
        kind: json.loads(v2ht("graph", chain / "posts", "--stats", "--export", kind, "--json").stdout)["export"]
        for kind in ("graphml", "networkx", "pyg")
    }
    assert nx.read_graphml(paths["graphml"]).number_of_edges() == edges
    content = json.loads(Path(paths["networkx"]).read_text())
    assert nx.node_link_graph(content, edges="edges").number_of_edges() == edges
    assert load_file(paths["pyg"])["edge_index"].shape == (2, 2 * edges)
    assert "choose one of" in v2ht("graph", chain / "posts", "--export", "dot", code=2).stderr


def test_evaluate_and_compare_print_tables_and_json(chain: Path) -> None:
    text = v2ht("evaluate", chain / "run").stdout
    assert all(
        word in text for word in ("v2ht", "popularity", "user_history", "text_knn", "long tail", "pair protocol")
    )
    content = json.loads(v2ht("evaluate", chain / "run", "--k", "5,10", "--json").stdout)
    assert content["model"] == "v2ht"
    assert content["split"] == "test"
    compared = v2ht("compare", chain / "run").stdout
    assert "user_history" in compared
    assert json.loads(v2ht("compare", chain / "run", "--json").stdout)["reference"] == "v2ht"
    assert v2ht("evaluate", chain / "run", "--markdown").stdout.startswith("| ")


def test_recommend_for_anyone(chain: Path, tmp_path: Path) -> None:
    text = "my dog in the park"
    content = json.loads(v2ht("recommend", chain / "run", "--user", "user001", "--text", text, "--json").stdout)
    assert set(content) == {"recommendations", "counts", "seconds"}
    assert set(content["seconds"]) == {"load", "rank"}
    known = content["recommendations"]
    assert len(known) == 10
    assert set(known[0]) == {"hashtag", "score", "known", "reasons"}
    assert known[0]["known"] is True
    assert [row["score"] for row in known] == sorted((row["score"] for row in known), reverse=True)
    assert {"source", "effect", "detail"} == set(known[0]["reasons"][0])
    assert len(v2ht("recommend", chain / "run", "-k", 3).stdout.splitlines()) == 3
    explained = v2ht("recommend", chain / "run", "--user", "user001", "--text", text, "-k", 2, "--explain").stdout
    assert "user:" in explained
    assert "graph:" in explained
    np.savez(tmp_path / "clip.npz", visual=np.zeros((3, 32), np.float32))
    message = v2ht("recommend", chain / "run", "--features", tmp_path / "clip.npz", code=2).stderr
    assert "features 'visual': this run was trained without them" in message


def test_new_for_you_leaves_out_what_the_user_has(chain: Path) -> None:
    dataset = Dataset.load(chain / "posts")
    row = dataset.rows("train")[0]
    user_id = dataset.videos["user_id"][int(row)]
    tags = dataset.videos.filter((dataset.videos["user_id"] == user_id) & (dataset.videos["split"] == "train"))[
        "hashtag_ids"
    ]
    own = {dataset.hashtags["hashtag"][tag] for tag in tags.explode().to_list()}
    words = ["recommend", chain / "run", "--user", dataset.users["user"][user_id], "-k", 20, "--new", "--json"]
    found = {row["hashtag"] for row in json.loads(v2ht(*words).stdout)["recommendations"]}
    assert len(found) == 20
    assert not found & own


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "{chain}/nowhere", "--out", "{tmp}/run"], "is not a dataset (it has no manifest.json)"),
        (
            ["train", "{chain}/posts", "--out", "{tmp}/run", "--model", "magic"],
            "model 'magic' is unknown; choose one of v2ht",
        ),
        (["train", "{chain}/posts", "--out", "{tmp}/run", "--set", "speed=9"], "is not KEY=VALUE with a known key"),
        (["evaluate", "{chain}/posts"], "is not a run (it has no run.json)"),
        (["evaluate", "{chain}/run", "--k", "five"], "--k 'five' is not a list of whole numbers"),
        (
            ["evaluate", "{chain}/run", "--split", "future"],
            "split 'future' is unknown; choose one of train, valid, test",
        ),
        (["evaluate", "{chain}/run", "--split", "train"], "is what the model and the floors learned"),
        (["compare", "{chain}/run", "--split", "valid"], "was not evaluated on the valid split"),
        (["recommend", "{chain}/run", "-k", "0"], "k is 0; ask for a whole number of hashtags, at least 1"),
        (["recommend", "{chain}/run", "--features", "{chain}/posts.csv"], "is not a readable .npz file"),
        (["demo", "--out", "{chain}"], "is not an earlier demonstration's folder"),
        (["import", "{chain}/posts.csv"], "Missing option '--out'; see `v2ht import --help`"),
        (["import", "a.csv", "--out", "{tmp}/p", "--seed", "x"], "Invalid value for '--seed': "),
        (["train", "{chain}/posts", "--output", "{tmp}/run"], "No such option: --output"),
        (["jump"], "No such command 'jump'; see `v2ht --help`"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words: list[str], message: str, chain: Path, tmp_path: Path) -> None:
    done = v2ht(*(word.format(chain=chain, tmp=tmp_path) for word in words), code=2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_run_works_after_the_dataset_is_gone(chain: Path, tmp_path: Path) -> None:
    shutil.copytree(chain / "run", tmp_path / "elsewhere")
    run = tmp_path / "elsewhere"
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "dataset": "/nowhere"}))
    assert len(v2ht("recommend", run, "--text", "dog").stdout.splitlines()) == 10


# From clips


def test_extract_goes_on_past_bad_files_and_its_exit_code_tells(tmp_path: Path) -> None:
    for number in range(3):
        write_clip(tmp_path / f"{number}.mp4", frames=6, rate=6 + number)
    (tmp_path / "text.mp4").write_text("not a clip")
    (tmp_path / "zero.mp4").write_bytes(b"")
    names = ["0.mp4", "1.mp4", "2.mp4", "text.mp4", "zero.mp4"]
    rows = [f"{name},ana,words,clip,2026-01-0{day}T00:00:00Z,{name}" for day, name in enumerate(names, 1)]
    (tmp_path / "table.csv").write_text("\n".join(["item_id,user_id,text,hashtags,created_at,path", *rows]))
    limits = ["--min-hashtag-videos", 1, "--min-user-videos", 1]
    v2ht("import", tmp_path / "table.csv", "--format", "clips", "--out", tmp_path / "clips", *limits)
    words = ["extract", tmp_path / "clips", "--sound", "none", "--frames", 2, "--size", 32, "--workers", 1]
    first = v2ht(*words, "--weights", "random", code=1).stdout
    assert "visual: 3 of 5 videos are done" in first
    lines = [line for line in first.splitlines() if line.startswith("  ")]
    assert [line.split()[0] for line in sorted(lines)] == ["text.mp4", "zero.mp4"]
    again = json.loads(v2ht(*words, "--weights", "random", "--json", code=1).stdout)["resnet50"]
    assert (again["extracted_now"], again["failures_by_cause"]) == (0, {"empty": 1, "unreadable": 1})
    assert Dataset.load(tmp_path / "clips").features["visual"].lengths.tolist() == [2, 2, 2, 0, 0]
    message = v2ht(*words, "--weights", tmp_path / "none.pt", code=2).stderr
    assert "none.pt" in message
    assert message.count("\n") == 1


def test_files_of_features_that_cannot_be_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", visual=np.arange(600, dtype=np.float32).reshape(30, 20))
    whole = (tmp_path / "whole.npz").read_bytes()
    np.save(tmp_path / "single.npy", np.zeros((3, 4)))
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (b"", whole[:-30], bytes(flipped), (tmp_path / "single.npy").read_bytes()):
        (tmp_path / "clip.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"clip\.npz is not a readable \.npz file"):
            _features(tmp_path / "clip.npz")
