"""Folders as labs have them become datasets: what is understood, what is asked for, what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile

from stbench.datasets import DatasetContext, definition
from stbench.datasets.definition import Definition
from stbench.datasets.imported import Imported
from stbench.datasets.importing import Stated, Understood, understand
from stbench.errors import DataError, UsageError

Importing = Callable[..., tuple[Definition, list[Understood]]]

UNKNOWN_SCALE = "the image's scale is unknown; import again with --mpp"


@pytest.fixture(autouse=True)
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STBENCH_DATASETS", str(tmp_path / "definitions"))
    return tmp_path / "definitions"


@pytest.fixture
def bulbs(test_data: Path, tmp_path: Path) -> Path:
    """Three sections in a folder that may be changed."""
    return Path(shutil.copytree(test_data / "mob_2k", tmp_path / "bulbs"))


@pytest.fixture
def importing(cache_dir: Path) -> Importing:
    def run(folder: Path, name: str = "mine", **stated: object) -> tuple[Definition, list[Understood]]:
        return understand(folder, name, Stated(**stated), cache_dir)  # type: ignore[arg-type]

    return run


def opened(defined: Definition, cache_dir: Path) -> Imported:
    return Imported(DatasetContext(cache_dir), definition.write(defined))


@pytest.mark.parametrize(
    ("folder", "stated"),
    [
        ("visium_muscle", {}),
        ("mob/Rep11", {"organ": 'olfactory "bulb"', "mpp": 2.75}),
        ("mob_2k", {"mpp": 3.5}),
        ("dlpfc", {"patient": "Br8492"}),
        ("xenium_crop", {"swap_xy": True}),
    ],
)
def test_a_definition_reads_back_as_it_was_written(
    folder: str, stated: dict[str, object], importing: Importing, test_data: Path
) -> None:
    defined, _ = importing(test_data / folder, **stated)

    path = definition.write(defined)

    assert definition.read(path) == defined
    assert path.read_text().startswith("# Dataset of stbench, written by `stbench data import`. Edit it freely")


def test_space_ranger_output(importing: Importing, test_data: Path, cache_dir: Path) -> None:
    defined, _ = importing(test_data / "visium_muscle")

    dataset = opened(defined, cache_dir)

    (info,) = dataset.slides()
    assert (info.id, info.patient, info.technology, info.grid, info.spot_um) == (
        "Vis5A_2dpi", "mine", "Visium", "hex", 55.0,
    )  # fmt: skip
    assert info.mpp == pytest.approx(4.0, abs=0.3)
    assert info.has_image
    slide = dataset.load("Vis5A_2dpi")
    assert slide.adata.shape == (982, 33217)
    assert slide.patches(pixels=16, microns=110).shape == (982, 16, 16, 3)
    assert len(dataset.files()) == 5
    assert defined.default_protocol == "stbench-blocks-v1"


def test_a_plain_folder_with_regions(importing: Importing, test_data: Path, cache_dir: Path) -> None:
    defined, _ = importing(test_data / "mob" / "Rep11")

    slide = opened(defined, cache_dir).load("Rep11")

    assert slide.adata.shape == (262, 16218)
    assert slide.adata.obs["region"].nunique() == 5
    assert slide.adata.obs["region"].notna().all()
    assert slide.info.has_image


def test_a_folder_per_slide_with_the_scale_given(importing: Importing, test_data: Path, cache_dir: Path) -> None:
    defined, slides = importing(test_data / "mob_2k", mpp=3.5)

    infos = opened(defined, cache_dir).slides()

    assert [(i.id, i.mpp, i.mpp_source, i.has_image) for i in infos] == [
        (name, 3.5, "given at import", True) for name in ("MOB1", "MOB2", "MOB3")
    ]
    assert defined.default_protocol == "stbench-section-v1"
    assert not [note for slide in slides for note in slide.notes if "give its mpp" in note]


def test_slides_of_unknown_scale_are_listed_with_what_to_do(
    importing: Importing, test_data: Path, cache_dir: Path
) -> None:
    defined, slides = importing(test_data / "mob_2k")

    infos = opened(defined, cache_dir).slides()

    assert [(i.has_image, i.image_missing) for i in infos] == [(False, UNKNOWN_SCALE)] * 3
    assert all("µm per pixel of the image are unknown; give its mpp" in slide.notes for slide in slides)


def test_the_scale_may_come_from_the_tags_of_the_image(importing: Importing, bulbs: Path) -> None:
    folder = bulbs / "MOB1"
    picture = tifffile.memmap(folder / "HE.tif", shape=(1905, 1905, 3), dtype="uint8", photometric="rgb")
    picture[:] = 200
    picture.flush()
    with tifffile.TiffFile(folder / "HE.tif", mode="r+") as tiff:
        tiff.pages[0].tags["XResolution"].overwrite((10_000, 4))
        tiff.pages[0].tags["YResolution"].overwrite((10_000, 4))
        tiff.pages[0].tags["ResolutionUnit"].overwrite(3)  # centimetre: 2,500 px a cm are 4 µm a px
    (folder / "HE.jpg").unlink()

    defined, _ = importing(folder)

    (slide,) = defined.slides
    assert slide.mpp == pytest.approx(4.0)
    assert slide.mpp_source == "tags of the image file"


def test_a_slide_without_image_is_listed_with_what_to_do(importing: Importing, bulbs: Path, cache_dir: Path) -> None:
    (bulbs / "MOB2" / "HE.jpg").unlink()

    dataset = opened(importing(bulbs, mpp=3.5)[0], cache_dir)

    missing = {info.id: info.image_missing for info in dataset.slides()}
    assert missing == {"MOB1": "", "MOB2": "no image was found at import; import again with --image", "MOB3": ""}
    with pytest.raises(DataError, match="slide MOB2 of mine has no image: no image was found"):
        _ = dataset.load("MOB2").image


def test_an_h5ad_with_its_image_inside(importing: Importing, test_data: Path, cache_dir: Path) -> None:
    defined, slides = importing(test_data / "dlpfc" / "151510.h5ad", patient="Br8492")

    slide = opened(defined, cache_dir).load("151510")

    assert slide.adata.shape == (4634, 500)
    assert (slide.info.patient, slide.info.grid) == ("Br8492", "hex")
    assert "Layer3" in "".join(map(str, slide.adata.obs["region"].cat.categories)).replace(" ", "").replace("_", "")
    assert max(slide.image.size) == 600
    assert any("too small to predict from" in note for note in slides[0].notes)


def test_x_and_y_exchanged(importing: Importing, test_data: Path, cache_dir: Path) -> None:
    with pytest.raises(DataError, match="with x and y exchanged: check which is which, and import with --swap-xy"):
        importing(test_data / "xenium_crop")

    defined, _ = importing(test_data / "xenium_crop", swap_xy=True, mpp=0.2125)

    slide = opened(defined, cache_dir).load("NCBI858")
    assert slide.adata.shape == (200, 338)
    assert (slide.centers_px < slide.image.size).all()
    assert slide.info.has_image


def test_slides_csv_says_what_differs_between_slides(importing: Importing, bulbs: Path, cache_dir: Path) -> None:
    (bulbs / "MOB3" / "HE.jpg").rename(bulbs / "third.jpg")
    table = "slide,patient,mpp,image,organ\nMOB1,P1,3.5,,\nMOB2,P1,3.25,,\nMOB3,P2,,third.jpg,bulb\n"
    (bulbs / "slides.csv").write_text("\ufeff" + table)

    defined, _ = importing(bulbs, mpp=4.0, organ="brain")

    infos = opened(defined, cache_dir).slides()
    assert [(i.id, i.patient, i.mpp, i.organ, i.has_image) for i in infos] == [
        ("MOB1", "P1", 3.5, "brain", True),
        ("MOB2", "P1", 3.25, "brain", True),
        ("MOB3", "P2", 4.0, "bulb", True),
    ]
    assert defined.slides[2].image == bulbs / "third.jpg"
    assert defined.default_protocol == "stbench-v1"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("slide,patient\nMOB1,P1\nMOB9,P2\n", r"slides\.csv names MOB9; the slides here are MOB1, MOB2, MOB3"),
        ("slide,donor\nMOB1,P1\n", r"slides\.csv: columns must be slide and any of patient, .*; found: slide, donor"),
        ("patient\nP1\n", r"slides\.csv: columns must be slide and any of .*; found: patient"),
        ("slide,mpp\nMOB1,large\n", r"slides\.csv: mpp 'large' of slide MOB1 is not a number above 0"),
        ("slide,mpp\nMOB1,0\n", r"slides\.csv: mpp '0' of slide MOB1 is not a number above 0"),
        ("slide,mpp\nMOB1,nan\n", r"slides\.csv: mpp 'nan' of slide MOB1 is not a number above 0"),
        ("slide,image\nMOB1,none.jpg\n", r"slide MOB1: image .*bulbs/none\.jpg is not there"),
    ],
)
def test_a_wrong_slides_csv(table: str, message: str, bulbs: Path, importing: Importing) -> None:
    (bulbs / "slides.csv").write_text(table)

    with pytest.raises(DataError, match=message):
        importing(bulbs)


def test_the_files_disagree_with_the_scale_given(importing: Importing, test_data: Path) -> None:
    _, (slide,) = importing(test_data / "visium_muscle", mpp=2.0)

    assert any(note.startswith("mpp 2 was given; the files say ") for note in slide.notes)
    assert slide.definition.mpp == 2.0


@pytest.mark.parametrize("name", ["Mine", "my data", "../mine", "", "mine.toml"])
def test_names_that_no_dataset_can_have(name: str, importing: Importing, test_data: Path) -> None:
    with pytest.raises(UsageError, match="a dataset's name has lower-case letters, digits and hyphens only"):
        importing(test_data / "mob_2k", name)


def test_folders_that_hold_no_slides(importing: Importing, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("nothing here")

    with pytest.raises(DataError, match="holds no layout stbench knows: Space Ranger output"):
        importing(tmp_path / "notes")
    with pytest.raises(DataError, match="nowhere does not exist"):
        importing(tmp_path / "nowhere")


def test_two_slides_of_one_name(importing: Importing, test_data: Path, tmp_path: Path) -> None:
    for batch in ("first", "second"):
        (tmp_path / "both" / batch).mkdir(parents=True)
        shutil.copy(test_data / "dlpfc" / "151510.h5ad", tmp_path / "both" / batch)

    with pytest.raises(DataError, match=r"two slides are named 151510 \(.*first.*, .*second.*\); rename one"):
        importing(tmp_path / "both")


def test_one_image_for_several_slides(importing: Importing, bulbs: Path) -> None:
    with pytest.raises(
        UsageError, match=r"--image is for one slide, there are 3; name each one's image in a slides.csv"
    ):
        importing(bulbs, image=bulbs / "MOB1" / "HE.jpg")


def test_a_definition_edited_by_hand_is_honoured(importing: Importing, test_data: Path, cache_dir: Path) -> None:
    path = definition.write(importing(test_data / "mob_2k", mpp=3.5)[0])
    text = path.read_text().replace("mpp = 3.5", "mpp = 3", 1).replace('patient = "mine"', 'patient = "M1"', 1)
    path.write_text(text.replace("stbench-section-v1", "stbench-v1") + "\n# a remark\n")

    dataset = Imported(DatasetContext(cache_dir), path)

    assert [(i.mpp, i.patient) for i in dataset.slides()] == [(3.0, "M1"), (3.5, "mine"), (3.5, "mine")]
    assert dataset.load("MOB1").mpp == 3.0
    assert dataset.default_protocol == "stbench-v1"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mpp = 3.5", "mpp = ", r"mine\.toml is not TOML \(.*\); mend it or import the dataset again"),
        ("mpp = 3.5", 'mpp = "big"', r"mine\.toml: slides\.0\.mpp: .*valid number.*; mend it or import"),
        ("mpp = 3.5", "microns = 3.5", r"mine\.toml: slides\.0\.microns: Extra inputs are not permitted; mend it"),
        ('layout = "plain"', 'layout = "czi"', r"mine\.toml: slides\.0\.layout: Input should be 'spaceranger'"),
        ('name = "mine"', 'name = "yours"', r"mine\.toml says name = 'yours'; name the file and the dataset alike"),
    ],
)
def test_a_definition_that_is_broken(old: str, new: str, message: str, importing: Importing, test_data: Path) -> None:
    path = definition.write(importing(test_data / "mob_2k", mpp=3.5)[0])
    path.write_text(path.read_text().replace(old, new, 1))

    with pytest.raises(DataError, match=message) as error:
        definition.read(path)

    assert "\n" not in str(error.value)


def test_the_revision_follows_the_files(importing: Importing, bulbs: Path, cache_dir: Path) -> None:
    path = definition.write(importing(bulbs, mpp=3.5)[0])

    def revision() -> str:
        return Imported(DatasetContext(cache_dir), path).revision

    before = revision()
    with (bulbs / "MOB2" / "HE.jpg").open("ab") as image:
        image.write(b"\0")
    assert revision() != before


def test_files_that_have_gone_are_no_crash(importing: Importing, bulbs: Path, cache_dir: Path) -> None:
    dataset = opened(importing(bulbs, mpp=3.5)[0], cache_dir)
    before = len(dataset.files())
    (bulbs / "MOB2" / "HE.jpg").unlink()

    assert len(dataset.files()) == before - 1
    assert [i.image_missing for i in dataset.slides()][1] == f"{bulbs}/MOB2/HE.jpg is not there"
