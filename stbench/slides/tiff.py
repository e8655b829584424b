"""TIFF files read by regions: OME, BigTIFF and pyramids, from the file wherever it has regions."""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides.regions import WHITE, RegionImage, SlideImage, damaged, to_rgb

PLAUSIBLE_MPP = (0.05, 10.0)  # µm per px; TIFF tags outside of it are a default such as 72 dpi, not a scale

_JPEG_IN_TIFF = (6, 7, 33007, 34892)  # for these tifffile turns YCbCr into RGB
_SEGMENT_LIMIT_PX = 4 * 2**20  # a larger strip or tile is no region: its page is decoded into the cache
_RECENT_BYTES = 64 * 2**20  # decoded tiles kept per level, because neighbouring spots share them
_UNIT_UM = {"nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "in": 25_400.0}


def open_tiff(path: Path, decoded: Callable[[Callable[[], NDArray[np.uint8]], str], NDArray[np.uint8]]) -> SlideImage:
    """Open the first series of a TIFF with its pyramid levels.

    Parameters
    ----------
    decoded
        Called, for a level without regions, with what decodes it into (h, w, 3) and with a suffix that tells
        it from the other levels; returns the cached pixels.

    Raises
    ------
    DataError
        If the file ends before its pixels do, or is not 8 or 16 bit RGB or greyscale. For other damage
        tifffile raises errors of its own.
    """
    import tifffile

    with path.open("rb") as file:
        buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # no seek: safe for threads and forks
    levels: list[Any] = []
    with tifffile.TiffFile(path) as tiff:
        for number, series in enumerate(tiff.series[0].levels):
            level = _TiffLevel(path, series, buffer)
            if level.has_regions:
                levels.append(level)
            else:
                levels.append(decoded(level.read_whole, f"-{number}"))
        return RegionImage(path, levels, _tiff_mpp(tiff))


class _TiffLevel:
    """One level of a TIFF pyramid: an RGB or greyscale page, or three greyscale pages that are R, G and B."""

    def __init__(self, path: Path, series: Any, buffer: mmap.mmap) -> None:
        page = series.keyframe
        pages = [_TiffPage(path, each, buffer) for each in series.pages]
        samples = page.samplesperpixel * len(pages)
        self.shape = (page.imagelength, page.imagewidth)
        if (
            math.prod(series.shape) != math.prod(self.shape) * samples  # Z stacks, times, more channels
            or samples > 4
            or (len(pages) > 1 and set(series.axes) & set("ZT"))
            or page.dtype not in ("bool", "uint8", "uint16")
            or page.photometric.name in ("PALETTE", "SEPARATED", "CIELAB")
            or (page.photometric.name == "YCBCR" and page.compression not in _JPEG_IN_TIFF)
        ):
            raise DataError(
                f"{path} is {page.photometric.name} {page.dtype} of shape {series.shape} ({series.axes}); "
                "export it as 8 bit RGB"
            )
        self._pages = pages
        self._inverted = page.photometric.name == "MINISWHITE"
        self._has_alpha = any(sample in (1, 2) for sample in page.extrasamples)
        self.has_regions = all(each.has_regions for each in pages)

    def __getitem__(self, region: tuple[slice, slice]) -> NDArray[np.uint8]:
        samples = np.concatenate([page.read(*region) for page in self._pages], axis=2)
        rgb = to_rgb(samples, self._has_alpha)
        return WHITE - rgb if self._inverted else rgb

    def read_whole(self) -> NDArray[np.uint8]:
        return self[slice(0, self.shape[0]), slice(0, self.shape[1])]


class _TiffPage:
    """Raw samples of a page: mapped where it is uncompressed, else from decoded strips or tiles."""

    def __init__(self, path: Path, page: Any, buffer: mmap.mmap) -> None:
        self._path, self._buffer = path, buffer
        self._places = list(zip(page.dataoffsets, page.databytecounts, strict=True))  # of the segments
        if not self._places or any(offset + count > len(buffer) for offset, count in self._places):
            raise damaged(path)
        key = page.keyframe  # what pages of a series have in common
        self._planes, _, self._height, self._width, self._samples = key.shaped
        self._segment_shape = (
            (key.tilelength, key.tilewidth) if key.is_tiled else (min(key.rowsperstrip, self._height), self._width)
        )
        self._dtype = key.dtype
        self._white = 0 if key.photometric.name == "MINISWHITE" else np.array(-1).astype(key.dtype)
        self._decode, self._tables = key.decode, page.jpegtables
        self._header = getattr(page, "jpegheader", None)
        self._array: NDArray[Any] | None = None
        if key.is_final and page.is_contiguous:
            stored = key.dtype.newbyteorder(key.parent.byteorder)
            raw = np.frombuffer(buffer, stored, math.prod(key.shaped), self._places[0][0])
            self._array = raw.reshape(key.shaped)[:, 0]  # (planes, h, w, samples)
        self.has_regions = self._array is not None or math.prod(self._segment_shape) <= _SEGMENT_LIMIT_PX
        segment_bytes = math.prod(self._segment_shape) * self._samples * key.dtype.itemsize
        self._segment = lru_cache(max(1, _RECENT_BYTES // segment_bytes))(self._decode_segment)

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Samples (h, w, planes * samples) of a region inside of the page."""
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if self._array is not None:
            return self._array[:, rows, columns].transpose(1, 2, 0, 3).reshape(height, width, -1)
        high, wide = self._segment_shape
        down, across = math.ceil(self._height / high), math.ceil(self._width / wide)
        out = np.full((height, width, self._planes * self._samples), self._white, self._dtype)
        for plane, i, j in product(
            range(self._planes),
            range(rows.start // high, (rows.stop - 1) // high + 1),
            range(columns.start // wide, (columns.stop - 1) // wide + 1),
        ):
            segment = self._segment((plane * down + i) * across + j)
            if segment is None:  # left out by the scanner: background, as outside of the image
                continue
            to_rows, from_rows = _overlap(rows, i * high, high)
            to_columns, from_columns = _overlap(columns, j * wide, wide)
            samples = slice(plane * self._samples, (plane + 1) * self._samples)
            out[to_rows, to_columns, samples] = segment[from_rows, from_columns]
        return out

    def _decode_segment(self, index: int) -> NDArray[Any] | None:
        offset, count = self._places[index]
        if count == 0:
            return None
        data = self._buffer[offset : offset + count]
        try:
            segment = self._decode(data, index, jpegtables=self._tables, jpegheader=self._header)[0]
        except Exception as error:  # every codec has errors of its own
            raise damaged(self._path) from error
        pixels: NDArray[Any] = segment[0]
        return pixels


def _overlap(asked: slice, start: int, length: int) -> tuple[slice, slice]:
    """Where the part of `asked` that a segment covers lies, counted from `asked` and from the segment."""
    first, last = max(asked.start, start), min(asked.stop, start + length)
    return slice(first - asked.start, last - asked.start), slice(first - start, last - start)


def _tiff_mpp(tiff: Any) -> float | None:
    """µm per level-0 px from OME, Aperio or resolution tags, in this order."""
    page = tiff.series[0].keyframe
    if tiff.is_ome:
        header = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", tiff.ome_metadata)
        attributes = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', header.group())) if header else {}
        unit = attributes.get("PhysicalSizeXUnit", "um").replace("µ", "u").replace("μ", "u")
        if unit in _UNIT_UM and "PhysicalSizeX" in attributes:
            size_um = float(attributes["PhysicalSizeX"]) * _UNIT_UM[unit]
            return size_um if size_um > 0 else None
    if tiff.is_svs and (aperio := re.search(r"\bMPP\s*=\s*([\d.]+)", page.description)):
        return float(aperio.group(1))
    unit_um = {2: _UNIT_UM["in"], 3: _UNIT_UM["cm"]}.get(int(page.resolutionunit))
    if unit_um is None or not page.resolution[0]:
        return None
    mpp = float(unit_um / page.resolution[0])
    return mpp if PLAUSIBLE_MPP[0] <= mpp <= PLAUSIBLE_MPP[1] else None
