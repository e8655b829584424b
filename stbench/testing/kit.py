"""What plugin authors call: all checks of a subject, as a list, in one go, or as parametrized tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stbench.datasets import Dataset
from stbench.errors import UsageError
from stbench.models.contract import Model, Params
from stbench.protocols import Protocol
from stbench.registry import DatasetSpec, EncoderSpec, MetricSpec, ModelSpec, ProtocolSpec
from stbench.slides import Slide
from stbench.testing.check import Check
from stbench.testing.dataset import N_SLIDES, DatasetSubject
from stbench.testing.dataset import checks as checks_of_datasets
from stbench.testing.encoder import EncoderSubject
from stbench.testing.encoder import checks as checks_of_encoders
from stbench.testing.metric import MetricSubject, Reference
from stbench.testing.metric import checks as checks_of_metrics
from stbench.testing.model import ModelSubject
from stbench.testing.model import checks as checks_of_models
from stbench.testing.model.subject import LIMIT_S
from stbench.testing.protocol import ProtocolSubject
from stbench.testing.protocol import checks as checks_of_protocols
from stbench.testing.report import Report, run
from stbench.testing.resolve import kind_of, name_of, resolve


def model_checks(
    subject: str | ModelSpec | type[Model[Any]], *, params: Params | None = None, limit_s: float = LIMIT_S
) -> list[Check]:
    """Return the checks of a model, each callable by itself.

    Parameters
    ----------
    subject
        A registered name, a spec, or a model class.
    params
        Parameters to check it with; by default the spec's preset ``smoke``, else the defaults.
    limit_s
        Seconds that fitting and predicting small slides may take (check ``quick``).
    """
    found, modules = resolve("model", subject)
    return checks_of_models.of(ModelSubject(found, params, limit_s, modules), name_of(found))


def check_model(
    subject: str | ModelSpec | type[Model[Any]],
    *,
    params: Params | None = None,
    limit_s: float = LIMIT_S,
    only: Sequence[str] | None = None,
    xfail: Mapping[str, str] | None = None,
) -> Report:
    """Hold a model to its contract.

    Parameters
    ----------
    subject, params, limit_s
        As in `model_checks`.
    only
        Ids of the checks to run; None for all.
    xfail
        Ids of checks that are known to fail, with the reason.

    Raises
    ------
    ConformanceError
        An AssertionError that lists the checks that failed.
    """
    return run(model_checks(subject, params=params, limit_s=limit_s), only=only, xfail=xfail).require()


def metric_checks(subject: str | MetricSpec, *, reference: Reference | None = None) -> list[Check]:
    """Return the checks of a metric, each callable by itself.

    Parameters
    ----------
    subject
        A registered name, or a spec.
    reference
        A slow and obvious definition, of ``(truth, prediction)`` or of all that the metric is given (of a derived
        metric: truth, prediction, measured, marks); returns values or `Scores`.
    """
    found, _ = resolve("metric", subject)
    return checks_of_metrics.of(MetricSubject(found, reference), name_of(found))


def check_metric(
    subject: str | MetricSpec,
    *,
    reference: Reference | None = None,
    only: Sequence[str] | None = None,
    xfail: Mapping[str, str] | None = None,
) -> Report:
    """Hold a metric to its contract; as `check_model`, with the arguments of `metric_checks`."""
    return run(metric_checks(subject, reference=reference), only=only, xfail=xfail).require()


def dataset_checks(
    subject: str | DatasetSpec | type[Dataset], *, data_dir: Path | None = None, n_slides: int = N_SLIDES
) -> list[Check]:
    """Return the checks of a dataset, each callable by itself.

    Parameters
    ----------
    subject
        A registered name, a spec, or a dataset class.
    data_dir
        What a user gives as ``--data-dir``; the network is refused, so that nothing is loaded without it, unless the
        dataset makes its data or says itself where they are.
    n_slides
        How many slides with an image are loaded.
    """
    found, _ = resolve("dataset", subject)
    return checks_of_datasets.of(DatasetSubject(found, data_dir, n_slides), name_of(found))


def check_dataset(
    subject: str | DatasetSpec | type[Dataset],
    *,
    data_dir: Path | None = None,
    n_slides: int = N_SLIDES,
    only: Sequence[str] | None = None,
    xfail: Mapping[str, str] | None = None,
) -> Report:
    """Hold a dataset to its contract; as `check_model`, with the arguments of `dataset_checks`."""
    return run(dataset_checks(subject, data_dir=data_dir, n_slides=n_slides), only=only, xfail=xfail).require()


def protocol_checks(subject: str | ProtocolSpec | Protocol, *, slides: Sequence[Slide] = ()) -> list[Check]:
    """Return the checks of a protocol, each callable by itself.

    Parameters
    ----------
    subject
        A registered name, a spec, or a protocol.
    slides
        Raw-count slides of the dataset that the protocol is made for; by default small generated ones of several
        layouts.
    """
    found, _ = resolve("protocol", subject)
    return checks_of_protocols.of(ProtocolSubject(found, slides), name_of(found))


def check_protocol(
    subject: str | ProtocolSpec | Protocol,
    *,
    slides: Sequence[Slide] = (),
    only: Sequence[str] | None = None,
    xfail: Mapping[str, str] | None = None,
) -> Report:
    """Hold a protocol to its contract; as `check_model`, with the arguments of `protocol_checks`."""
    return run(protocol_checks(subject, slides=slides), only=only, xfail=xfail).require()


def encoder_checks(subject: str | EncoderSpec) -> list[Check]:
    """Return the checks of an encoder, with random weights, each callable by itself.

    Parameters
    ----------
    subject
        A registered name, or a spec.
    """
    found, modules = resolve("encoder", subject)
    return checks_of_encoders.of(EncoderSubject(found, modules), name_of(found))


def check_encoder(
    subject: str | EncoderSpec, *, only: Sequence[str] | None = None, xfail: Mapping[str, str] | None = None
) -> Report:
    """Hold an encoder to its contract; as `check_model`, with the arguments of `encoder_checks`."""
    return run(encoder_checks(subject), only=only, xfail=xfail).require()


def checks_of(subject: Any, kind: str | None = None, **options: Any) -> list[Check]:
    """Return the checks of anything a plugin registers.

    Parameters
    ----------
    subject
        A registered name, a spec, a class of models or datasets, or a protocol.
    kind
        ``model``, ``dataset``, ``metric``, ``protocol`` or ``encoder``, where a name alone says too little.
    options
        Keyword arguments of the function of that kind, `model_checks` for one.

    Raises
    ------
    UsageError
        An unknown name, a name that several kinds have, an object that is none of these.
    """
    chosen = kind or kind_of(subject)
    if chosen not in KINDS:
        raise UsageError(f"there are no checks for {chosen}s; there are for {', '.join(KINDS)}")
    return KINDS[chosen](subject, **options)


KINDS: dict[str, Callable[..., list[Check]]] = {
    "model": model_checks,
    "dataset": dataset_checks,
    "metric": metric_checks,
    "protocol": protocol_checks,
    "encoder": encoder_checks,
}
