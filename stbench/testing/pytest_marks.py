"""The checks of a subject as parametrized tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stbench.testing.kit import checks_of


def parametrize_with_checks(subject: Any, *, xfail: Mapping[str, str] | None = None, **options: Any) -> Any:
    """Parametrize a test named ``check`` with every check of a plugin.

    ::

        @parametrize_with_checks("tinycnn")
        def test_conformance(check):
            check()

    Parameters
    ----------
    subject
        What `checks_of` takes: a registered name, a spec, or the object itself.
    xfail
        Ids of checks that are known to fail, with the reason.
    options
        Passed on to the checks of that kind: `params`, `limit_s`, `reference`, `data_dir`, …

    Returns
    -------
    A pytest decorator.
    """
    import pytest

    declared = dict(xfail or {})
    checks = checks_of(subject, **options)
    unknown = set(declared) - {check.id for check in checks}
    if unknown:
        raise pytest.UsageError(f"{checks[0].subject} has no check {', '.join(sorted(unknown))}")
    marks = {name: [pytest.mark.xfail(reason=reason)] for name, reason in declared.items()}
    return pytest.mark.parametrize(
        "check", [pytest.param(check, id=check.id, marks=marks.get(check.id, ())) for check in checks]
    )
