from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stbench.errors import DataError
from stbench.slides import Slide
from stbench.testing import context, toy_slides
from stbench_hggep.model import Hggep
from stbench_hggep.params import HggepParams
from stbench_hggep.plugin import SMOKE

TINY = SMOKE | {"dim": 32, "heads": 2, "dim_head": 8, "mlp_dim": 32, "hypergraph_dim": 16, "epochs": 2}


def tiny(**settings: object) -> HggepParams:
    return HggepParams.model_validate(TINY | settings)


def fitted(
    params: HggepParams,
    folder: Path,
    train: Sequence[Slide],
    validation: Sequence[Slide] = (),
    seed: int = 0,
) -> Hggep:
    model = Hggep(params, context(folder, seed))
    model.fit(train, validation)
    return model


def weights(model: Hggep) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


VARIANTS = [{"hypergraph": "code"}, {"self_distillation": 2}, {"zinb_weight": 0.0}, {"keep_last_epoch": True}]


@pytest.mark.parametrize("settings", VARIANTS)
def test_variants_fit_and_predict_alike_twice(settings: dict[str, object], tmp_path: Path) -> None:
    *train, test = toy_slides(tmp_path, patients=3)
    model = fitted(tiny(**settings), tmp_path, train[:1], train[1:])

    first, second = (model.predict(test.without_expression()) for _ in range(2))

    assert first.shape == (40, 6)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)


def test_it_learns_a_slide_by_heart(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1)
    still = {"dropout": 0.0, "hypergraph_dropout": 0.0, "zinb_weight": 0.0}
    model = fitted(tiny(epochs=120, lr=3e-3, **still), tmp_path, [slide])

    prediction = model.predict(slide.without_expression())

    assert ((prediction - slide.target) ** 2).mean() < 0.2 * slide.target.var(0).mean()


def unmeasured(slide: Slide, filler: float) -> Slide:
    """The same slide without its third gene and without a corner of its values."""
    adata = slide.adata.copy()
    measured = np.ones(adata.shape, bool)
    measured[:, 2] = measured[:5, :2] = False
    adata.layers["measured"] = measured
    adata.X = np.where(measured, slide.target, np.float32(filler))
    return slide.with_adata(adata)


def test_unmeasured_values_change_nothing(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    zero, large = (
        fitted(tiny(), tmp_path, [unmeasured(slides[0], filler)], [unmeasured(slides[1], filler)])
        for filler in (0.0, 1e6)
    )

    torch.testing.assert_close(weights(zero), weights(large), rtol=0, atol=0)
    assert not torch.equal(weights(zero), weights(fitted(tiny(), tmp_path, slides[:1], slides[1:])))


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    first, again, other = (fitted(tiny(self_distillation=1), tmp_path, slides, seed=seed) for seed in (0, 0, 1))

    assert torch.equal(weights(first), weights(again))
    assert not torch.allclose(weights(first), weights(other))


def without_counts(slide: Slide) -> Slide:
    adata = slide.adata.copy()
    adata.raw = None
    return slide.with_adata(adata)


def test_counts_are_needed_for_their_likelihood_alone(tmp_path: Path) -> None:
    slides = [without_counts(slide) for slide in toy_slides(tmp_path)]

    with pytest.raises(DataError, match="carries no counts"):
        fitted(tiny(), tmp_path, slides[:1])
    assert np.isfinite(fitted(tiny(zinb_weight=0), tmp_path, slides[:1]).predict(slides[1])).all()


def test_the_counts_are_learnt_from(tmp_path: Path) -> None:
    train, _ = toy_slides(tmp_path)
    adata = train.adata.copy()
    raw = adata.raw.to_adata()
    raw.X = raw.X[::-1].copy()
    adata.raw = raw

    assert not torch.equal(
        weights(fitted(tiny(), tmp_path, [train])), weights(fitted(tiny(), tmp_path, [train.with_adata(adata)]))
    )


def test_any_point_of_the_image_can_be_predicted(tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)
    x, y = np.meshgrid(*(np.arange(0, side, 15.0) for side in test.image.size))

    for hypergraph in ("paper", "code"):
        model = fitted(tiny(hypergraph=hypergraph), tmp_path, [train])
        prediction = model.predict(test.at(np.column_stack([x.ravel(), y.ravel()])))
        assert prediction.shape == (x.size, 6)
        assert np.isfinite(prediction).all()


def test_position_tables_are_as_large_as_the_training_slides_ask_for(tmp_path: Path) -> None:
    small, large = toy_slides(tmp_path)[0], toy_slides(tmp_path / "large", spots=81)[0]
    model = fitted(tiny(n_positions=2), tmp_path, [large])
    model.save(tmp_path)
    again = Hggep(tiny(n_positions=2), context(tmp_path))
    again.load(tmp_path)

    assert model.n_positions == again.n_positions == 9
    np.testing.assert_array_equal(model.predict(large.without_expression()), again.predict(large.without_expression()))
    assert fitted(tiny(n_positions=64), tmp_path, [small]).n_positions == 64


def test_a_test_slide_may_be_larger_than_all_training_slides(tmp_path: Path) -> None:
    small, large = toy_slides(tmp_path)[0], toy_slides(tmp_path / "large", spots=81)[0]
    model = fitted(tiny(n_positions=2), tmp_path, [small])

    prediction = model.predict(large.without_expression())

    assert model.n_positions < 9
    assert prediction.shape == (81, 6)
    assert np.isfinite(prediction).all()


def test_weights_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    with pytest.raises(DataError, match=r"shufflenet-v2-x0-5: the pretrained weights .* --set weights=random"):
        fitted(tiny(weights="pretrained"), tmp_path, toy_slides(tmp_path))


def test_weights_come_from_a_file_of_torchvisions_names(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torchvision.models import shufflenet_v2_x0_5

    torch.manual_seed(3)
    published = shufflenet_v2_x0_5()
    path = tmp_path / "shufflenet.safetensors"
    save_file(published.state_dict(), path)
    model = Hggep(tiny(weights=path, stages=["pooled"]), context(tmp_path))

    model.measure([])
    layers = model.module(6).network.backbone.layers

    for name in ("conv1", "stage2", "stage3", "stage4", "conv5"):
        for own, other in zip(layers[name].parameters(), published.get_submodule(name).parameters(), strict=True):
            assert torch.equal(own, other)


@pytest.mark.slow
def test_the_published_network_learns_real_sections(tmp_path: Path) -> None:
    from stbench.datasets import DatasetContext
    from stbench.datasets.her2st import Her2st
    from stbench.protocols.v1 import STBENCH_V1

    data = Path(os.environ.get("STBENCH_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
    if not (data / "her2st").is_dir():
        pytest.skip(f"no real data in {data}; set STBENCH_TEST_DATA")
    dataset = Her2st(DatasetContext(tmp_path / "cache", data))
    sections = [STBENCH_V1.filter(dataset.load(name)) for name in ("C2", "C3", "C4")]
    protocol = STBENCH_V1.fit(sections[:2])
    *train, validation = (protocol.transform(section) for section in sections)
    lines: list[str] = []
    params = HggepParams(weights="random", epochs=4, lr=1e-4)

    model = Hggep(params, replace(context(tmp_path), report=lines.append))
    model.fit(train, [validation])

    losses = [float(line.split()[-1]) for line in lines if "val_loss" in line]
    assert len(losses) == 4
    assert losses[-1] < 0.8 * losses[0]
