"""Rendering a plugin project: all of it or nothing."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from stbench.errors import UsageError
from stbench.scaffold.names import Kind, Lightning, Names, parse_kind, parse_lightning, parse_name
from stbench.versions import API_VERSION

SUFFIX = "jinja"
DEPENDENCIES: dict[Kind, tuple[str, ...]] = {
    Kind.MODEL: ("lightning>=2.4", "pydantic>=2.8", "stbench", "torch>=2.6"),
    Kind.DATASET: ("pydantic>=2.8", "stbench"),
    Kind.METRIC: ("numpy>=1.26", "scipy>=1.13", "stbench"),
}


def render(name: str, kind: str, folder: Path, lightning: str | None = None) -> list[Path]:
    """Write a new plugin project.

    Parameters
    ----------
    name
        Of the plugin: ``tinycnn`` and ``stbench-tinycnn`` are the same.
    kind
        ``model``, ``dataset`` or ``metric``.
    folder
        Where the project's own folder, ``stbench-tinycnn``, is made.
    lightning
        ``package.module:Class`` of a LightningModule that the model wraps.

    Returns
    -------
    The files written, sorted.

    Raises
    ------
    UsageError
        A bad or taken name, an unknown kind, an import string of another form, a folder that is not empty or
        cannot be written.
    """
    known = parse_kind(kind)
    names = parse_name(name, known)
    wrapped = parse_lightning(lightning, known) if lightning is not None else None
    target = folder / names.project
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"{target} exists and is not empty; remove it, or choose another folder with -o")
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{names.project}-", dir=folder) as staging:
            staged = Path(staging) / names.project
            _write(staged, names, known, wrapped)
            if target.exists():
                target.rmdir()  # empty, which Windows does not rename over
            shutil.move(staged, target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written ({error.strerror}); choose another folder with -o") from error
    return sorted(path for path in target.rglob("*") if path.is_file())


def _write(staged: Path, names: Names, kind: Kind, lightning: Lightning | None) -> None:
    environment = Environment(
        loader=PackageLoader("stbench.scaffold"),
        undefined=StrictUndefined,
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    values = {
        "name": names.name,
        "project": names.project,
        "package": names.package,
        "class_name": names.class_name,
        "kind": kind,
        "lightning": lightning,
        "dependencies": sorted({*DEPENDENCIES[kind], *_distribution(lightning)}),
        "api": API_VERSION,
        "year": datetime.now(UTC).year,
    }
    for layer in ("shared", kind, *(["lightning"] if lightning else [])):  # a later layer's files replace earlier ones
        for template in environment.list_templates(extensions=[SUFFIX]):
            top, _, path = template.removesuffix(f".{SUFFIX}").partition("/")
            if top != layer:
                continue
            file = staged / environment.from_string(path).render(values)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(environment.get_template(template).render(values), encoding="utf-8")


def _distribution(lightning: Lightning | None) -> tuple[str, ...]:
    return (lightning.distribution,) if lightning and lightning.distribution else ()
