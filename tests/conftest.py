"""Fixtures and settings shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from data.dataset import Dataset
from worlds import write_world

settings.register_profile("v2ht", deadline=None)  # the first example loads libraries, which takes seconds
settings.load_profile("v2ht")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest file, so that no process is left with it at the end."""
    items.sort(key=lambda item: item.path.name != "test_worlds.py")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Give torch its threads back after each test: experiments take one, which changes the last bits of sums."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real tables, which are not part of this repository.

    It is named by V2HT_REAL_DATA, else it is ../shared/data beside the repository. Without it the test is skipped,
    but fails where CI=true, so that a run which counts never leaves these tests out unseen.
    """
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("V2HT_REAL_DATA", default))
    if folder.is_dir():
        return folder
    message = f"no real data at {folder}; set V2HT_REAL_DATA to their folder"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small made-up dataset with a graph; tests read it only."""
    folder = tmp_path_factory.mktemp("worlds") / "small"
    write_world(folder)
    return folder


@pytest.fixture(scope="session")
def world(world_folder: Path) -> Dataset:
    """Return that dataset."""
    return Dataset.load(world_folder)
