"""What tests of downloads publish, and the servers on this machine that they fetch it from."""

from __future__ import annotations

import io
import re
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

UNIX_KINDS = {tarfile.SYMTYPE: stat.S_IFLNK, tarfile.CHRTYPE: stat.S_IFCHR, tarfile.FIFOTYPE: stat.S_IFIFO}
REMEDY = "put the layout somewhere and give it as --data-dir"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


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


ST_ARCHIVE = {"root": "*/data", "parts": ("ST-cnts", "ST-pat/lbl")}
"""What `fetch` is to take of it."""


def publish(folder: Path, *members: tuple[tarfile.TarInfo, bytes], kind: str = "tar") -> bytes:
    """Write the members to ``set.tar.gz``, as tar or as zip: what an archive is, its bytes say."""
    path = folder / "set.tar.gz"
    if kind == "tar":
        with tarfile.open(path, "w:gz") as tar:
            for info, content in members:
                tar.addfile(info, io.BytesIO(content))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for info, content in members:
                zipped = zipfile.ZipInfo(info.name)
                zipped.external_attr = (0o644 | UNIX_KINDS.get(info.type, stat.S_IFREG)) << 16
                archive.writestr(zipped, content or info.linkname, zipfile.ZIP_DEFLATED)
    return path.read_bytes()


def files(folder: Path) -> dict[str, bytes]:
    """All but lock files: to delete one would let two processes hold it."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def noisy_archive(folder: Path, kind: str = "tar") -> bytes:
    noise = np.random.default_rng(0).bytes(200_000)
    return publish(folder, *GOOD, member("x/data/ST-cnts/big.bin", noise), kind=kind)


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
