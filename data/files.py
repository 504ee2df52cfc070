"""Files and folders that are either whole or absent: write under a temporary name, then rename."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOST = hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()  # process numbers mean nothing elsewhere

# What libraries say of a disk that took no more; Polars' "transport error" is a Parquet footer that did not fit.
NOT_WRITTEN = r"I/O error|os error|No space left|File too large|transport error"


class InputError(ValueError):
    """Something that the user gave cannot be used. The message is one line: what, where, found, what to do."""


def _tidy(path: Path) -> None:
    """Clear up what dead processes of this machine left beside `path`: half-written parts, a moved old folder."""
    for remnant in path.parent.glob(f".{glob.escape(path.name)}.{HOST}-*"):
        process = remnant.name.removeprefix(f".{path.name}.{HOST}-").split("-")[0]
        if not process.isdigit() or Path(f"/proc/{process}").exists() or not Path("/proc/self").exists():
            continue
        if remnant.name.endswith(".old") and not path.exists():
            os.replace(remnant / path.name, path)  # killed between two renames: the old folder comes back
        if remnant.is_dir():
            shutil.rmtree(remnant, ignore_errors=True)
        else:
            remnant.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f".{path.name}.{HOST}-{os.getpid()}-"


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any error it is removed.

    Raises `InputError` when the disk is full, read-only or too small for the file.
    """
    path = Path(path)
    with _one_line(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _tidy(path)
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

    Raises `InputError` if `path` exists and `overwrite` is False, and as `new_file` does. With `overwrite`, the old
    folder is moved away only when the new one is complete; a kill between the two renames leaves it beside, and the
    next call puts it back.
    """
    path = Path(path)
    with _one_line(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _tidy(path)
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists already; choose another folder or pass --overwrite")
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".partial", dir=path.parent))
        try:
            yield temporary
            os.chmod(temporary, 0o755)
            _swap(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _swap(temporary: Path, path: Path) -> None:
    """Put a complete folder under its name; what stood there comes back if that fails."""
    if not path.exists():
        os.replace(temporary, path)
        return
    old = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".old", dir=path.parent))
    os.replace(path, old / path.name)
    try:
        os.replace(temporary, path)
    except BaseException:
        os.replace(old / path.name, path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn what a disk answers, whichever library asked it, into one line that names `path`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        if not isinstance(error, OSError) and not re.search(NOT_WRITTEN, text):
            raise
        raise InputError(f"{path} cannot be written ({text}); free some space or choose another folder") from None


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
