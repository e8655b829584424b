from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from stbench_hggep import network as network_module
from stbench_hggep.backbone import CHANNELS, N_FEATURES, Backbone, shufflenet
from stbench_hggep.network import HggepNetwork
from stbench_hggep.params import HggepParams
from stbench_hggep.plugin import AS_CODED, SMOKE
from stbench_hggep.training import HggepModule

N_GENES = 6
TINY = SMOKE | {
    "stages": ["stage2", "stage3"],
    "dim": 144,
    "heads": 2,
    "dim_head": 8,
    "mlp_dim": 32,
    "hypergraph_dim": 16,
}


def count(module: nn.Module | None) -> int:
    return sum(p.numel() for p in module.parameters()) if module is not None else 0


def test_the_network_of_the_authors_has_the_size_of_theirs() -> None:
    with torch.device("meta"):
        module = HggepModule(shufflenet(False), 785, HggepParams.model_validate(AS_CODED))
    network = module.network

    assert count(module) == 116_365_110
    assert count(network.enhance) == 168
    assert count(network.backbone) == 341_792
    assert [count(to_token) for to_token in network.to_token] == [17_443, 198_819, 1_182_819]
    assert count(network.embed_row) == count(network.embed_col) == 65_536
    assert [count(blocks) for blocks in network.transformers] == [25_194_496] * 3
    assert count(network.associate) == 1_051_136
    assert count(network.lstm) == 33_587_200
    assert count(network.gene_head) == 806_673
    assert count(module.counts) == 3 * 804_625
    assert count(module.distil) == 1_050_625


def test_heads_of_losses_that_are_off_are_not_there() -> None:
    module = HggepModule(shufflenet(False), 6, HggepParams.model_validate(TINY | {"zinb_weight": 0}))

    assert count(module) == count(module.network)


def test_the_maps_have_the_sizes_that_the_paper_states() -> None:
    sides = HggepParams().sides
    backbone = Backbone(shufflenet(False), list(CHANNELS)).eval()

    maps = backbone(torch.rand(2, 3, 58, 58))

    assert [tuple(m.shape[1:]) for m in maps] == [(CHANNELS[s], sides[s], sides[s]) for s in CHANNELS]
    assert (sides["stage2"], sides["stage3"], sides["stage4"], sides["conv5"]) == (15, 8, 4, 4)


@pytest.mark.parametrize("pixels", [16, 31, 64, 112])
@pytest.mark.parametrize("enhanced", [True, False])
def test_sides_are_told_for_any_size_of_patch(pixels: int, enhanced: bool) -> None:
    sides = HggepParams(pixels=pixels, gradient_enhancement=enhanced, dim=3600, stages=("pooled",)).sides
    params = HggepParams.model_validate(TINY | {"gradient_enhancement": enhanced, "stages": ["pooled"]})
    network = HggepNetwork(shufflenet(False), 6, params)
    network.backbone.stages = tuple(CHANNELS)

    maps = network.eval().backbone(network.enhance(torch.rand(1, 3, pixels, pixels)))

    assert [m.shape[-1] for m in maps] == [sides[stage] for stage in CHANNELS]


def test_the_backbone_is_torchvisions_without_its_max_pool() -> None:
    torch.manual_seed(0)
    encoder = shufflenet(False).eval()
    backbone = Backbone(encoder, ["conv5", "pooled"]).eval()
    images = torch.rand(2, 3, 40, 40)
    encoder.maxpool = nn.Identity()

    conv5, pooled = backbone(images)

    torch.testing.assert_close(conv5.mean((2, 3)), encoder(images))
    torch.testing.assert_close(pooled, max_pool2d(conv5, conv5.shape[-1]))
    assert encoder(images).shape == (2, N_FEATURES)


def test_the_backbone_is_trained_whatever_it_was_loaded_as() -> None:
    backbone = Backbone(shufflenet(False).eval().requires_grad_(False), ["pooled"])

    assert all(p.requires_grad for p in backbone.parameters())
    assert all(module.training for module in backbone.modules())


def made(**settings: object) -> HggepNetwork:
    torch.manual_seed(0)
    network = HggepNetwork(shufflenet(False), N_GENES, HggepParams.model_validate(TINY | settings))
    with torch.no_grad():  # batch statistics as after some training, lest nothing gets through the random layers
        network.train()
        for _ in range(20):
            network.tokens(spots(40, seed=7)[0])
    return network.double().eval()


def spots(n: int = 12, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Patches, indexes, places and neighbours of a row of spots."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(256, (n, 24, 24, 3), dtype=torch.uint8, generator=generator)
    index = torch.stack([torch.arange(n) // 6, torch.arange(n) % 6], 1)
    ahead = torch.arange(n - 1)
    return patches, index, index.double(), torch.stack([ahead, ahead + 1])


ABLATIONS = {
    "none": {},
    "GEM": {"gradient_enhancement": False},
    "CBAM": {"cbam": False},
    "ViT": {"depth": 0},
    "HAM": {"hypergraph": "none"},
    "LSTM": {"lstm_layers": 0},
    "stages": {"stages": ["stage3"]},
    "all": {"gradient_enhancement": False, "cbam": False, "depth": 0, "hypergraph": "none", "lstm_layers": 0},
    "code": {"hypergraph": "code"},
    "K": {"nearest": 0},
}


@pytest.mark.parametrize("left_out", ABLATIONS)
def test_every_ablation_predicts_and_differs(left_out: str) -> None:
    genes = made(**ABLATIONS[left_out])(*spots())

    assert genes.shape == (12, N_GENES)
    assert genes.isfinite().all()
    if left_out != "none":
        assert not torch.allclose(genes, made()(*spots()))


@pytest.mark.parametrize("hypergraph", ["paper", "code"])
def test_the_order_of_the_spots_does_not_matter(hypergraph: str) -> None:
    network = made(hypergraph=hypergraph)
    patches, index, place, edges = spots()
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    moved = order.argsort()[edges]  # an edge joins the same spots under their new numbers

    shuffled = network(patches[order], index[order], place[order], moved)

    torch.testing.assert_close(shuffled, network(patches, index, place, edges)[order])


def test_patches_may_go_through_the_backbone_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    network = made()
    whole = network(*spots())
    monkeypatch.setattr(network_module, "CHUNK", 5)

    torch.testing.assert_close(network(*spots()), whole)


def test_two_passes_at_prediction_are_alike() -> None:
    network = made()

    assert torch.equal(network(*spots()), network(*spots()))


def test_the_lstm_runs_through_the_stages_and_is_averaged() -> None:
    network = made(depth=0, hypergraph="none", lstm_layers=2)
    patches, index, place, edges = spots(3)
    position = network.embed_row(index[:, 0]) + network.embed_col(index[:, 1])
    sequence = [token + position for token in network.tokens(patches)]
    assert network.lstm is not None

    state, outputs = None, []
    for step in sequence:
        out, state = network.lstm(step[None], state)
        outputs.append(out[0])

    torch.testing.assert_close(network.features(patches, index, place, edges), sum(outputs) / 2)


def test_the_hypergraph_sees_the_sum_of_the_stages_and_joins_the_sequence() -> None:
    network = made(depth=0, lstm_layers=0)
    patches, index, place, edges = spots()
    position = network.embed_row(index[:, 0]) + network.embed_col(index[:, 1])
    first, second = (token + position for token in network.tokens(patches))
    joint = first + second
    assert network.associate is not None

    third = network.associate(joint, network.hyperedges(joint, place, edges))

    torch.testing.assert_close(network.features(patches, index, place, edges), (joint + third) / 3)


def test_the_patches_are_left_as_they_are() -> None:
    patches, *rest = spots()
    before = patches.clone()

    made()(patches, *rest)

    assert torch.equal(patches, before)
