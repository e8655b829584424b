"""``stbench info``."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from stbench.cli.options import DataDirOption, Format, FormatOption, warn_of_broken_plugins


class Kind(StrEnum):
    """What can be described."""

    MODEL = "model"
    DATASET = "dataset"
    METRIC = "metric"
    PROTOCOL = "protocol"
    ENCODER = "encoder"
    EXECUTOR = "executor"


def info(
    kind: Annotated[Kind, typer.Argument(help="What it is.")],
    name: Annotated[str, typer.Argument(help="Its name.")],
    data_dir: DataDirOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Everything known of one model, dataset, metric, protocol or encoder."""
    from dataclasses import fields

    from stbench.registry import discover
    from stbench.report.console import print_json, print_table

    warn_of_broken_plugins()
    registered = discover().get(kind.value, name)
    spec = registered.spec
    facts: dict[str, Any] = {"distribution": registered.distribution, "version": registered.version}
    stated = {field.name: getattr(spec, field.name) for field in fields(spec)}
    facts |= {name: _tree(value) for name, value in stated.items() if value not in (None, "", (), {})}
    details = _DETAILS.get(kind, lambda spec, data_dir: [])(spec, data_dir)
    if output is Format.JSON:
        print_json(facts | {"details": details})
        return
    print_table(["", ""], [(k, _plain(v)) for k, v in facts.items()])
    if details:
        print_table(list(details[0]), [list(row.values()) for row in details])


def _tree(value: Any) -> Any:
    """Plain values; `dataclasses.asdict` cannot copy a spec's read-only mappings."""
    from dataclasses import asdict, is_dataclass

    if isinstance(value, Mapping):
        return {key: _tree(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tree(item) for item in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k}: {_plain(v)}" for k, v in value.items()) or "–"
    return ", ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)


def _parameters(spec: Any, data_dir: Any) -> list[dict[str, Any]]:
    fields = spec.load_params().model_fields
    return [
        {
            "parameter": name,
            "type": str(getattr(field.annotation, "__name__", field.annotation)),
            "default": str(field.default),
            "description": field.description or "",
        }
        for name, field in fields.items()
    ]


def _slides(spec: Any, data_dir: Any) -> list[dict[str, Any]]:
    from stbench.datasets import DatasetContext
    from stbench.errors import DataError
    from stbench.report.console import warn
    from stbench.slides import cache

    try:
        slides = spec.open(DatasetContext(cache.root(), data_dir)).slides()
    except DataError as error:
        warn(str(error))
        return []
    return [
        {
            "slide": s.id,
            "patient": s.patient,
            "technology": s.technology,
            "spot µm": f"{s.spot_um:g}",
            "µm/px": f"{s.mpp:.4f}" if s.mpp else "unknown",
            "from": s.mpp_source,
            "image": "yes" if s.has_image else s.image_missing,
        }
        for s in slides
    ]


def _steps(spec: Any, data_dir: Any) -> list[dict[str, Any]]:
    protocol = spec.load()
    return [
        {"step": repr(step), "fitted on": step.fit_on, "declares": ", ".join(sorted(protocol.declares))}
        for step in (*protocol.spot_steps, *protocol.target_steps)
    ]


_DETAILS = {Kind.MODEL: _parameters, Kind.DATASET: _slides, Kind.PROTOCOL: _steps}
