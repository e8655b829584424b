"""Every check of datasets is failed by a dataset with the fault it names, and by no other fault."""

from __future__ import annotations

import hashlib
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from stbench.datasets import DataFile, Dataset, definition
from stbench.datasets.importing import Stated, understand
from stbench.errors import DataError
from stbench.registry import DatasetSpec
from stbench.slides import Slide, SlideInfo, cache
from stbench.slides.source import ImageSource
from stbench.testing import check_dataset, dataset_checks
from stbench.testing.protocol.counts import raw_slides
from stbench.testing.report import ConformanceError


class Folder(Dataset):
    """Slides as .h5ad files in the user's folder, each with an image beside it."""

    name = "folder"

    def files(self) -> tuple[DataFile, ...]:
        return tuple(
            DataFile(p.name, cache.sha256(p, self.context.cache_dir), p) for p in sorted(self.folder.glob("*"))
        )

    def slides(self) -> list[SlideInfo]:
        return [self.info(path.stem) for path in sorted(self.folder.glob("*.h5ad"))]

    def info(self, name: str) -> SlideInfo:
        return SlideInfo(
            id=name, patient=name.split("-")[0], image_id=name, dataset=self.name, spot_um=55, grid="square", mpp=2.0
        )

    def load(self, slide_id: str) -> Slide:
        from anndata import read_h5ad

        if not (self.folder / f"{slide_id}.h5ad").is_file():
            raise DataError(f"{self.name} has no slide {slide_id!r}")
        adata = read_h5ad(self.folder / f"{slide_id}.h5ad")
        image = self.folder / f"{slide_id}.tif"
        digest = cache.sha256(image, self.context.cache_dir)
        return Slide(
            adata, self.info(slide_id), ImageSource(image, digest, adata.obsm["spatial"], self.context.cache_dir)
        )

    @property
    def folder(self) -> Path:
        given = self.context.data_dir
        if given is None or not list(given.glob("*.h5ad")):
            raise DataError(f"{given} holds no .h5ad files; put them into a folder and give it as --data-dir")
        return given


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, grown = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("grown")
    for slide in raw_slides(grown, patients=2, sections=1, spots=225):
        slide.adata.write_h5ad(folder / f"{slide.info.id}.h5ad")
        shutil.copy(slide.source.path, folder / f"{slide.info.id}.tif")
    return folder


@pytest.fixture
def data(original: Path, tmp_path: Path) -> Path:
    """A folder that may be written to."""
    return Path(shutil.copytree(original, tmp_path / "data"))


def test_a_good_dataset_passes(data: Path) -> None:
    report = check_dataset(Folder, data_dir=data)

    assert {o.status for o in report.outcomes} == {"passed"}


def test_without_its_data_only_the_message_is_checked() -> None:
    report = check_dataset(Folder)

    assert [o.id for o in report.outcomes if o.status == "passed"] == ["offline_message"]
    assert {o.message for o in report.outcomes if o.status == "skipped"} == {
        "no data: None holds no .h5ad files; put them into a folder and give it as --data-dir"
    }


def test_wrong_data_are_a_failure_where_they_were_given(tmp_path: Path) -> None:
    with pytest.raises(ConformanceError, match=r"  metadata: DataError: .* holds no \.h5ad files"):
        check_dataset(Folder, data_dir=tmp_path)


def changed(**changes: Any) -> type[Folder]:
    """A dataset whose metadata differ from the good one's."""

    class Changed(Folder):
        def info(self, name: str) -> SlideInfo:
            return replace(super().info(name), **changes)

    return Changed


class ListsTwice(Folder):
    def slides(self) -> list[SlideInfo]:
        return super().slides() * 2


class ListsNothing(Folder):
    def slides(self) -> list[SlideInfo]:
        return super().slides()[:0]


class HashesNames(Folder):
    def files(self) -> tuple[DataFile, ...]:
        return tuple(replace(f, sha256=hashlib.sha256(f.name.encode()).hexdigest()) for f in super().files())


class ShortChecksums(Folder):
    def files(self) -> tuple[DataFile, ...]:
        return tuple(replace(f, sha256=f.sha256[:32]) for f in super().files())


class NamesTwice(Folder):
    def files(self) -> tuple[DataFile, ...]:
        return tuple(replace(f, name="counts") for f in super().files())


class LongGone(Folder):
    def files(self) -> tuple[DataFile, ...]:
        return tuple(replace(f, path=f.path and f.path.with_suffix(".gone")) for f in super().files())


class NumberedRevision(Folder):
    revision = "2024-01"  # type: ignore[assignment]


class RevisionOfTheInstance(Folder):
    @property
    def revision(self) -> str:  # type: ignore[override]
        return hashlib.sha256(f"{id(self)} {self.files()}".encode()).hexdigest()[:16]


class UnknownDefault(Folder):
    default_protocol = "stbench-v0"


class InapplicableDefault(Folder):
    default_protocol = "histogene-2021"


class OtherMetadata(Folder):
    def load(self, slide_id: str) -> Slide:
        slide = super().load(slide_id)
        return Slide(slide.adata, replace(slide.info, spot_um=100.0), slide.source)


def spoilt(spoil: Callable[[Any], object]) -> type[Folder]:
    """A dataset whose slides differ from the good one's."""

    class Spoilt(Folder):
        def load(self, slide_id: str) -> Slide:
            slide = super().load(slide_id)
            spoil(slide.adata)
            return Slide(slide.adata, slide.info, slide.source)

    return Spoilt


def no_symbols(adata: Any) -> None:
    del adata.var["symbol"]


def one_name_for_all_spots(adata: Any) -> None:
    adata.obs_names = ["spot"] * adata.n_obs


def a_centre_unknown(adata: Any) -> None:
    adata.obsm["spatial"][0] = np.nan


def annotated(adata: Any) -> None:
    adata.obs["region"] = ["upper"] + [None] * (adata.n_obs - 1)


def centres_of_the_full_resolution(adata: Any) -> None:
    adata.obsm["spatial"] = adata.obsm["spatial"] * 2


def logarithms(adata: Any) -> None:
    adata.X = adata.X.log1p()


def nothing_counted(adata: Any) -> None:
    adata.X = adata.X * 0


class NoImage(Folder):
    def load(self, slide_id: str) -> Slide:
        slide = super().load(slide_id)
        return Slide(slide.adata, slide.info)


class LooksAtImages(Folder):
    def info(self, name: str) -> SlideInfo:
        assert tifffile.imread(self.folder / f"{name}.tif").size
        return super().info(name)


class KeepsSlides(Folder):
    def load(self, slide_id: str) -> Slide:
        kept = self.__dict__.setdefault("kept", {})
        if slide_id not in kept:
            kept[slide_id] = super().load(slide_id)
        return kept[slide_id]


class Jitters(Folder):
    def load(self, slide_id: str) -> Slide:
        slide = super().load(slide_id)
        n = self.__dict__["loads"] = self.__dict__.get("loads", 0) + 1
        slide.adata.obs["load"] = n if slide_id == "P1-S1" else 0  # only the first slide's second load tells
        return slide


class GenesAsTheFirstSlideHadThem(Folder):
    def load(self, slide_id: str) -> Slide:
        slide = super().load(slide_id)
        first = self.__dict__.setdefault("first", slide_id)
        return slide if slide_id == first else slide.with_adata(slide.adata[:, ::-1].copy())


class KeyErrors(Folder):
    def load(self, slide_id: str) -> Slide:
        return super().load({info.id: info.id for info in self.slides()}[slide_id])


class AnySlide(Folder):
    def load(self, slide_id: str) -> Slide:
        known = [info.id for info in self.slides()]
        return super().load(slide_id if slide_id in known else known[0])


class SaysNoWhich(Folder):
    def load(self, slide_id: str) -> Slide:
        if slide_id not in [info.id for info in self.slides()]:
            raise DataError("not here")
        return super().load(slide_id)


class PhonesHome(Folder):
    def load(self, slide_id: str) -> Slide:
        with suppress(OSError):
            socket.getaddrinfo("example.org", 443)
        return super().load(slide_id)


class IndexesTheFolder(Folder):
    def files(self) -> tuple[DataFile, ...]:
        return tuple(file for file in super().files() if file.name != ".index")

    def load(self, slide_id: str) -> Slide:
        (self.folder / ".index").write_text(slide_id)
        return super().load(slide_id)


def saying(error: type[Exception], words: str, where: str = "") -> type[Folder]:
    """A dataset that says something else where its data are not."""

    class Saying(Folder):
        @property
        def folder(self) -> Path:
            try:
                return super().folder
            except DataError:
                raise error(f"{words} {self.context.data_dir if where else ''}") from None

    return Saying


class AnyFolder(Folder):
    @property
    def folder(self) -> Path:
        return super().folder if self.context.data_dir is None else self.context.data_dir


@pytest.mark.parametrize(
    ("dataset", "check", "sentence"),
    [
        (ListsTwice, "metadata", "slides() lists P1-S1, P2-S1 twice; ids must be unique"),
        (ListsNothing, "metadata", "slides() lists no slide"),
        (changed(patient=""), "metadata", "slide 'P1-S1' names no patient"),
        (changed(dataset="other"), "metadata", "says it is of dataset 'other', not 'folder'"),
        (changed(mpp=0.0), "metadata", "slide 'P1-S1': mpp is 0.0, not a size above 0"),
        (changed(spot_um=-1.0), "metadata", "slide 'P1-S1': spot_um is -1.0, not a size above 0"),
        (changed(mpp=None), "metadata", "slide 'P1-S1' has an image of unknown scale; give mpp"),
        (changed(has_image=False), "metadata", "slide 'P1-S1' has no image and does not say why"),
        (HashesNames, "checksums", "P1-S1.h5ad has SHA-256"),
        (ShortChecksums, "checksums", "the checksum of P1-S1.h5ad is not 64 hexadecimal digits"),
        (NamesTwice, "checksums", "files() lists a name twice"),
        (LongGone, "checksums", "P1-S1.h5ad is not where files() says"),
        (NumberedRevision, "checksums", "the revision stays 2024-01 when the checksum of P2-S1.tif changes"),
        (RevisionOfTheInstance, "checksums", "two instances are at revisions"),
        (
            UnknownDefault,
            "default_protocol",
            "default_protocol: unknown protocol 'stbench-v0'; did you mean stbench-v1",
        ),
        (InapplicableDefault, "default_protocol", "its default protocol cannot be used, and none instead: histogene"),
        (OtherMetadata, "loads", "slide P1-S1: load gives other metadata than slides()"),
        (spoilt(no_symbols), "loads", 'slide P1-S1 has no var["symbol"]'),
        (spoilt(one_name_for_all_spots), "loads", "slide P1-S1: two spots are named spot"),
        (spoilt(a_centre_unknown), "loads", "slide P1-S1: a centre is not a finite number"),
        (changed(has_regions=True), "loads", "slide P1-S1 has no region labels: say has_regions=False"),
        (spoilt(annotated), "loads", "slide P1-S1 has region labels: say has_regions=True"),
        (NoImage, "loads", "slide P1-S1 says it has an image and carries no source"),
        (LooksAtImages, "metadata_without_pixels", "slides() took 1 MB, the smallest image has 1"),
        (spoilt(centres_of_the_full_resolution), "spots_inside_images", "spots lie outside its image (640 × 640 px)"),
        (spoilt(logarithms), "counts_integral", "slide P1-S1: X holds values that are no counts; load raw counts"),
        (spoilt(nothing_counted), "counts_integral", "slide P1-S1: all counts are 0"),
        (KeepsSlides, "loads_alike_twice", "slide P1-S1: load gives the same AnnData twice"),
        (GenesAsTheFirstSlideHadThem, "loads_in_any_order", "slide P2-S1 differs when the slides are loaded in"),
        (KeyErrors, "unknown_slide", "load of an unknown slide raises KeyError; raise DataError"),
        (AnySlide, "unknown_slide", "load of an unknown slide gives a slide; raise DataError"),
        (SaysNoWhich, "unknown_slide", "the error does not name the slide: not here"),
        (PhonesHome, "no_network", "asked the network for example.org though the data are here"),
        (IndexesTheFolder, "writes_only_in_cache", ".index; keep what is made below context.cache_dir"),
        (saying(FileNotFoundError, "no such file"), "offline_message", "without its data it raises FileNotFoundError"),
        (saying(DataError, "not here"), "offline_message", "does not say what to give as --data-dir: not here"),
        (saying(DataError, "give --data-dir"), "offline_message", "given an empty --data-dir, the error does not name"),
        (AnyFolder, "offline_message", "an empty --data-dir is taken for the data"),
    ],
)
@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_a_fault_fails_the_check_that_names_it_and_no_other(
    dataset: type[Folder], check: str, sentence: str, data: Path
) -> None:
    outcomes = [c.outcome() for c in dataset_checks(dataset, data_dir=data)]
    failed = {o.id: o.message for o in outcomes if o.status == "failed"}

    assert list(failed) == [check]
    assert sentence in failed[check]


def test_values_that_differ_from_load_to_load_are_named(data: Path) -> None:
    failed = {o.id: o.message for c in dataset_checks(Jitters, data_dir=data) if (o := c.outcome()).status == "failed"}

    assert failed["loads_alike_twice"] == "slide P1-S1 differs when loaded again: obs"


def test_a_dataset_that_is_not_the_one_its_spec_names(data: Path) -> None:
    spec = DatasetSpec(name="other", factory=f"{__name__}:Folder")

    with pytest.raises(ConformanceError, match="metadata: the dataset says it is 'folder', its spec 'other'"):
        check_dataset(spec, data_dir=data)


def test_only_as_many_slides_are_loaded_as_asked(data: Path) -> None:
    class CannotLoadTheSecond(Folder):
        def load(self, slide_id: str) -> Slide:
            if slide_id.startswith("P2"):
                raise ValueError(slide_id)
            return super().load(slide_id)

    assert check_dataset(CannotLoadTheSecond, data_dir=data, n_slides=1).verdict == "conformant"
    with pytest.raises(ConformanceError, match="loads: ValueError: P2-S1"):
        check_dataset(CannotLoadTheSecond, data_dir=data, only=["loads"])


def test_her2st_passes_on_its_data(test_data: Path) -> None:
    report = check_dataset("her2st", data_dir=test_data / "her2st", n_slides=2)

    assert {o.status for o in report.outcomes} == {"passed"}


@pytest.mark.parametrize(("folder", "stated"), [("mob_2k", {"mpp": 3.5}), ("visium_muscle", {})])
def test_an_imported_dataset_passes(
    folder: str, stated: dict[str, Any], test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STBENCH_DATASETS", str(tmp_path / "definitions"))
    defined, _ = understand(test_data / folder, "mine", Stated(**stated), tmp_path / "cache")
    written = definition.write(defined)
    spec = DatasetSpec(name="mine", factory="stbench.datasets.imported:Imported", definition=str(written))

    report = check_dataset(spec)

    assert {o.id: o.status for o in report.outcomes if o.status != "passed"} == {"offline_message": "skipped"}
