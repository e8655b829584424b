"""ShuffleNetV2 x0.5: a registered encoder, and HGGEP's backbone without the max-pool."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from stbench_hggep.params import Stage

N_FEATURES = 1024
LAYERS = ("conv1", "stage2", "stage3", "stage4", "conv5")
CHANNELS: dict[Stage, int] = {"stage2": 48, "stage3": 96, "stage4": 192, "conv5": N_FEATURES, "pooled": N_FEATURES}


def shufflenet(pretrained: bool) -> nn.Module:
    """ShuffleNetV2 x0.5 up to its 1024 features (torchvision; ImageNet)."""
    from torchvision.models import ShuffleNet_V2_X0_5_Weights, shufflenet_v2_x0_5

    network: nn.Module = shufflenet_v2_x0_5(weights=ShuffleNet_V2_X0_5_Weights.DEFAULT if pretrained else None)
    network.fc = nn.Identity()
    return network


class Backbone(nn.Module):
    """The feature maps of a ShuffleNetV2 that halves the image once less, at some of its stages.

    Parameters
    ----------
    network
        From `shufflenet`; all of it is trained.
    stages
        Maps returned; ``pooled`` is the maximum of the last over its places.
    """

    def __init__(self, network: nn.Module, stages: Sequence[Stage]) -> None:
        super().__init__()
        last = max(LAYERS.index("conv5" if stage == "pooled" else stage) for stage in stages)
        self.layers = nn.ModuleDict({name: network.get_submodule(name) for name in LAYERS[: last + 1]})
        self.layers.train().requires_grad_(True)  # batch statistics and all
        self.stages = tuple(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(n, 3, side, side) → one (n, channels, h, w) for each stage asked for."""
        maps: dict[str, Tensor] = {}
        for name, layer in self.layers.items():
            images = maps[name] = layer(images)
        maps["pooled"] = images.amax((2, 3), keepdim=True)  # meant of conv5, which is there if it is asked for
        return [maps[stage] for stage in self.stages]
