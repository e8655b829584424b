"""Small sections in the layouts others publish: the formats are theirs, the numbers made here."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csc_matrix

from stbench.slides.readers.spaceranger import COLUMNS

VISIUM_MPP = 5.0
"""µm per pixel of the full-resolution image; the hires image is half as large."""

ST_PITCH_PX = 20.0
GENES = [f"ENSG{i:011d}" for i in range(40)]


def write_10x_h5(
    path: Path, barcodes: Sequence[str], genes: Sequence[tuple[str, str]], kinds: Sequence[str], counts: NDArray[Any]
) -> None:
    """Counts (spots, genes) in the format of Cell Ranger 3 and Space Ranger; genes are (id, symbol)."""
    sparse = csc_matrix(counts.T)  # (genes, spots)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(barcodes, "S")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(sparse, name)
        group["shape"] = sparse.shape
        features = group.create_group("features")
        features["id"] = np.array([gene for gene, _ in genes], "S")
        features["name"] = np.array([symbol for _, symbol in genes], "S")
        features["feature_type"] = np.array(kinds, "S")
        features["genome"] = np.array(["GRCh38"] * len(genes), "S")


def visium_places() -> pd.DataFrame:
    """A hexagonal array of 12 × 10 spots, the first row not in tissue, and their centres."""
    row, col = np.divmod(np.arange(120), 10)
    col = 2 * col + row % 2
    y, x = 30 + row * 50 * np.sqrt(3) / VISIUM_MPP, 30 + col * 50 / VISIUM_MPP
    names = [f"AAAC{i:03d}-1" for i in range(120)]
    return pd.DataFrame(dict(zip(COLUMNS, [names, (row > 0).astype(int), row, col, y, x], strict=True)))


def visium_counts(seed: int) -> NDArray[Any]:
    """Counts (spots, genes) of the spots in tissue, with a gradient down the array."""
    places = visium_places()
    inside = places["in_tissue"].to_numpy() == 1
    slope = np.linspace(-1, 1, len(GENES))
    rate = 6 * np.exp(np.outer(places["array_row"] / 12 - 0.5, slope))
    return np.random.default_rng(seed).poisson(rate)[inside]


def publish_visium(folder: Path, sample: str, seed: int) -> Path:
    """The three files of a sample, as its site offers them, in ``<folder>/<sample>``."""
    target = folder / sample
    target.mkdir(parents=True)
    places = visium_places()
    barcodes = places["barcode"][places["in_tissue"] == 1].tolist()
    genes = [(gene, f"G{i}") for i, gene in enumerate(GENES)]
    counts = target / f"{sample}_filtered_feature_bc_matrix.h5"
    write_10x_h5(counts, barcodes, genes, ["Gene Expression"] * len(genes), visium_counts(seed))
    pixels = np.random.default_rng(seed).integers(100, 255, (280, 260, 3), np.uint8)
    tifffile.imwrite(target / f"{sample}_image.tif", pixels, photometric="rgb", tile=(64, 64))
    small = io.BytesIO()
    Image.fromarray(pixels).resize((130, 140)).save(small, "PNG")
    factors = {"tissue_hires_scalef": 0.5, "tissue_lowres_scalef": 0.1, "fiducial_diameter_fullres": 21.0}
    members = {
        "tissue_positions_list.csv": places.to_csv(header=False, index=False).encode(),
        "scalefactors_json.json": json.dumps(factors).encode(),
        "tissue_hires_image.png": small.getvalue(),
    }
    with tarfile.open(target / f"{sample}_spatial.tar.gz", "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"spatial/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return target


def unpack_visium(published: Path, target: Path) -> Path:
    """A sample's files as somebody puts them into a folder: the archive unpacked, the rest as it is."""
    shutil.copytree(published, target)
    (archive,) = target.glob("*_spatial.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    archive.unlink()
    return target


def st_positions() -> NDArray[np.int64]:
    """Array coordinates (x, y) of 8 × 8 spots."""
    return np.array([(x, y) for y in range(3, 11) for x in range(5, 13)])


def st_pixels(positions: NDArray[Any]) -> NDArray[np.float64]:
    """Their centres (x, y)."""
    return positions * ST_PITCH_PX + 2.5


def st_counts(seed: int) -> NDArray[Any]:
    """Counts (spots, genes), with a gradient along the spots."""
    rate = 6 * np.exp(np.outer(np.linspace(-0.5, 0.5, 64), np.linspace(-1, 1, len(GENES))))
    return np.random.default_rng(seed).poisson(rate)


def publish_stnet(folder: Path, patient: str, section: str, seed: int = 0) -> None:
    """The four files of a section as the record offers them, with all their oddities.

    The count table has a spot outside of the tissue, (2, 3); spot (5, 3) has no annotation, (6, 3) no place and (7, 3)
    no counts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    positions = st_positions()
    names = [f"{x}x{y}" for x, y in positions]
    counts = dict(zip(names, st_counts(seed), strict=True))
    rows = [f"{name}\t" + "\t".join(map(str, counts[name])) for name in names if name != "7x3"]
    rows.append("2x3\t" + "\t".join(["1"] * len(GENES)))
    write_gzip(folder / f"BC{patient}_{section}_stdata.tsv.gz", ["\t".join(["", *GENES]), *rows])
    spots = [f"{name},{x},{y}" for name, (x, y) in zip(names, st_pixels(positions), strict=True) if name != "6x3"]
    write_gzip(folder / f"spots_BT{patient}_{section}.csv.gz", [",X,Y", *spots])
    labels = [
        f"{section}_{x}_{y}\t{x + 0.04:.2f}\t{y - 0.03:.2f}\tL{n}\t{'tumor' if y < 7 else 'non'}"
        for n, (x, y) in enumerate(positions)
        if (x, y) != (5, 3)
    ]
    write_gzip(folder / f"BC{patient}_{section}_Coords.tsv.gz", ["xcoord\tycoord\tlab\ttumor\t", *labels], end="\r")
    pixels = np.random.default_rng(seed).integers(100, 255, (240, 270, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"HE_BT{patient}_{section}.jpg")


def write_gzip(path: Path, lines: Iterable[str], end: str = "\n") -> None:
    """A gzipped text file."""
    path.write_bytes(gzip.compress("".join(f"{line}{end}" for line in lines).encode()))


CSCC_STEP_PX = 16.0
"""From one position to the next; every second one holds a spot."""
CSCC_MPP = 150 / np.sqrt(2) / CSCC_STEP_PX
SYMBOLS = [f"G{i}" for i in range(40)]


def cscc_positions() -> NDArray[np.int64]:
    """Array coordinates (x, y) of 128 spots: a checkerboard of 16 × 16."""
    return np.array([(x, y) for y in range(3, 19) for x in range(2, 18) if (x + y) % 2 == 0])


def cscc_counts(seed: int) -> NDArray[Any]:
    """Counts (spots, genes) of the whole array, with a gradient down it."""
    rate = 6 * np.exp(np.outer(cscc_positions()[:, 1] / 16 - 0.6, np.linspace(-1, 1, len(SYMBOLS))))
    return np.random.default_rng(seed).poisson(rate)


def publish_cscc(folder: Path, section: str, seed: int = 0, gsm: int = 4284316) -> None:
    """The three files of a section as GEO has them; spots with x below 4 are not below tissue, (4, 4) has no counts."""
    folder.mkdir(parents=True, exist_ok=True)
    positions = cscc_positions()
    counts = zip(positions, cscc_counts(seed), strict=True)
    rows = [f"{x}x{y}\t" + "\t".join(map(str, row)) for (x, y), row in counts if (x, y) != (4, 4)]
    write_gzip(folder / f"GSM{gsm}_{section}_stdata.tsv.gz", ["\t".join(["", *SYMBOLS]), *rows])
    places = [
        f"{x}\t{y}\t{x + 0.03:.2f}\t{y - 0.02:.2f}\t{x * CSCC_STEP_PX + 4:.1f}\t{y * CSCC_STEP_PX + 2:.1f}\t1"
        for x, y in positions[positions[:, 0] >= 4]
    ]
    header = "\t".join(["x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "selected"])
    write_gzip(folder / f"GSM{gsm}_spot_data-selection-{section}.tsv.gz", [header, *places])
    image = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(100, 255, (310, 300, 3), np.uint8)
    Image.fromarray(pixels).save(image, "JPEG")
    (folder / f"GSM{gsm}_{section}.jpg.gz").write_bytes(gzip.compress(image.getvalue()))


def publish_dlpfc(folder: Path, section: str, seed: int) -> None:
    """The files of a cortex section as its site and repository offer them: ``h5/``, ``images/``, ``10X/<section>/``."""
    publish_visium(folder, section, seed)
    made = folder / section
    for name, place in ((f"{section}_filtered_feature_bc_matrix.h5", "h5"), (f"{section}_image.tif", "images")):
        (folder / place).mkdir(exist_ok=True)
        (made / name).rename(folder / place / name.replace("_image", "_full_image"))
    beside = folder / "10X" / section
    beside.mkdir(parents=True)
    with tarfile.open(made / f"{section}_spatial.tar.gz") as tar:
        tar.extractall(made, filter="data")
    (made / "spatial" / "tissue_positions_list.csv").rename(beside / "tissue_positions_list.txt")
    (made / "spatial" / "scalefactors_json.json").rename(beside / "scalefactors_json.json")
    shutil.rmtree(made)


def dlpfc_layers(sections: Iterable[str]) -> str:
    """Layers of the spots of some sections, the last spot's unknown."""
    places = visium_places().query("in_tissue == 1")
    rows = [
        f"{barcode}\t{section}\t{'WM' if row < 6 else 'L1'}"
        for section in sections
        for barcode, row in zip(places["barcode"], places["array_row"], strict=True)
    ]
    return "\n".join(rows[:-1]) + "\n"
