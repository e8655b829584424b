"""Checks of encoders: what the features are."""

from __future__ import annotations

import numpy as np

from stbench.testing.check import Checks, DoesNotApply
from stbench.testing.encoder.subject import PATCHES, PIXELS, EncoderSubject, Features, tissue

checks: Checks[EncoderSubject] = Checks("encoder")

FEATURES = ("features",)
COMPARABLE = ("features", "repeatable")
SAME = 1e-4
"""Relative difference below which features are the same: batches of other sizes sum in another order."""
OTHER_PIXELS = 112
"""A patch size that encoders of fixed size may refuse."""


@checks.add("embeddings of a slide are written to an array of this shape, and cached for everyone")
def features(subject: EncoderSubject) -> None:
    """Features are (n, n_features) float32, finite; mean and standard deviation are of three channels."""
    spec = subject.spec
    assert len(spec.mean) == len(spec.std) == 3, "mean and std need three values, for red, green and blue in 0–1"
    assert min(spec.std) > 0, f"std is {spec.std}; channels are divided by it"
    _require_features(subject, subject.features, PIXELS)


def _require_features(subject: EncoderSubject, found: Features, pixels: int) -> None:
    expected, what = (PATCHES, subject.spec.n_features), f"for {PATCHES} patches of {pixels} px"
    assert found.shape == expected, f"{what} features have shape {found.shape}; the spec's n_features gives {expected}"
    assert found.dtype == np.float32, f"{what} features are {found.dtype}; give float32"
    bad = int((~np.isfinite(found)).sum())
    assert not bad, f"{what} {bad} features are not finite"


@checks.add("cached embeddings are those of whoever came first", needs=FEATURES)
def repeatable(subject: EncoderSubject) -> None:
    """The same patches have the same features twice."""
    worst = _difference(subject.features, subject.embed(subject.encoder, subject.patches))
    assert worst <= SAME, (
        f"the same patches have other features the second time (by {worst:.2g}); dropout must follow module.training"
    )


@checks.add("features would depend on which spots share a batch", needs=COMPARABLE)
def independent_of_batch(subject: EncoderSubject) -> None:
    """A patch alone has the features it has in a batch."""
    alone = np.concatenate([subject.embed(subject.encoder, subject.patches[i : i + 1]) for i in range(PATCHES)])
    worst = _difference(subject.features, alone)
    assert worst <= SAME, (
        f"patches alone have other features than in a batch (by {worst:.2g}); are batch statistics used in evaluation?"
    )


@checks.add("a number made with random weights must be had again", needs=COMPARABLE)
def random_is_fixed(subject: EncoderSubject) -> None:
    """Loaded twice with random weights, it gives the same features."""
    worst = _difference(subject.features, subject.embed(subject.twin, subject.patches, subject.seen_again))
    assert worst <= SAME, (
        f"loaded twice with weights='random', the features differ (by {worst:.2g}); draw weights from torch's global "
        "generator, which the loader seeds"
    )


@checks.add("an encoder that sees nothing gives every method the same input", needs=FEATURES)
def sees_the_image(subject: EncoderSubject) -> None:
    """Different patches have different features."""
    found = subject.features
    worst = min(_difference(found[i], found[j]) for i in range(PATCHES) for j in range(i))
    assert worst > 0, "patches that look different have the same features"


@checks.add("models ask for patches of the size their paper says", needs=FEATURES)
def uint8_patches_of_any_size(subject: EncoderSubject) -> None:
    """Patches of half the size have as many features; an encoder of fixed size may refuse them."""
    try:
        found = subject.embed(subject.encoder, tissue(OTHER_PIXELS))
    except Exception as error:
        raise DoesNotApply(f"it takes no patches of {OTHER_PIXELS} px: {str(error)[:200]}") from error
    _require_features(subject, found, OTHER_PIXELS)


def _difference(first: Features, second: Features) -> float:
    """Largest difference, relative to the largest value."""
    scale = float(np.abs(first).max()) or 1.0
    return float(np.abs(first - second).max()) / scale
