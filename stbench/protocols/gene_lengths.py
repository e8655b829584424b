"""Gene lengths, as TPM divides by: the union of a gene's exons in GENCODE's basic annotation."""

from __future__ import annotations

import csv
import gzip
import os
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stbench.errors import DataError
from stbench.slides import cache

GENE_ID = re.compile(r'gene_id "([^"]+)"')


@dataclass(frozen=True)
class Annotation:
    """A release of GENCODE (addresses not verified).

    Attributes
    ----------
    prefix
        What the Ensembl ids of its genes begin with.
    """

    species: str
    prefix: str
    file: str
    address: str


ANNOTATIONS = (
    Annotation(
        "human",
        "ENSG",
        "gencode.v43.basic.annotation.gtf.gz",
        "https://ftp.ebi.ac.uk/pub/databases/gencode/Gencode_human/release_43/",
    ),
    Annotation(
        "mouse",
        "ENSMUSG",
        "gencode.vM32.basic.annotation.gtf.gz",
        "https://ftp.ebi.ac.uk/pub/databases/gencode/Gencode_mouse/release_M32/",
    ),
)


def species_of(genes: Sequence[str]) -> Annotation | None:
    """The annotation that most of the genes are named by; None if they are not Ensembl ids."""
    for annotation in ANNOTATIONS:
        named = sum(gene.startswith(annotation.prefix) for gene in genes)
        if named > len(genes) / 2:
            return annotation
    return None


def gene_lengths(genes: Sequence[str]) -> dict[str, int]:
    """Bases in the union of exons, for each of the genes that the annotation has, under the name given.

    The annotation is read once; the lengths are kept in the cache.

    Raises
    ------
    DataError
        The annotation is neither here nor can it be fetched, or is damaged.
    """
    annotation = species_of(genes)
    if annotation is None:
        raise DataError("the genes are not named by Ensembl ids of human or mouse; use lengths=none")
    lengths = _all_lengths(annotation)
    return {gene: lengths[name] for gene in genes if (name := unversioned(gene)) in lengths}


def unversioned(gene: str) -> str:
    """An Ensembl id without its version."""
    return gene.partition(".")[0]


def exon_union(lines: Iterable[str]) -> dict[str, int]:
    """Bases in the union of each gene's exons.

    Parameters
    ----------
    lines
        Of a GTF file: start and end in columns 4 and 5, both inclusive.

    Returns
    -------
    By gene id without version; of a pseudoautosomal gene, which has an entry on X and one on Y, the first.
    """
    spans: dict[str, list[tuple[int, int]]] = {}
    for line in lines:
        field = line.split("\t", 8)
        if len(field) == 9 and field[2] == "exon" and (gene := GENE_ID.search(field[8])):
            spans.setdefault(gene[1], []).append((int(field[3]), int(field[4]) + 1))
    lengths: dict[str, int] = {}
    for name, each in spans.items():
        lengths.setdefault(unversioned(name), _union(each))
    return lengths


def _union(spans: list[tuple[int, int]]) -> int:
    start, stop = np.array(sorted(spans)).T
    reached = np.maximum.accumulate(stop)
    covered_before = np.concatenate([[start[0]], reached[:-1]])
    return int((reached - np.maximum(start, covered_before)).clip(0).sum())


def _all_lengths(annotation: Annotation) -> dict[str, int]:
    folder = cache.root() / "data" / "gencode"
    table = folder / f"{annotation.file}.lengths.tsv"
    try:
        with table.open(newline="") as file:
            return {gene: int(length) for gene, length in csv.reader(file, delimiter="\t")}
    except (OSError, ValueError):
        gtf = _gtf(annotation, folder)
    try:
        with gzip.open(gtf, "rt") as lines:
            lengths = exon_union(lines)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{gtf} is damaged or not a GTF file ({error}); delete it and run the command again") from error
    if not lengths:
        raise DataError(f"{gtf} holds no exon of a named gene; put {annotation.file} of GENCODE in its place")
    partial = cache.temporary(table)
    with partial.open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(lengths.items())
    os.replace(partial, table)
    return lengths


def _gtf(annotation: Annotation, folder: Path) -> Path:
    """The annotation's file: in the data directory, in the cache, or downloaded into it."""
    given = os.environ.get("STBENCH_DATA")
    places = [*([Path(given), Path(given) / "gencode"] if given else []), folder]
    here = next((place / annotation.file for place in places if (place / annotation.file).is_file()), None)
    return here or _download(annotation, folder)


def _download(annotation: Annotation, folder: Path) -> Path:
    import pooch
    import requests

    file, url = annotation.file, annotation.address + annotation.file
    pooch.get_logger().setLevel("WARNING")  # it announces each download on stderr
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return Path(pooch.retrieve(url, None, fname=file, path=folder))
    except (requests.RequestException, OSError) as error:
        raise DataError(
            f"gene lengths come from {file}, which is not here and cannot be downloaded from {url} ({error}); put it "
            f"into {folder}"
        ) from error
