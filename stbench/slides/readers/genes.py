"""Ids and symbols of genes, as AnnData files carry them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stbench.slides.readers.tables import find_columns

if TYPE_CHECKING:
    from pandas import DataFrame

ID_COLUMNS = ("gene_ids", "gene_id", "ensembl_id", "ensembl", "ensembl_ids", "feature_id")
SYMBOL_COLUMNS = ("symbol", "gene_symbol", "gene_symbols", "gene_name", "gene_names", "feature_name")
ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?")


def ids_and_symbols(var: DataFrame) -> tuple[list[str], list[str]]:
    """Ids and symbols of the genes ``var`` annotates.

    Ids are the names if most look like Ensembl ids, else the first of `ID_COLUMNS`, else the names; symbols are the
    first of `SYMBOL_COLUMNS`, else the names. An empty cell is filled with the name.
    """
    names = [str(name) for name in var.index]
    return names if _are_ensembl(names) else _texts(var, ID_COLUMNS) or names, _texts(var, SYMBOL_COLUMNS) or names


def _are_ensembl(names: list[str]) -> bool:
    return sum(bool(ENSEMBL.fullmatch(name)) for name in names) > len(names) / 2


def _texts(var: DataFrame, columns: tuple[str, ...]) -> list[str] | None:
    import pandas as pd

    found = find_columns(var.columns, [(name,) for name in columns])
    if found is None:
        return None
    cells = var[found[0]].astype(object)
    return [str(name) if pd.isna(cell) or not str(cell) else str(cell) for name, cell in cells.items()]
