"""SEPAL: deltas from a vision transformer, corrected by a graph network over each spot's surroundings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from stbench.errors import DataError
from stbench.models.contract import Model
from stbench.models.embeddings import Embedder
from stbench.models.encoders import Encoder
from stbench.models.losses import masked_mse
from stbench.models.seeding import seeded
from stbench.models.temporary_files import temporary_files_in
from stbench.models.training import predict_precision, train_module
from stbench.slides import Slide
from stbench_sepal.graphs import spot_graphs
from stbench_sepal.network import GraphNetwork
from stbench_sepal.params import SepalParams
from stbench_sepal.surroundings import GraphBatch, GraphBatches, Surroundings
from stbench_sepal.trainable import trainable
from stbench_sepal.vit import EncoderHead, Vit

STAGE1 = "stage1"
WEIGHTS = "stage2.safetensors"
SHAPE = "stage2.json"
ZOOM = 256 / 224


class Sepal(Model[SepalParams]):
    """SEPAL (Mejia et al. 2023). Stage 1 is trained once per fold and frozen; the seed is that of stage 2."""

    stage1: Vit
    network: GraphNetwork

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Train stage 1, or take it from the cache, then stage 2; both keep their best validation epoch."""
        p = self.params
        self.stage1 = self._untrained_stage1()
        self.stage1.fit(train, validation)
        learnt = self._surroundings(train)
        counts = [trainable(slide, p.loss_on) for slide in train]
        held_out = None
        if validation:
            measured = [slide.measured for slide in validation]
            held_out = GraphBatches(self._surroundings(validation), validation, measured, batch_size=p.batch_size)
        order = torch.Generator().manual_seed(self.context.seed)
        with seeded(self.context):
            self.network = self._build(learnt.embedding.shape[1], train[0].adata.n_vars, learnt.graphs.reach)
            self.context.report(f"stage 2: {len(learnt.graphs)} graphs of {len(learnt.graphs.node)} nodes")
            train_module(
                _Training(self.network, p.lr),
                GraphBatches(learnt, train, counts, batch_size=p.batch_size, generator=order),
                held_out,
                self.context,
                epochs=p.epochs,
                patience=p.patience,
            )

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        """Predict in target units, (spots, genes)."""
        around = self._surroundings([slide])
        network = self.network.to(self.context.device).eval()
        spots = torch.arange(slide.n_spots, device=self.context.device)
        predicted = []
        with torch.inference_mode(), predict_precision(self.context):
            for chosen in torch.split(spots, self.params.batch_size):
                graphs = around.graphs.batch(chosen)
                correction = network(around.embedding, graphs, around.graphs.offsets)
                predicted.append((correction.float() + around.base[chosen]).cpu())
        return torch.cat(predicted).numpy()

    def save(self, folder: Path) -> None:
        """Write both stages."""
        from safetensors.torch import save_file

        (folder / STAGE1).mkdir()
        self.stage1.save(folder / STAGE1)
        save_file(self.network.cpu().state_dict(), folder / WEIGHTS)
        shape = {"n_features": self.stage1.network.head.in_features, "n_genes": self.stage1.n_genes}
        (folder / SHAPE).write_text(json.dumps(shape))

    def load(self, folder: Path) -> None:
        """Restore both stages; the parameters must be those they were trained with."""
        from safetensors.torch import load_file

        self.stage1 = self._untrained_stage1()
        self.stage1.load(folder / STAGE1)
        shape = json.loads((folder / SHAPE).read_text())
        network = self._build(shape["n_features"], shape["n_genes"], reach=0.0)
        try:
            network.load_state_dict(load_file(folder / WEIGHTS))
        except RuntimeError as error:
            raise DataError(
                f"{folder / WEIGHTS} does not fit these parameters; load it with those it was fitted with"
            ) from error
        self.network = network.eval()

    @property
    def n_parameters(self) -> int:
        """Weights of both stages."""
        return self.stage1.n_parameters + sum(p.numel() for p in self.network.parameters())

    @property
    def reused_seconds(self) -> float:
        """Training time of a stage 1 that was taken from the cache."""
        return self.stage1.reused_seconds

    def _untrained_stage1(self) -> Vit:
        return Vit(self.params.stage1(), replace(self.context, seed=self.params.stage1_seed))

    def _build(self, n_features: int, n_genes: int, reach: float) -> GraphNetwork:
        with temporary_files_in(self.context.work_dir), seeded(self.context):
            return GraphNetwork(n_features, n_genes, self.params, reach)

    def _surroundings(self, slides: Sequence[Slide]) -> Surroundings:
        p, device = self.params, self.context.device
        graphs = spot_graphs(slides, hops=p.hops, edges=p.edges, neighbours=p.neighbours).to(device)
        stage1 = self.stage1.network
        encoder = frozen(stage1, zoom=p.zoom)
        embedder = Embedder(encoder, pixels=p.pixels, microns=p.field_um, context=self.context)
        embedding = torch.from_numpy(np.concatenate([embedder(slide) for slide in slides])).to(device)
        with torch.inference_mode():
            base = stage1.head.to(device)(embedding) + stage1.offset.to(device)
        return Surroundings(graphs, embedding, base.clone())


class _Training(lightning.LightningModule):
    def __init__(self, network: GraphNetwork, lr: float) -> None:
        super().__init__()
        self.network = network
        self.lr = lr

    def training_step(self, batch: GraphBatch, index: int) -> Tensor:
        return self._loss(batch)

    def validation_step(self, batch: GraphBatch, index: int) -> None:
        self.log("val_loss", self._loss(batch), batch_size=max(int(batch.counts.sum()), 1))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=self.lr)

    def _loss(self, batch: GraphBatch) -> Tensor:
        correction = self.network(batch.embedding, batch.graphs, batch.offsets)
        return masked_mse((correction + batch.base).float(), batch.target, batch.counts)


class Zoomed(nn.Module):
    """An encoder that sees the centre of the image, enlarged: ViT's published transform of 256 px, cropped to 224."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, side, side) → (b, features)."""
        side = images.shape[-1]
        large = interpolate(images, size=round(side * ZOOM), mode="bilinear", antialias=True)
        margin = (large.shape[-1] - side) // 2
        features: Tensor = self.encoder(large[..., margin : margin + side, margin : margin + side])
        return features


def frozen(stage1: EncoderHead, *, zoom: bool) -> Encoder:
    """Stage 1 without its head, as the encoder of stage 2: its identity changes with its weights."""
    digest = hashlib.sha256()
    for name, value in sorted(stage1.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().view(torch.uint8).numpy().tobytes() if value.ndim else b"")
    module = stage1.encoder.eval()
    mean, std = (tuple(float(v) for v in values) for values in (stage1.mean, stage1.std))
    name = f"sepal-stage1{'-zoomed' if zoom else ''}:{digest.hexdigest()[:16]}"
    return Encoder(Zoomed(module) if zoom else module, stage1.head.in_features, name, mean, std)  # type: ignore[arg-type]
