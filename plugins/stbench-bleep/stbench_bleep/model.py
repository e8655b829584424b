"""BLEEP as an stbench model: a patch is predicted what the training spots nearest to it in the common space express."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from stbench.models import stack_targets
from stbench.models.encoders import load_encoder
from stbench.models.lightning_model import LightningModel
from stbench.models.patch_batches import image_batches
from stbench.models.retrieval import Reference, nearest
from stbench.models.training import predict_precision
from stbench.slides import Slide
from stbench_bleep.network import BleepModule
from stbench_bleep.params import BleepParams

REFERENCE = "reference.safetensors"


class Bleep(LightningModel[BleepParams]):
    """Contrastive learning of patches and expression, prediction by retrieval (Xie et al. 2023)."""

    network: BleepModule
    reference: Reference

    def module(self, n_genes: int) -> BleepModule:
        """Make the encoder and the projections."""
        p = self.params
        encoder = load_encoder(p.encoder, p.weights, self.context.cache_dir, pixels=p.pixels)
        return BleepModule(encoder, n_genes, p)

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Train; what is looked up later are the training spots, and no others."""
        super().fit(train, validation)
        target = torch.from_numpy(stack_targets(train))
        network = self.network.to(self.context.device).eval()
        with torch.inference_mode(), predict_precision(self.context):
            keys = [
                network.embed_expression(spots.to(self.context.device)).float().cpu()
                for spots in torch.split(target, self.params.batch_size)
            ]
        self.reference = Reference.of(torch.cat(keys), train)

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        """Predict in target units, (spots, genes)."""
        queries = self.embed(slide)
        keys = self.reference.keys.to(queries.device)
        k = 1 if self.params.retrieval == "top-1" else self.params.k
        cosine, index = nearest(normalize(queries), normalize(keys), k)
        weights = None
        if self.params.retrieval == "weighted":
            weights = nearness(cosine, queries.norm(dim=1), keys.norm(dim=1)[index])
        return self.reference.mean(index, weights).numpy()

    def embed(self, slide: Slide) -> Tensor:
        """Embeddings of the slide's patches, (spots, dim)."""
        p, device = self.params, self.context.device
        network = self.network.to(device).eval()
        patches = slide.patches(pixels=p.pixels, microns=p.field_um)
        with torch.inference_mode(), predict_precision(self.context):
            return torch.cat(
                [network(images).float() for images in image_batches(patches, self.context.batch(p.batch_size), device)]
            )

    def save(self, folder: Path) -> None:
        """Write the network and the training spots."""
        super().save(folder)
        self.reference.save(folder / REFERENCE)

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        super().load(folder)
        self.reference = Reference.load(folder / REFERENCE)


def nearness(cosine: Tensor, query_length: Tensor, key_length: Tensor) -> Tensor:
    """Weights exp(−d²) of what was looked up, d being the distance in the common space; each row sums to 1.

    The authors weight by exp(−(d² − d₁² + 1)), d₁ being the distance of the key with the largest cosine, and divide by
    the sum, in which d₁ and the 1 cancel; so does the length of the query.

    Parameters
    ----------
    cosine
        Between each query and its keys, (queries, k).
    query_length, key_length
        Of the embeddings, (queries,) and (queries, k).
    """
    product = cosine * query_length[:, None] * key_length
    return (2 * product - key_length.square()).softmax(1)
