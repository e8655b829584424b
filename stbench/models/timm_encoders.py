"""The registered encoders that timm provides."""

from __future__ import annotations

import torch


class PooledStage(torch.nn.Module):
    """An intermediate stage of a timm network, averaged over positions."""

    def __init__(self, name: str, stage: int, pretrained: bool) -> None:
        import timm

        super().__init__()
        self.stages = timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=[stage])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) → (n, channels)."""
        (features,) = self.stages(images)  # (n, channels, h', w')
        pooled: torch.Tensor = features.mean(dim=(2, 3))
        return pooled


def resnet50(pretrained: bool) -> torch.nn.Module:
    """ResNet-50 after its third stage, 1024 features, as HEST-Benchmark uses it (not the 2048-d penultimate layer)."""
    return PooledStage("resnet50.tv_in1k", 3, pretrained)


def resnet18(pretrained: bool) -> torch.nn.Module:
    """ResNet-18, 512 features."""
    import timm

    module: torch.nn.Module = timm.create_model("resnet18.tv_in1k", pretrained=pretrained, num_classes=0)
    return module
