"""Two runs of one cell compared, stage by stage."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from stbench.errors import StoreError
from stbench.execution.reproduce.changes import StoredRun, code_changes, environment_changes
from stbench.execution.reproduce.differences import union
from stbench.execution.reproduce.result import Change, Reproduction, Stage, Verdict, judge, worst
from stbench.execution.reproduce.scores import score_stage
from stbench.execution.reproduce.slides import SlideComparison, compare_slide
from stbench.registry import Registry
from stbench.store import RunRecord


def compare(then: StoredRun, now: StoredRun, registry: Registry, tolerance: float) -> Reproduction:
    """Compare a stored run with the same cell run again.

    Parameters
    ----------
    tolerance
        Largest difference, over the spread (standard deviation) of the values then, that counts as the same.

    Raises
    ------
    StoreError
        If what one of them was scored on, or predicted, cannot be read.
    """
    code = code_changes(then.record, registry)
    known = [Stage("data", "same", said=(f"revision {then.record.cell.dataset_revision}",)), _code_stage(code)]
    if then.record.status == now.record.status == "ok":
        stages = _numeric_stages(then, now, tolerance)
        verdict = worst(s.outcome for s in stages)
    else:
        stages, verdict = _ends(then.record, now.record)
    return Reproduction(
        run_id=then.record.run_id,
        again=now.record.run_id,
        cell_key=then.record.cell_key,
        cell=str(then.record.cell),
        verdict=verdict,
        stages=(*known, *stages),
        code=code,
        environment=environment_changes(then.record, now.record),
    )


def _code_stage(changes: Iterable[Change]) -> Stage:
    said = tuple(f"{c.what}: {c.then} → {c.now}" for c in changes)
    return Stage("code", "changed" if said else "same", said=said)


def _ends(then: RunRecord, now: RunRecord) -> tuple[list[Stage], Verdict]:
    """One stage: how each of them ended."""
    ends = [
        (r.status, r.failure.stage, r.failure.kind, r.failure.message) if r.failure else (r.status, "", "", "")
        for r in (then, now)
    ]
    told = [f"{status} in {stage}: {kind}: {message}" if stage else status for status, stage, kind, message in ends]
    alike = ends[0][:3] == ends[1][:3]
    stage = ends[1][1] or ends[0][1]
    same = ends[0] == ends[1]
    said = (f"again {told[1]}",) if same else (f"then {told[0]}", f"now {told[1]}")
    return [Stage(stage, "same" if alike else "different", said=said)], "fails alike" if alike else "different"


def _numeric_stages(then: StoredRun, now: StoredRun, tolerance: float) -> list[Stage]:
    try:
        pairs = zip(then.record.test, now.record.test, strict=True)
        slides = [compare_slide(then, now, *pair) for pair in pairs]
        score = score_stage(then, now, tolerance)
    except (OSError, pa.ArrowException, StoreError) as error:
        raise StoreError(
            f"run {then.record.run_id} cannot be compared: {str(error).splitlines()[0]}; "
            f"`stbench store verify --store {then.layout.root}` says what is damaged"
        ) from error
    return [_protocol_stage(slides, tolerance), _predict_stage(slides, tolerance), score]


def _protocol_stage(slides: list[SlideComparison], tolerance: float) -> Stage:
    apart = union(s.target for s in slides)
    said = [sentence for s in slides for sentence in s.target_said]
    shape = ", ".join(f"{s.name}: {s.n_spots} spots × {s.n_genes} genes" for s in slides)
    outcome = judge(apart, tolerance, other=any(s.other_target for s in slides))
    return Stage("protocol", outcome, apart, (f"target of {shape}", *said))


def _predict_stage(slides: list[SlideComparison], tolerance: float) -> Stage:
    found = [s.predictions for s in slides if s.predictions is not None]
    if len(found) < len(slides):
        return Stage("predict", "not compared", said=("the run kept no predictions; its moments are compared instead",))
    said = [sentence for s in slides for sentence in s.predictions_said]
    outcome = judge(union(found), tolerance, other=any(s.other_predictions for s in slides))
    return Stage("predict", outcome, union(found), tuple(said))
