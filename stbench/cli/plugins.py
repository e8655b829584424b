"""``stbench plugins``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stbench.cli import check
from stbench.cli.options import Format, FormatOption

app = typer.Typer(help="Installed plugins.", no_args_is_help=True)
app.command("check")(check.check)

INSTALL, TEST, CHECK = "pip install -e {editable}", "pytest {folder}", "stbench plugins check {name}"
NEXT = {
    "model": (INSTALL, CHECK, "stbench run -m {name} -m mean -d simulated", TEST),
    "metric": (INSTALL, CHECK, "stbench run -m mean -m ridge -d simulated", TEST),
    "dataset": (
        INSTALL,
        "python {folder}/tests/example.py example",
        CHECK + " --data-dir example",
        "stbench run -m mean -d {name} --data-dir example",
        TEST,
    ),
}
"""What to do with a new project, by kind."""


@app.command("ls")
def ls(output: FormatOption = Format.TABLE) -> None:
    """List plugins and whether they work."""
    from stbench.registry import discover
    from stbench.report.console import print_json, print_table

    rows = [
        {
            "plugin": p.entry_point,
            "distribution": p.distribution,
            "version": p.version,
            "module": p.module,
            "state": p.problem or "ok",
        }
        for p in discover().plugins
    ]
    if output is Format.JSON:
        print_json(rows)
        return
    print_table(["plugin", "distribution", "version", "module", "state"], [list(row.values()) for row in rows])


@app.command("doctor")
def doctor() -> None:
    """Check every plugin: import, API version, and that what it names can be loaded; exit code 1 if not."""
    from stbench.errors import PluginError
    from stbench.registry import discover

    registry = discover()
    unusable = 0
    for plugin in registry.broken:
        unusable += 1
        print(f"✗ {plugin.entry_point} ({plugin.distribution} {plugin.version}): {plugin.problem}\n{plugin.details}")
    for kind, specs in registry.specs.items():
        by_name: dict[str, list[str]] = {}
        for registered in specs:
            by_name.setdefault(registered.spec.name, []).append(registered.qualified)
            try:
                registered.spec.load()
                if kind == "model":
                    registered.spec.load_params()
            except PluginError as error:
                unusable += 1
                print(f"✗ {kind} {registered.qualified}: {error}")
        for name, owners in by_name.items():
            if len(owners) > 1:
                unusable += 1
                print(f"✗ {kind} {name} is claimed by {' and '.join(owners)}; ask for one of these names")
    total = len(registry.plugins)
    print(f"{total} plugins, {sum(map(len, registry.specs.values()))} offers, {unusable} problems")
    if unusable:
        raise typer.Exit(1)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Name of the plugin, with or without stbench- before it.")],
    kind: Annotated[str, typer.Option(help="What it offers: model, dataset or metric.")] = "model",
    from_lightning: Annotated[
        str | None, typer.Option(metavar="MODULE:CLASS", help="A LightningModule that the model wraps.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the project's own folder is made.")
    ] = Path(),
) -> None:
    """Make the project of a new plugin: it installs, runs, and passes its own tests."""
    import shlex

    from stbench.scaffold import render

    files = render(name, kind, output, from_lightning)
    folder = next(file.parent for file in files if file.name == "pyproject.toml")
    print(f"{folder} holds the {kind} in {len(files)} files. Next:")
    words = {"folder": str(folder), "editable": f"{folder}[test]", "name": folder.name.removeprefix("stbench-")}
    for command in NEXT[kind]:
        print("  " + command.format_map({word: shlex.quote(value) for word, value in words.items()}))
