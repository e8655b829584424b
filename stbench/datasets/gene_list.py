"""Lists of genes that others published: one name a line, or a NumPy array of names."""

from __future__ import annotations

import pickletools
from io import BytesIO
from pathlib import Path

import numpy as np

from stbench.errors import DataError
from stbench.slides.readers.assemble import refuse_duplicates

BETWEEN_STRINGS = {"BINPUT", "LONG_BINPUT", "MEMOIZE", "MARK", "APPEND", "APPENDS", "FRAME"}
"""Opcodes of a pickled list of strings, beside the strings."""


def read_gene_list(path: Path) -> list[str]:
    """Read the names, in the order of the file.

    Arrays of Python objects are stored pickled. Their names are read from the pickle without carrying anything out of
    it, so that a file from anywhere can do no harm.

    Parameters
    ----------
    path
        ``.npy`` with a one-dimensional array of text, or a text file with one name a line.

    Raises
    ------
    DataError
        A file that is cut off, is something else, holds no name or one twice.
    """
    try:
        names = _from_npy(path) if path.suffix == ".npy" else path.read_text().splitlines()
    except (OSError, EOFError, ValueError) as error:
        raise DataError(
            f"{path} is truncated or not a list of genes ({error}); fetch it again, or write one name a line into "
            f"{path.with_suffix('.txt').name}"
        ) from error
    genes = [name for line in names if (name := line.strip())]
    if not genes:
        raise DataError(f"{path} names no gene; fetch it again")
    refuse_duplicates(path, "gene", genes)
    return genes


def _from_npy(path: Path) -> list[str]:
    content = path.read_bytes()
    file = BytesIO(content)
    read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    version, _ = np.lib.format.read_magic(file)
    if version not in read_header:
        raise ValueError(f"version {version} of the format is unknown")
    shape, _, dtype = read_header[version](file)
    if len(shape) != 1 or dtype.kind not in "OU":
        raise ValueError(f"it holds an array of {dtype} of shape {shape}")
    if dtype.kind == "U":
        return [str(name) for name in np.load(BytesIO(content), allow_pickle=False)]
    names = _pickled_strings(content[file.tell() :])
    if len(names) != shape[0]:
        raise ValueError(f"its {shape[0]} objects are not all text")
    return names


def _pickled_strings(pickle: bytes) -> list[str]:
    """The strings of the first list in a pickle, whose opcodes are looked at and not carried out."""
    names: list[str] = []
    inside = False
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name == "EMPTY_LIST":
            inside = True
        elif inside and opcode.name.endswith("UNICODE"):
            names.append(str(argument))
        elif inside and opcode.name not in BETWEEN_STRINGS:
            break
    return names
