"""Normalisation after the panel was chosen: the same values, for slides whose other genes fill gigabytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stbench.protocols.steps import AT_ONCE, State, Unfitted, total_counts
from stbench.slides import Slide


@dataclass(frozen=True)
class PanelLog1p(Unfitted):
    """ln(1 + `target_sum` · c / Z): c counts of Z in the spot, over all genes, those beyond the panel too.

    What `NormalizeLog1p` before the panel gives. Expected counts are divided by the same Z; a spot without a count
    stays zero.
    """

    target_sum: float = 1e4

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide in log-normalised units."""
        from anndata import AnnData

        total = total_counts(slide)
        scale = self.target_sum / np.where(total > 0, total, 1)
        old = slide.adata
        layers = {name: _log1p(layer, scale) if name == "expected" else layer for name, layer in old.layers.items()}
        obsm = {"spatial": slide.centers_px}
        new = AnnData(_log1p(old.X, scale), obs=old.obs.copy(), var=old.var.copy(), obsm=obsm, layers=layers)
        if old.raw is not None:
            new.raw = old.raw.to_adata()
        return slide.with_adata(new)


def _log1p(counts: Any, scale: NDArray[np.float64]) -> Any:
    """Dense or by sparse columns, (spots, genes) float32."""
    from scipy.sparse import csc_matrix, issparse

    if not issparse(counts):
        return np.log1p(np.asarray(counts) * scale[:, None]).astype(np.float32)
    values = np.empty(len(counts.data), np.float32)
    for start in range(0, len(values), AT_ONCE):  # in double precision all of them would fill memory
        some = slice(start, start + AT_ONCE)
        values[some] = np.log1p(counts.data[some] * scale[counts.indices[some]])
    return csc_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
