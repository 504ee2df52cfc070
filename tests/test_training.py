"""Training a run: it learns, resumes to the same bytes, survives kills, and refuses what does not belong together."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file

from data.dataset import Dataset
from data.files import InputError
from v2ht.bundle import Bundle
from v2ht.training.evaluate import compare_runs, evaluate_run
from v2ht.training.loop import TrainSettings, epoch_batches
from v2ht.training.train import train
from worlds import SMALL, small_plan, write_world


@pytest.fixture(scope="module")
def run(world_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four epochs; tests read it only."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(world_folder, folder, small_plan("epochs=4"))
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may damage."""
    return Path(shutil.copytree(run, tmp_path / "run"))


def test_a_run_holds_what_its_readme_says_and_nothing_pickled(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names >= {
        "run.json",
        "model.safetensors",
        "checkpoint.safetensors",
        "log.jsonl",
        "graph.parquet",
        "history.parquet",
    }
    assert not [name for name in names if name.endswith((".pt", ".pkl", ".pth", ".partial"))]
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert lines[-1]["loss"] < lines[0]["loss"]
    record = json.loads((run / "run.json").read_text())
    assert record["training"]["epochs"] == 4
    assert record["training"]["valid_ndcg@10"] == max(line["valid_ndcg@10"] for line in lines)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    world_folder: Path, run: Path, tmp_path: Path
) -> None:
    train(world_folder, tmp_path / "again", small_plan("epochs=4"))
    train(world_folder, tmp_path / "other", small_plan("epochs=1", seed=1))
    first, again, other = (
        load_file(folder / "model.safetensors") for folder in (run, tmp_path / "again", tmp_path / "other")
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


TRAIN = """
import sys
from pathlib import Path
from v2ht.training.train import train
sys.path.insert(0, "tests")
from worlds import small_plan
train(Path(sys.argv[1]), Path(sys.argv[2]), small_plan("epochs=4"), resume=True)
"""


@pytest.mark.parametrize("wait", ["run/run.json", "run/checkpoint.safetensors", ".run.*/words.parquet"])
def test_a_killed_run_resumes_to_the_same_bytes(wait: str, world_folder: Path, run: Path, tmp_path: Path) -> None:
    """SIGKILL when the named file appears, then go on: weights, log and checkpoint are those of an unbroken run."""
    target = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", TRAIN, str(world_folder), str(target)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(wait)) and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.poll() is None, "training ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len((target / "log.jsonl").read_text().splitlines()) if (target / "log.jsonl").exists() else 0
    assert done < 4
    train(world_folder, target, small_plan("epochs=4"), resume=True)
    assert (target / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    ours, theirs = (load_file(folder / "checkpoint.safetensors") for folder in (target, run))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    losses = [[json.loads(line)["loss"] for line in (f / "log.jsonl").read_text().splitlines()] for f in (target, run)]
    assert losses[0] == losses[1]


def test_resuming_with_another_number_of_threads_says_so(world_folder: Path, copy: Path) -> None:
    lines: list[str] = []

    def report(what: str, done: int, total: int) -> None:
        lines.append(what)

    train(world_folder, copy, small_plan("epochs=4"), resume=True, report=report)
    assert not [line for line in lines if "threads" in line]
    begun = torch.get_num_threads()
    torch.set_num_threads(begun + 1)
    train(world_folder, copy, small_plan("epochs=4"), resume=True, report=report)
    assert f"begun with {begun} threads, goes on with {begun + 1}: weights may differ in their last bits" in lines


def test_resuming_a_finished_run_does_nothing(world_folder: Path, copy: Path) -> None:
    before = (copy / "model.safetensors").read_bytes()
    progress = train(world_folder, copy, small_plan("epochs=4"), resume=True)
    assert progress is not None
    assert progress.epoch == 4
    assert (copy / "model.safetensors").read_bytes() == before


def test_resuming_writes_the_log_that_a_kill_kept_back(world_folder: Path, copy: Path) -> None:
    """The checkpoint of the last epoch is written before its line of the log."""
    log = (copy / "log.jsonl").read_text()
    (copy / "log.jsonl").write_text("".join(log.splitlines(keepends=True)[:-1]))
    train(world_folder, copy, small_plan("epochs=4"), resume=True)
    assert (copy / "log.jsonl").read_text() == log


def test_a_run_is_not_overwritten_and_not_resumed_with_other_settings(
    world_folder: Path, copy: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="exists already; choose another folder, or continue it with --resume"):
        train(world_folder, copy, small_plan("epochs=4"))
    with pytest.raises(InputError, match=r"was begun with learning_rate 0\.00[0-9]*, not 0\.5"):
        train(world_folder, copy, small_plan("epochs=4", "learning_rate=0.5"), resume=True)
    with pytest.raises(InputError, match="was begun with seed 0, not 3"):
        train(world_folder, copy, small_plan("epochs=4", seed=3), resume=True)
    other = tmp_path / "elsewhere"
    write_world(other, seed=5)
    with pytest.raises(InputError, match="was begun with another dataset"):
        train(other, copy, small_plan("epochs=4"), resume=True)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(InputError, match="letters exists and is not a run; choose another folder"):
        train(world_folder, tmp_path / "letters", small_plan("epochs=4"))
    assert (tmp_path / "letters" / "a.txt").read_text() == "dear"


def test_a_dataset_without_graph_or_split_says_what_to_do(world: Dataset, tmp_path: Path) -> None:
    world.save(tmp_path / "bare")
    with pytest.raises(InputError, match="has no hashtag graph yet; build it with `v2ht graph"):
        train(tmp_path / "bare", tmp_path / "run", small_plan())
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_with_advice(world_folder: Path, tmp_path: Path) -> None:
    words = ["epochs=30", "learning_rate=1e25"]
    with pytest.raises(
        InputError, match=r"the loss became \w+ in epoch \d+, step \d+; train into a new folder"
    ) as caught:
        train(world_folder, tmp_path / "run", small_plan(*words))
    (advice,) = re.findall(r"--set (learning_rate=\S+)\)", str(caught.value))
    assert advice == "learning_rate=1e+24"
    assert not list(tmp_path.glob("run/*.partial"))


def test_every_train_video_is_seen_once_an_epoch_in_a_new_order(world: Dataset, run: Path) -> None:
    from v2ht.dataset_inputs import DatasetInputs

    posts = DatasetInputs(world, Bundle.load(run).inputs)
    settings = TrainSettings(batch_size=32)
    first, second = (
        [row for rows in epoch_batches(posts, settings=settings, seed=0, epoch=n) for row in rows] for n in (1, 2)
    )
    assert sorted(first) == sorted(second) == world.rows("train").tolist()
    assert first != second
    few = TrainSettings(batch_size=32, epoch_videos=50)
    parts = [np.concatenate(list(epoch_batches(posts, settings=few, seed=0, epoch=n))) for n in (1, 2)]
    assert [len(set(part)) for part in parts] == [50, 50]
    assert set(parts[0]) != set(parts[1])
    everything = TrainSettings(batch_size=32, epoch_videos=0)
    assert sum(map(len, epoch_batches(posts, settings=everything, seed=0, epoch=1))) == len(first)


def test_a_saved_model_scores_like_the_trained_one(world: Dataset, run: Path, copy: Path) -> None:
    from v2ht.dataset_inputs import DatasetInputs

    one, two = Bundle.load(run), Bundle.load(copy)
    batch = DatasetInputs(world, one.inputs).batch(world.rows("test")[:4])
    with torch.inference_mode():
        first, second = (bundle.model.scores(batch, bundle.model.hashtag_embeddings()) for bundle in (one, two))
    assert torch.equal(first, second)


def test_weights_of_another_model_or_damaged_files_are_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    save_file({**weights, "hashtag.weight": torch.zeros(3, 3)}, copy / "model.safetensors")
    with pytest.raises(InputError, match=r"holds another model: hashtag.weight is \(3, 3\), expected \("):
        Bundle.load(copy)
    (copy / "model.safetensors").write_bytes(b"\0" * 10)
    with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
        Bundle.load(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no epoch has finished yet; continue with `v2ht train --resume`"):
        Bundle.load(copy)
    (copy / "graph.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"graph.parquet cannot be read"):
        Bundle.load(copy)
    with pytest.raises(InputError, match=r"is not a run \(it has no run.json\); make one with `v2ht train`"):
        Bundle.load(copy / "tensorboard")


def test_a_checkpoint_of_another_model_or_a_damaged_one_is_refused(
    world_folder: Path, copy: Path, tmp_path: Path
) -> None:
    train(world_folder, tmp_path / "wider", small_plan("epochs=1", "hidden=24"))
    shutil.copy(tmp_path / "wider" / "checkpoint.safetensors", copy)
    message = (
        r"checkpoint\.safetensors holds another model: \S+ is \(.*24.*\), expected \(.*16.*\); use the run that it"
    )
    with pytest.raises(InputError, match=message):
        train(world_folder, copy, small_plan("epochs=4"), resume=True)
    (copy / "checkpoint.safetensors").write_bytes(b"cut off")
    with pytest.raises(InputError, match=r"checkpoint\.safetensors is damaged \(.*\); delete it and train again"):
        train(world_folder, copy, small_plan("epochs=4"), resume=True)
    assert Bundle.load(copy).record["training"]["epochs"] == 4


def test_evaluation_holds_the_contract_and_beats_chance(run: Path) -> None:
    content = evaluate_run(run, split="test")
    assert set(content["floors"]) == {"popularity", "user_history", "text_knn"}
    for system in (content, *content["floors"].values()):
        for subset in ("overall", "longtail", "new_to_user"):
            assert {"recall@5", "ndcg@5", "recall@10", "ndcg@10", "precision@10", "f1@10", "coverage@10"} <= set(
                system[subset]
            )
            assert 0 <= system[subset]["recall@5"] <= system[subset]["recall@10"] <= 1
    assert content["longtail"]["threshold"] == 20
    assert content["cold_user"] is None or content["cold_user"]["videos"] > 0
    assert content["pair"]["hit_rate@10"] >= content["pair"]["hit_rate@5"]
    assert content["overall"]["recall@10"] > 10 / content["hashtags"]
    assert json.loads((run / "evaluation-test.json").read_text()) == json.loads(json.dumps(content))
    table = pl.read_parquet(run / "evaluation-test.parquet")
    own = table.filter((pl.col("system") == "v2ht") & (pl.col("subset") == "overall"))
    assert own["recall@10"].mean() == pytest.approx(content["overall"]["recall@10"])


def test_comparison_prints_runs_and_floors_on_the_same_videos(run: Path, copy: Path, tmp_path: Path) -> None:
    for folder in (run, copy):
        evaluate_run(folder, split="test")
    second = copy.rename(tmp_path / "second")
    content = compare_runs([run, second], split="test")
    assert list(content["overall"]["systems"]) == ["run", "second", "popularity", "user_history", "text_knn"]
    assert content["overall"]["systems"]["second"]["recall@10"]["difference"] == 0
    (second / "evaluation-test.parquet").write_bytes(b"of an evaluation that was cut off")
    with pytest.raises(InputError, match=r"is not of the same evaluation as evaluation-test\.json"):
        compare_runs([run, second], split="test")
    with pytest.raises(InputError, match="was not evaluated on the valid split; run `v2ht evaluate"):
        compare_runs([run], split="valid")


def test_a_dataset_that_changed_underneath_is_noticed(tmp_path: Path) -> None:
    dataset = write_world(tmp_path / "posts", num_videos=120)
    train(tmp_path / "posts", tmp_path / "run", small_plan("epochs=1"))
    shutil.move(tmp_path / "posts", tmp_path / "moved")
    with pytest.raises(InputError, match="which does not exist; name its new place with --dataset"):
        evaluate_run(tmp_path / "run", split="test")
    evaluate_run(tmp_path / "run", split="test", dataset_path=tmp_path / "moved")
    replace(dataset, videos=dataset.videos.reverse(), features={}).save(tmp_path / "posts")
    with pytest.raises(InputError, match=r"is not the dataset that .* was trained on"):
        evaluate_run(tmp_path / "run", split="test")
    (tmp_path / "moved" / "users.parquet").write_bytes((tmp_path / "moved" / "hashtags.parquet").read_bytes())
    with pytest.raises(InputError, match="its files have changed since it was imported"):
        evaluate_run(tmp_path / "run", split="test", dataset_path=tmp_path / "moved")


def test_a_text_only_table_trains_by_masking(tmp_path: Path) -> None:
    write_world(tmp_path / "posts", num_videos=120, features=False)
    train(tmp_path / "posts", tmp_path / "run", small_plan("epochs=1"))
    bundle = Bundle.load(tmp_path / "run")
    assert list(bundle.model.encoders) == ["text"]
    assert bundle.record["modalities"] == ["text"]


def test_two_processes_train_one_run(world_folder: Path, tmp_path: Path) -> None:
    """Several processes are a setting, not another program: each batch is shared, the first process writes."""
    sets = [part for word in [*SMALL, "epochs=2", "devices=2"] for part in ("--set", word)]
    v2ht = Path(sys.executable).with_name("v2ht")
    command = [v2ht, "train", world_folder, "--model", "v2ht", "--out", tmp_path / "run", *sets, "--json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 2
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == [1, 2]
    assert log[1]["loss"] < log[0]["loss"]
    assert Bundle.load(tmp_path / "run").record["training"]["epochs"] == 2


def test_mixed_precision_is_a_setting(world_folder: Path, tmp_path: Path) -> None:
    train(world_folder, tmp_path / "run", small_plan("epochs=2", "precision=bf16-mixed"))
    first, second = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert second["loss"] < first["loss"]
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_a_dataset_is_never_taken_for_an_unfinished_run(tmp_path: Path) -> None:
    write_world(tmp_path / "posts", num_videos=120)
    for out in ("posts", "other"):
        if out == "other":
            shutil.copytree(tmp_path / "posts", tmp_path / out)
        with pytest.raises(InputError, match="exists and is not a run; choose another folder"):
            train(tmp_path / "posts", tmp_path / out, small_plan("epochs=1"))
        Dataset.load(tmp_path / out)


def test_a_graph_of_another_dataset_is_refused(tmp_path: Path) -> None:
    write_world(tmp_path / "posts", num_videos=120)
    write_world(tmp_path / "other", num_videos=120, seed=1)
    shutil.copy(tmp_path / "other" / "graph.parquet", tmp_path / "posts" / "graph.parquet")
    with pytest.raises(
        InputError, match=r"graph\.parquet was built from another dataset; build it again with `v2ht graph"
    ):
        train(tmp_path / "posts", tmp_path / "run", small_plan("epochs=1"))


def test_runs_of_one_name_are_kept_apart_in_a_comparison(run: Path, copy: Path, tmp_path: Path) -> None:
    for folder in (run, copy):
        evaluate_run(folder, split="test")
    assert list(compare_runs([run, copy], split="test")["overall"]["systems"])[:2] == [str(run), str(copy)]
    floor = copy.rename(tmp_path / "popularity")
    systems = compare_runs([run, floor], split="test")["overall"]["systems"]
    assert list(systems)[:3] == [str(run), str(floor), "popularity"]
    with pytest.raises(InputError, match="cannot be told apart in a table"):
        compare_runs([run, run], split="test")


def test_an_accelerator_that_is_not_there_is_named(world_folder: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has the accelerator that the test wants absent")
    with pytest.raises(InputError, match="accelerator=cuda, devices=1, nodes=1 cannot be had here"):
        train(world_folder, tmp_path / "run", small_plan("accelerator=cuda"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(verb: str, world_folder: Path, copy: Path) -> None:
    """A limit on the size of files stands for a full disk."""
    sets = " ".join(f"--set {word}" for word in [*SMALL, "epochs=1"])
    v2ht = Path(sys.executable).with_name("v2ht")
    words = {
        "train": f"train {world_folder} --model v2ht --out {copy.parent / 'new'} {sets}",
        "evaluate": f"evaluate {copy}",
    }[verb]
    script = f"ulimit -f 8; exec {v2ht} {words}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert re.search(
        r"^v2ht: \S+ cannot be written \(.*\); free some space or choose another folder$", done.stderr, re.M
    )
    assert "Traceback" not in done.stderr
    assert not list(copy.parent.rglob("*.partial"))
