"""Checks of datasets: what is known before a slide is loaded."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import replace

from stbench.datasets import DataFile
from stbench.errors import NotApplicable, UsageError
from stbench.registry import DatasetSpec, discover
from stbench.slides import SlideInfo
from stbench.testing.check import Checks, DoesNotApply
from stbench.testing.dataset.subject import DatasetSubject

checks: Checks[DatasetSubject] = Checks("dataset")

METADATA = ("metadata",)
LOADS = ("metadata", "loads")
MOST_FILES, MOST_BYTES = 50, 200_000_000
"""Of the files, the smallest are hashed, up to these limits."""


@checks.add("folds, keys and tables are made from the metadata alone")
def metadata(subject: DatasetSubject) -> None:
    """Slides have ids of their own, patients, the dataset's name, sensible sizes, and a reason for a missing image."""
    infos = subject.infos
    assert infos, "slides() lists no slide"
    strange = [type(info).__name__ for info in infos if not isinstance(info, SlideInfo)]
    assert not strange, f"slides() lists {strange[0]}; list stbench.slides.SlideInfo"
    ids = [info.id for info in infos]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    assert not twice, f"slides() lists {', '.join(twice)} twice; ids must be unique"
    name = subject.dataset.name
    if isinstance(subject.subject, DatasetSpec):
        assert name == subject.subject.name, f"the dataset says it is {name!r}, its spec {subject.subject.name!r}"
    for info in infos:
        _require_sensible(info, name)


def _require_sensible(info: SlideInfo, name: str) -> None:
    slide = f"slide {info.id!r}"
    assert info.id, "a slide has no id"
    assert info.patient, f"{slide} names no patient: folds could not keep patients apart"
    assert info.dataset == name, f"{slide} says it is of dataset {info.dataset!r}, not {name!r}"
    for field, value in (
        ("mpp", info.mpp),
        ("spot_um", info.spot_um),
        ("px_per_published_px", info.px_per_published_px),
    ):
        assert value is None or 0 < value < math.inf, f"{slide}: {field} is {value}, not a size above 0"
    if info.has_image:
        assert info.mpp is not None, f"{slide} has an image of unknown scale; give mpp, or say has_image=False and why"
    else:
        assert info.image_missing, f"{slide} has no image and does not say why; fill image_missing"


@checks.add("a revision that misses a changed byte resumes yesterday's runs on today's data", needs=METADATA)
def checksums(subject: DatasetSubject) -> None:
    """Checksums are those of the files (the smallest 50 are hashed, up to 200 MB), and the revision follows them."""
    files = _files(subject)
    assert files, "files() lists nothing; list every file that the slides are made from"
    names = [file.name for file in files]
    assert len(set(names)) == len(names), "files() lists a name twice; name files by their path in the dataset's folder"
    wrong = [file.name for file in files if not re.fullmatch("[0-9a-f]{64}", file.sha256)]
    assert not wrong, f"the checksum of {wrong[0]} is not 64 hexadecimal digits of SHA-256"
    for file, there in _to_hash(files):
        assert there == file.sha256, f"{file.name} has SHA-256 {there[:12]}…, files() says {file.sha256[:12]}…"
    _require_revision(subject, files)


def _files(subject: DatasetSubject) -> tuple[DataFile, ...]:
    _ = subject.infos  # the data are here, or this does not apply
    with subject.watched():
        return tuple(subject.dataset.files())


def _to_hash(files: tuple[DataFile, ...]) -> list[tuple[DataFile, str]]:
    missing = [file.name for file in files if file.path is not None and not file.path.is_file()]
    assert not missing, f"{missing[0]} is not where files() says; list the files that are here"
    hashed, left = [], MOST_BYTES
    for size, _, file in sorted((f.path.stat().st_size, f.name, f) for f in files if f.path)[:MOST_FILES]:
        left -= size
        if left >= 0 and file.path:
            hashed.append((file, hashlib.sha256(file.path.read_bytes()).hexdigest()))
    return hashed


def _require_revision(subject: DatasetSubject, files: tuple[DataFile, ...]) -> None:
    with subject.watched():
        first, second, changed = subject.dataset, subject.opened(), subject.opened()
        assert first.revision == second.revision, f"two instances are at revisions {first.revision}, {second.revision}"
    tampered = (*files[:-1], replace(files[-1], sha256=hashlib.sha256(b"another file").hexdigest()))
    changed.files = lambda: tampered  # type: ignore[method-assign]
    assert changed.revision != first.revision, (
        f"the revision stays {first.revision} when the checksum of {files[-1].name} changes; leave it to the base class"
    )


@checks.add("the dataset's default is what `stbench run` uses where nobody says another", needs=METADATA)
def default_protocol(subject: DatasetSubject) -> None:
    """The default protocol is registered and gives folds, or names a protocol that does."""
    name = subject.dataset.default_protocol
    try:
        protocol = discover().get("protocol", name).spec.load()
    except UsageError as error:
        raise AssertionError(f"default_protocol: {error}") from error
    if not any(info.has_image for info in subject.infos):
        raise DoesNotApply("none of its slides has an image here")
    try:
        folds = protocol.folds(subject.infos)
    except NotApplicable as error:
        if "-p " in str(error):
            return
        raise AssertionError(f"its default protocol cannot be used, and none instead: {error}") from error
    assert folds, f"{name} gives no folds on these slides"
