"""Checks of datasets: network, files, and what is said where the data are not."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from stbench.datasets import DatasetContext
from stbench.errors import DataError
from stbench.testing.check import DoesNotApply
from stbench.testing.dataset.metadata import checks
from stbench.testing.dataset.subject import DatasetSubject
from stbench.testing.watch import Seen

REMEDIES = ("--data-dir", "STBENCH_DATA")


@checks.add("runs must work on a machine without network, once the data are there")
def no_network(subject: DatasetSubject) -> None:
    """With the data there, nothing is asked of the network."""
    hosts = _after_a_try(subject).seen.network
    assert not hosts, f"asked the network for {', '.join(hosts)} though the data are here"


@checks.add("data lie on read-only disks, shared by many users")
def writes_only_in_cache(subject: DatasetSubject) -> None:
    """Files are written in the cache only."""
    writes = _after_a_try(subject).seen.writes
    assert not writes, f"wrote {', '.join(writes[:3])}; keep what is made below context.cache_dir"


def _after_a_try(subject: DatasetSubject) -> DatasetSubject:
    """Make sure that slides were loaded, whatever came of it: that is `loads`' to say; but the data must be here."""
    _ = subject.infos
    _loads(subject)
    return subject


@checks.add("who has not the data yet reads this sentence, and no other")
def offline_message(subject: DatasetSubject) -> None:
    """Without data and network, the error says what to put where; with a wrong --data-dir, it names that folder."""
    error = _error_without_data(subject, None) if subject.data_dir or not _loads(subject) else None
    if error is None:
        raise DoesNotApply("it needs no data of the user's")
    assert any(remedy in str(error) for remedy in REMEDIES), (
        f"without data and network the error does not say what to give as --data-dir: {error}"
    )
    empty = subject.fresh_folder()
    error = _error_without_data(subject, empty)
    assert error is not None, "an empty --data-dir is taken for the data"
    assert str(empty) in str(error), f"given an empty --data-dir, the error does not name it: {error}"


def _loads(subject: DatasetSubject) -> bool:
    with suppress(Exception):
        return bool(subject.loaded)
    return False


def _error_without_data(subject: DatasetSubject, data_dir: Path | None) -> DataError | None:
    """What is raised where nothing but `data_dir` is given; the download it may try is not held against it."""
    try:
        with subject.watched(Seen()):
            dataset = subject.opened_with(DatasetContext(subject.fresh_folder(), data_dir))
            usable = [info for info in dataset.slides() if info.has_image]
            if usable:
                dataset.load(usable[0].id)
    except DataError as error:
        return error
    except Exception as error:
        raise AssertionError(f"without its data it raises {type(error).__name__}: {error}; raise DataError") from error
    return None
