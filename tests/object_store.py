"""A local server that speaks the protocol of S3."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVE = """
import sys, threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
threading.Event().wait()
"""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}


@contextmanager
def serving(log: Path) -> Iterator[dict[str, str]]:
    """The environment to use a server with, in a process of its own, which has no bucket."""
    with log.open("w") as said:
        process = subprocess.Popen([sys.executable, "-c", SERVE], stdout=subprocess.PIPE, stderr=said, text=True)
    try:
        assert process.stdout
        port = process.stdout.readline().strip()
        assert port, log.read_text()
        yield CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    finally:
        process.kill()
        process.wait()


def make_bucket(environment: Mapping[str, str], name: str) -> None:
    """Make a bucket on a server; it may be there."""
    _administrator(environment).create_dir(name)


def remove_bucket(environment: Mapping[str, str], name: str) -> None:
    """Remove an empty bucket."""
    _administrator(environment).delete_dir(name)


def _administrator(environment: Mapping[str, str]) -> Any:
    from pyarrow.fs import S3FileSystem

    return S3FileSystem(
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=environment["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=environment["AWS_ENDPOINT_URL"].removeprefix("http://"),
        scheme="http",
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
    )
