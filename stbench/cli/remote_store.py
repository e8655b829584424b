"""A ``--store`` in an object store: fetched when a command opens it, uploaded after each cell and at the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stbench.store.remote import RemoteStore

LOCAL = "file"
COMPLETION = "_STBENCH_COMPLETE"
"""Set by the shell while it asks for completions."""

NOT_UPLOADED = 3

_opened: dict[Path, RemoteStore] = {}
"""Remote stores that this command opened, by their mirrors."""


def store_folder(text: str) -> Path:
    """The folder to work on for what ``--store`` says: a folder, or the mirror of ``s3://…`` or ``gs://…``."""
    from stbench.errors import UsageError

    scheme, separated, rest = str(text).partition("://")
    if not separated or COMPLETION in os.environ:
        return Path(text)
    if scheme == LOCAL:
        if not rest.startswith("/"):
            raise UsageError(f"--store {text} names no folder; write file:///FOLDER")
        return Path(rest)
    from stbench.slides import cache
    from stbench.store.remote import RemoteStore

    remote = RemoteStore(text, cache.root() / "stores")
    remote.pull()
    _opened[remote.mirror] = remote
    return remote.mirror


def upload_after_cells(store: Path) -> Callable[[], None]:
    """What to call after each cell: it uploads the run where the store is a remote one, until that fails once."""
    from stbench.errors import StoreError

    remote = _opened.get(store)

    def upload() -> None:
        nonlocal remote
        if remote:
            try:
                remote.push()
            except StoreError:  # tried again, and said, at the end of the command
                remote = None

    return upload


def upload_at_end() -> int:
    """Upload what the command left in mirrors; returns 3, having said why, if that failed, else 0."""
    import sys

    from stbench.errors import StoreError

    code = 0
    while _opened:
        mirror, remote = _opened.popitem()
        try:
            remote.push()
        except StoreError as error:
            print(f"error: {error}; the runs stay in {mirror}, the next command uploads them", file=sys.stderr)
            code = NOT_UPLOADED
    return code
