"""Archives are fetched whole or not at all, from a server on this machine; nothing leaves the folder."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from stbench.datasets.download import fetch_archive
from stbench.errors import DataError

REMEDY = "put the layout somewhere and give it as --data-dir"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


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


def member(name: str, content: bytes = b"content", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


GOOD = (
    member("her2st-85df741/data/ST-cnts/A1.tsv.gz", b"counts"),
    member("her2st-85df741/data/ST-pat/lbl/A1.tsv", b"labels"),
    member("her2st-85df741/data/ST-pat/img/A1.jpg", b"not asked for"),
    member("her2st-85df741/README.md", b"not asked for"),
)


def publish(folder: Path, *members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    with tarfile.open(folder / "set.tar.gz", "w:gz") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return (folder / "set.tar.gz").read_bytes()


@pytest.fixture
def fetch(tmp_path: Path, site: tuple[Path, str]) -> Callable[..., Path]:
    def run(known_hash: str | None = None) -> Path:
        target = tmp_path / "cache" / "data" / "her2st"
        fetch_archive(site[1], target, "data", ("ST-cnts", "ST-pat/lbl"), REMEDY, known_hash)
        return target

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_wanted_parts_are_unpacked_and_the_checksum_recorded(site: tuple, fetch: Callable[..., Path]) -> None:
    archive = publish(site[0], *GOOD)

    found = files(fetch())

    source = found.pop("SOURCE.txt").decode()
    assert found == {"ST-cnts/A1.tsv.gz": b"counts", "ST-pat/lbl/A1.tsv": b"labels"}
    assert source == f"{site[1]}\nsha256 {hashlib.sha256(archive).hexdigest()}\n"


def test_nothing_else_is_left_behind(site: tuple, fetch: Callable[..., Path]) -> None:
    publish(site[0], *GOOD)

    target = fetch()

    assert [p for p in target.parent.rglob("*") if p.is_file() and target not in p.parents] == []


def test_a_known_checksum_is_compared(site: tuple, fetch: Callable[..., Path]) -> None:
    archive = publish(site[0], *GOOD)

    with pytest.raises(DataError, match=rf"her2st is not here and cannot be downloaded from {site[1]} .*; {REMEDY}"):
        fetch("sha256:" + "0" * 64)
    assert fetch(f"sha256:{hashlib.sha256(archive).hexdigest()}").is_dir()


def outside(folder: Path, target: Path) -> set[str]:
    """Everything below `folder` that is neither in the server's folder nor in the data's."""
    return {str(p) for p in folder.rglob("*") if not p.is_dir() and target not in p.parents and p.parent.name != "site"}


CLIMBING = {
    "parent": "x/data/ST-cnts/../../../../evil",
    "further": "x/data/ST-cnts/../../../../../../evil",
    "absolute": "/data/ST-cnts/../../../evil",
}


@pytest.mark.parametrize("name", CLIMBING.values(), ids=CLIMBING.keys())
def test_a_member_that_climbs_out_of_its_folder_is_refused(
    tmp_path: Path, site: tuple, fetch: Callable[..., Path], name: str
) -> None:
    publish(site[0], *GOOD, member(name))

    with pytest.raises(DataError, match=r"the archive is damaged or unsafe \(.*outside.*\); run the command again"):
        fetch()

    assert files(tmp_path / "cache") == {}
    assert outside(tmp_path, tmp_path / "cache") == set()


NO_FILES = {
    "symlink": member("x/data/ST-cnts/link", b"", type=tarfile.SYMTYPE, linkname="../../../.."),
    "absolute symlink": member("x/data/ST-cnts/link", b"", type=tarfile.SYMTYPE, linkname="/tmp"),
    "hard link": member("x/data/ST-cnts/link", b"", type=tarfile.LNKTYPE, linkname="../../evil"),
    "device": member("x/data/ST-cnts/link", b"", type=tarfile.CHRTYPE),
}


@pytest.mark.parametrize("hostile", NO_FILES.values(), ids=NO_FILES.keys())
def test_links_and_devices_are_left_out_and_nothing_goes_through_them(
    tmp_path: Path, site: tuple, fetch: Callable[..., Path], hostile: tuple[tarfile.TarInfo, bytes]
) -> None:
    publish(site[0], *GOOD, hostile, member("x/data/ST-cnts/link/file", b"inside"))

    target = fetch()

    assert files(target)["ST-cnts/link/file"] == b"inside"
    assert not any(p.is_symlink() for p in target.rglob("*"))
    assert outside(tmp_path, target) == set()


def noisy_archive(folder: Path) -> bytes:
    noise = np.random.default_rng(0).bytes(200_000)
    return publish(folder, *GOOD, member("x/data/ST-cnts/big.bin", noise))


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "last bytes", "html", "empty", "other layout"])
def test_a_damaged_archive_leaves_nothing_and_the_next_try_fetches_anew(
    tmp_path: Path, site: tuple, fetch: Callable[..., Path], damage: str
) -> None:
    whole = noisy_archive(site[0])
    middle = len(whole) // 2
    broken = {
        "truncated": whole[:middle],
        "overwritten": whole[:middle] + b"\xff" * 2000 + whole[middle + 2000 :],
        "last bytes": whole[:-8] + b"\0" * 8,
        "html": b"<html>sign in</html>",
        "empty": b"",
    }
    if damage == "other layout":
        publish(site[0], member("x/elsewhere/file"))
    else:
        (site[0] / "set.tar.gz").write_bytes(broken[damage])

    with pytest.raises(DataError, match=rf"{site[1]}: the archive is damaged or unsafe .*; run the command again"):
        fetch()

    assert files(tmp_path / "cache") == {}
    noisy_archive(site[0])
    assert (fetch() / "ST-cnts" / "big.bin").stat().st_size == 200_000


def test_a_server_that_refuses(fetch: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"her2st is not here and cannot be downloaded .*404.*; {REMEDY}"):
        fetch()

    assert files(tmp_path / "cache") == {}


def test_no_server_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"cannot be downloaded from http://127.0.0.1:9/x .*; {REMEDY}"):
        fetch_archive("http://127.0.0.1:9/x", tmp_path / "data", "data", ("a",), REMEDY)
