"""PixNet as an stbench model: a dense map of expression, of which spots of any size and place are sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from stbench.models import DenseMap, DenseTile, Prediction, PredictionBlock, stack_targets
from stbench.models.encoders import load_encoder
from stbench.models.network_model import NetworkModel
from stbench.models.seeding import seeded
from stbench.models.training import predict_precision, train_module
from stbench.slides import Slide
from stbench_pixnet.params import PixNetParams
from stbench_pixnet.tiling import Canvas, SpotsOnCanvas
from stbench_pixnet.training import PixNetModule
from stbench_pixnet.training_tiles import SectionTiles, Steps, Tile, section_tiles

SPOTS_AT_ONCE = 4096
"""Spots whose features are pooled together at prediction, and spots of a block."""


class PixNet(NetworkModel[PixNetParams]):
    """Pyramid encoder, decoder and linear head; spots are pooled from the features (Zhang, Yang, Pan 2025, v1)."""

    network: PixNetModule

    def module(self, n_genes: int) -> PixNetModule:
        """Make the network."""
        p = self.params
        return PixNetModule(load_encoder(p.encoder, p.weights, self.context.cache_dir), n_genes, p)

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Train; with validation slides the epoch with the lowest squared error of their spots is kept."""
        p, device = self.params, self.context.device
        self.n_genes = train[0].adata.n_vars
        with seeded(self.context):
            self.network = self.module(self.n_genes)
            step = self.network.network.step
            sections = section_tiles(train, p, step, device)
            self._start(train, sections)
            held_out = _Tiles(section_tiles(validation, p, step, device)) if validation else None
            self.context.report(f"{sum(map(len, sections))} training tiles of {len(sections)} images")
            train_module(
                self.network.train(),
                Steps(sections, p, torch.Generator().manual_seed(self.context.seed)),
                held_out,
                self.context,
                epochs=p.epochs,
                patience=p.patience,
            )
        self.network.trainer = None  # it holds on to the training tiles

    def predict(self, slide: Slide) -> Prediction:
        """Predict tile by tile; of a large slide, in blocks of spots that wait on disk."""
        shape = (slide.n_spots, self.n_genes)
        if not slide.is_large:
            out = np.empty(shape, np.float32)
            self._fill(out, slide)
            return out
        return self._blocks(slide, shape)

    def dense(self, slide: Slide, genes: Sequence[int]) -> DenseMap:
        """The map itself, of some genes of the panel, at the stride of the finest features."""
        canvas = self._canvas(slide)
        stride = self.network.network.stride
        rows, columns = (-(-side // stride) for side in reversed(canvas.image_size))
        side_px = stride / canvas.scale
        return DenseMap((rows, columns), stride * canvas.mpp, side_px, self._dense_tiles(canvas, list(genes)))

    def _start(self, train: Sequence[Slide], sections: Sequence[SectionTiles]) -> None:
        """Start the head at the training mean, and learn what a sum is in units of."""
        target = stack_targets(train)
        measured = np.concatenate([slide.measured for slide in train])
        mean = np.where(measured, target, 0).sum(0, dtype=np.float64) / measured.sum(0).clip(1)
        sizes = [
            (s.size_px**2 * (np.pi / 4 if s.shape == "disk" else 1), len(s.centers_px))
            for t in sections
            for s in t.spots
        ]
        area = np.average([size for size, _ in sizes], weights=[n for _, n in sizes])
        with torch.no_grad():
            self.network.network.head.bias.copy_(torch.from_numpy(mean))
            self.network.area.fill_(max(float(area), 1.0))

    def _canvas(self, slide: Slide) -> Canvas:
        return Canvas(slide, self.params.mpp, self.network.network.step)

    def _fill(self, out: NDArray[np.float32], slide: Slide) -> None:
        """Predict all spots, (spots, genes), holding one tile at a time."""
        p, canvas = self.params, self._canvas(slide)
        spots = SpotsOnCanvas.of(slide, canvas, p.footprint)
        network = self.network.to(self.context.device).eval()
        for tile, rows in canvas.occupied(spots.centers_px, p.predict_tile_px):
            window = canvas.tile(tile, p.predict_tile_px, p.halo_px + spots.reach)
            image = torch.from_numpy(canvas.read(window).copy()).to(self.context.device)
            with torch.inference_mode(), predict_precision(self.context):
                features = network.features(image)
                for start in range(0, len(rows), SPOTS_AT_ONCE):
                    some = rows[start : start + SPOTS_AT_ONCE]
                    out[some] = network.spots(features, spots.on(window, some)).cpu().numpy()

    def _blocks(self, slide: Slide, shape: tuple[int, int]) -> Iterator[PredictionBlock]:
        path = self.context.work_dir / f"prediction-{slide.info.id}.npy"
        out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        try:
            self._fill(out, slide)
            for start in range(0, len(out), SPOTS_AT_ONCE):
                rows = slice(start, min(start + SPOTS_AT_ONCE, len(out)))
                yield rows, np.array(out[rows]), None
        finally:
            del out
            path.unlink(missing_ok=True)

    def _dense_tiles(self, canvas: Canvas, genes: list[int]) -> Iterator[DenseTile]:
        p, stride = self.params, self.network.network.stride
        network = self.network.to(self.context.device).eval()
        columns, rows = canvas.tiles(p.predict_tile_px)
        width, height = (-(-side // stride) for side in canvas.image_size)
        for tile in range(columns * rows):
            core = canvas.tile(tile, p.predict_tile_px)
            window = canvas.tile(tile, p.predict_tile_px, p.halo_px)
            image = torch.from_numpy(canvas.read(window).copy()).to(self.context.device)
            left, top = core.left // stride, core.top // stride
            right, bottom = min(core.right // stride, width), min(core.bottom // stride, height)
            x, y = window.left // stride, window.top // stride
            with torch.inference_mode(), predict_precision(self.context):
                features = network.features(image)[:, top - y : bottom - y, left - x : right - x]
                head = network.network.head
                values = torch.einsum("gc,cyx->gyx", head.weight[genes], features) + head.bias[genes, None, None]
            yield DenseTile(top, left, values.float().cpu().numpy())


class _Tiles:
    """All tiles of some sections with all their spots, in order."""

    def __init__(self, sections: Sequence[SectionTiles]) -> None:
        self.sections = sections

    def __iter__(self) -> Iterator[Tile]:
        for section in self.sections:
            yield from map(section.tile, range(len(section)))
