"""Files and folders are whole or absent, whatever ends the process."""

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data.files import HOST, InputError, file_fingerprint, new_file, new_folder, read_json, write_json

HANG = """
import sys, time
from pathlib import Path
from data.files import new_file, new_folder
with {what}(Path(sys.argv[1])) as temporary:
    (temporary / "part" if temporary.is_dir() else temporary).write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("what", ["new_file", "new_folder"])
def test_a_kill_leaves_nothing_under_the_name_and_the_next_write_clears_the_remnant(what: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    process = subprocess.Popen([sys.executable, "-c", HANG.format(what=what), str(target)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    with new_file(target) as temporary:
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_the_remnant_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    with new_file(tmp_path / "target") as outer:
        outer.write_text("outer")
        with new_file(tmp_path / "target") as inner:
            inner.write_text("inner")
        assert outer.exists()
    assert (tmp_path / "target").read_text() == "outer"


@pytest.mark.parametrize("writer", [new_file, new_folder])
def test_an_error_keeps_the_old_and_removes_the_new(writer: object, tmp_path: Path) -> None:
    target = tmp_path / "target"
    write_json(target, {"old": True})
    options = {"overwrite": True} if writer is new_folder else {}
    message = r"target cannot be written \(.*No space left.*\); free some space"
    with pytest.raises(InputError, match=message), writer(target, **options):  # type: ignore[operator]
        raise OSError(errno.ENOSPC, "No space left on device")
    assert read_json(target) == {"old": True}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_folder_is_replaced_only_on_request(tmp_path: Path) -> None:
    for round_ in ("first", "second"):
        with new_folder(tmp_path / "folder", overwrite=True) as folder:
            (folder / round_).touch()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["second"]
    with (
        pytest.raises(InputError, match="exists already; choose another folder or pass --overwrite"),
        new_folder(tmp_path / "folder"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_broken_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(InputError, match=r"run\.json does not exist"):
        read_json(path)
    for text, message in (("{", "is not valid JSON"), ("[1]", "holds a JSON list, not an object")):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_json(path)


def test_the_fingerprint_sees_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    prints = {file_fingerprint([tmp_path / "a"]), file_fingerprint([tmp_path / "b"])}
    (tmp_path / "a").write_text("y")
    prints.add(file_fingerprint([tmp_path / "a"]))
    assert len(prints) == 3


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    """The old folder was moved away, the new one not yet in place: the next write puts the old one back first."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left = tmp_path / f".target.{HOST}-{process.pid}-x.old" / "target"
    left.mkdir(parents=True)
    (left / "old").touch()
    with pytest.raises(InputError, match="stop"), new_folder(tmp_path / "target", overwrite=True):
        raise InputError("stop")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert (tmp_path / "target" / "old").exists()


def test_a_folder_that_a_kill_left_aside_counts_as_there(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left = tmp_path / f".target.{HOST}-{process.pid}-x.old" / "target"
    left.mkdir(parents=True)
    with pytest.raises(InputError, match="target exists already"), new_folder(tmp_path / "target"):
        raise AssertionError("it was opened")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
