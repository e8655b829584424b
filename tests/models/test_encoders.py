"""Encoders by name: frozen, of known weights, never random by accident; their embeddings are computed once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stbench.errors import DataError, UsageError
from stbench.models.embeddings import Embedder
from stbench.models.encoders import IMAGENET_MEAN, IMAGENET_STD, Encoder, load_encoder
from stbench.models.weights import local_weights
from stbench.registry import discover
from stbench.slides import Slide
from stbench.testing import context, toy_slides

TINY = "test_resnet"  # a timm model of 0.1 million parameters
UNPUBLISHED = "mobilenetv2_035"  # a timm model without pretrained weights


@pytest.fixture
def slide(tmp_path: Path) -> Slide:
    return toy_slides(tmp_path, patients=1, spots=80)[0]  # more than one batch


def weights_of(encoder: Encoder) -> torch.Tensor:
    return torch.cat([p.flatten() for p in encoder.module.state_dict().values()])


def test_random_weights_are_the_same_whatever_the_global_seed(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = load_encoder(TINY, "random", tmp_path)
    torch.manual_seed(2)
    second = load_encoder(TINY, "random", tmp_path)

    assert torch.equal(weights_of(first), weights_of(second))
    assert first.identity == second.identity == f"{TINY}:random-0"


def test_building_an_encoder_draws_nothing_from_the_global_generator(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)

    torch.manual_seed(7)
    load_encoder(TINY, "random", tmp_path)

    assert torch.equal(torch.rand(3), expected)


def test_an_encoder_is_frozen_and_evaluates(tmp_path: Path) -> None:
    encoder = load_encoder(TINY, "random", tmp_path)

    assert not encoder.module.training
    assert not any(p.requires_grad for p in encoder.module.parameters())


@pytest.mark.parametrize(("name", "n_features"), [("resnet18", 512), (TINY, None)])
def test_features_of_normalised_patches(tmp_path: Path, name: str, n_features: int | None) -> None:
    encoder = load_encoder(name, "random", tmp_path)
    patches = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8))

    features = encoder(patches)

    assert features.shape == (3, encoder.n_features)
    assert n_features in (None, encoder.n_features)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (encoder.mean, encoder.std))
    by_hand = torch.stack([(p.permute(2, 0, 1) / 255 - mean) / std for p in patches])
    assert torch.allclose(features, encoder.module(by_hand), atol=1e-5)
    expected = {"resnet18": (IMAGENET_MEAN, IMAGENET_STD), TINY: ((0.5,) * 3, (0.5,) * 3)}[name]
    assert (tuple(encoder.mean), tuple(encoder.std)) == expected


def test_weights_from_a_safetensors_file(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    state = load_encoder(TINY, "random", tmp_path).module.state_dict()
    other = {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}
    save_file(other, file)

    encoder = load_encoder(TINY, file, tmp_path / "cache")

    assert all(torch.equal(encoder.module.state_dict()[name], value) for name, value in other.items())
    assert encoder.identity == f"{TINY}:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def test_a_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    other, text = tmp_path / "other.safetensors", tmp_path / "text.safetensors"
    save_file({"weight": torch.zeros(3)}, other)
    text.write_text("not tensors")

    for file in (other, text):
        with pytest.raises(DataError, match=rf"{file} does not fit the encoder: .*; give a safetensors file") as error:
            load_encoder(TINY, file, tmp_path)
        assert len(str(error.value)) < 600  # not every missing key


def test_an_unknown_encoder(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"unknown encoder 'resnet-19': neither registered \(.*resnet50.*\) nor a timm"
    ):
        load_encoder("resnet-19", "random", tmp_path)


PLUGIN = """
from stbench.registry import EncoderSpec, hookimpl
STBENCH_API = "1"
@hookimpl
def stbench_encoders():
    return [EncoderSpec(name="resnet18", factory="torch.nn:Identity", n_features=1)]
"""


def test_an_encoder_claimed_twice_is_not_chosen_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fake_encoder_plugin.py").write_text(PLUGIN)
    info = tmp_path / "fake_encoder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-encoder\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stbench]\nfake = fake_encoder_plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    discover.cache_clear()
    try:
        with pytest.raises(UsageError, match="say which: fake-encoder:resnet18 or stbench:resnet18"):
            load_encoder("resnet18", "random", tmp_path)
        assert load_encoder("fake-encoder:resnet18", "random", tmp_path).n_features == 1
    finally:
        discover.cache_clear()


def test_random_weights_are_never_a_silent_fallback(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=rf"encoder {UNPUBLISHED}: the pretrained weights cannot be had .*weights=random"
    ):
        load_encoder(UNPUBLISHED, "pretrained", tmp_path)


def published(name: str, path: Path, **options: object) -> dict[str, torch.Tensor]:
    """Write a network's weights with its classifier, as the hub has them."""
    import timm

    state: dict[str, torch.Tensor] = timm.create_model(name, **options).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    return state


def test_a_published_file_put_into_the_cache_is_the_pretrained_one(tmp_path: Path) -> None:
    state = published("resnet18", local_weights("resnet18", tmp_path))

    encoder = load_encoder("resnet18", "pretrained", tmp_path)

    assert torch.equal(encoder.module.state_dict()["layer1.0.conv1.weight"], state["layer1.0.conv1.weight"])
    assert "random" not in encoder.identity


def test_an_intermediate_stage_loads_the_published_file(tmp_path: Path) -> None:
    state = published("resnet50", tmp_path / "w.safetensors")

    encoder = load_encoder("resnet50", tmp_path / "w.safetensors", tmp_path)

    assert torch.equal(encoder.module.state_dict()["stages.conv1.weight"], state["conv1.weight"])


def test_a_transformer_takes_patches_of_another_size(tmp_path: Path) -> None:
    state = published("test_vit", tmp_path / "w.safetensors")

    encoder = load_encoder("test_vit", tmp_path / "w.safetensors", tmp_path, pixels=64)

    assert encoder(torch.zeros((2, 64, 64, 3), dtype=torch.uint8)).shape == (2, encoder.n_features)
    ours = encoder.module.state_dict()
    assert torch.equal(ours["blocks.0.attn.qkv.weight"], state["blocks.0.attn.qkv.weight"])
    assert ours["pos_embed"].shape[1] < state["pos_embed"].shape[1]


class Counted(Embedder):
    """Counts the batches its module sees."""

    def __init__(self, folder: Path, pixels: int = 32, microns: float = 80.0) -> None:
        encoder = load_encoder(TINY, "random", folder)
        super().__init__(encoder, pixels=pixels, microns=microns, context=context(folder))
        self.batches = 0
        self.encoder.module.register_forward_hook(self.count)

    def count(self, *args: object) -> None:
        self.batches += 1


def test_embeddings_are_computed_once_for_everyone(slide: Slide, tmp_path: Path) -> None:
    first, second = Counted(tmp_path), Counted(tmp_path)

    computed, read = first(slide), second(slide)

    assert (first.batches, second.batches) == (2, 0)
    np.testing.assert_array_equal(read, computed)
    assert computed.shape == (80, first.encoder.n_features)
    assert computed.dtype == np.float32


def test_embeddings_are_those_of_the_patches(slide: Slide, tmp_path: Path) -> None:
    embed = Counted(tmp_path)

    embedded = embed(slide)

    patches = torch.from_numpy(np.array(slide.patches(pixels=32, microns=80.0)))
    np.testing.assert_allclose(embedded, embed.encoder(patches).numpy(), atol=1e-5)


def test_subsets_and_test_slides_share_the_embeddings(slide: Slide, tmp_path: Path) -> None:
    whole = Counted(tmp_path)(slide)
    again = Counted(tmp_path)

    part = again(slide.subset([5, 3, 70]).without_expression())

    assert again.batches == 0
    np.testing.assert_array_equal(part, whole[[5, 3, 70]])


def test_another_patch_is_another_embedding(slide: Slide, tmp_path: Path) -> None:
    first = Counted(tmp_path)(slide)

    for other in (Counted(tmp_path, pixels=40), Counted(tmp_path, microns=120.0)):
        assert not np.allclose(other(slide), first)
        assert other.batches == 2


def test_a_slide_without_an_image_is_named(slide: Slide, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="slide P1-S1 has no image to embed"):
        Counted(tmp_path)(Slide(slide.adata, slide.info))
