"""A download that survives dropped connections and goes on where an earlier one stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from rich.progress import Progress

PAUSES_S = (1.0, 3.0)  # before the second and the third try
TIMEOUT_S = 30.0  # without a byte
CHUNK_BYTES = 1 << 16  # at most this much is lost when a connection drops


class Interrupted(OSError):
    """A failure that another try may not meet: a dropped connection, a server's 5xx."""


class Refused(OSError):
    """An answer that another try would only repeat: 404, 403, an address that is none."""


class ResumingDownloader:
    """A pooch downloader that keeps what it has in a file of its own until all of it is there.

    Parameters
    ----------
    part
        Where bytes are kept between tries and between runs. What the server said about the file's version lies
        beside it as ``.validator``; without such a word (a strong ETag or Last-Modified, RFC 9110 §13.1.5) or with
        another one than before, the download starts anew. One process at a time may use it.
    label
        What the progress bar on a terminal calls the download.

    Raises
    ------
    Interrupted, Refused
        From the call: no try succeeded.
    """

    def __init__(self, part: Path, label: str) -> None:
        self.part = part
        self.label = label
        self._noted = part.with_name(f"{part.name}.validator")

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Download `url`, in three tries, and move it to `output_file`."""
        for pause_s in (*PAUSES_S, None):
            try:
                self._try(url)
                break
            except Interrupted:
                if pause_s is None:
                    raise
                time.sleep(pause_s)
        os.replace(self.part, output_file)
        self._noted.unlink(missing_ok=True)

    def _try(self, url: str) -> None:
        kept, validator = self._kept()
        headers = {"Accept-Encoding": "identity"}  # a range counts the file's bytes, not those of an encoding
        if kept:
            headers |= {"Range": f"bytes={kept}-", "If-Range": validator}
        try:
            with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
                self._receive(answer, self._start(answer, kept, validator))
        except requests.exceptions.SSLError as error:
            raise Refused(_cause(error)) from error
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Interrupted(_cause(error)) from error
        except requests.RequestException as error:
            raise Refused(_cause(error)) from error

    def _kept(self) -> tuple[int, str]:
        """How many bytes can be continued, and the version of the file they belong to."""
        try:
            validator = self._noted.read_text("latin-1")
            return (self.part.stat().st_size, validator) if validator else (0, "")
        except FileNotFoundError:
            return 0, ""

    def _start(self, answer: requests.Response, kept: int, validator: str) -> int:
        """The position in the file of the answer's first byte: `kept`, or 0 to start anew."""
        status, said = answer.status_code, f"{answer.status_code} {answer.reason}"
        if status == 200:
            return 0
        if status in {206, 416}:
            starts = answer.headers.get("Content-Range", "").startswith(f"bytes {kept}-")
            if status == 206 and kept and starts and _validator(answer.headers) in {"", validator}:
                return kept
            self._noted.unlink(missing_ok=True)
            raise Interrupted(f"{said}, which does not continue what is here")
        if status >= 500 or status in {408, 429}:
            raise Interrupted(said)
        raise Refused(said)

    def _receive(self, answer: requests.Response, position: int) -> None:
        length = answer.headers.get("Content-Length", "")
        total = position + int(length) if length.isdecimal() else None
        if not position:
            self._noted.unlink(missing_ok=True)  # before the bytes it speaks of
        with self.part.open("ab" if position else "wb") as file, _bar() as bar:
            if not position:
                self._noted.write_text(_validator(answer.headers), "latin-1")
            task = bar.add_task(self.label, total=total, completed=position)
            dropped: HTTPError | None = None
            try:
                for chunk in answer.raw.stream(CHUNK_BYTES, decode_content=False):
                    file.write(chunk)
                    position += len(chunk)
                    bar.update(task, completed=position)
            except HTTPError as error:
                dropped = error
        if dropped or total not in {None, position}:  # urllib3 1 does not count
            of = "" if total is None else f" of {total}"
            raise Interrupted(f"the connection dropped after {position}{of} bytes") from dropped


def _validator(headers: Mapping[str, str] | CaseInsensitiveDict[str]) -> str:
    """What names the file's version in an If-Range; a weak ETag may not."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)


def _cause(error: BaseException) -> str:
    """The operating system's word for it where there is one: the outer errors repeat address and objects."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and not isinstance(inner, requests.RequestException):
            return inner.strerror or str(inner)
        inner = inner.__cause__ or inner.__context__
    return " ".join(str(error).split())
