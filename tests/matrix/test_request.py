"""What is typed on the command line, parsed."""

from __future__ import annotations

import pytest

from stbench.errors import UsageError
from stbench.matrix import ModelRequest
from stbench.matrix.request import choose_folds, parse_presets, parse_seeds, parse_settings, parse_value


@pytest.mark.parametrize(
    ("text", "name", "sweep"),
    [
        ("sepal", "sepal", {}),
        ("stbench-sepal:sepal", "stbench-sepal:sepal", {}),
        ("sepal[hops=1,2]", "sepal", {"hops": (1, 2)}),
        ("sepal[hops=1,2;lr=1e-3]", "sepal", {"hops": (1, 2), "lr": (0.001,)}),
        ("ridge[encoder=resnet18,uni]", "ridge", {"encoder": ("resnet18", "uni")}),
        ("m[flag=true,false;x=null]", "m", {"flag": (True, False), "x": (None,)}),
    ],
)
def test_models_and_sweeps(text: str, name: str, sweep: dict) -> None:
    assert ModelRequest.parse(text) == ModelRequest(name, sweep)


@pytest.mark.parametrize("text", ["", "[a=1]", "m[", "m[a=1", "m]", "m[]", "m[a]", "m[=1]", "m[a=1]x"])
def test_models_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        ModelRequest.parse(text)


def test_values_are_json_where_they_are_json() -> None:
    texts = ["1", "0.5", "1e-4", "true", "null", "[1, 2]", "resnet50", "1,2", "path/to/w.safetensors", ""]

    assert [parse_value(t) for t in texts] == [1, 0.5, 1e-4, True, None, [1, 2], *texts[6:]]


def test_settings_by_model() -> None:
    settings = parse_settings(["hops=2", "ridge.alpha=10", "ridge.weights=a=b.safetensors", "sepal.lr=1e-3"])

    assert settings == {"": {"hops": 2}, "ridge": {"alpha": 10, "weights": "a=b.safetensors"}, "sepal": {"lr": 0.001}}
    with pytest.raises(UsageError, match=r"cannot read 'hops'; the form is --set \[MODEL\.\]param=value"):
        parse_settings(["hops"])


def test_presets_by_model() -> None:
    assert parse_presets(["smoke", "sepal=visium"]) == {"": "smoke", "sepal": "visium"}


def test_seeds() -> None:
    assert parse_seeds("0") == (0,)
    assert parse_seeds("0,1, 5") == (0, 1, 5)
    assert parse_seeds("2-4,3,0") == (2, 3, 4, 0)
    for wrong in ("", "a", "1-", "-1", "1.5", "4-2"):
        with pytest.raises(UsageError, match=f"cannot read --seeds '{wrong}'; write 0,1,2 or 0-4"):
            parse_seeds(wrong)


IDS = ["A", "B", "C", "2", "block-1"]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        (None, IDS),
        ("A", ["A"]),
        ("C, A", ["C", "A"]),
        ("0", ["A"]),
        ("1-3", ["B", "C", "2"]),
        ("2", ["2"]),  # an id before an index
        ("4", ["block-1"]),
        ("block-1,0,A", ["block-1", "A"]),
    ],
)
def test_folds_by_id_or_index_into_the_complete_list(text: str | None, chosen: list[str]) -> None:
    assert choose_folds(text, IDS) == chosen


@pytest.mark.parametrize("text", ["5", "Z", "0-5", "", "A,,B", "-1", "3-1"])
def test_folds_that_are_not_there(text: str) -> None:
    with pytest.raises(UsageError, match=r"no fold '.*'; there are 5 \(0-4\): A, B, C, 2, block-1"):
        choose_folds(text, IDS)
