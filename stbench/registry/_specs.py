"""Frozen, cheap descriptions of everything a plugin can offer; the object itself is an import string."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from stbench.errors import PluginError

NAME_PATTERN = re.compile(r"[a-z0-9-]+")
METRIC_NAME_PATTERN = re.compile(r"[a-z0-9_.-]+")

Direction = Literal["max", "min"]


def load_object(path: str) -> Any:
    """Import ``package.module:attribute``."""
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a plugin's import may raise anything
        raise PluginError(f"cannot import {path}: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What all descriptions share.

    Attributes
    ----------
    name
        Lower-case letters, digits and hyphens.
    factory
        Import string ``package.module:attribute`` of the object described.
    title
        One line for people.
    """

    kind: ClassVar[str] = ""
    name_pattern: ClassVar[re.Pattern[str]] = NAME_PATTERN

    name: str
    factory: str
    title: str = ""

    def __post_init__(self) -> None:
        if not self.name_pattern.fullmatch(self.name):
            raise PluginError(f"{self.kind} name {self.name!r} does not match {self.name_pattern.pattern}; rename it")
        if not re.fullmatch(r"[\w.]+:\w+", self.factory):
            raise PluginError(
                f"{self.kind} {self.name}: factory {self.factory!r} is not of the form package.module:attribute"
            )

    def load(self) -> Any:
        """Import the object described; raises `PluginError` if that fails."""
        return load_object(self.factory)


@dataclass(frozen=True, kw_only=True)
class Paper:
    """The publication a model comes from."""

    authors: str
    year: int
    doi: str = ""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One verified number from a paper, under the protocol it was measured with.

    Attributes
    ----------
    where
        Table or figure.
    preset
        The parameters it belongs to; None: any without a number of their own.
    method
        A method that the same paper compares with, where no plugin carries it; empty: the model itself.
    """

    dataset: str
    protocol: str
    metric: str
    value: float
    where: str
    preset: str | None = None
    method: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Spec):
    """A model.

    Attributes
    ----------
    params
        Import string of its `stbench.models.Params` subclass, in a module that does not import torch: the
        planner resolves and hashes parameters without loading the model.
    results_version
        Raised when the model's numbers change; part of every cell key.
    control
        A control, not a method: shown in every table.
    deterministic
        The seed changes nothing; several seeds are one cell.
    imports
        Libraries that the model uses and that take seconds to import, beside torch: a command imports them once for
        all its cells. Right without it, too, if slower.
    presets
        Named parameter sets. One named like a dataset is used for that dataset; ``smoke`` runs in seconds on a
        CPU with random weights and is the default on ``simulated``.
    published
        Numbers the paper reports; only verified ones.
    """

    kind: ClassVar[str] = "model"

    params: str
    results_version: str = "1"
    control: bool = False
    deterministic: bool = False
    imports: tuple[str, ...] = ("timm", "lightning")
    licence: str = ""
    paper: Paper | None = None
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    published: tuple[Published, ...] = ()

    def load_params(self) -> Any:
        """Import the parameter class."""
        return load_object(self.params)


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Spec):
    """A dataset; its factory takes a `stbench.datasets.DatasetContext`.

    Attributes
    ----------
    definition
        Path of the definition file of an imported dataset, which its factory takes as a second argument.
    """

    kind: ClassVar[str] = "dataset"

    organ: str = ""
    species: str = ""
    technology: str = ""
    licence: str = ""
    paper: Paper | None = None
    definition: str = ""

    def open(self, context: Any) -> Any:
        """Make the dataset; nothing is read yet."""
        return self.load()(context, Path(self.definition)) if self.definition else self.load()(context)


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """A metric.

    Attributes
    ----------
    version
        Raised when its values change.
    level
        What one value describes: a ``gene``, a ``spot`` or a ``slide``.
    direction
        Whether ``max`` or ``min`` is better.
    value_range
        Smallest and largest possible value (None: unbounded).
    derived
        Computed by SQL over the stored moments (`stbench/store/views.sql`), never stored; the factory is the
        plain-numpy definition that the SQL is tested against.
    pooled
        The moments of all test slides of a fold are merged before the metric is taken.
    unit
        What the leaderboard takes as independent: the ``patient``, or (for published section means) the ``slide``.
    ranks
        Whether better values mean a better model; False for what describes the truth or a spread.
    """

    kind: ClassVar[str] = "metric"
    name_pattern: ClassVar[re.Pattern[str]] = METRIC_NAME_PATTERN

    level: Literal["gene", "spot", "slide"]
    direction: Direction = "max"
    value_range: tuple[float | None, float | None] = (None, None)
    version: str = "1"
    derived: bool = False
    pooled: bool = False
    unit: Literal["patient", "slide"] = "patient"
    ranks: bool = True


@dataclass(frozen=True, kw_only=True)
class ProtocolSpec(Spec):
    """A protocol; its factory is a `stbench.protocols.Protocol`."""

    kind: ClassVar[str] = "protocol"


@dataclass(frozen=True, kw_only=True)
class EncoderSpec(Spec):
    """An image encoder; its factory takes ``(pretrained: bool)`` and returns a torch module.

    Attributes
    ----------
    n_features
        Width of the embedding.
    mean, std
        Channel statistics the encoder expects, for RGB in 0–1.
    weights_repo, weights_file
        Where the published weights live on the hub, so that planning finds a missing file without importing timm.
    weights_url
        The file, where it is not on the hub but fetched by `torch.hub`, as torchvision's are.
    """

    kind: ClassVar[str] = "encoder"

    n_features: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    weights_repo: str = ""
    weights_file: str = "model.safetensors"
    weights_url: str = ""
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec(Spec):
    """An executor; its factory takes the planned cells, the run options, and what to call as cells start and end.

    Attributes
    ----------
    options
        Names that ``--with NAME=VALUE`` may give it; None: any, which it checks itself.
    """

    kind: ClassVar[str] = "executor"

    options: tuple[str, ...] | None = ()
