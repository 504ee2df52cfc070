"""The extraction job: whatever files do and whenever it is killed, the store ends the same, each failure is told."""

import ctypes
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data.dataset import Dataset
from data.features import pool as pool_module
from data.features.clip import Sampling, sample_frames
from data.features.extract import ExtractionReport, FailedVideo, extract
from data.features.pool import Failure, Workers
from data.files import InputError
from fake_clips import FakeExtractor, fake_steps, make_clips


def run(
    dataset: Path, *, scale: float = 1.0, workers: int = 1, timeout: float = 20, **options: Any
) -> ExtractionReport:
    """Extract with the fake extractor, which notes what it reads in the file log beside the dataset."""
    return extract(dataset, fake(dataset, scale=scale), workers=workers, timeout=timeout, **options)


def fake(dataset: Path, *, scale: float = 1.0) -> FakeExtractor:
    return FakeExtractor(dataset.parent / "log", scale=scale)


def read_files(dataset: Path) -> list[str]:
    """Return the names of the files that were decoded, in order."""
    log = dataset.parent / "log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def check_features(dataset: Path, texts: list[str | None], *, scale: float = 1.0) -> None:
    """Compare the features of every video with what its text says, one by one."""
    rows = Dataset.load(dataset).features["visual"]
    for row, text in enumerate(texts):
        good = text is not None and text.split()[0] in ("ok", "slow")
        expected = fake_steps(text) * scale if good and text else np.zeros((0, 2, 3))
        np.testing.assert_array_equal(rows[row], expected.astype(np.float16), err_msg=str(text))


def files_of(dataset: Path) -> dict[str, bytes]:
    """Return all files of a dataset by name."""
    return {str(p.relative_to(dataset)): p.read_bytes() for p in sorted(dataset.rglob("*")) if p.is_file()}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let the pool work in this process, for tests of something else; return the list of what it was given."""
    given: list[Any] = []

    def run_here(self: Workers, function: Any, arguments: Any) -> Any:
        for argument in arguments:
            given.append(argument)
            yield argument, pool_module._guarded(function, argument)

    monkeypatch.setattr(Workers, "run", run_here)
    return given


# --- one extraction ---


def test_every_video_gets_its_own_steps_and_copies_are_read_once(tmp_path: Path) -> None:
    texts = ["ok 3 a", "ok 2 b", None, "ok 3 a", "ok 0 silent", *(f"ok {n % 4} {n}" for n in range(40))]
    dataset = make_clips(tmp_path, texts)
    lines: list[tuple[str, int, int]] = []
    extractor = fake(dataset)
    found = extract(dataset, extractor, workers=2, timeout=20, report=lambda *line: lines.append(line))
    check_features(dataset, texts)
    assert (found.videos, found.distinct, found.extracted_now, found.failures) == (44, 43, 43, ())
    assert Counter(read_files(dataset)) == Counter(f"v{n:02}.mp4" for n in range(45) if n not in (2, 3))
    assert set(extractor.encoded) == {1}
    assert [line[1:] for line in lines if line[0].startswith("visual: ")] == [(n, 43) for n in range(1, 44)]
    assert "videos/s, 0.0 hours of video per hour" in lines[-1][0]
    assert [line for line in (dataset.parent / "log").read_text().splitlines() if line.endswith("1")] == []  # no torch
    assert sorted(path.name for path in (dataset / "store").iterdir()) == ["contents.parquet", "lock"]


def test_asking_again_does_nothing(tmp_path: Path, here: list[Any]) -> None:
    dataset = make_clips(tmp_path, ["ok 3 a", "damaged 1 b", None])
    first = run(dataset)
    before, read = files_of(dataset), read_files(dataset)
    again = run(dataset)
    assert files_of(dataset) == before
    assert read_files(dataset) == read
    assert (again.extracted_now, again.hours, again.failures) == (0, 0.0, first.failures)
    assert "nothing had to be extracted" in again.text()


def test_asking_again_is_quick_for_thousands_of_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: list[Any]
) -> None:
    """Nothing but sizes and times of change is looked at: no file is read."""
    texts: list[str | None] = [f"ok 1 {n % 5}" for n in range(1000)]
    dataset = make_clips(tmp_path, texts)
    assert run(dataset).extracted_now == 5
    monkeypatch.setattr(Dataset, "load", None)
    here.clear()
    started = time.process_time()
    assert run(dataset).extracted_now == 0
    assert time.process_time() - started < 1
    assert here == []


BAD = {
    "damaged": "damaged",
    "bug": "error",
    "hang": "timeout",
    "exit": "crashed",
    "segfault": "crashed",
    "memory": "memory",
    "vanish": "missing",
    "change": "changed",
    "change_and_fail": "changed",
    "infinite": "not finite",
}


def test_bad_files_are_one_line_each_and_the_others_are_done(tmp_path: Path) -> None:
    texts = [text for n, word in enumerate(BAD) for text in (f"ok {n % 3} {n}", f"{word} 1 x")]
    dataset = make_clips(tmp_path, list(texts))
    found = run(dataset, workers=2, timeout=2.5)
    assert {failure.video_id: failure.cause for failure in found.failures} == {
        f"v{2 * n + 1:02}": cause for n, cause in enumerate(BAD.values())
    }
    check_features(dataset, list(texts))
    messages = {failure.path: failure.message for failure in found.failures}
    assert all("\n" not in message for message in messages.values())
    assert messages["v01.mp4"].endswith("v01.mp4 cannot be decoded; get the file again")
    assert messages["v03.mp4"] == "KeyError: 'nobody expected this'"
    assert messages["v05.mp4"] == "it took longer than 2.5 s"
    assert messages["v07.mp4"] == "the process that read it died (exit status 7)"
    assert messages["v09.mp4"] == "the process that read it died (SIGSEGV)"
    again = run(dataset)  # only what says nothing about bytes is read again, and only if it is there
    assert again.extracted_now == 2
    assert [failure.cause for failure in again.failures] == [c for c in BAD.values() if c != "changed"]


def test_the_report_in_words_and_numbers() -> None:
    failures = [FailedVideo(video_id=f"v{n}", path=f"{n}.mp4", cause="damaged", message=f"m{n}") for n in range(5)]
    failures.append(FailedVideo(video_id="w", path="w.mp4", cause="timeout", message="long"))
    report = ExtractionReport(
        modality="visual",
        videos=1010,
        distinct=1009,
        extracted_now=500,
        failures=tuple(failures),
        seconds=250,
        hours=0.5,
        notes=("a note",),
    )
    assert report.text().splitlines() == [
        "visual: 1,004 of 1,010 videos are done, 1,009 different files",
        "extracted 500 now in 250 s (2.0 videos/s, 7.2 hours of video per hour)",
        "failed, damaged: 5",
        "  v0 (0.mp4): m0",
        "  v1 (1.mp4): m1",
        "  v2 (2.mp4): m2",
        "  and 2 more; --json lists all",
        "failed, timeout: 1",
        "  w (w.mp4): long",
        "a note",
    ]
    content = report.as_json()
    assert content["failures_by_cause"] == {"damaged": 5, "timeout": 1}
    assert len(content["failures"]) == 6
    assert content["failures"][5] == {"video_id": "w", "path": "w.mp4", "cause": "timeout", "message": "long"}


# --- asking for something else ---


def test_a_changed_file_is_extracted_again_and_only_that(tmp_path: Path, here: list[Any]) -> None:
    texts: list[str | None] = ["ok 3 a", "ok 2 b", "ok 1 c"]
    dataset = make_clips(tmp_path, texts)
    run(dataset)
    before = {path.name for path in (dataset / "features").iterdir()}
    texts[1] = "ok 4 longer"
    (tmp_path / "media" / "v01.mp4").write_text("ok 4 longer")
    assert run(dataset).extracted_now == 1
    assert read_files(dataset)[3:] == ["v01.mp4"]
    assert before.isdisjoint(path.name for path in (dataset / "features").iterdir())  # no file in use is overwritten
    check_features(dataset, texts)


def test_a_file_that_goes_away_afterwards_keeps_its_features(tmp_path: Path, here: list[Any]) -> None:
    texts: list[str | None] = ["ok 3 a", "ok 2 b", "ok 1 c"]
    dataset = make_clips(tmp_path, texts)
    run(dataset)
    (tmp_path / "media").rename(tmp_path / "moved")
    (tmp_path / "moved" / "v00.mp4").unlink()
    found = run(dataset, media_folder=tmp_path / "moved")
    assert (found.extracted_now, found.failures) == (0, ())
    check_features(dataset, texts)


def test_a_file_that_is_away_for_a_while_is_extracted_when_it_is_back(tmp_path: Path, here: list[Any]) -> None:
    texts: list[str | None] = ["ok 3 a", "ok 2 b"]
    dataset = make_clips(tmp_path, texts)
    file = tmp_path / "media" / "v00.mp4"

    def take_away(what: str, done: int, total: int) -> None:
        if what == "reading files":
            file.unlink(missing_ok=True)

    for _ in range(2):
        found = run(dataset, report=take_away)
        assert [(failure.video_id, failure.cause) for failure in found.failures] == [("v00", "missing")]
    file.write_text("ok 3 a")
    assert run(dataset).failures == ()
    check_features(dataset, texts)


def test_other_settings_replace_the_features_and_say_so(tmp_path: Path, here: list[Any]) -> None:
    texts: list[str | None] = ["ok 3 a", "ok 2 b"]
    dataset = make_clips(tmp_path, texts)
    run(dataset)
    found = run(dataset, scale=2.0)
    assert found.notes == ("the visual features that were there had other settings (fake): replaced",)
    assert found.extracted_now == 2
    check_features(dataset, texts, scale=2.0)
    assert len(list((dataset / "features").iterdir())) == 4
    assert run(dataset, scale=2.0).notes == ()


def test_failed_files_are_tried_again_on_request(tmp_path: Path, here: list[Any]) -> None:
    dataset = make_clips(tmp_path, ["ok 1 a", "damaged 1 b", "damaged 1 c"])
    run(dataset)
    assert run(dataset, retry_failed=True).extracted_now == 2
    assert Counter(read_files(dataset)) == {"v00.mp4": 1, "v01.mp4": 2, "v02.mp4": 2}
    assert len(run(dataset).failures) == 2


def test_a_dataset_does_not_get_features_that_no_video_has(tmp_path: Path, here: list[Any]) -> None:
    dataset = make_clips(tmp_path, ["damaged 1 a", "ok 0 b"])
    before = (dataset / "manifest.json").read_bytes()
    for _ in range(2):
        found = run(dataset)
        assert found.notes == ("no video has visual features, so the dataset stays as it is",)
        assert [failure.cause for failure in found.failures] == ["damaged"]
    assert len(read_files(dataset)) == 2
    assert (dataset / "manifest.json").read_bytes() == before


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    dataset = make_clips(tmp_path, ["ok 1 a"])
    with pytest.raises(InputError, match="is not a dataset"):
        run(tmp_path)
    assert not (tmp_path / "store").exists()
    with pytest.raises(InputError, match="workers is 0; it must be at least 1"):
        run(dataset, workers=0)
    with pytest.raises(InputError, match="timeout is 0 seconds; it must be more than 0"):
        run(dataset, timeout=0)
    pl.DataFrame({"user": ["eve"]}).write_parquet(dataset / "users.parquet")
    with pytest.raises(InputError, match="its files have changed since it was imported"):
        run(dataset)
    assert read_files(dataset) == []


@pytest.mark.parametrize("wrong", [np.float32(1), np.float16(1)])
def test_an_extractor_that_breaks_its_word_stops_the_job_and_the_work_stays(
    tmp_path: Path, here: list[Any], wrong: Any
) -> None:
    dataset = make_clips(tmp_path, ["ok 1 a", "ok 1 b", "ok 1 c"])
    extractor = fake(dataset)
    encode = extractor.encode

    def third_is_wrong(prepared: Any) -> list[np.ndarray]:
        shape = (1, 2, 3) if wrong.dtype == np.float32 else (1, 3, 2)
        return [np.full(shape, wrong)] if len(extractor.encoded) == 2 else encode(prepared)

    extractor.encode = third_is_wrong  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"fake gave float\d\d \(1, \d, \d\), expected float16 \(steps, \*\(2, 3\)\)"):
        extract(dataset, extractor, workers=1, timeout=20)
    assert run(dataset).extracted_now == 1
    check_features(dataset, ["ok 1 a", "ok 1 b", "ok 1 c"])


# --- kills, full disks, memory ---


def child(dataset: Path, code: str = "", preexec_fn: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
    """Start an extraction in a process of its own group."""
    here = Path(__file__).parent
    call = f"fake_clips.extract_in_this_process({str(dataset)!r}, {str(dataset.parent / 'log')!r})"
    command = f"{code}\nimport fake_clips\n{call}"
    return subprocess.Popen(
        [sys.executable, "-c", command],
        env={**os.environ, "PYTHONPATH": f"{here.parent}:{here}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=preexec_fn,
    )


def finish(process: subprocess.Popen[bytes]) -> str:
    output, _ = process.communicate(timeout=60)
    return output.decode()


def wait_for_reads(dataset: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until `count` files were read, or the process has ended."""
    while len(read_files(dataset)) < count and process.poll() is None:
        time.sleep(0.005)


def test_kills_at_random_moments_lose_nothing_and_end_in_the_same_bytes(tmp_path: Path) -> None:
    texts: list[str | None] = [f"slow {n % 3} {n}" for n in range(36)]
    texts[5], texts[6], texts[7] = "damaged 1 x", texts[4], None
    whole = make_clips(tmp_path / "whole", texts)
    killed = tmp_path / "killed" / "posts"
    shutil.copytree(whole, killed)
    assert "visual: 34 of 35 videos are done" in finish(child(whole))
    rng = random.Random(4)
    for kill in range(6):
        process = child(killed)
        wait_for_reads(killed, len(read_files(killed)) + rng.randint(0, 4), process)
        time.sleep(rng.random() * (0.5 if kill % 3 == 0 else 0.05))
        process.kill()
        finish(process)
        assert Dataset.load(killed).videos.height == 36
    assert process.returncode == -signal.SIGKILL  # even the last one was not at its end
    assert len(read_files(killed)) > 8
    finish(child(killed))
    assert len(read_files(killed)) <= 34 + 6 * (4 + 2)  # a kill costs at most a shard of 4 and what is under way
    assert files_of(killed) == files_of(whole)
    check_features(killed, texts)


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    dataset = make_clips(tmp_path, ["hang 1 a", "hang 1 b"])
    process = child(dataset)
    wait_for_reads(dataset, 1, process)
    worker = int((tmp_path / "log").read_text().split()[1])
    assert Path(f"/proc/{worker}").exists()
    process.kill()
    finish(process)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and "Z" not in Path(f"/proc/{worker}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_full_disk_is_one_line_and_the_work_stays(tmp_path: Path) -> None:
    texts: list[str | None] = [f"ok {20 if n < 8 else 2000} {n}" for n in range(12)]
    dataset = make_clips(tmp_path, texts)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    output = finish(child(dataset, limit))
    last = output.strip().splitlines()[-1]
    assert last.startswith("data.files.InputError: ")
    assert "shard-00002.npy cannot be written" in last
    assert "free some space" in last
    assert Dataset.load(dataset).features == {}
    finish(child(dataset))
    check_features(dataset, texts)
    assert Counter(Counter(read_files(dataset)).values()) == {1: 8, 2: 4}


def obey_permissions() -> None:
    """Let root, too, be stopped by permissions in the process that starts now (Linux; others need no help)."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def test_a_folder_that_becomes_read_only_is_one_line_and_the_work_stays(tmp_path: Path) -> None:
    texts: list[str | None] = [f"slow 2 {n}" for n in range(30)]
    dataset = make_clips(tmp_path, texts)
    process = child(dataset, preexec_fn=obey_permissions)
    wait_for_reads(dataset, 10, process)
    folders = [dataset, dataset / "store", *(path for path in (dataset / "store").iterdir() if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    last = finish(process).strip().splitlines()[-1]
    for folder in folders:
        folder.chmod(0o755)
    assert process.returncode == 1
    assert last.startswith("data.files.InputError: ")
    assert "cannot be written" in last
    assert Dataset.load(dataset).features == {}
    finish(child(dataset))
    check_features(dataset, texts)
    assert sum(Counter(read_files(dataset)).values()) <= 30 + 4 + 2  # a shard and what was under way are lost


def test_media_that_become_unreadable_are_one_line_each(tmp_path: Path) -> None:
    texts: list[str | None] = [f"slow 2 {n}" for n in range(20)]
    dataset = make_clips(tmp_path, texts)
    process = child(dataset, preexec_fn=obey_permissions)
    wait_for_reads(dataset, 5, process)
    (tmp_path / "media").chmod(0o000)
    output = finish(process)
    (tmp_path / "media").chmod(0o755)
    assert process.returncode == 0
    assert re.search(r"failed, missing: 1\d\n", output)
    assert "of 20 videos are done" in output
    finish(child(dataset))
    check_features(dataset, texts)


def test_memory_does_not_grow_with_the_number_of_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoded clip is 1.2 MB here: few are held at a time, and shards are written as they fill."""
    monkeypatch.setattr("data.features.shards.SHARD_CONTENTS", 4)
    peaks = []
    for count in (12, 60):
        dataset = make_clips(tmp_path / str(count), [f"ok 50000 {n}" for n in range(count)])
        tracemalloc.start()
        run(dataset)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 20e6


# --- the pool ---


def double(number: int) -> int:
    return 2 * number


def touch(path: Path) -> Path:
    path.touch()
    return path


def test_results_do_not_pile_up_while_nobody_takes_them(tmp_path: Path) -> None:
    with Workers(processes=1, timeout=20) as workers:
        found = workers.run(touch, [tmp_path / str(n) for n in range(20)])
        next(found)
        time.sleep(0.5)
        assert len(list(tmp_path.iterdir())) == 2
        assert len(list(found)) == 19


def die_at_once(number: int) -> int:
    if number == 3:
        os._exit(1)
    return number


def test_a_worker_that_dies_before_it_is_missed_does_not_stop_the_others() -> None:
    """A process may die before the pool has noted what it reads: then what was under way is repeated alone."""
    with Workers(processes=1, timeout=20) as workers:
        found = dict(workers.run(die_at_once, list(range(6))))
    assert {number: result for number, result in found.items() if number != 3} == {n: n for n in (0, 1, 2, 4, 5)}
    assert isinstance(found[3], Failure)
    assert found[3].cause == "crashed"


def test_a_broken_pool_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with Workers(processes=1, timeout=20) as workers:
        assert dict(workers.run(double, [1])) == {1: 2}
        assert workers._pool is not None
        for worker in list(workers._pool._pool_manager.worker_manager.workers.values()):
            worker.kill()  # while it has nothing to do
            worker.join()
        time.sleep(0.3)
        assert dict(workers.run(double, list(range(5)))) == {n: 2 * n for n in range(5)}


def test_processes_that_cannot_start_stop_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_start_worker", os._exit)
    monkeypatch.setattr(pool_module, "MAX_BREAKS", 1)
    with (
        Workers(processes=1, timeout=20) as workers,
        pytest.raises(InputError, match="worker processes die before they have read a file"),
    ):
        list(workers.run(double, [1, 2]))


def test_a_lost_task_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence beyond the time limit: the pool is replaced, the task repeated."""
    monkeypatch.setattr(pool_module, "GRACE", 2.0)
    with Workers(processes=1, timeout=0.1) as workers:
        submit = workers._submit
        lost: list[Any] = []

        def lose_the_first(function: Any, argument: Any) -> Any:
            future = submit(function, argument)
            if not lost:
                lost.append(future)
                future._done_callbacks.clear()
            return future

        monkeypatch.setattr(workers, "_submit", lose_the_first)
        monkeypatch.setattr(workers, "timeout", 1.0)
        assert dict(workers.run(double, [1])) == {1: 2}
    assert len(lost) == 1


# --- real clips ---


class MeanColour(FakeExtractor):
    """The mean colour of each frame: a visual extractor without a network."""

    def preparation(self) -> Any:
        return frames_of


def frames_of(path: Path) -> np.ndarray:
    return sample_frames(path, Sampling(frames=4), size=16).images.astype(np.float32)


def test_real_clips(tmp_path: Path, real_data: Path) -> None:
    names = ["video/flower.mp4", "video/stream_of_water.webm", "video/friday.mp4"]
    audio = sorted((real_data / "clips" / "audio").iterdir())[0]
    dataset = make_clips(tmp_path, [None] * 5)
    paths = [*names, f"audio/{audio.name}", names[0]]
    media = pl.DataFrame({"video_id": [f"v{n:02}" for n in range(5)], "path": paths})
    media.write_parquet(dataset / "media.parquet")
    extractor = MeanColour(tmp_path / "log", step_shape=(16, 16, 3))
    found = extract(dataset, extractor, workers=1, timeout=60, media_folder=real_data / "clips")
    assert Dataset.load(dataset).features["visual"].lengths.tolist() == [4, 4, 4, 0, 4]
    assert [(failure.video_id, failure.cause) for failure in found.failures] == [("v03", "no video")]
    assert found.hours == pytest.approx((5.1 + 3.1 + 6.2) / 3600, rel=0.02)
