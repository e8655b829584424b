"""Image files of a layout: beside another file, alone in a folder, gzipped, or embedded as pixels."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides import cache

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".btf", ".svs"})


def images_in(folder: Path, stem: str = "") -> list[Path]:
    """Image files of a folder, by name; with `stem`, those called ``<stem>.…`` only."""
    named = (p for p in folder.iterdir() if not stem or p.name.startswith(f"{stem}."))
    return sorted(p for p in named if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file() and p.name[0] != ".")


def store_embedded(pixels: NDArray[Any], cache_dir: Path) -> Path:
    """Write embedded pixels as PNG into the cache, once; the name is a digest of the content.

    Parameters
    ----------
    pixels
        (h, w) or (h, w, 1 to 4): uint8, or floats in [0, 1], or floats in [0, 255].

    Raises
    ------
    DataError
        Pixels that are none of these.
    """
    import imagecodecs

    samples = np.ascontiguousarray(_as_uint8(np.asarray(pixels)))
    if samples.ndim not in (2, 3) or (samples.ndim == 3 and samples.shape[2] not in (1, 2, 3, 4)):
        raise DataError(f"an embedded image has the shape {samples.shape}; give the image as a file")
    digest = hashlib.sha256(repr(samples.shape).encode() + samples.tobytes()).hexdigest()
    target = cache_dir / "embedded" / f"{digest[:32]}.png"
    if not target.is_file():
        partial = cache.temporary(target)
        try:
            partial.write_bytes(imagecodecs.png_encode(samples))
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    cache.mark_used(target)
    return target


def unpacked(path: Path, cache_dir: Path) -> Path:
    """Unpack a gzipped image file into the cache, once; any other file is returned as it is.

    Raises
    ------
    DataError
        A file that is cut off or not gzipped.
    """
    if path.suffix != ".gz":
        return path
    target = cache_dir / "unpacked" / cache.sha256(path, cache_dir)[:32] / path.stem
    if not target.is_file():
        partial = cache.temporary(target)
        try:
            with gzip.open(path) as packed, partial.open("xb") as file:
                shutil.copyfileobj(packed, file)
            os.replace(partial, target)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path} is truncated or not gzipped ({error}); fetch it again") from error
        finally:
            partial.unlink(missing_ok=True)
    cache.mark_used(target)
    return target


def _as_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind not in "uif" or not pixels.size or not np.isfinite(pixels).all():
        raise DataError(
            f"an embedded image has values of type {pixels.dtype} or missing ones; give the image as a file"
        )
    top = pixels.max()
    if pixels.min() < 0 or top > 255:
        raise DataError(f"an embedded image has values from {pixels.min():g} to {top:g}; give the image as a file")
    scaled = pixels * 255.0 if pixels.dtype.kind == "f" and top <= 1 else pixels
    return np.round(scaled).astype(np.uint8)
