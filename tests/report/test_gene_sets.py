from __future__ import annotations

from pathlib import Path

import pytest

from stbench.errors import DataError
from stbench.report.gene_sets import read_gmt


def test_sets_as_msigdb_and_enrichr_write_them(tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    path.write_text("ECM\thttps://where\tCOL1A1\tFN1\n\nT cells\t\tCD3E,1.0\tCD3D,0.5\t\nECM\tmore\tBGN\n")

    assert read_gmt(path) == {"ECM": {"COL1A1", "FN1", "BGN"}, "T cells": {"CD3E", "CD3D"}}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"gene,score\nFN1,0.3\n", "line 1 is no gene set; GMT has a set a line"),
        (b"ECM\tdescription\tFN1\nalone\tdescription\n", "line 2 is no gene set"),
        (b"\n\n", "holds no gene set"),
        (b"\xff\xfe\x00", "cannot be read as a GMT file"),
        (None, "cannot be read as a GMT file"),
    ],
)
def test_other_files_are_refused(content: bytes | None, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "sets.gmt"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DataError, match=sentence):
        read_gmt(path)
