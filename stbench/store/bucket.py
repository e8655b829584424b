"""Files below a prefix of an object store: Amazon S3, whatever speaks its protocol, and Google Cloud Storage."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from errno import ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

CONNECT_SECONDS, REQUEST_SECONDS, ATTEMPTS = 5, 60, 2
COPIED_BYTES = 1 << 22

REMEDIES = {
    "s3": "look at the bucket's name, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL",
    "gs": "look at the bucket's name and GOOGLE_APPLICATION_CREDENTIALS",
}
SCHEMES = tuple(f"{scheme}://" for scheme in REMEDIES)


@dataclass(frozen=True)
class Listed:
    """A file as a listing shows it."""

    size: int
    changed_ns: int


class Bucket:
    """A prefix in a bucket; every path is relative to it.

    Parameters
    ----------
    uri
        ``s3://bucket/prefix`` or ``gs://bucket/prefix``.

    Raises
    ------
    UsageError
        If it is another kind of address.
    """

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self.scheme, self.bucket = parts.scheme, parts.netloc
        prefix = [name for name in parts.path.split("/") if name]
        if self.scheme not in REMEDIES or not self.bucket or {".", ".."} & {*prefix}:
            raise UsageError(f"--store {uri} is no address of an object store; write s3://BUCKET/PREFIX")
        if "@" in self.bucket or parts.query or parts.fragment:
            raise UsageError(
                f"--store {self.scheme}://… takes bucket and prefix only; credentials and endpoints go into the "
                "environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL"
            )
        self.root = "/".join([self.bucket, *prefix])
        self._opened: FileSystem | None = None

    @property
    def uri(self) -> str:
        """The address, spelt in one way only."""
        return f"{self.scheme}://{self.root}"

    @property
    def endpoint(self) -> str:
        """Where an S3 bucket lies if not at Amazon, as the environment says."""
        chosen = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return chosen or "" if self.scheme == "s3" else ""

    def list(self, folder: str) -> dict[str, Listed]:
        """All files below a folder, whatever the depth.

        Raises
        ------
        StoreError
            This and all below: if the bucket is not there, cannot be reached, or does not admit the user.
        """
        from pyarrow.fs import FileSelector, FileType

        with self._explained():
            below = FileSelector(f"{self.root}/{folder}", allow_not_found=True, recursive=True)
            found = self._files.get_file_info(below)
        cut = len(self.root) + 1
        return {i.path[cut:]: Listed(i.size, i.mtime_ns or 0) for i in found if i.type == FileType.File}

    def look(self, path: str) -> Listed | None:
        """One file; None if it is not there."""
        from pyarrow.fs import FileType

        with self._explained():
            info = self._files.get_file_info(f"{self.root}/{path}")
        return Listed(info.size, info.mtime_ns or 0) if info.type == FileType.File else None

    def check(self) -> None:
        """Raise `StoreError` if the bucket is not there: a listing of it would only be empty."""
        from pyarrow.fs import FileType

        with self._explained():
            if self._files.get_file_info(self.bucket).type == FileType.NotFound:
                raise FileNotFoundError(f"there is no bucket {self.bucket}")

    def read(self, path: str) -> bytes:
        """Content of a small file."""
        with self._explained(), self._files.open_input_stream(f"{self.root}/{path}") as source:
            return bytes(source.read())

    def fetch(self, path: str, to: Path) -> None:
        """Copy a file from there; its folder is made."""
        to.parent.mkdir(parents=True, exist_ok=True)
        with self._explained(), self._files.open_input_stream(f"{self.root}/{path}") as source, to.open("wb") as sink:
            shutil.copyfileobj(source, sink, COPIED_BYTES)

    def put(self, path: str, source: Path) -> None:
        """Copy a file there."""
        name = f"{self.root}/{path}"
        with self._explained(), source.open("rb") as file, self._files.open_output_stream(name) as sink:
            shutil.copyfileobj(file, sink, COPIED_BYTES)

    @property
    def _files(self) -> FileSystem:
        if self._opened is None:
            self._opened = self._google() if self.scheme == "gs" else self._amazon()
        return self._opened

    def _amazon(self) -> FileSystem:
        from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        protocol, _, host = self.endpoint.rpartition("://")
        return S3FileSystem(
            region=region or ("us-east-1" if host else resolve_s3_region(self.bucket)),
            endpoint_override=host.rstrip("/") or None,
            scheme=protocol or "https",
            connect_timeout=CONNECT_SECONDS,
            request_timeout=REQUEST_SECONDS,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        )

    def _google(self) -> FileSystem:
        from pyarrow.fs import GcsFileSystem

        return GcsFileSystem(retry_time_limit=timedelta(seconds=REQUEST_SECONDS))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and (error.filename or error.errno == ENOSPC):
                raise  # of a file on this machine
            where = f"{self.uri} at {self.endpoint}" if self.endpoint else self.uri
            said = " ".join(str(error).split()).rstrip(".")
            raise StoreError(f"the store {where} cannot be used ({said}); {REMEDIES[self.scheme]}") from error
