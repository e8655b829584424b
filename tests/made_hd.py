"""Small Visium HD runs in Space Ranger's own layout, whose true 2 µm counts sum to their larger bins."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import tifffile
from PIL import Image
from scipy.sparse import csr_matrix

MPP, SIDE_UM, GENES, REDUCED = 0.5, 96, 7, 0.25


def counts_at(um: int, seed: int = 0) -> np.ndarray:
    """True 2 µm counts summed to bins, (row, col, genes)."""
    fine = np.random.default_rng(seed).poisson(0.2, (SIDE_UM // 2, SIDE_UM // 2, GENES))
    n, k = SIDE_UM // um, um // 2
    return fine.reshape(n, k, n, k, GENES).sum((1, 3))


def make_run(outs: Path, sizes: tuple[int, ...] = (2, 8, 16)) -> Path:
    """Write a small run as Space Ranger 3 does."""
    side_px = int(SIDE_UM / MPP)
    pixels = np.random.default_rng(1).integers(90, 250, (side_px, side_px, 3), dtype=np.uint8)
    outs.mkdir(parents=True)
    for um in sizes:
        folder = outs / "binned_outputs" / f"square_{um:03d}um"
        (folder / "spatial").mkdir(parents=True)
        counts = counts_at(um)
        n = len(counts)
        row, col = (a.ravel() for a in np.mgrid[:n, :n])
        barcodes = [f"s_{um:03d}um_{r:05d}_{c:05d}-1" for r, c in zip(row, col, strict=True)]
        matrix = csr_matrix(counts.reshape(-1, GENES))
        kept = np.flatnonzero(matrix.sum(1))
        matrix = matrix[kept]
        with h5py.File(folder / "filtered_feature_bc_matrix.h5", "w") as file:
            group = file.create_group("matrix")
            group["barcodes"] = np.array([barcodes[k] for k in kept], "S")
            group["data"], group["indices"] = matrix.data.astype("i4"), matrix.indices.astype("i8")
            group["indptr"], group["shape"] = matrix.indptr.astype("i8"), np.array(matrix.shape[::-1], "i4")
            group["features/id"] = np.array([f"ENSG{g:011d}" for g in range(GENES)], "S")
            group["features/name"] = np.array([f"GENE{g}" for g in range(GENES)], "S")
            group["features/feature_type"] = np.array(["Gene Expression"] * (GENES - 1) + ["Antibody Capture"], "S")
        pd.DataFrame(
            {
                "barcode": barcodes,
                "in_tissue": (col > 0).astype("i8"),
                "array_row": row,
                "array_col": col,
                "pxl_row_in_fullres": (row + 0.5) * um / MPP,
                "pxl_col_in_fullres": (col + 0.5) * um / MPP,
            }
        ).sample(frac=1, random_state=0).to_parquet(folder / "spatial/tissue_positions.parquet")
        scale = {"bin_size_um": float(um), "microns_per_pixel": MPP, "spot_diameter_fullres": um / MPP}
        scale |= {"tissue_hires_scalef": REDUCED, "tissue_lowres_scalef": REDUCED / 2, "fiducial_diameter_fullres": 600}
        (folder / "spatial/scalefactors_json.json").write_text(json.dumps(scale))
        small = Image.fromarray(pixels).resize((int(side_px * REDUCED),) * 2)
        small.save(folder / "spatial/tissue_hires_image.png")
    tifffile.imwrite(outs.parent / "tissue_image.btf", pixels, photometric="rgb", bigtiff=True, tile=(64, 64))
    return outs
