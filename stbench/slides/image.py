"""Images of slides, read by regions: TIFF pyramids from the file, JPEG and PNG from a decoded copy."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides import cache
from stbench.slides.regions import RegionImage, SlideImage, damaged, to_rgb
from stbench.slides.tiff import open_tiff

__all__ = ["SlideImage", "open_image"]

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF


def open_image(path: Path, cache_dir: Path, digest: str | None = None) -> SlideImage:
    """Open a TIFF (OME, BigTIFF, pyramids), JPEG or PNG, told apart by their first bytes.

    JPEG, PNG and TIFF pages compressed as one huge strip have no regions. They are decoded once into
    ``<digest>.npy`` in `cache_dir` and memory-mapped from there.

    Parameters
    ----------
    cache_dir
        Folder of decoded images, made when needed; shared by processes.
    digest
        SHA-256 (hex) of the file; computed when it is needed and not given.

    Raises
    ------
    DataError
        If the file is missing, truncated, or not an image of 8 or 16 bit RGB or greyscale.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            magic = file.read(8)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; fetch it or correct the path") from error

    def decoded(decode: Callable[[], NDArray[np.uint8]], suffix: str = "") -> NDArray[np.uint8]:
        return _decode_once(cache_dir / f"{digest or _sha256(path)}{suffix}.npy", decode)

    try:
        if magic.startswith(_TIFF_MAGIC):
            return open_tiff(path, decoded)
        if magic.startswith(b"\xff\xd8\xff"):
            return RegionImage(path, [decoded(lambda: _decode_jpeg(path))])
        if magic.startswith(b"\x89PNG\r\n\x1a\n"):
            return RegionImage(path, [decoded(lambda: _decode_png(path))])
    except (DataError, OSError, MemoryError, ImportError):
        raise
    except Exception as error:  # decoders raise whatever a damaged byte leads them to
        raise damaged(path) from error
    raise damaged(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _decode_once(cached: Path, decode: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Memory-map `cached`, (h, w, 3) uint8; make it first if it is absent or not whole."""
    with contextlib.suppress(FileNotFoundError, ValueError):  # ValueError: header or length are wrong
        return _map(cached)
    _write_whole(cached, decode())
    return _map(cached)


def _map(cached: Path) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.lib.format.open_memmap(cached, mode="r")
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"{cached} is not (h, w, 3) uint8")
    cache.mark_used(cached)
    return pixels


def _write_whole(target: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a .npy that appears complete or not at all, whoever else writes it too."""
    partial = cache.temporary(target)
    try:
        with partial.open("xb") as file:
            np.save(file, pixels, allow_pickle=False)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _decode_jpeg(path: Path) -> NDArray[np.uint8]:
    import imagecodecs

    data = path.read_bytes()
    # libjpeg fills what a truncated file lacks with grey and only warns. Inside of a scan 0xff is escaped, so
    # a complete file has an end marker behind its last start of scan; padding may follow, thumbnails precede.
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise damaged(path)
    pixels: NDArray[np.uint8] = imagecodecs.jpeg8_decode(data, outcolorspace="RGB")
    return pixels


def _decode_png(path: Path) -> NDArray[np.uint8]:
    import imagecodecs

    return to_rgb(imagecodecs.png_decode(path.read_bytes()), has_alpha=True)
