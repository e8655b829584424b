"""``stbench plugins``."""

from __future__ import annotations

import typer

from stbench.cli.options import Format, FormatOption

app = typer.Typer(help="Installed plugins.", no_args_is_help=True)


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
