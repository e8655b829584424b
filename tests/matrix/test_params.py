"""Parameters: flag before preset before default, each with its source; files count by content."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, FilePath

from stbench.errors import UsageError
from stbench.matrix import ModelRequest
from stbench.matrix.params import Resolved, resolve
from stbench.models import Params
from stbench.registry import ModelSpec


class GraphParams(Params):
    hops: int = Field(1, ge=1)
    lr: float = 1e-3
    graph: Literal["hex", "knn"] = "hex"
    weights: Literal["random"] | FilePath = "random"


SPEC = ModelSpec(
    name="sepal",
    factory="a:b",
    params=f"{__name__}:GraphParams",
    presets={"smoke": {"lr": 0.1, "hops": 2}, "visium": {"hops": 3}, "paper": {"graph": "knn"}},
)


def resolved(
    dataset: str = "her2st", preset: str | None = None, sweep: dict | None = None, **settings: object
) -> Resolved:
    (one,) = resolve(SPEC, ModelRequest("sepal", sweep or {}), dataset, preset, settings)
    return one


def test_defaults() -> None:
    found = resolved()

    assert found.values == {"hops": 1, "lr": 0.001, "graph": "hex", "weights": "random"}
    assert set(found.sources.values()) == {"default"}
    assert found.preset == ""
    assert found.by_content == found.values


def test_flag_before_preset_before_default() -> None:
    found = resolved(preset="smoke", lr=0.5)

    assert found.values == {"hops": 2, "lr": 0.5, "graph": "hex", "weights": "random"}
    assert found.sources == {"hops": "preset smoke", "lr": "--set", "graph": "default", "weights": "default"}


def test_a_sweep_is_one_cell_for_each_combination() -> None:
    request = ModelRequest("sepal", {"hops": (1, 4), "graph": ("hex", "knn")})

    found = list(resolve(SPEC, request, "her2st", "smoke", {"hops": 9}))

    assert [(r.values["hops"], r.values["graph"]) for r in found] == [(1, "hex"), (1, "knn"), (4, "hex"), (4, "knn")]
    assert {r.sources["hops"] for r in found} == {"sweep"}
    assert {r.sources["lr"] for r in found} == {"preset smoke"}


@pytest.mark.parametrize(
    ("dataset", "asked", "used"),
    [
        ("visium", None, "visium"),  # named like the dataset
        ("visium", "paper", "paper"),
        ("simulated", None, "smoke"),
        ("simulated", "paper", "paper"),
        ("her2st", None, ""),
    ],
)
def test_which_preset_is_used(dataset: str, asked: str | None, used: str) -> None:
    assert resolved(dataset, asked).preset == used


def test_a_model_without_smoke_runs_its_defaults_on_simulated() -> None:
    spec = ModelSpec(name="m", factory="a:b", params=f"{__name__}:GraphParams")

    (found,) = resolve(spec, ModelRequest("m"), "simulated", None, {})

    assert found.preset == ""


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="model sepal has no preset 'smok'; it has: smoke, visium, paper"):
        resolved(preset="smok")


def test_an_unknown_parameter_gets_near_matches() -> None:
    with pytest.raises(UsageError, match=r"model sepal has no parameter 'hop'; did you mean hops\?"):
        resolved(hop=2)
    with pytest.raises(UsageError, match="model sepal has no parameter 'zzz'; it has: hops, lr, graph, weights"):
        resolved(sweep={"zzz": (1,)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hops": 0}, r"model sepal: hops=0: Input should be greater than or equal to 1"),
        ({"hops": "two"}, "model sepal: hops='two': Input should be a valid integer"),
        ({"graph": "ring"}, "model sepal: graph='ring': Input should be 'hex' or 'knn'"),
        ({"lr": "nan"}, "model sepal: lr='nan': Input should be a finite number"),
        ({"lr": float("inf")}, "model sepal: lr=inf: Input should be a finite number"),
    ],
)
def test_a_wrong_value_is_shown(settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolved(**settings)


def test_a_file_counts_by_its_content_not_by_its_path(tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("a.safetensors", "b.safetensors", "c.safetensors"))
    first.write_bytes(b"weights")
    second.write_bytes(b"weights")
    other.write_bytes(b"other weights")

    found = [resolved(weights=str(path)) for path in (first, second, other)]

    assert [r.values["weights"] for r in found] == [str(p) for p in (first, second, other)]
    digests = [r.by_content["weights"] for r in found]
    assert digests[0] == digests[1] != digests[2]
    assert digests[0].startswith("sha256:")
