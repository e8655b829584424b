"""Reading back what a run was scored on: the slide without its image, and what was predicted for it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stbench.errors import StoreError
from stbench.execution.pivot import pivot
from stbench.execution.predicted import Predicted
from stbench.slides import Slide, SlideInfo
from stbench.slides.slide import ALLOWED_OBS, LABELS
from stbench.store import Layout, RunRecord
from stbench.store.record import TestSlide
from stbench.store.slide_info import slide_info


def stored_slide(layout: Layout, record: RunRecord, test: TestSlide) -> Slide:
    """A scored test part with its target in ``X`` and ``layers["measured"]``, from the store alone.

    Raises
    ------
    OSError, pyarrow.ArrowException
        If the truth's files are missing or damaged.
    """
    import pandas as pd
    from anndata import AnnData

    folder = layout.truth_folder(test.truth_key)
    spots = pq.read_table(folder / "spots.parquet")
    truth = pq.read_table(folder / "truth.parquet", columns=["gene", "spot_row", "y_true", "measured"])
    genes = [str(gene) for gene in pc.unique(truth["gene"]).to_pylist()]
    shape = (spots.num_rows, len(genes))
    place = truth["spot_row"].to_numpy(), _positions(truth["gene"], genes)
    target, _ = pivot(*place, truth["y_true"].to_numpy(), shape)
    measured, _ = pivot(*place, truth["measured"].to_numpy(), shape)
    centers_px, array = (np.column_stack([spots[a], spots[b]]) for a, b in (("x_px", "y_px"), ALLOWED_OBS))
    obs = pd.DataFrame(array, index=spots["spot"].to_pylist(), columns=list(ALLOWED_OBS))
    if spots[LABELS].null_count < spots.num_rows:
        obs[LABELS] = spots[LABELS].to_pandas().to_numpy()
    adata = AnnData(
        target,
        obs=obs,
        var=pd.DataFrame(index=genes),
        obsm={"spatial": centers_px},
        layers={"measured": measured.astype(bool)},
    )
    return Slide(adata, _info(layout, record, test))


def stored_prediction(folder: Path, test: TestSlide, slide: Slide) -> Predicted:
    """What a run predicted for `slide`, from `stored_slide`.

    Raises
    ------
    StoreError
        If it predicted something else.
    """
    columns = ["gene", "spot_row", "y_pred", "y_std"]
    table = pq.read_table(folder / "predictions.parquet", columns=columns, filters=[("truth_key", "=", test.truth_key)])
    place = table["spot_row"].to_numpy(), _positions(table["gene"], list(slide.adata.var_names))
    shape = (slide.n_spots, slide.adata.n_vars)
    if table.num_rows != shape[0] * shape[1] or (place[1] < 0).any():
        raise StoreError(f"{folder}: the predictions for slide {test.slide} are not those of its truth")
    mean, _ = pivot(*place, table["y_pred"].to_numpy(), shape)
    absent = np.isnan(mean)
    stated = table["y_std"].null_count < table.num_rows
    std = pivot(*place, table["y_std"].to_numpy(), shape, empty=np.nan)[0] if stated else None
    return Predicted(np.where(absent, np.float32(0), mean), std, given=~absent if absent.any() else None)


def _positions(column: pa.ChunkedArray, names: list[str]) -> NDArray[np.int64]:
    """Position of each row's name in `names`, −1 where it is not there."""
    import pandas as pd

    encoded = column.unify_dictionaries().combine_chunks()
    positions = np.asarray(pd.Index(names).get_indexer(encoded.dictionary.to_pylist()), np.int64)
    return np.asarray(positions[encoded.indices.to_numpy()])


def _info(layout: Layout, record: RunRecord, test: TestSlide) -> SlideInfo:
    """What the truth says of the slide; of the oldest stores, what the record says."""
    known = {field.name for field in fields(SlideInfo)}
    stated = slide_info(layout, test.truth_key)
    minimal = {"id": test.slide, "patient": test.patient, "dataset": record.cell.dataset}
    return SlideInfo(**minimal | {name: value for name, value in stated.items() if name in known})
