"""``stbench plugins check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stbench.cli.options import DataDirOption, Format, FormatOption, warn_of_broken_plugins

if TYPE_CHECKING:
    from stbench.registry import Registered
    from stbench.testing.check import Check, Outcome
    from stbench.testing.report import Report


def check(
    name: Annotated[str, typer.Argument(help="What a plugin registers, or a distribution: all that it registers.")],
    kind: Annotated[str | None, typer.Option(help="model, dataset, metric, protocol or encoder.")] = None,
    only: Annotated[str | None, typer.Option(help="Only these checks: id,id.")] = None,
    xfail: Annotated[
        list[str] | None, typer.Option(help="A check known to fail, and why: id:reason; repeatable.")
    ] = None,
    limit: Annotated[str, typer.Option(help="Time one fit and prediction of a model may take.")] = "60s",
    data_dir: DataDirOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Hold a plugin to its contract: every check by name, with its time; exit code 1 if one fails."""
    from stbench.execution.duration import parse_duration
    from stbench.report.console import print_json
    from stbench.testing.report import run

    warn_of_broken_plugins()
    declared = _declared(xfail or ())
    chosen = [c.strip() for c in only.split(",")] if only else None
    subjects = [
        (registered, _checks(registered, data_dir, parse_duration(limit))) for registered in _chosen(name, kind)
    ]
    _require_known([check for _, checks in subjects for check in checks], [*(chosen or ()), *declared])
    reports = []
    for registered, checks in subjects:
        ids = {check.id for check in checks}
        wanted = None if chosen is None else [c for c in chosen if c in ids]
        if wanted == []:
            continue
        table = output is Format.TABLE
        if table:
            print(f"{checks[0].subject} ({registered.distribution} {registered.version})")
        own = {id: reason for id, reason in declared.items() if id in ids}
        report = run(checks, only=wanted, xfail=own, each=_print_outcome if table else lambda outcome: None)
        reports.append((registered, report))
        if table:
            _print_verdict(report)
    if output is Format.JSON:
        print_json([_described(registered, report) for registered, report in reports])
    if any(report.failed for _, report in reports):
        raise typer.Exit(1)


def _require_known(checks: list[Check], names: list[str]) -> None:
    """Refuse ids that no check has, before any is run."""
    from stbench.errors import UsageError

    known = list(dict.fromkeys(check.id for check in checks))
    for name in names:
        if name not in known:
            subjects = " and ".join(dict.fromkeys(check.subject for check in checks))
            raise UsageError(f"{subjects} has no check {name!r}; it has: {', '.join(known)}")


def _declared(xfail: list[str] | tuple[str, ...]) -> dict[str, str]:
    from stbench.errors import UsageError

    declared = {}
    for term in xfail:
        name, colon, reason = term.partition(":")
        if not colon or not reason.strip():
            raise UsageError(f"cannot read --xfail {term!r}; write CHECK:REASON")
        declared[name.strip()] = reason.strip()
    return declared


def _chosen(name: str, kind: str | None) -> list[Registered]:
    from stbench.registry import discover
    from stbench.testing.resolve import kind_of

    registry = discover()
    everything = [r for specs in registry.specs.values() for r in specs if r.spec.kind != "executor"]
    own = [r for r in everything if r.distribution == name and kind in (None, r.spec.kind)]
    return own or [registry.get(kind or kind_of(name), name)]


def _checks(registered: Registered, data_dir: Path | None, limit_s: float) -> list[Check]:
    from stbench.testing import checks_of

    kind = registered.spec.kind
    options: dict[str, dict[str, Any]] = {"model": {"limit_s": limit_s}, "dataset": {"data_dir": data_dir}}
    return checks_of(registered.qualified, kind, **options.get(kind, {}))


def _print_outcome(outcome: Outcome) -> None:
    print(f"  {outcome.status:8} {outcome.id:28} {outcome.seconds:7.2f} s", flush=True)
    if outcome.message:
        print(f"           {outcome.message}")
    if outcome.status == "failed":
        print(f"           why it matters: {outcome.why}")
        print(outcome.details, end="")


def _print_verdict(report: Report) -> None:
    from collections import Counter

    counts = Counter(outcome.status for outcome in report.outcomes)
    seconds = sum(outcome.seconds for outcome in report.outcomes)
    said = ", ".join(f"{n} {status}" for status, n in counts.items())
    print(f"{report.subject}: {report.verdict} ({said}; {seconds:.1f} s)")


def _described(registered: Registered, report: Report) -> dict[str, Any]:
    return {"distribution": registered.distribution, "version": registered.version, **report.to_json()}
