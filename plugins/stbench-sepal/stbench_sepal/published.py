"""Numbers that the paper prints, under the protocol they were measured with."""

from __future__ import annotations

from stbench.registry import Published

METRICS = ("mae_pooled", "mse_pooled", "pcc_pooled", "r2_pooled", "pcc_spot", "r2_spot")
"""The columns of the paper's tables: MAE, MSE, PCC-Gene, R2-Gene, PCC-Patch, R2-Patch."""

VISIUM = {
    "vit": (0.655, 0.760, 0.282, 0.053, 0.924, 0.843),
    "vit-delta": (0.638, 0.725, 0.347, 0.086, 0.927, 0.849),
    "vit-delta-s7": (0.648, 0.737, 0.339, 0.065, 0.925, 0.847),
    "sepal": (0.630, 0.708, 0.383, 0.106, 0.928, 0.853),
}
STNET = {"sepal": (0.519, 0.478, -0.004, -0.028, 0.911, 0.809)}
OTHERS_SETTINGS = {
    "visium": ("stnet", (0.636, 0.717, 0.353, 0.091, 0.927, 0.851)),
    "stnet": ("visium", (0.527, 0.489, 0.002, -0.052, 0.911, 0.802)),
}
"""SEPAL*: on each data set with the hyper-parameters of the other."""
COMPARED = {"EGN": {"visium": 0.314, "stnet": 0.064}, "EGGN": {"visium": 0.313, "stnet": 0.011}}
"""PCC-Gene of methods that no plugin carries."""


def published(model: str) -> tuple[Published, ...]:
    """What Tables 2 and 3 print of a model; the Visium numbers are of the section that epochs were chosen on.

    `sepal` also carries those of the methods it is compared with that have no plugin; ST-Net's and HisToGene's are
    stated by their own.
    """
    tables = (("visium", VISIUM), ("stnet", STNET))
    where = "Table 2" if model == "sepal" else "Table 3"
    own = tuple(
        Published(dataset=dataset, protocol="sepal-2023", metric=metric, value=value, where=where)
        for dataset, table in tables
        if model in table
        for metric, value in zip(METRICS, table[model], strict=True)
    )
    return own + (_swapped() + _compared() if model == "sepal" else ())


def _swapped() -> tuple[Published, ...]:
    return tuple(
        Published(
            dataset=dataset, protocol="sepal-2023", metric=metric, value=value, where="Table 2, SEPAL*", preset=preset
        )
        for dataset, (preset, values) in OTHERS_SETTINGS.items()
        for metric, value in zip(METRICS, values, strict=True)
    )


def _compared() -> tuple[Published, ...]:
    return tuple(
        Published(
            dataset=dataset, protocol="sepal-2023", metric="pcc_pooled", value=value, where="Table 2", method=method
        )
        for method, values in COMPARED.items()
        for dataset, value in values.items()
    )
