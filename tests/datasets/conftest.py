from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from published import Flaky, Quiet, noisy_archive


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stbench.datasets.http.PAUSES_S", (0.01, 0.01))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/set.tar.gz"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def flaky(tmp_path: Path) -> Iterator[Flaky]:
    (tmp_path / "made").mkdir()
    server = Flaky(noisy_archive(tmp_path / "made"))
    shutil.rmtree(tmp_path / "made")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
