"""Images are read by regions, whatever the file; what cannot be read is an error that names the file."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from stbench.errors import DataError
from stbench.slides.image import SlideImage, open_image


def tissue(height: int = 300, width: int = 420) -> np.ndarray:
    """Smooth colours with some texture, so that lossy codecs stay close."""
    y, x = np.mgrid[:height, :width]
    channels = [127 + 100 * np.sin(x / (20 + 7 * c) + y / 31 + c) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def assert_regions_equal(image: SlideImage, expected: np.ndarray, level: int = 0, atol: int = 0) -> None:
    height, width = expected.shape[:2]
    padded = np.pad(expected, ((50, 50), (50, 50), (0, 0)), constant_values=255)
    regions = [
        (0, 0, width, height),
        (13, 7, 40, 60),
        (width - 10, height - 10, 30, 30),
        (-20, -30, 64, 48),
        (-50, 0, 40, 20),
        (width + 5, 0, 3, 3),
        (-50, -50, width + 100, height + 100),
    ]
    for x, y, w, h in regions:
        got = image.read(x, y, w, h, level)
        assert got.dtype == np.uint8
        assert got.shape == (h, w, 3)
        want = padded[y + 50 : y + 50 + h, x + 50 : x + 50 + w]
        np.testing.assert_allclose(got.astype(int), want.astype(int), atol=atol)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.tif", {}),
        ("big-endian.tif", {"byteorder": ">"}),
        ("big.btf", {"bigtiff": True}),
        ("strips.tif", {"compression": "deflate", "rowsperstrip": 17}),
        ("predictor.tif", {"compression": "lzw", "predictor": True, "rowsperstrip": 50}),
        ("tiles.tiff", {"tile": (64, 48)}),
        ("tiles-deflate.tiff", {"tile": (64, 48), "compression": "deflate"}),
    ],
)
def test_rgb_tiff(tmp_path: Path, name: str, options: dict) -> None:
    pixels = tissue()
    tifffile.imwrite(tmp_path / name, pixels, photometric="rgb", **options)

    image = open_image(tmp_path / name, tmp_path / "cache")

    assert image.size == (420, 300)
    assert image.downsamples == (1.0,)
    assert image.mpp is None
    assert_regions_equal(image, pixels)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("options", [{}, {"tile": (64, 64), "compression": "deflate"}, {"compression": "lzw"}])
def test_planar_grey_and_sixteen_bit_tiff(tmp_path: Path, options: dict) -> None:
    pixels = tissue()
    grey = np.ascontiguousarray(pixels[..., 0])
    stacked = np.stack([grey] * 3, axis=-1)
    planar = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    variants = {
        "planar": (planar, {"photometric": "rgb", "planarconfig": "separate"}, pixels),
        "pages": (planar, {"photometric": "minisblack"}, pixels),
        "grey": (grey, {"photometric": "minisblack"}, stacked),
        "inverted": (255 - grey, {"photometric": "miniswhite"}, stacked),
        "deep": (pixels.astype(np.uint16) * 257, {"photometric": "rgb"}, pixels),
        "deep-big-endian": (pixels.astype(np.uint16) * 257, {"photometric": "rgb", "byteorder": ">"}, pixels),
    }
    for name, (stored, how, expected) in variants.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", stored, **how, **options)
        assert_regions_equal(open_image(tmp_path / f"{name}.tif", tmp_path / "cache"), expected)


def test_alpha_is_composited_on_white(tmp_path: Path) -> None:
    pixels = tissue()
    alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    alpha[:100], alpha[100:150] = 0, 128
    rgba = np.concatenate([pixels, alpha], axis=2)
    expected = np.rint(pixels * (alpha / 255) + 255 * (1 - alpha / 255)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite(tmp_path / "x.tif", rgba, photometric="rgb", extrasamples=["unspecified"])
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(rgba))

    assert_regions_equal(open_image(tmp_path / "a.tif", tmp_path), expected)
    assert_regions_equal(open_image(tmp_path / "a.png", tmp_path), expected)
    assert_regions_equal(open_image(tmp_path / "x.tif", tmp_path), pixels)


@pytest.mark.parametrize("codec", ["deflate", "jpeg"])
def test_ome_pyramid_in_subifds(tmp_path: Path, codec: str) -> None:
    pixels = tissue(600, 838)
    levels = [pixels, pixels[::2, ::2], pixels[::4, ::4]]
    path = tmp_path / "pyramid.ome.tif"
    how = {"photometric": "rgb", "tile": (64, 64), "compression": codec}
    with tifffile.TiffWriter(path) as writer:
        metadata = {"axes": "YXS", "PhysicalSizeX": 274.0, "PhysicalSizeXUnit": "nm"}
        writer.write(levels[0], subifds=2, metadata=metadata, **how)
        for reduced in levels[1:]:
            writer.write(reduced, subfiletype=1, **how)

    image = open_image(path, tmp_path / "cache")

    assert image.size == (838, 600)
    assert image.downsamples == (1.0, 2.0, 4.0)
    assert image.mpp == pytest.approx(0.274)
    for level, pixels in enumerate(levels):
        expected = tifffile.imread(path, series=0, level=level)
        assert np.abs(expected.astype(int) - pixels).mean() < 5
        assert_regions_equal(image, expected, level)


def test_planar_ome_tiff(tmp_path: Path) -> None:
    pixels = tissue()
    path = tmp_path / "planar.ome.tif"
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    tifffile.imwrite(path, planes, photometric="minisblack", tile=(64, 64), metadata={"axes": "CYX"})

    assert_regions_equal(open_image(path, tmp_path), pixels)


def test_pyramid_in_pages(tmp_path: Path) -> None:
    pixels = tissue(512, 768)
    how = {"photometric": "rgb", "tile": (64, 64), "compression": "deflate", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "vips.tif") as writer:
        writer.write(pixels, **how)
        writer.write(pixels[::2, ::2], subfiletype=1, **how)

    image = open_image(tmp_path / "vips.tif", tmp_path)

    assert image.downsamples == (1.0, 2.0)
    assert_regions_equal(image, pixels[::2, ::2], level=1)


@pytest.mark.parametrize(
    ("resolution", "unit", "mpp"),
    [(20_000, "CENTIMETER", 0.5), (50_800, "INCH", 0.5), (72, "INCH", None), (20_000, "NONE", None)],
)
def test_scale_from_resolution_tags(tmp_path: Path, resolution: int, unit: str, mpp: float | None) -> None:
    path = tmp_path / "scaled.tif"
    tifffile.imwrite(path, tissue(), resolution=(resolution, resolution), resolutionunit=unit)

    assert open_image(path, tmp_path).mpp == (None if mpp is None else pytest.approx(mpp))


def test_scale_from_an_aperio_description(tmp_path: Path) -> None:
    path = tmp_path / "scan.svs"
    how = {"photometric": "rgb", "tile": (64, 64), "metadata": None}
    tifffile.imwrite(path, tissue(), description="Aperio Image Library v1|AppMag = 20|MPP = 0.4990", **how)

    assert open_image(path, tmp_path).mpp == 0.499


def test_jpeg_and_png_are_decoded_once(tmp_path: Path) -> None:
    pixels = tissue()
    grey = np.ascontiguousarray(pixels[..., 0])
    stacked = np.stack([grey] * 3, axis=-1)
    files = {
        "rgb.jpg": (imagecodecs.jpeg8_encode(pixels, level=95), pixels, 12),
        "grey.jpg": (imagecodecs.jpeg8_encode(grey, level=95), stacked, 12),
        "padded.jpg": (imagecodecs.jpeg8_encode(pixels, level=96) + bytes(1000), pixels, 12),
        "rgb.png": (imagecodecs.png_encode(pixels), pixels, 0),
        "grey.png": (imagecodecs.png_encode(grey), stacked, 0),
        "deep.png": (imagecodecs.png_encode(pixels.astype(np.uint16) * 257), pixels, 0),
    }
    for name, (data, expected, atol) in files.items():
        (tmp_path / name).write_bytes(data)
        image = open_image(tmp_path / name, tmp_path / "cache", digest=name)
        assert image.mpp is None
        assert_regions_equal(image, expected, atol=atol)
        assert (tmp_path / "cache" / f"{name}.npy").exists()
    assert not list((tmp_path / "cache").glob("*.part"))

    Image.fromarray(pixels).quantize(16).save(tmp_path / "palette.png")
    expected = np.asarray(Image.open(tmp_path / "palette.png").convert("RGB"))
    assert_regions_equal(open_image(tmp_path / "palette.png", tmp_path / "cache"), expected)


def test_a_second_opening_only_maps_the_cache(tmp_path: Path) -> None:
    path, cache = tmp_path / "he.png", tmp_path / "cache"
    path.write_bytes(imagecodecs.png_encode(tissue()))
    open_image(path, cache)
    (cached,) = cache.iterdir()
    os.utime(cached, (1, 1))

    assert_regions_equal(open_image(path, cache), tissue())

    assert [*cache.iterdir()] == [cached]
    assert cached.stat().st_mtime == 1
    path.write_bytes(imagecodecs.png_encode(255 - tissue()))  # other content, other name
    assert_regions_equal(open_image(path, cache), 255 - tissue())


def test_openings_may_race(tmp_path: Path) -> None:
    path, cache = tmp_path / "he.png", tmp_path / "cache"
    path.write_bytes(imagecodecs.png_encode(tissue()))

    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda _: open_image(path, cache), range(16)))

    for image in images:
        np.testing.assert_array_equal(image.read(0, 0, 420, 300), tissue())
    assert len([*cache.iterdir()]) == 1


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "other type"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "he.png"
    path.write_bytes(imagecodecs.png_encode(tissue()))
    open_image(path, tmp_path, digest="abc")
    cached = tmp_path / "abc.npy"
    whole = cached.read_bytes()
    if damage == "other type":
        np.save(cached, np.zeros((4, 4)))
    else:
        cached.write_bytes({"truncated": whole[:-1000], "empty": b"", "garbage": b"PK\x03\x04" * 99}[damage])

    assert_regions_equal(open_image(path, tmp_path, digest="abc"), tissue())

    assert cached.read_bytes() == whole


def test_a_page_of_one_huge_compressed_strip_is_decoded_once(tmp_path: Path) -> None:
    pixels = tissue(2100, 2100)
    path, cache = tmp_path / "strip.tif", tmp_path / "cache"
    tifffile.imwrite(path, pixels, photometric="rgb", compression="deflate", rowsperstrip=2100)

    image = open_image(path, cache, digest="abc")

    np.testing.assert_array_equal(image.read(0, 0, 2100, 2100), pixels)
    assert [each.name for each in cache.iterdir()] == ["abc-0.npy"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "tiled.tif"])
@pytest.mark.parametrize("kept", [0.0, 0.05, 0.5, 0.99])
def test_truncated_files(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    path = tmp_path / f"cut.{suffix}"
    if suffix == "jpg":
        path.write_bytes(imagecodecs.jpeg8_encode(noise))
    elif suffix == "png":
        path.write_bytes(imagecodecs.png_encode(noise))
    else:
        how = {"tile": (64, 64), "compression": "deflate"} if suffix == "tiled.tif" else {}
        tifffile.imwrite(path, noise, photometric="rgb", **how)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])

    with pytest.raises(DataError, match=rf"cut\.{suffix} is truncated or not an image; fetch it again"):
        open_image(path, tmp_path / "cache")

    assert not list(tmp_path.glob("cache/*"))


def test_a_truncated_jpeg_with_a_thumbnail_is_noticed(tmp_path: Path) -> None:
    thumbnail = imagecodecs.jpeg8_encode(tissue(16, 16))
    main = imagecodecs.jpeg8_encode(tissue())
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path = tmp_path / "exif.jpg"
    path.write_bytes(main[:2] + segment + main[2:])
    assert open_image(path, tmp_path).size == (420, 300)

    path.write_bytes(main[:2] + segment + main[2:-200])

    with pytest.raises(DataError, match="truncated"):
        open_image(path, tmp_path)


def test_a_damaged_tile_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "he.tif"
    tifffile.imwrite(path, tissue(), photometric="rgb", tile=(64, 64), compression="deflate")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = bytes(40)
    path.write_bytes(data)

    image = open_image(path, tmp_path)

    np.testing.assert_array_equal(image.read(64, 64, 50, 50), tissue()[64:114, 64:114])
    with pytest.raises(DataError, match=r"he\.tif is truncated"):
        image.read(0, 0, 10, 10)


def test_what_is_not_an_image(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("not an image")
    (tmp_path / "page.tif").write_text("<html>404</html>")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((7, 32, 32), np.uint8), photometric="minisblack")
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((32, 32), np.float32))

    for name in ("notes.jpg", "page.tif"):
        with pytest.raises(DataError, match=f"{name} is truncated or not an image"):
            open_image(tmp_path / name, tmp_path)
    for name in ("stack.tif", "float.tif"):
        with pytest.raises(DataError, match=rf"{name} is .*; export it as 8 bit RGB"):
            open_image(tmp_path / name, tmp_path)
    with pytest.raises(DataError, match=r"cannot read .*absent\.tif: No such file.*; fetch it"):
        open_image(tmp_path / "absent.tif", tmp_path)


def test_tiles_left_out_are_white(tmp_path: Path) -> None:
    def tiles():
        yield np.full((64, 64, 3), 7, np.uint8)
        yield None

    path = tmp_path / "sparse.tif"
    how = {"dtype": np.uint8, "photometric": "rgb", "tile": (64, 64), "compression": "deflate"}
    tifffile.imwrite(path, tiles(), shape=(64, 128, 3), **how)

    region = open_image(path, tmp_path).read(0, 0, 128, 64)

    assert (region[:, :64] == 7).all()
    assert (region[:, 64:] == 255).all()


def test_a_slide_of_400_megapixels_is_read_by_regions(tmp_path: Path) -> None:
    side, tile, values = 20_000, 496, (40, 200)
    down = {level: -(-(side // level) // tile) for level in (1, 2)}
    encoded = [imagecodecs.zlib_encode(np.full((tile, tile, 3), value, np.uint8)) for value in values]
    how = {"dtype": np.uint8, "photometric": "rgb", "tile": (tile, tile), "compression": "deflate"}
    path = tmp_path / "huge.btf"
    with tifffile.TiffWriter(path, ome=True, bigtiff=True) as writer:
        for level in (1, 2):
            tiles = (encoded[n % 2] for n in range(down[level] ** 2))
            shape = (side // level, side // level, 3)
            writer.write(tiles, shape=shape, subifds=2 - level, subfiletype=level - 1, **how)
    assert path.stat().st_size < 20e6

    tracemalloc.start()
    image = open_image(path, tmp_path / "cache")
    for row, column in product(range(0, down[1], 2), range(down[1])):
        square = image.read(column * tile + 10, row * tile + 10, 100, 100)
        assert (square == values[(row * down[1] + column) % 2]).all()
    image.read(19_900, 19_900, 300, 300)
    image.read(0, 0, 2000, 2000, level=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert image.size == (side, side)
    assert image.downsamples == (1.0, 2.0)
    assert peak < 170e6  # 64 MiB of recent tiles for each level; the image has 1.2 GB
    assert not (tmp_path / "cache").exists()


def test_a_real_jpeg_of_92_megapixels(test_data: Path, tmp_path: Path) -> None:
    path = test_data / "her2st" / "ST-imgs" / "C" / "C2" / "5714_HE_BT_C2.jpg"

    image = open_image(path, tmp_path)

    assert image.size == (9274, 9911)
    expected = imagecodecs.jpeg8_decode(path.read_bytes())[5000:5100, 4000:4100]
    np.testing.assert_array_equal(image.read(4000, 5000, 100, 100), expected)


def test_importing_is_cheap() -> None:
    code = (
        "import sys, stbench.slides.image, stbench.slides.patches;"
        "print([name for name in ('tifffile', 'zarr', 'imagecodecs', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
