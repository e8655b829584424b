"""Telling what a plugin changed in a slide it was given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stbench.slides import Slide


def content(slide: Slide) -> dict[str, Any]:
    """Copies of everything a slide carries, by where it is."""
    adata = slide.adata
    found = {"obs": adata.obs.copy(), "var": adata.var.copy()}
    found |= {"X": _dense(adata.X)} if adata.X is not None else {}
    found |= {f'layers["{key}"]': _dense(layer) for key, layer in adata.layers.items()}
    found |= {f'obsm["{key}"]': _dense(values) for key, values in adata.obsm.items()}
    found |= {f'uns["{key}"]': True for key in adata.uns}
    if adata.raw is not None:
        found["raw"] = _dense(adata.raw.X)
    return found


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what differs."""
    return [what for what in before | after if not _equal(before.get(what), after.get(what))]


def _dense(values: Any) -> NDArray[Any]:
    return np.array(values.toarray() if hasattr(values, "toarray") else values)


def _equal(old: Any, new: Any) -> bool:
    if old is None or new is None:
        return False
    return bool(old.equals(new)) if hasattr(old, "equals") else np.array_equal(old, new, equal_nan=_is_float(old))


def _is_float(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind == "f"
