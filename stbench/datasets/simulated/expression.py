"""Simulated expression: what each gene follows, the expected counts and the counts drawn around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stbench.datasets.simulated.tissue import REGIONS, Tissue

_GENES_BY_KIND = {"region": 95, "density": 70, "field": 75, "noise": 60}
GENES: tuple[str, ...] = tuple(f"SIM{i:03d}" for i in range(1, sum(_GENES_BY_KIND.values()) + 1))

_FIELDS = 4  # smooth patterns that the image does not show
_WAVES = 6  # plane waves summed into each of them
_MEAN_DEPTH = 4500.0  # counts per spot
_DROPOUT = 0.4  # of a gene whose mean count is near zero

# Random streams, after those of the tissue.
_PROGRAMME, _PATIENT, _FIELD, _COUNTS = range(10, 14)


@dataclass(frozen=True)
class GeneProgramme:
    """What the 300 genes follow and how strongly, the same in every patient; effects are in log counts.

    Attributes
    ----------
    kind
        ``"region"``, ``"density"``, ``"field"`` or ``"noise"``: the one thing each gene follows ``(genes,)``.
    log_abundance
        Log share of the counts where nothing raises or lowers the gene ``(genes,)``.
    by_region
        Effect of each region ``(regions, genes)``, ordered as `REGIONS`; zero unless the kind is region.
    by_density
        Effect of twice as many nuclei ``(genes,)``; zero unless the kind is density.
    by_field
        Effect of one standard deviation of a hidden field ``(fields, genes)``; zero unless the kind is field.
    size
        Negative-binomial size ``(genes,)``: the variance is ``mean + mean² / size``.
    """

    kind: NDArray[np.str_]
    log_abundance: NDArray[np.float64]
    by_region: NDArray[np.float64]
    by_density: NDArray[np.float64]
    by_field: NDArray[np.float64]
    size: NDArray[np.float64]


@dataclass(frozen=True)
class Expression:
    """Counts of one section.

    Attributes
    ----------
    counts
        Drawn counts ``(spots, genes)``.
    expected
        Mean of the distribution that each count was drawn from, dropout included ``(spots, genes)``. No model
        can predict the counts better, so its score is the best reachable one.
    """

    counts: NDArray[np.int32]
    expected: NDArray[np.float64]


def gene_programme(seed: int = 0) -> GeneProgramme:
    """Draw the programme that all patients of `seed` share."""
    rng = np.random.default_rng([seed, 0, 0, _PROGRAMME])
    genes = len(GENES)
    kind = rng.permutation(np.repeat(list(_GENES_BY_KIND), list(_GENES_BY_KIND.values())))

    marked = rng.integers(len(REGIONS), size=genes)  # the region that a region gene marks
    by_region = rng.normal(0, 0.25, (len(REGIONS), genes))
    by_region[marked, np.arange(genes)] += rng.uniform(0.5, 1.5, genes)
    direction = rng.choice([-1.0, 1.0], genes, p=[0.3, 0.7])
    loadings = rng.normal(0, 1, (_FIELDS, genes))
    loadings *= rng.uniform(0.4, 1.0, genes) / np.linalg.norm(loadings, axis=0)
    return GeneProgramme(
        kind=kind,
        log_abundance=_log_shares(rng.normal(0, 1.0, genes)),
        by_region=by_region * (kind == "region"),
        by_density=direction * rng.uniform(0.25, 0.6, genes) * (kind == "density"),
        by_field=loadings * (kind == "field"),
        size=rng.uniform(1.5, 5.0, genes),
    )


class Rates:
    """What a patient's genes are expected to reach anywhere in a section.

    Attributes
    ----------
    library_depth
        Counts that a 55 µm spot of this patient has.
    """

    def __init__(self, patient: int, section: int, seed: int = 0) -> None:
        self._programme = gene_programme(seed)
        patient_rng = np.random.default_rng([seed, patient, 0, _PATIENT])
        self._base = _log_shares(self._programme.log_abundance + patient_rng.normal(0, 0.3, len(GENES)))
        self.library_depth = float(_MEAN_DEPTH * np.exp(patient_rng.normal(0, 0.12)))
        self._field_stream = [seed, patient, section, _FIELD]

    def log_share(
        self, region: NDArray[np.str_], nuclei: NDArray[np.float64], centers_um: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Log share of the counts ``(points, genes)``.

        Parameters
        ----------
        region, nuclei
            Region at each point and nuclei within 27.5 µm of it ``(points,)``.
        centers_um
            The points, ``(points, 2)``.
        """
        programme = self._programme
        fields = _hidden_fields(centers_um, np.random.default_rng(self._field_stream))
        return np.asarray(
            self._base
            + (region[:, None] == np.array(REGIONS)) @ programme.by_region
            + np.log2((1 + nuclei) / 10)[:, None] * programme.by_density
            + fields @ programme.by_field
        )


def measure_expression(tissue: Tissue, patient: int, section: int, seed: int = 0) -> Expression:
    """Simulate the counts of one section; the same arguments give the same bytes.

    A patient shifts every gene and the depth of the library, around which the spots' depths vary. Counts are
    negative binomial, and some are lost to dropout, the more so the lower their mean.

    Parameters
    ----------
    tissue
        The section, from `grow_tissue` with the same `patient`, `section` and `seed`.
    patient, section, seed
        Non-negative integers naming the section.
    """
    programme = gene_programme(seed)
    rates = Rates(patient, section, seed)
    log_share = rates.log_share(tissue.region, tissue.nuclei_per_spot, tissue.centers_px * tissue.mpp)

    rng = np.random.default_rng([seed, patient, section, _COUNTS])
    spot_depth = rates.library_depth * np.exp(rng.normal(0, 0.35, len(log_share)))
    mean = spot_depth[:, None] * np.exp(log_share)
    drawn = rng.negative_binomial(programme.size, programme.size / (programme.size + mean))
    lost = _DROPOUT * np.exp(-mean / 5)
    return Expression(
        counts=np.where(rng.random(mean.shape) < lost, 0, drawn).astype(np.int32),
        expected=mean * (1 - lost),
    )


def _log_shares(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = log_weights - np.log(np.exp(log_weights).sum())
    return shares


def _hidden_fields(centers_um: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth fields ``(spots, fields)`` of unit variance in expectation: plane waves 500 to 1200 µm long."""
    wavelength = rng.uniform(500, 1200, (_FIELDS, _WAVES))
    heading, phase = rng.uniform(0, 2 * np.pi, (2, _FIELDS, _WAVES))
    x, y = centers_um[:, :1, None], centers_um[:, 1:, None]
    along = np.cos(heading) * x + np.sin(heading) * y  # (spots, fields, waves)
    waves = np.cos(2 * np.pi * along / wavelength + phase)
    return np.asarray(waves.sum(axis=-1) * np.sqrt(2 / _WAVES))
