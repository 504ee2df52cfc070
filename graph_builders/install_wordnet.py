"""Put WordNet 3.0 where NLTK looks for it: `python -m graph_builders.install_wordnet`.

Where it comes from, first that works: NLTK's own copy (then there is nothing to do), Debian's packages as they are
installed, the same packages unpacked into a temporary folder (no root needed), NLTK's downloader.
Debian's packages lack one file, `lexnames`, a table of 45 lines; it lies beside this module.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nltk

from data.files import InputError, new_folder
from graph_builders.wordnet import open_wordnet

PACKAGES = ("wordnet-base", "wordnet-sense-index")
DEBIAN_FOLDER = Path("usr/share/wordnet")
LEXNAMES = Path(__file__).parent / "lexnames"
# What NLTK's reader opens; each part of speech adds its data, index and exceptions.
FILES = (
    "cntlist.rev",
    "index.sense",
    *(f"{kind}.{part}" for kind in ("data", "index") for part in ("noun", "verb", "adj", "adv")),
    *(f"{part}.exc" for part in ("noun", "verb", "adj", "adv")),
)


def installed_at() -> Path | None:
    """Return the folder (or zip file) in which NLTK finds WordNet, or None."""
    for name in ("corpora/wordnet", "corpora/wordnet.zip"):
        try:
            return Path(str(nltk.data.find(name)))
        except LookupError:
            continue
    return None


def install(target: Path, *, root: Path = Path("/")) -> str:
    """Install WordNet 3.0 as folder `target` (`.../nltk_data/corpora/wordnet`), whole or not at all.

    `root` is the folder under which Debian's `usr/share/wordnet` may lie. Returns where the files came from.
    Raises `InputError` when no source can be had.
    """
    if is_complete(root / DEBIAN_FOLDER):
        copy_files(root / DEBIAN_FOLDER, target)
        return f"Debian's installed packages ({root / DEBIAN_FOLDER})"
    problem = "there is no apt-get here"
    if shutil.which("apt-get") and shutil.which("dpkg"):
        with tempfile.TemporaryDirectory(prefix="wordnet-") as temporary:
            problem = _unpack_packages(Path(temporary))
            if not problem:
                copy_files(Path(temporary) / "root" / DEBIAN_FOLDER, target)
                return f"Debian's packages {' and '.join(PACKAGES)}"
    if nltk.download("wordnet", download_dir=str(target.parent.parent), quiet=True):
        return "NLTK's downloader"
    raise InputError(
        f"WordNet 3.0 cannot be had ({problem}, and NLTK's download failed); install the packages "
        f"{' and '.join(PACKAGES)}, or copy corpora/wordnet of another NLTK installation to {target}"
    )


def is_complete(folder: Path) -> bool:
    """Tell whether `folder` holds every file that NLTK's reader opens, `lexnames` aside."""
    return all((folder / name).is_file() for name in FILES)


def copy_files(source: Path, target: Path) -> None:
    """Copy WordNet's files and `lexnames` to `target`. Raises `InputError` naming the first file that is missing."""
    missing = [name for name in FILES if not (source / name).is_file()]
    if missing:
        raise InputError(f"{source} has no {missing[0]}, so it is not WordNet 3.0; install {' and '.join(PACKAGES)}")
    with new_folder(target, overwrite=True) as folder:
        # Copies, not links: NLTK refuses links that lead out of its folder.
        for path in source.iterdir():
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
        shutil.copyfile(LEXNAMES, folder / "lexnames")


def _unpack_packages(folder: Path) -> str:
    """Download Debian's packages into `folder` and unpack them to `folder/root`; return what failed, or nothing."""
    folder.chmod(0o755)  # apt downloads as a user of its own
    download = ["apt-get", "download", *PACKAGES]
    problem = _run(download, folder)
    if problem and os.geteuid() == 0:  # a fresh container has no package lists yet
        _run(["apt-get", "update"], folder)  # fails where any source does, needed or not
        problem = _run(download, folder)
    for archive in sorted(folder.glob("*.deb")):
        problem = problem or _run(["dpkg", "-x", archive.name, "root"], folder)
    return problem


def _run(command: list[str], folder: Path) -> str:
    """Run `command` in `folder`; return its last line of errors, or the empty string when it succeeded."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return ""
    lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
    return f"`{' '.join(command)}`: {lines[-1]}"


def main() -> int:
    """Install into this Python environment unless NLTK has WordNet; read it once; return the exit status."""
    target = Path(sys.prefix) / "nltk_data" / "corpora" / "wordnet"
    try:
        found = installed_at()
        source = None if found else install(target)
        open_wordnet()
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"WordNet installed in {target} from {source}" if source else f"WordNet is there already: {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
