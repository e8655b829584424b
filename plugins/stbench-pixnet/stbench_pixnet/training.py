"""How PixNet learns: squared error and correlation over the spots of a few tiles."""

from __future__ import annotations

import lightning
import torch
from torch import Tensor

from stbench.models.encoders import Encoder
from stbench.models.losses import masked_mse
from stbench_pixnet.footprints import Footprints, pool
from stbench_pixnet.losses import pearson_loss
from stbench_pixnet.network import PixNetNetwork
from stbench_pixnet.params import PixNetParams
from stbench_pixnet.training_tiles import Tile


class PixNetModule(lightning.LightningModule):
    """The network with what spots make of its map."""

    area: Tensor

    def __init__(self, encoder: Encoder, n_genes: int, params: PixNetParams) -> None:
        super().__init__()
        self.params = params
        self.network = PixNetNetwork(encoder, n_genes, dim=params.dim, levels=params.levels)
        self.register_buffer("area", torch.ones(()))  # pixels of a training spot, set by `PixNet.fit`

    def forward(self, image: Tensor, footprints: list[Footprints]) -> Tensor:
        """Predict spots of a window, (height, width, 3) uint8 → (spots, genes)."""
        features = self.features(image)
        return torch.cat([self.spots(features, some) for some in footprints])

    def features(self, image: Tensor, turns: int = 0, flip: bool = False) -> Tensor:
        """Features of a window, (height, width, 3) uint8 → (dim, height / stride, width / stride).

        With `turns` or `flip`, the network sees the window turned and mirrored, and its map is brought back: spots
        stay where they are.
        """
        seen = torch.rot90(image.permute(2, 0, 1)[None].float() / 255, turns, (2, 3))
        features = self.network(seen.flip(3) if flip else seen)
        return torch.rot90(features.flip(3) if flip else features, -turns, (2, 3))[0]

    def spots(self, features: Tensor, footprints: Footprints) -> Tensor:
        """Expression of some spots from the features of their window, (spots, genes)."""
        sums, area = pool(features, footprints, self.network.stride)
        mean: Tensor = self.network.head(sums / area[:, None]).float()
        return mean if self.params.aggregation == "mean" else mean * (area / self.area)[:, None]

    def training_step(self, step: list[Tile], index: int) -> Tensor:
        """Loss of all spots of a step."""
        predicted = []
        for tile in step:
            turns, flip = torch.randint(4, ()), torch.randint(2, ())  # from the CPU's generator on every device
            seen = (int(turns), bool(flip)) if self.params.augment else (0, False)
            features = self.features(tile.image, *seen)
            predicted += [self.spots(features, some) for some in tile.footprints]
        prediction = torch.cat(predicted)
        target, measured = torch.cat([tile.target for tile in step]), torch.cat([tile.measured for tile in step])
        loss = masked_mse(prediction, target, measured)
        if self.params.pcc_weight and len(target) >= self.params.pcc_spots:
            loss = loss + self.params.pcc_weight * pearson_loss(prediction, target, measured)
        return loss

    def validation_step(self, tile: Tile, index: int) -> None:
        """Log the squared error, weighted by spots."""
        error = masked_mse(self(tile.image, tile.footprints), tile.target, tile.measured)
        self.log("val_loss", error, batch_size=len(tile.target))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam at a constant rate."""
        return torch.optim.Adam(self.parameters(), lr=self.params.lr, weight_decay=self.params.weight_decay)
