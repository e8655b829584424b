"""Running a stored cell again and comparing the two runs, stage by stage.

`again` runs it, `changes` says what is not as it was, `differences` and `stages` compare what came out, `result` holds
the verdict.
"""

from __future__ import annotations

from stbench.execution.reproduce.again import refuse_if_impossible, run_again
from stbench.execution.reproduce.changes import StoredRun, code_changes, environment_changes
from stbench.execution.reproduce.result import Change, Reproduction, Stage
from stbench.execution.reproduce.stages import compare

__all__ = [
    "Change",
    "Reproduction",
    "Stage",
    "StoredRun",
    "code_changes",
    "compare",
    "environment_changes",
    "refuse_if_impossible",
    "run_again",
]
