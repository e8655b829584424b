"""A lab's own slides as a dataset, from a definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stbench.datasets.contract import DataFile, Dataset, DatasetContext
from stbench.datasets.definition import Definition, Layout, SlideDefinition, read
from stbench.errors import DataError
from stbench.slides import Slide, SlideInfo, cache
from stbench.slides.readers.section import Section
from stbench.slides.readers.spaceranger_files import find_run


class Imported(Dataset):
    """Slides whose files stay where they are.

    Parameters
    ----------
    definition
        The TOML file written by `stbench data import`.
    """

    def __init__(self, context: DatasetContext, definition: Path) -> None:
        super().__init__(context)
        self._path = definition
        self.definition: Definition = read(definition)
        self.name = self.definition.name
        self.default_protocol = self.definition.default_protocol

    def files(self) -> tuple[DataFile, ...]:
        """Every file the definition refers to that is here."""
        return tuple(
            DataFile(f"{slide.id}/{path.name}", cache.sha256(path, self.context.cache_dir), path)
            for slide in self.definition.slides
            for path in slide_files(slide)
            if path.is_file()
        )

    @property
    def source(self) -> str:
        """The definition."""
        return f"imported: {self._path}"

    def locate(self) -> Path | None:
        """Folder of the first slide, if all are there."""
        paths = [slide.path for slide in self.definition.slides]
        return paths[0].parent if all(path.exists() for path in paths) else None

    def slides(self) -> list[SlideInfo]:
        """Metadata of all slides."""
        return [self._info(slide) for slide in self.definition.slides]

    def load(self, slide_id: str) -> Slide:
        """Read one slide."""
        found = {slide.id: slide for slide in self.definition.slides}
        if slide_id not in found:
            raise DataError(f"{self.name} has no slide {slide_id!r}; it has {', '.join(found)}")
        slide = found[slide_id]
        section = read_section(
            slide.layout, slide.path, slide.coordinates, slide.image, self.context.cache_dir, slide.swap_xy
        )
        return section.slide(self._info(slide), self.context.cache_dir)

    def _info(self, slide: SlideDefinition) -> SlideInfo:
        missing = _why_unusable(slide)
        return SlideInfo(
            id=slide.id,
            patient=slide.patient,
            image_id=slide.image_id or slide.id,
            dataset=self.name,
            organ=slide.organ,
            species=slide.species,
            technology=slide.technology,
            spot_um=slide.spot_um,
            spot_shape=slide.spot_shape,
            grid=slide.grid,
            mpp=slide.mpp,
            mpp_source=slide.mpp_source,
            has_regions=slide.has_regions,
            has_image=not missing,
            image_missing=missing,
        )


def read_section(
    layout: Layout, path: Path, coordinates: Path | None, image: Path | None, cache_dir: Path, swap_xy: bool = False
) -> Section:
    """Read a slide by the reader of its layout.

    Parameters
    ----------
    swap_xy
        The files give y before x.
    """
    section = _read(layout, path, coordinates, image, cache_dir)
    if swap_xy:
        section.adata.obsm["spatial"] = np.asarray(section.adata.obsm["spatial"])[:, ::-1].copy()
    return section


def _read(layout: Layout, path: Path, coordinates: Path | None, image: Path | None, cache_dir: Path) -> Section:
    if layout == "spaceranger":
        from stbench.slides.readers.spaceranger import read_spaceranger

        return read_spaceranger(path, image)
    if layout == "visium-hd":
        from stbench.slides.readers.visium_hd import read_bins

        return read_bins(path, image, cache_dir)
    if layout == "h5ad":
        from stbench.slides.readers.h5ad import read_h5ad_section

        return read_h5ad_section(path, image, cache_dir)
    from stbench.slides.readers.plain import read_plain

    if coordinates is None:
        raise DataError(f"{path}: the plain layout needs a coordinate table beside the counts")
    return read_plain(path, coordinates, image)


def slide_files(slide: SlideDefinition) -> list[Path]:
    """Files a slide is read from, in a fixed order."""
    if slide.layout not in ("spaceranger", "visium-hd"):
        return [p for p in (slide.path, slide.coordinates, slide.image) if p is not None]
    files = find_run(slide.path).every_file()
    return [*files, *([slide.image] if slide.image else [])]


def _why_unusable(slide: SlideDefinition) -> str:
    if slide.image is None and not slide.image_in_layout:
        return "no image was found at import; import again with --image"
    if slide.image is not None and not slide.image.is_file():
        return f"{slide.image} is not there"
    if slide.mpp is None:
        return "the image's scale is unknown; import again with --mpp"
    return ""
