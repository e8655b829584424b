"""Libraries that write temporary files, made to write them where a run's files belong."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Let `tempfile` use `folder`: torch_geometric writes the code that it makes for an operator into a temporary file.

    Make its layers inside::

        with temporary_files_in(self.context.work_dir):
            self.network = Network(n_genes)
    """
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
