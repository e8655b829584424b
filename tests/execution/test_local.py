from __future__ import annotations

import os
from typing import Any

from stbench.execution.local import run_local
from stbench.execution.task import Task
from stbench.execution.worker import new_run_id


def test_the_environment_is_left_as_it_was(toys: Any) -> None:
    """This process's numba refuses to compile after its variable changed."""
    before = dict(os.environ)
    task = Task(cell=toys.cell("mean"), options=toys.options, run_id=new_run_id())
    ended = []

    run_local([task], toys.options, lambda _: None, lambda _, record: ended.append(record))

    assert [record.status for record in ended] == ["ok"]
    assert dict(os.environ) == before
