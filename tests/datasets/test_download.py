"""Archives are fetched whole or not at all, from a server on this machine; nothing leaves the folder."""

from __future__ import annotations

import errno
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from stbench.datasets.download import fetch_archive
from stbench.errors import DataError

REMEDY = "put the layout somewhere and give it as --data-dir"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stbench.datasets.http.PAUSES_S", (0.01, 0.01))


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
    """All but lock files: to delete one would let two processes hold it."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def test_the_wanted_parts_are_unpacked_and_the_checksum_recorded(site: tuple, fetch: Callable[..., Path]) -> None:
    archive = publish(site[0], *GOOD)

    found = files(fetch())

    source = found.pop("SOURCE.txt").decode()
    assert found == {"ST-cnts/A1.tsv.gz": b"counts", "ST-pat/lbl/A1.tsv": b"labels"}
    assert source == f"{site[1]}\nsha256 {hashlib.sha256(archive).hexdigest()}\n"


def test_nothing_else_is_left_behind(site: tuple, fetch: Callable[..., Path]) -> None:
    publish(site[0], *GOOD)

    target = fetch()

    assert [name for name in files(target.parent) if not name.startswith("her2st/")] == []


def test_a_known_checksum_is_compared(tmp_path: Path, site: tuple, fetch: Callable[..., Path]) -> None:
    digest = hashlib.sha256(publish(site[0], *GOOD)).hexdigest()

    with pytest.raises(DataError) as caught:
        fetch("sha256:" + "0" * 64)
    assert re.fullmatch(
        rf"her2st is not here and cannot be downloaded from {site[1]} "
        rf"\([^.]*\(her2st.tar.gz\)[^.]* expected sha256:0{{64}} but got {digest}\); {REMEDY}",
        str(caught.value),
    )
    assert files(tmp_path / "cache") == {}
    assert fetch(f"sha256:{digest}").is_dir()


def outside(folder: Path, target: Path) -> set[str]:
    """Everything below `folder` that is neither in the server's folder nor in the data's."""
    found = {p for p in folder.rglob("*") if not p.is_dir() and p.suffix != ".lock"}
    return {str(p) for p in found if target not in p.parents and p.parent.name != "site"}


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
    "fifo": member("x/data/ST-cnts/link", b"", type=tarfile.FIFOTYPE),
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


MISSHAPEN = {
    "file where a folder is": (member("x/data/ST-cnts/a/b"), member("x/data/ST-cnts/a")),
    "folder where a file is": (member("x/data/ST-cnts/a"), member("x/data/ST-cnts/a/b")),
    "name too long": (member("x/data/ST-cnts/" + "n" * 300),),
    "null in the name": (member("x/data/ST-cnts/a", pax_headers={"path": "x/data/ST-cnts/a\0b"}),),
    "time beyond all clocks": (member("x/data/ST-cnts/a", pax_headers={"mtime": "1e300"}),),
}


@pytest.mark.parametrize("members", MISSHAPEN.values(), ids=MISSHAPEN.keys())
def test_an_archive_no_folder_can_hold_is_one_sentence(
    tmp_path: Path, site: tuple, fetch: Callable[..., Path], members: tuple
) -> None:
    publish(site[0], *GOOD, *members)

    with pytest.raises(
        DataError, match=rf"the archive is damaged or unsafe \(.+\); run the command again, or {REMEDY}$"
    ):
        fetch()

    assert files(tmp_path / "cache") == {}


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
    with pytest.raises(DataError, match=rf"downloaded from http://127.0.0.1:9/x \(Connection refused\); {REMEDY}$"):
        fetch_archive("http://127.0.0.1:9/x", tmp_path / "data", "data", ("a",), REMEDY)


@dataclass
class Asked:
    """One request as the server saw it."""

    start: int | None
    if_range: str | None
    sent: int = 0


class Flaky(ThreadingHTTPServer):
    """Serves one file; the first answers can be a status, or break off after a number of bytes."""

    daemon_threads = True

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), FlakyAnswer)
        self.body = body
        self.validator: dict[str, str] = {"ETag": '"1"'}
        self.ranges = True
        self.heeds_if_range = True
        self.chunked = False
        self.plan: list[str] = []
        self.asked: list[Asked] = []
        self.after: Callable[[], None] = lambda: None
        self.delay_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/set.tar.gz"


class FlakyAnswer(BaseHTTPRequestHandler):
    server: Flaky
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None: ...

    def do_GET(self) -> None:
        server = self.server
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        asked = Asked(int(match[1]) if match else None, self.headers.get("If-Range"))
        server.asked.append(asked)
        time.sleep(server.delay_s)
        what = server.plan.pop(0) if server.plan else ""
        self.close_connection = True
        if what.startswith("status "):
            self.send_response(int(what.split()[1]))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        unchanged = asked.if_range in server.validator.values() or not server.heeds_if_range
        start = asked.start if asked.start is not None and server.ranges and unchanged else None
        if start is not None and start >= len(server.body):
            self.send_error(416)
            return
        body = server.body[start or 0 :]
        self.send_response(200 if start is None else 206)
        for name, value in server.validator.items():
            self.send_header(name, value)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        if server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        drop = int(what.split()[1]) if what.startswith("drop ") else len(body)
        for at in range(0, drop, 1 << 14):
            piece = body[at : min(at + (1 << 14), drop)]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if server.chunked else piece)
            asked.sent += len(piece)
        if server.chunked and drop == len(body):
            self.wfile.write(b"0\r\n\r\n")
        server.after()


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


def fetch_from(server: Flaky, cache: Path, known_hash: str | None = None) -> Path:
    target = cache / "her2st"
    fetch_archive(server.url, target, "data", ("ST-cnts", "ST-pat/lbl"), REMEDY, known_hash)
    assert (target / "ST-cnts" / "big.bin").stat().st_size == 200_000
    assert files(target)["SOURCE.txt"].decode().endswith(hashlib.sha256(server.body).hexdigest() + "\n")
    return target


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("validator", [{"ETag": '"1"'}, {"Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"}])
def test_a_dropped_connection_is_continued_where_it_broke_off(
    tmp_path: Path, flaky: Flaky, validator: dict[str, str], chunked: bool
) -> None:
    flaky.validator, flaky.chunked, flaky.plan = validator, chunked, ["drop 150000"]

    fetch_from(flaky, tmp_path)

    first, second = flaky.asked
    assert (first.start, first.sent) == (None, 150_000)
    assert second.start is not None
    assert 150_000 - (1 << 16) <= second.start <= 150_000
    assert second.sent == len(flaky.body) - second.start
    assert second.if_range == next(iter(validator.values()))


def test_the_next_run_continues_too(tmp_path: Path, flaky: Flaky) -> None:
    flaky.plan = ["drop 90000", "drop 40000", "drop 1"]
    size = len(flaky.body)
    with pytest.raises(DataError, match=rf"\(the connection dropped after \d+ of {size} bytes\); {REMEDY}$"):
        fetch_from(flaky, tmp_path)
    (part,) = tmp_path.rglob("*.part")
    kept = part.stat().st_size

    fetch_from(flaky, tmp_path)

    assert kept > 0
    assert flaky.asked[-1].start == kept


@pytest.mark.parametrize(
    ("setting", "value"), [("ranges", False), ("validator", {}), ("validator", {"ETag": 'W/"1"'})], ids=str
)
def test_without_ranges_or_a_version_it_starts_anew(tmp_path: Path, flaky: Flaky, setting: str, value: object) -> None:
    setattr(flaky, setting, value)
    flaky.plan = ["drop 150000"]

    fetch_from(flaky, tmp_path)

    assert [a.sent for a in flaky.asked] == [150_000, len(flaky.body)]


@pytest.mark.parametrize("heeds", [True, False])
def test_a_file_that_changed_between_two_tries_starts_anew(tmp_path: Path, flaky: Flaky, heeds: bool) -> None:
    new = noisy_archive(tmp_path) + b"\0" * 10

    def change() -> None:
        flaky.body, flaky.validator, flaky.after = new, {"ETag": '"2"'}, lambda: None

    flaky.plan, flaky.after, flaky.heeds_if_range = ["drop 150000"], change, heeds

    fetch_from(flaky, tmp_path)

    assert flaky.asked[-1].sent == len(new)


def test_a_part_longer_than_the_file_starts_anew(tmp_path: Path, flaky: Flaky) -> None:
    flaky.plan = ["drop 150000"] + ["status 500"] * 2
    with pytest.raises(DataError, match="500"):
        fetch_from(flaky, tmp_path)
    (part,) = tmp_path.rglob("*.part")
    part.write_bytes(bytes(len(flaky.body)))

    fetch_from(flaky, tmp_path)

    assert [a.start for a in flaky.asked[-2:]] == [len(flaky.body), None]


def test_a_server_error_is_tried_again(tmp_path: Path, flaky: Flaky) -> None:
    flaky.plan = ["status 500", "status 503"]

    fetch_from(flaky, tmp_path)

    assert len(flaky.asked) == 3


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (500, 3), (502, 3)])
def test_tries_per_refusal(tmp_path: Path, flaky: Flaky, status: int, tries: int) -> None:
    flaky.plan = [f"status {status}"] * 9

    with pytest.raises(DataError, match=rf"cannot be downloaded from {flaky.url} \({status} [\w ]+\); {REMEDY}$"):
        fetch_from(flaky, tmp_path)

    assert len(flaky.asked) == tries


def test_two_threads_download_once(tmp_path: Path, flaky: Flaky) -> None:
    flaky.delay_s = 0.2
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda _: fetch_from(flaky, tmp_path), range(3)))

    assert len(set(results)) == 1
    assert len(flaky.asked) == 1


def test_two_processes_download_once_and_pipes_get_no_progress(tmp_path: Path, flaky: Flaky) -> None:
    flaky.delay_s = 0.5
    code = (
        "import sys, pathlib; from stbench.datasets.download import fetch_archive; "
        f"fetch_archive({flaky.url!r}, pathlib.Path(sys.argv[1]), 'data', ('ST-cnts',), 'x')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "her2st")]

    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]

    assert [p.communicate(timeout=30)[0] for p in running] == [b"", b""]
    assert [p.returncode for p in running] == [0, 0]
    assert len(flaky.asked) == 1


def test_what_a_killed_process_left_is_no_obstacle(tmp_path: Path, flaky: Flaky) -> None:
    (tmp_path / ".her2st.unpacking" / "ST-cnts").mkdir(parents=True)
    (tmp_path / ".her2st.unpacking" / "ST-cnts" / "half").touch()
    (tmp_path / "her2st").mkdir()

    assert "ST-cnts/half" not in files(fetch_from(flaky, tmp_path))


def test_files_of_others_in_its_place_are_kept(tmp_path: Path, flaky: Flaky) -> None:
    (tmp_path / "her2st").mkdir()
    (tmp_path / "her2st" / "images.tsv").touch()

    with pytest.raises(
        DataError, match=f"{flaky.url} is not unpacked over what lies in .*; move that away, or {REMEDY}"
    ):
        fetch_from(flaky, tmp_path)

    assert files(tmp_path) == {"her2st/images.tsv": b""}
    assert flaky.asked == []


def test_an_earlier_address_is_not_continued(tmp_path: Path, flaky: Flaky) -> None:
    flaky.plan = ["drop 150000"] + ["status 500"] * 2
    with pytest.raises(DataError):
        fetch_archive(f"{flaky.url}?old", tmp_path / "her2st", "data", ("ST-cnts",), REMEDY)

    fetch_from(flaky, tmp_path)

    assert flaky.asked[-1].start is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_full_of_the_download(tmp_path: Path, flaky: Flaky) -> None:
    flaky.plan = ["drop 150000"] + ["status 500"] * 2
    with pytest.raises(DataError, match="500"):
        fetch_from(flaky, tmp_path)
    (part,) = tmp_path.rglob("*.part")
    part.unlink()
    part.symlink_to("/dev/full")

    with pytest.raises(DataError) as caught:
        fetch_from(flaky, tmp_path)

    assert str(caught.value) == (
        f"{flaky.url} cannot be stored in {tmp_path} (No space left on device); "
        f"free some disk space and run the command again, or {REMEDY}"
    )


def test_a_disk_full_of_what_is_unpacked_keeps_the_download(
    tmp_path: Path, flaky: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "copyfileobj", full)
        with pytest.raises(DataError, match=r"\(No space left on device\); free some disk space"):
            fetch_from(flaky, tmp_path)

    assert not (tmp_path / "her2st").exists()
    fetch_from(flaky, tmp_path)
    assert len(flaky.asked) == 1
