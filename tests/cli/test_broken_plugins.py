"""Third parties' plugins that break must leave everything else alone."""

from __future__ import annotations

from typing import Any

import pytest


def warnings_of(stderr: str) -> list[str]:
    """Plugins warned of, one line each."""
    return sorted(line.split()[2] for line in stderr.splitlines() if line.startswith("warning: plugin "))


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "models"],
        ["ls", "datasets"],
        ["info", "model", "ridge"],
        ["info", "dataset", "toy"],
        ["run", "-m", "mean", "-d", "toy", "--dry-run"],
        ["leaderboard"],
    ],
)
def test_every_other_command_works_with_one_line_of_warning(
    arguments: list[str], broken: Any, broken_names: list[str]
) -> None:
    done = broken(*arguments)

    assert done.returncode == 0
    assert warnings_of(done.stderr) == broken_names
    assert "Traceback" not in done.stderr


def test_runs_finish_beside_broken_plugins(broken: Any, sweep: Any, broken_names: list[str]) -> None:
    assert sweep.done.returncode == 0
    assert warnings_of(sweep.done.stderr) == broken_names
    run_id = broken.json("ls", "runs", store=sweep.store)[0]["run_id"]
    assert broken("status", store=sweep.store).returncode == 0
    assert broken("show", run_id, store=sweep.store).returncode == 0


def test_doctor_names_each_broken_plugin_and_why(broken: Any) -> None:
    checked = broken("plugins", "doctor")

    assert checked.returncode == 1
    assert "broken-import 0.1): ModuleNotFoundError: No module named 'a_module_that_does_not_exist'" in checked.stdout
    assert "broken-exit 0.1): SystemExit: 3" in checked.stdout
    assert "written for STBENCH_API '0', this is stbench with API '1'" in checked.stdout
    assert "model name 'No Good Name' does not match" in checked.stdout
    assert "model position is claimed by" in checked.stdout
    assert "model hollow-plugin:hollow: cannot import stbench.models.mean:Nowhere" in checked.stdout
    assert "6 problems" in checked.stdout


def test_plugins_ls_says_which_work(broken: Any, broken_names: list[str]) -> None:
    states = {row["plugin"]: row["state"] for row in broken.json("plugins", "ls")}

    assert states["builtin"] == states["toy"] == "ok"
    assert {name for name, state in states.items() if state != "ok"} == set(broken_names)


def test_doctor_finds_nothing_wrong_with_working_plugins(in_process: Any) -> None:
    checked = in_process("plugins", "doctor")

    assert checked.returncode == 0
    assert "0 problems" in checked.stdout


def test_a_name_claimed_twice_is_an_error_only_when_it_is_asked_for(broken: Any) -> None:
    asked = broken("run", "-m", "position", "-d", "toy", "--dry-run")
    other = broken("run", "-m", "mean", "-d", "toy", "--dry-run")
    named = broken("run", "-m", "stbench:position", "-d", "toy", "--dry-run")

    assert asked.returncode == 1
    assert "offered by several plugins; say which: rival:position or stbench:position" in asked.stderr
    assert other.returncode == named.returncode == 0
