"""Whatever stbench itself registers passes the kit that others are held to."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from stbench.protocols.gene_lengths import ANNOTATIONS
from stbench.registry import discover
from stbench.testing import checks_of

OWN = [
    registered.qualified + "/" + kind
    for kind, specs in discover().specs.items()
    for registered in specs
    if registered.distribution == "stbench" and kind != "executor" and not getattr(registered.spec, "definition", "")
]


def checks() -> list[object]:
    """Every check of every built-in."""
    found = []
    for name in OWN:
        qualified, _, kind = name.rpartition("/")
        found += [pytest.param(c, id=f"{qualified}-{c.id}") for c in checks_of(qualified, kind)]
    return found


@pytest.fixture
def annotation(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengths of the generated genes, where a protocol would download GENCODE's; the cache must not keep them."""
    if "sepal" not in request.node.callspec.id:
        return
    exon = 'chr1\ttest\texon\t1\t{0}\t.\t+\t.\tgene_id "ENSG{0:011d}.1";\n'
    text = "".join(exon.format(n) for n in range(1, 100))
    (tmp_path / ANNOTATIONS[0].file).write_bytes(gzip.compress(text.encode()))
    monkeypatch.setenv("STBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("STBENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("check", checks())
def test_conformance(check, annotation: None) -> None:
    check()
