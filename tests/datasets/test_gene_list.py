"""Lists of genes: text and arrays say the same, nothing in a file is carried out, a sentence for what is wrong."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stbench.datasets.gene_list import read_gene_list
from stbench.errors import DataError

GENES = ["KRT5", "HLA-A", "KRT14", "O8"]


@pytest.mark.parametrize("dtype", [str, object])
def test_arrays_of_text_and_of_objects(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "genes.npy", np.array(GENES, dtype))

    assert read_gene_list(tmp_path / "genes.npy") == GENES


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_objects_as_any_numpy_pickled_them(tmp_path: Path, protocol: int) -> None:
    genes = np.array([f"G{i}" for i in range(2500)], object)  # more than one batch of a pickled list
    with (tmp_path / "genes.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(genes))
        pickle.dump(genes, file, protocol)

    assert read_gene_list(tmp_path / "genes.npy") == list(genes)


def test_text_in_lines(tmp_path: Path) -> None:
    (tmp_path / "genes.txt").write_text("\n".join(GENES) + "\r\n\n")

    assert read_gene_list(tmp_path / "genes.txt") == GENES


class Malicious:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> Any:
        return Path.touch, (self.victim,)


def test_a_file_carries_nothing_out(tmp_path: Path) -> None:
    np.save(tmp_path / "genes.npy", np.array(["KRT5", Malicious(tmp_path / "made")], object))

    with pytest.raises(DataError, match="its 2 objects are not all text"):
        read_gene_list(tmp_path / "genes.npy")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.arange(3), "holds an array of int64"),
        (np.array([["A", "B"]]), r"of shape \(1, 2\)"),
        (np.array([], "U4"), "names no gene"),
        (np.array(["A", "B", "A"]), "gene A appears twice"),
        (np.array(["A", 3], object), "its 2 objects are not all text"),
    ],
)
def test_arrays_that_are_something_else(tmp_path: Path, array: Any, sentence: str) -> None:
    np.save(tmp_path / "genes.npy", array)

    with pytest.raises(DataError, match=rf"genes\.npy.*{sentence}"):
        read_gene_list(tmp_path / "genes.npy")


@pytest.mark.parametrize("dtype", [str, object])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.6, 0.99])
def test_truncated_files(tmp_path: Path, dtype: type, share: float) -> None:
    path = tmp_path / "genes.npy"
    np.save(path, np.array(GENES, dtype))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    with pytest.raises(DataError, match=r"is truncated or not a list .* or write one name a line into genes\.txt"):
        read_gene_list(path)
