"""What tests of several packages share: the real data, and a cache that lives as long as the session."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stbench.registry import Registry, discover

TOY = Path(__file__).parent / "toy"
"""On PYTHONPATH this installs the toy plugin."""
REPOSITORY = Path(__file__).parents[1]
LONG = ("test_conformance.py", "test_docs.py", "test_simulated.py", "test_faults.py", "test_run_failures.py")
"""Files that take minutes: of several workers none may be left with one of them in the end."""

sys.path.insert(0, str(Path(__file__).parent))  # for tests/handmade.py


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of the real data, in the published layouts."""
    folder = Path(os.environ.get("STBENCH_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set STBENCH_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the session's own: decoded images, parsed counts, patches, simulated tissue."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    """Everything installed, and the toy plugin."""
    sys.path.insert(0, str(TOY))
    discover.cache_clear()
    yield discover()
    sys.path.remove(str(TOY))
    discover.cache_clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; the order inside files, and of the others, stays."""
    items.sort(key=lambda item: item.path.name not in LONG)
