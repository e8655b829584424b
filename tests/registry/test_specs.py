"""Specs are cheap and refuse what could not be addressed later."""

from __future__ import annotations

import pytest

from stbench.errors import PluginError
from stbench.registry import DatasetSpec, MetricSpec, ModelSpec, ProtocolSpec


@pytest.mark.parametrize("name", ["sepal", "hist2st", "st-net", "3d"])
def test_names_of_lower_case_letters_digits_and_hyphens(name: str) -> None:
    assert ModelSpec(name=name, factory="a.b:C", params="a.b:P").name == name


@pytest.mark.parametrize("name", ["", "Sepal", "st_net", "st net", "st:net", "a/b", "naïve", "sepal\n"])
def test_other_names_are_refused_with_the_pattern(name: str) -> None:
    with pytest.raises(PluginError, match=r"dataset name .* does not match \[a-z0-9-\]\+; rename it"):
        DatasetSpec(name=name, factory="a.b:C")


def test_metric_names_may_hold_what_the_field_writes() -> None:
    assert MetricSpec(name="n_pcc_above_0.3", factory="a:b", level="gene").name == "n_pcc_above_0.3"
    with pytest.raises(PluginError, match="metric name"):
        MetricSpec(name="pcc@s", factory="a:b", level="gene")


@pytest.mark.parametrize("factory", ["", "a.b", "a.b:", ":C", "a b:C", "a.b:C.d", "a.b:C()", "os;a:C"])
def test_a_factory_is_an_import_string(factory: str) -> None:
    with pytest.raises(PluginError, match=r"protocol p: factory .* is not of the form package\.module:attribute"):
        ProtocolSpec(name="p", factory=factory)


def test_loading_imports_the_object() -> None:
    assert DatasetSpec(name="d", factory="collections:OrderedDict").load()(a=1) == {"a": 1}


@pytest.mark.parametrize("factory", ["no_such_module_here:X", "collections:NoSuchName"])
def test_an_object_that_cannot_be_imported_is_named(factory: str) -> None:
    with pytest.raises(PluginError, match=f"cannot import {factory}: "):
        DatasetSpec(name="d", factory=factory).load()


def test_specs_are_frozen() -> None:
    spec = DatasetSpec(name="d", factory="a:b")

    with pytest.raises(AttributeError):
        spec.name = "e"  # type: ignore[misc]
