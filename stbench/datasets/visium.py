"""10x Genomics' human breast cancer, block A: two Visium sections of one patient, as Space Ranger 1.1.0 wrote them."""

from __future__ import annotations

from stbench.datasets.spaceranger_runs import Sample, SpaceRangerRuns
from stbench.datasets.unpack import Archive, SingleFile
from stbench.slides.readers.spaceranger_files import LIST

SITE = "https://cf.10xgenomics.com/samples/spatial-exp/1.1.0"  # not verified; neither are the names below it
PATIENT = "Block_A"


class BlockA(Sample):
    """A section as 10x Genomics publishes it."""

    @property
    def name(self) -> str:
        """``V1_Breast_Cancer_Block_A_`` and the section."""
        return f"V1_Breast_Cancer_Block_A_{self.section}"

    @property
    def spatial(self) -> str:
        """Name of the archive of ``spatial/``."""
        return f"{self.name}_spatial.tar.gz"

    @property
    def image(self) -> str:
        """Name of the full-resolution image."""
        return f"{self.name}_image.tif"

    @property
    def positions(self) -> str:
        """In ``spatial/``."""
        return f"spatial/{LIST} (unpack {self.spatial} there)"

    @property
    def needed(self) -> str:
        """Counts, ``spatial/`` and image."""
        return f"{self.section}/ with {self.counts}, spatial/ (unpacked from {self.spatial}) and {self.image}"

    def published(self) -> tuple[SingleFile, Archive, SingleFile]:
        """Its files on the site."""
        folder = f"{SITE}/{self.name}"
        spatial = Archive(f"{folder}/{self.spatial}", parts=("spatial",))
        return SingleFile(f"{folder}/{self.counts}"), spatial, SingleFile(f"{folder}/{self.image}")


class Visium(SpaceRangerRuns):
    """Sections 1 and 2 of one block."""

    name = "visium"
    default_protocol = "stbench-section-v1"
    subfolders = ("visium",)
    samples = (BlockA("Section_1", PATIENT), BlockA("Section_2", PATIENT))
    organ = "breast"

    @property
    def source(self) -> str:
        """10x Genomics' site."""
        return f"{SITE}/ (addresses not verified)"
