"""Gene sets from a GMT file."""

from __future__ import annotations

from pathlib import Path

from stbench.errors import DataError


def read_gmt(path: Path) -> dict[str, set[str]]:
    """Read gene sets: a line each, ``NAME<tab>DESCRIPTION<tab>GENE<tab>GENE…``, as MSigDB and Enrichr write them.

    A weight after a gene (``GENE,1.0``) is dropped; lines of one name are one set.

    Raises
    ------
    DataError
        A file that cannot be read or that has other lines.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a GMT file ({error})") from error
    sets: dict[str, set[str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *rest = line.split("\t")
        genes = {gene.partition(",")[0].strip() for gene in rest[1:]} - {""}
        if not name.strip() or not genes:
            raise DataError(
                f"{path}: line {number} is no gene set; GMT has a set a line, NAME, DESCRIPTION and its genes "
                "separated by tabs"
            )
        sets.setdefault(name.strip(), set()).update(genes)
    if not sets:
        raise DataError(f"{path} holds no gene set")
    return sets
