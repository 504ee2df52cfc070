"""Files and folders that are either whole or absent: write under a temporary name, then rename."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOST = hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()  # process numbers mean nothing elsewhere


class InputError(ValueError):
    """Something that the user gave cannot be used. The message is one line: what, where, found, what to do."""


def _remove_remnants(path: Path) -> None:
    """Remove what processes of this machine that are gone left half-written beside `path`."""
    for remnant in path.parent.glob(f".{glob.escape(path.name)}.{HOST}-*.partial"):
        process = remnant.name.removeprefix(f".{path.name}.{HOST}-").split("-")[0]
        if process.isdigit() and not Path(f"/proc/{process}").exists() and Path("/proc/self").exists():
            shutil.rmtree(remnant) if remnant.is_dir() else remnant.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f".{path.name}.{HOST}-{os.getpid()}-"


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any error it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_remnants(path)
    handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=".partial", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it becomes `path`, on any error it is removed.

    Raises `InputError` if `path` exists and `overwrite` is False. With `overwrite`, the old folder is moved away
    only when the new one is complete.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already; choose another folder or pass --overwrite")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_remnants(path)
    temporary = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".partial", dir=path.parent))
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
            os.replace(path, old / path.name)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as indented UTF-8 JSON, whole or not at all."""
    with new_file(path) as temporary:
        temporary.write_text(
            json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raise `InputError` that names the file when it is missing or broken."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); make it again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a JSON {type(content).__name__}, not an object; make it again")
    return content


def file_fingerprint(paths: list[Path]) -> str:
    """Return a hexadecimal digest (32 digits) of the names and bytes of `paths`, in the order given."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as source:
            while block := source.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
