"""What a new plugin is called, and where its LightningModule is; refused before anything is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import packages_distributions

from stbench.errors import UsageError
from stbench.registry import discover

PREFIX = "stbench-"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 32  # lines of the templates that name the package twice stay below 120 characters

TAKEN = frozenset({"dataset", "lightning-model", "none", "patch", "row", "slide", "tensor", "true", "false"})
"""Names whose class would be one that the templates import or define, or a word of Python."""

IMPORT_STRING = re.compile(r"([a-zA-Z_]\w*(?:\.[a-zA-Z_]\w*)*):([a-zA-Z_]\w*)")


class Kind(StrEnum):
    """What there are templates for."""

    MODEL = "model"
    DATASET = "dataset"
    METRIC = "metric"


@dataclass(frozen=True)
class Names:
    """One name in the spellings its project needs: ``tiny-cnn``, ``stbench_tiny_cnn``, ``TinyCnn``."""

    name: str

    @property
    def project(self) -> str:
        """Of the distribution and its folder."""
        return PREFIX + self.name

    @property
    def package(self) -> str:
        """Of the Python package."""
        return self.project.replace("-", "_")

    @property
    def class_name(self) -> str:
        """Of its main class."""
        return "".join(part.capitalize() for part in self.name.split("-"))


@dataclass(frozen=True)
class Lightning:
    """Where a LightningModule is.

    Attributes
    ----------
    distribution
        What to install for it; empty if that is not installed here.
    """

    module: str
    class_name: str
    distribution: str


def parse_name(text: str, kind: Kind) -> Names:
    """Take ``tinycnn`` or ``stbench-tinycnn``.

    Raises
    ------
    UsageError
        A name that cannot be one, or that is registered in this environment.
    """
    name = text.removeprefix(PREFIX)
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(
            f"{text!r} cannot name a plugin: use lower-case letters, digits and single hyphens, a letter first, "
            f"at most {LONGEST} characters, such as 'tiny-cnn'"
        )
    if name in TAKEN:
        raise UsageError(f"{text!r} cannot name a plugin: its class would be called like one it imports; say more")
    for registered in discover().all(kind):
        if registered.spec.name == name:
            raise UsageError(f"{kind} {name!r} is registered here by {registered.distribution}; choose another name")
    return Names(name)


def parse_kind(text: str) -> Kind:
    """Take the name of a kind.

    Raises
    ------
    UsageError
        Not one of them.
    """
    try:
        return Kind(text)
    except ValueError:
        raise UsageError(f"there is no template of kind {text!r}; give one of {', '.join(Kind)}") from None


def parse_lightning(text: str, kind: Kind) -> Lightning:
    """Take ``package.module:Class``; nothing is imported.

    Raises
    ------
    UsageError
        Another form, or a plugin that is not a model.
    """
    if kind is not Kind.MODEL:
        raise UsageError(f"--from-lightning makes a model, not a {kind}; leave it out, or say --kind model")
    found = IMPORT_STRING.fullmatch(text)
    if not found:
        raise UsageError(f"{text!r} is not of the form package.module:Class; give it such as mypackage.net:MyModule")
    module, class_name = found.groups()
    distributions = packages_distributions().get(module.partition(".")[0], [""])
    return Lightning(module, class_name, distributions[0])
