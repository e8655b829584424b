from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from stbench.errors import DataError
from stbench.execution.dense import write_dense
from stbench.execution.predicted import gather
from stbench.models import Dense
from stbench.slides import Slide
from stbench.slides import slide as slides
from stbench.slides.cache import sha256
from stbench.slides.source import ImageSource
from stbench.testing import context, toy_slides
from stbench_pixnet import model as model_module
from stbench_pixnet.model import PixNet
from stbench_pixnet.params import PixNetParams
from stbench_pixnet.plugin import SMOKE


def tiny(**settings: Any) -> PixNetParams:
    return PixNetParams.model_validate(SMOKE | {"dim": 8, "epochs": 2} | settings)


def fitted(folder: Path, train: Sequence[Slide], validation: Sequence[Slide] = (), **settings: Any) -> PixNet:
    model = PixNet(tiny(**settings), context(folder))
    model.fit(train, validation)
    return model


def with_params(model: PixNet, **settings: Any) -> PixNet:
    """The same fitted network asked for predictions otherwise."""
    other = PixNet(tiny(**settings), model.context)
    other.network, other.n_genes = model.network, model.n_genes
    return other


def predicted(model: PixNet, slide: Slide) -> np.ndarray:
    return np.asarray(model.predict(slide.without_expression()))


def weights(model: PixNet) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


def noise(folder: Path, size: tuple[int, int], spots: int, spot_um: float = 55.0) -> Slide:
    """A slide of 1 µm pixels of noise, with spots anywhere."""
    (toy,) = toy_slides(folder, patients=1, spots=spots)
    rng = np.random.default_rng(0)
    path = folder / f"noise-{size}.tif"
    tifffile.imwrite(path, rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8), photometric="rgb")
    toy.adata.obsm["spatial"] = rng.uniform(0, size, (spots, 2))
    source = ImageSource(path, sha256(path, folder / "cache"), toy.centers_px, folder / "cache")
    return Slide(toy.adata, replace(toy.info, mpp=1.0, spot_um=spot_um), source)


def alive(model: PixNet) -> PixNet:
    """With every branch at work: networks start with those beside the identity switched off."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for name, parameter in model.network.named_parameters():
            if parameter.ndim == 1 and name.endswith("weight"):
                parameter.uniform_(0.5, 1.0)
    return model


def untrained(folder: Path, **settings: Any) -> PixNet:
    model = PixNet(tiny(**settings), context(folder))
    model.n_genes = 6
    model.network = model.module(6)
    return alive(model)


@pytest.mark.parametrize(("footprint", "spot_um"), [("disk", 55.0), ("square", 8.0)])
def test_tiles_with_halo_say_what_one_pass_says(footprint: str, spot_um: float, tmp_path: Path) -> None:
    slide = noise(tmp_path, (1300, 60), 60, spot_um)
    common = {"encoder": "resnet18", "dim": 4, "mpp": 1.0, "footprint": footprint}
    whole = untrained(tmp_path, **common, predict_tile_px=4096)

    one_pass = predicted(whole, slide)
    tiles = predicted(with_params(whole, **common, predict_tile_px=192, halo_px=288), slide)
    cut_short = predicted(with_params(whole, **common, predict_tile_px=192, halo_px=0), slide)

    spread = one_pass.std(0).mean()
    assert spread > 0
    np.testing.assert_allclose(tiles, one_pass, rtol=1e-4, atol=1e-4 * spread)
    assert np.abs(cut_short - one_pass).max() > 1e-2 * spread


def test_a_spot_is_the_mean_of_the_dense_map(tmp_path: Path) -> None:
    slide = noise(tmp_path, (128, 96), 1)
    slide.adata.obsm["spatial"] = np.array([[64.0, 48.0]])
    square = Slide(slide.adata, replace(slide.info, spot_um=16.0, spot_shape="square"), slide.source)
    model = untrained(tmp_path, mpp=1.0)

    dense = model.dense(square.without_expression(), [4, 1])
    (tile,) = dense.tiles

    enlarged = torch.nn.functional.interpolate(
        torch.from_numpy(tile.values)[None], scale_factor=4, mode="bilinear", align_corners=False
    )[0].numpy()
    np.testing.assert_allclose(predicted(model, square)[0, [4, 1]], enlarged[:, 40:56, 56:72].mean((1, 2)), rtol=1e-4)


@pytest.mark.parametrize("name", ["map.ome.tif", "map.zarr"])
def test_a_dense_map_in_tiles_is_that_of_one_pass_and_is_written(name: str, tmp_path: Path) -> None:
    import zarr

    slide = noise(tmp_path, (1001, 70), 5).without_expression()
    common = {"encoder": "resnet18", "dim": 4, "mpp": 1.0, "halo_px": 288}
    whole = untrained(tmp_path, **common, predict_tile_px=4096)
    once = whole.dense(slide, [0, 5])
    (expected,) = once.tiles

    dense = with_params(whole, **common, predict_tile_px=128).dense(slide, [0, 5])
    write_dense(tmp_path / name, dense, ["A", "F"])

    path = tmp_path / name
    read = tifffile.imread(path) if name.endswith("tif") else np.asarray(zarr.open_group(path, mode="r")["0"])
    assert isinstance(whole, Dense)
    assert dense.shape == once.shape == (18, 251)
    assert (dense.pixel_um, dense.pixel_px) == (4.0, 4.0)
    np.testing.assert_allclose(read, expected.values, rtol=1e-4, atol=1e-4 * expected.values.std())


def test_a_dense_map_lies_on_the_image_at_any_scale(tmp_path: Path) -> None:
    slide = noise(tmp_path, (300, 200), 5).without_expression()

    dense = untrained(tmp_path, mpp=2.0).dense(slide, [0])

    assert dense.shape == (25, 38)
    assert (dense.pixel_um, dense.pixel_px) == (8.0, 8.0)


def test_a_large_slide_comes_in_blocks_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = toy_slides(tmp_path)
    model = fitted(tmp_path, [train], predict_tile_px=64)
    expected = predicted(model, test)
    monkeypatch.setattr(slides, "LARGE", 10)
    monkeypatch.setattr(model_module, "SPOTS_AT_ONCE", 7)

    blocks = model.predict(test.without_expression())

    assert isinstance(blocks, Iterator)
    gathered = gather(blocks, test, 6, tmp_path / "blocks")
    np.testing.assert_allclose(gathered.mean, expected, rtol=1e-5, atol=1e-5)
    assert not list(model.context.work_dir.iterdir())


def test_several_spot_sizes_of_one_section_are_trained_together(tmp_path: Path) -> None:
    slide, other, test = toy_slides(tmp_path, patients=3)
    fine = Slide(slide.adata, replace(slide.info, id="fine", spot_um=16.0, spot_shape="square"), slide.source)

    both = fitted(tmp_path, [slide, fine, other], [test])
    coarse = fitted(tmp_path, [slide, other], [test])

    assert np.isfinite(predicted(both, test)).all()
    assert not torch.equal(weights(both), weights(coarse))


def test_a_sum_is_the_mean_in_units_of_the_training_spots(tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)
    model = fitted(tmp_path, [train], aggregation="sum")
    mean, half = with_params(model, aggregation="mean"), test.at(test.centers_px, spot_um=test.info.spot_um / 2)

    # the module holds the parameters it was made with
    sums, sums_of_half = predicted(model, test), predicted(model, half)
    model.network.params = mean.params
    means, means_of_half = predicted(model, test), predicted(model, half)

    np.testing.assert_allclose(sums, means, rtol=0.05)
    np.testing.assert_allclose(sums_of_half / means_of_half, 0.25, atol=0.05)


def test_it_starts_at_the_training_mean_of_what_was_measured(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1)
    adata = slide.adata.copy()
    measured = np.random.default_rng(0).uniform(size=adata.shape) < 0.8
    adata.layers["measured"] = measured
    adata.X = np.where(measured, slide.target, np.float32(1e6))

    model = fitted(tmp_path, [slide.with_adata(adata)], lr=1e-12, epochs=1)

    expected = np.ma.masked_array(slide.target, ~measured).mean(0)
    np.testing.assert_allclose(model.network.network.head.bias.detach().numpy(), expected, rtol=1e-4)


def test_unmeasured_values_change_nothing(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=3)

    def hollow(slide: Slide, filler: float) -> Slide:
        adata = slide.adata.copy()
        measured = np.ones(adata.shape, bool)
        measured[:, 2] = measured[:5, :2] = False
        adata.layers["measured"] = measured
        adata.X = np.where(measured, slide.target, np.float32(filler))
        return slide.with_adata(adata)

    zero, large = (
        fitted(tmp_path, [hollow(s, filler) for s in slides[:2]], [hollow(slides[2], filler)]) for filler in (0.0, 1e6)
    )

    torch.testing.assert_close(weights(zero), weights(large), rtol=0, atol=0)


def test_the_best_validation_epoch_is_kept(tmp_path: Path) -> None:
    *train, validation = toy_slides(tmp_path, patients=3)
    lines: list[str] = []
    model = PixNet(tiny(epochs=6, lr=1e-2), replace(context(tmp_path), report=lines.append))

    model.fit(train, [validation])

    losses = [float(line.split()[-1]) for line in lines if "val_loss" in line]
    error = ((predicted(model, validation) - validation.target) ** 2).mean()
    assert len(losses) == 6
    assert error == pytest.approx(min(losses), rel=0.02)  # its tiles have another halo


def test_the_encoder_learns(tmp_path: Path) -> None:
    train, _ = toy_slides(tmp_path)
    model = PixNet(tiny(), context(tmp_path))
    fresh = model.module(6).network.pyramid.network.conv1[0].weight.detach().clone()

    model.fit([train], [])

    assert not torch.equal(model.network.network.pyramid.network.conv1[0].weight, fresh)


@pytest.mark.parametrize(("turns", "flip"), [(1, False), (2, True), (3, True)])
def test_a_turned_tile_is_brought_back_to_its_spots(turns: int, flip: bool, tmp_path: Path) -> None:
    model = untrained(tmp_path)
    network = model.network.eval()
    marked = torch.full((64, 96, 3), 255, dtype=torch.uint8)
    marked[8:16, 72:80] = 0

    def where(features: torch.Tensor) -> torch.Tensor:
        empty = network.features(torch.full_like(marked, 255), turns, flip)
        return (features - empty).abs().sum(0).flatten().argmax()

    upright, brought_back = network.features(marked), network.features(marked, turns, flip)

    assert brought_back.shape == upright.shape
    row, column = divmod(int(where(brought_back)), 24)
    assert abs(row - 3) <= 2
    assert abs(column - 19) <= 2


def test_weights_of_another_shape_are_not_loaded(tmp_path: Path) -> None:
    model = fitted(tmp_path, toy_slides(tmp_path, patients=1), epochs=1)
    model.save(tmp_path)

    with pytest.raises(DataError, match="load it with those it was fitted with"):
        PixNet(tiny(dim=4), context(tmp_path)).load(tmp_path)


def test_missing_weights_are_said_by_the_loader(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not fit the encoder"):
        PixNet(tiny(weights=Path(__file__)), context(tmp_path)).fit(toy_slides(tmp_path), [])


@pytest.mark.slow
def test_real_sections_are_learnt_and_another_is_predicted(tmp_path: Path) -> None:
    import os

    from stbench.datasets import DatasetContext
    from stbench.datasets.her2st import Her2st
    from stbench.protocols.v1 import STBENCH_V1

    data = Path(os.environ.get("STBENCH_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
    if not (data / "her2st").is_dir():
        pytest.skip(f"no real data in {data}; set STBENCH_TEST_DATA")
    dataset = Her2st(DatasetContext(tmp_path / "cache", data))
    sections = [STBENCH_V1.filter(dataset.load(name)) for name in ("C2", "C3", "C4", "C5")]
    protocol = STBENCH_V1.fit(sections[:2])
    *train, validation, test = (protocol.transform(section) for section in sections)
    lines: list[str] = []

    params = PixNetParams(weights="random", dim=32, mpp=4.0, tile_px=512, patience=None, epochs=8, lr=1e-3)
    model = PixNet(params, replace(context(tmp_path), report=lines.append))
    model.fit(train, [validation])
    prediction = predicted(model, test)

    losses = [float(line.split()[-1]) for line in lines if "val_loss" in line]
    assert len(losses) == 8
    assert min(losses[4:]) < losses[0]
    assert prediction.shape == test.target.shape
    assert np.isfinite(prediction).all()
    assert prediction.std(0).mean() > 0
