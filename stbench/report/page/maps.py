"""Maps of a bounded number of slides, genes and models, small enough to be drawn in the browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stbench.errors import StbenchError
from stbench.report.fine_maps import FineMap, fine_map
from stbench.report.overview import Box, Images, overview, spot_radius_px
from stbench.report.page.genes import choose_genes
from stbench.report.region_maps import region_codes, region_labels, region_map
from stbench.report.sections import Name, Part, Section, read_section
from stbench.store import Store

ABSENT = 255
"""Level that stands for no value; values have the levels 0 to 254."""
OUTLIERS = 1.0
"""Percent of a gene's values beyond either end of the colour scale."""
VIEW = 1000
"""Longer side of a slide's own coordinate system."""
WEBP_QUALITY = 72


@dataclass(frozen=True)
class Limits:
    """What keeps the page small.

    Attributes
    ----------
    slides, genes, models
        Maps are drawn of so many slides of each task, genes of each slide and best ranked models.
    image_px
        Longer side of an H&E image.
    named_genes
        Drawn of each slide that has them, however well they are predicted.
    """

    slides: int = 6
    genes: int = 24
    models: int = 6
    image_px: int = 1000
    named_genes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """What of a task is drawn."""

    variants: tuple[str, ...]
    genes: tuple[str, ...]
    limits: Limits

    @classmethod
    def of(cls, task: Mapping[str, Any], genes: Collection[str], limits: Limits) -> Chosen:
        """The best ranked models, the genes named, and the ends and the middle of how well the best method predicts.

        The best method is the first that is no control, if there is one.
        """
        keys = [variant["key"] for variant in task["variants"]]
        methods = [i for i, variant in enumerate(task["variants"]) if not variant["control"]]
        values = task["gene_values"][(methods or [0])[0]] or [None] * len(task["genes"])
        named = [gene for gene in limits.named_genes if gene in task["genes"]]
        wanted = set(genes).difference(named)
        eligible = {gene: value for gene, value in zip(task["genes"], values, strict=True) if gene in wanted}
        drawn = choose_genes(list(eligible), list(eligible.values()), max(0, limits.genes - len(named)))
        return cls(tuple(keys[: limits.models]), (*named, *drawn), limits)


def section_maps(
    store: Store, tested: Mapping[Name, list[Part]], chosen: Chosen, images: Images
) -> tuple[list[dict[str, Any]], list[str]]:
    """Maps of a task's slides, and sentences about what is not drawn."""
    drawn, notes = [], []
    names = _spread_over_patients(tested)
    for name in sorted(names[: chosen.limits.slides]):
        try:
            section = read_section(store, tested[name], chosen.variants)
            fine = {key: fine_map(tested[name], key, chosen.genes) for key in section.predictions}
        except (StbenchError, OSError, pa.ArrowException) as error:
            notes.append(f"{name[0]}: slide {name[2]} cannot be read back ({str(error).splitlines()[0]})")
            continue
        drawn.append(section_map(section, chosen, images, {key: found for key, found in fine.items() if found}))
    if len(names) > chosen.limits.slides:
        more = len(names) - chosen.limits.slides
        notes.append(f"{names[0][0]} under {names[0][1]}: maps of {more} of {len(names)} slides")
    return drawn, notes


def section_map(
    section: Section, chosen: Chosen, images: Images, fine: Mapping[str, FineMap] | None = None
) -> dict[str, Any]:
    """One slide: picture, spots, and the values of the chosen genes; `fine` by variant."""
    radius = spot_radius_px(section.info, section.centers_px)
    box = Box.around(section.centers_px, radius)
    scale = VIEW / max(box.width, box.height)
    picture, why_not = None, ""
    try:
        picture = _data_uri(images, section, box, chosen.limits.image_px)
    except (StbenchError, OSError) as error:
        why_not = str(error).splitlines()[0]
    at = (section.centers_px - (box.left, box.top)) * scale
    keys = [key for key in chosen.variants if key in section.predictions]
    correlation = {key: section.gene_pcc(key) for key in keys}
    columns = {gene: i for i, gene in enumerate(section.genes) if gene in chosen.genes}
    return {
        "id": section.info.id,
        "patient": section.info.patient,
        "n_parts": section.n_parts,
        "size": [round(box.width * scale), round(box.height * scale)],
        "x": at[:, 0].round(1).tolist(),
        "y": at[:, 1].round(1).tolist(),
        "radius": round(radius * scale, 2),
        "square": section.info.spot_shape == "square",
        "um": None if section.info.mpp is None else section.info.mpp / scale,
        "image": picture,
        "image_missing": why_not,
        "genes": {
            gene: {
                "scale": _scale([section.truth[:, i], *(section.predictions[key][:, i] for key in keys)]),
                "truth": _quantised(section.truth[:, i]),
                "models": {
                    key: {**_quantised(section.predictions[key][:, i]), "pcc": _number(correlation[key][i])}
                    for key in keys
                },
            }
            for gene in chosen.genes
            if (i := columns.get(gene)) is not None
        },
        "fine": {key: _fine(own, section.info.mpp, box, scale) for key, own in (fine or {}).items()},
        "regions": _regions(section, keys),
    }


def _fine(fine: FineMap, mpp: float | None, box: Box, scale: float) -> dict[str, Any]:
    """Squares of a fine map, in the slide's own coordinates; what a slide's spots are called there."""
    at = (fine.centers_px - (box.left, box.top)) * scale
    shown = ((at >= 0) & (at <= (box.width * scale, box.height * scale))).all(axis=1)
    return {
        "x": at[shown, 0].round(1).tolist(),
        "y": at[shown, 1].round(1).tolist(),
        "radius": round(fine.side_um / (mpp or 1.0) / 2 * scale, 2),
        "side_um": round(fine.side_um, 1),
        "genes": {gene: _quantised(values[shown]) for gene, values in fine.values.items()},
    }


def _spread_over_patients(tested: Mapping[Name, list[Part]]) -> list[Name]:
    """Slides in the order in which they are chosen: each patient's first, then their second, and so on."""
    taken: dict[str, int] = {}
    turn = {}
    for name, parts in tested.items():
        patient = parts[0].test.patient
        turn[name] = taken.get(patient, 0)
        taken[patient] = turn[name] + 1
    return sorted(tested, key=lambda name: (turn[name], name))


def _data_uri(images: Images, section: Section, box: Box, side: int) -> str:
    image = images.of(section.dataset, section.revision, section.info.id)
    encoded = io.BytesIO()
    overview(image, side, box).save(encoded, format="WEBP", quality=WEBP_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode()


def _scale(columns: list[NDArray[np.float32]]) -> list[float]:
    """Ends of the colour scale that truth and all models share."""
    values = np.concatenate(columns)
    known = values[np.isfinite(values)]
    if not len(known):
        return [0.0, 1.0]
    low, high = np.percentile(known, [OUTLIERS, 100 - OUTLIERS])
    return [round(float(low), 4), round(float(high), 4)]


def _quantised(values: NDArray[np.float32]) -> dict[str, Any]:
    """One byte per spot between the column's own ends, (spots,)."""
    known = np.isfinite(values)
    low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 0.0)
    levels = np.full(len(values), ABSENT, np.uint8)
    levels[known] = np.rint((values[known] - low) / ((high - low) or 1.0) * (ABSENT - 1))
    return {"low": round(low, 4), "high": round(high, 4), "levels": base64.b64encode(levels.tobytes()).decode()}


def _regions(section: Section, keys: list[str]) -> dict[str, Any] | None:
    labels = region_labels(section)
    if not labels:
        return None
    maps = {"": region_map(section, labels, section.truth)}
    maps |= {key: region_map(section, labels, section.predictions[key]) for key in keys}
    return {
        "labels": labels,
        "codes": region_codes(section, labels).tolist(),
        "maps": {
            key: {"ari": round(found.ari, 3), "codes": found.codes.tolist()} for key, found in maps.items() if found
        },
    }


def _number(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None
