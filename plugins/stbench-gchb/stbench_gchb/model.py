"""ST-GCHB as an stbench model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from stbench.errors import UsageError
from stbench.models import stack_targets
from stbench.models.encoders import load_encoder
from stbench.models.network_model import NetworkModel
from stbench.models.retrieval import Reference, nearest
from stbench.models.seeding import seeded
from stbench.models.training import predict_precision, train_module
from stbench.slides import Slide
from stbench_gchb.branch import Branch
from stbench_gchb.graph import Neighbourhoods, neighbourhoods
from stbench_gchb.network import LAST_STAGE, Chosen, GchbModule, GraphSection
from stbench_gchb.params import GchbParams

REFERENCE = "reference.safetensors"


class Gchb(NetworkModel[GchbParams]):
    """Graph contrastive learning with an HSIC bottleneck, prediction by retrieval (Chi et al. 2024)."""

    sizes = ("n_genes", "n_components")
    network: GchbModule
    n_components: int
    reference: Reference

    def module(self, n_genes: int) -> GchbModule:
        """Make the encoder and both branches."""
        p = self.params
        encoder = load_encoder(p.encoder, p.weights, self.context.cache_dir, pixels=p.pixels)
        staged = any(name.startswith(LAST_STAGE) for name, _ in encoder.module.named_parameters())
        if p.trainable == "last_stage" and not staged:
            raise UsageError(f"encoder {p.encoder} has no last stage ({LAST_STAGE}…); set trainable to all or none")
        return GchbModule(encoder, n_genes, self.n_components, p, self.context)

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Pre-train both branches, align them, and keep the embeddings of the training spots."""
        p = self.params
        target = stack_targets(train)
        self.n_genes = target.shape[1]
        self.n_components = min(p.components, max(1, min(target.shape) - 1))
        order = torch.Generator().manual_seed(self.context.seed)
        with seeded(self.context):
            self.network = network = self.module(self.n_genes)
            network.gene_mean, network.loadings = principal_components(target, self.n_components)
            network.to(self.context.device)
            network.sections = [self._section(slide) for slide in train]
            network.held_out = [self._section(slide) for slide in validation]
            if p.dgi_epochs:
                self._pretrain(order)
            train_module(
                network,
                SpotBatches(network.sections, p.batch_size, self.context.device, order),
                SpotBatches(network.held_out, p.batch_size, self.context.device) if validation else None,
                self.context,
                epochs=p.epochs,
                patience=p.patience,
            )
            network.trainer = None
            self.reference = Reference.of(self._keys(), train)
        network.forget()

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        """Predict in target units, (spots, genes)."""
        queries = self.embed(slide)
        keys = self.reference.keys.to(queries.device)
        if self.params.similarity == "cosine":
            queries, keys = normalize(queries), normalize(keys)
        return self.reference.mean(nearest(queries, keys, self.params.k)[1]).numpy()

    def embed(self, slide: Slide) -> Tensor:
        """Embeddings of the slide's patches and their surroundings, (spots, dim)."""
        network = self.network.to(self.context.device).eval()
        neighbours = self._neighbours(slide)
        with torch.inference_mode(), predict_precision(self.context):
            gathered = neighbours.gather(network.encode(self._patches(slide)))
            embedded: Tensor = network.image.project(network.image(gathered))
        return embedded.float()

    def save(self, folder: Path) -> None:
        """Write the network and the training spots."""
        super().save(folder)
        self.reference.save(folder / REFERENCE)

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        super().load(folder)
        self.reference = Reference.load(folder / REFERENCE)

    def _section(self, slide: Slide) -> GraphSection:
        components = self.network.components(torch.from_numpy(slide.target).to(self.context.device))
        return GraphSection(self._patches(slide), self._neighbours(slide), components)

    def _patches(self, slide: Slide) -> NDArray[np.uint8]:
        return slide.patches(pixels=self.params.pixels, microns=self.params.field_um)

    def _neighbours(self, slide: Slide) -> Neighbourhoods:
        p = self.params
        return neighbourhoods(slide, p.neighbours, p.norm, p.graph).to(self.context.device)

    def _pretrain(self, order: torch.Generator) -> None:
        """Deep graph infomax of both branches, on features that stay as they are."""
        sections = self.network.sections
        encoded = [self.network.encode(section.patches) for section in sections]
        pretrain(self.network.image, encoded, sections, self.params, order, self._told("image"))
        genes = [section.components for section in sections]
        pretrain(self.network.gene, genes, sections, self.params, order, self._told("gene"))

    def _told(self, what: str) -> Callable[[float], None]:
        epochs = self.params.dgi_epochs
        return lambda loss: self.context.report(f"{what} branch: infomax loss {loss:.4f} after {epochs} epochs")

    def _keys(self) -> Tensor:
        network = self.network.to(self.context.device).eval()
        keys = []
        with torch.inference_mode(), predict_precision(self.context):
            for section in network.sections:
                hidden = network.gene(section.neighbours.gather(section.components))
                keys.append(network.gene.project(hidden).float().cpu())
        return torch.cat(keys)


class SpotBatches:
    """Batches of spots, each of one section; those of a section differ by at most one in size.

    Parameters
    ----------
    generator
        Draws another order of the spots and of the batches for every epoch; the sections' own order if None.
    """

    def __init__(
        self,
        sections: Sequence[GraphSection],
        batch_size: int,
        device: str,
        generator: torch.Generator | None = None,
    ) -> None:
        self.sizes = [len(section.components) for section in sections]
        self.batch_size = batch_size
        self.device = device
        self.generator = generator

    def __len__(self) -> int:
        return sum(self._parts(size) for size in self.sizes)

    def __iter__(self) -> Iterator[Chosen]:
        batches = [
            Chosen(section, spots.to(self.device))
            for section, size in enumerate(self.sizes)
            for spots in self._order(size).tensor_split(self._parts(size))
        ]
        yield from (batches[i] for i in self._order(len(batches)))

    def _parts(self, size: int) -> int:
        return -(-size // self.batch_size)

    def _order(self, n: int) -> Tensor:
        return torch.arange(n) if self.generator is None else torch.randperm(n, generator=self.generator)


def pretrain(
    branch: Branch,
    features: Sequence[Tensor],
    sections: Sequence[GraphSection],
    params: GchbParams,
    order: torch.Generator,
    told: Callable[[float], None],
) -> None:
    """Train a branch by deep graph infomax; a section is a step.

    Parameters
    ----------
    features
        Of each section's spots, (spots, features).
    told
        Given the mean loss of the last epoch.
    """
    optimiser = torch.optim.Adam(branch.of_infomax, lr=params.dgi_lr)
    branch.train()
    for _ in range(params.dgi_epochs):
        losses = []
        for x, section in zip(features, sections, strict=True):
            shuffled = x[torch.randperm(len(x), generator=order).to(x.device)]
            loss = branch.infomax_loss(section.neighbours.gather(x), section.neighbours.gather(shuffled))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.item())
    told(float(np.mean(losses)))


def principal_components(target: NDArray[np.float32], n: int) -> tuple[Tensor, Tensor]:
    """Mean and first `n` principal axes of the training spots' target, (genes,) and (n, genes)."""
    from sklearn.decomposition import PCA

    solver = "covariance_eigh" if len(target) >= target.shape[1] else "full"  # exact, and the same every time
    found = PCA(n, svd_solver=solver).fit(target.astype(np.float64))
    return tuple(torch.from_numpy(np.ascontiguousarray(v, np.float32)) for v in (found.mean_, found.components_))  # type: ignore[return-value]
