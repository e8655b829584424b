"""Fetching what others published: once, whole, with its checksum."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

from stbench.datasets.unpack import DAMAGE, Archive, SingleFile
from stbench.errors import DataError

SOURCE = "SOURCE.txt"  # addresses and checksums; written last
FULL = {errno.ENOSPC, errno.EDQUOT}
ARCHIVES_FAULT = {None, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ENAMETOOLONG}


def fetch(label: str, published: tuple[Archive | SingleFile, ...], folder: Path, remedy: str) -> None:
    """Download files and archives, which are unpacked, into `folder`: all of them or nothing.

    A download that was cut off is continued by the next call. Of several processes one downloads and the others
    wait for it. A checksum that nobody verified is recorded beside the data.

    Parameters
    ----------
    label
        What they are, for messages.
    remedy
        What the error says to do when something cannot be had.

    Raises
    ------
    DataError
        No connection, a wrong checksum, an archive that is damaged or reaches outside its folder, a full disk,
        something else in the folder's place.
    """
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if (folder / SOURCE).is_file() and all(each.is_in(folder) for each in published):
                return  # another process was faster
            if folder.exists() and any(folder.iterdir()):
                raise DataError(
                    f"{published[0].url} is not unpacked over what lies in {folder}; move that away, or {remedy}"
                )
            here = [(each, _download(label, each, folder, remedy)) for each in published]
            _install(here, folder, remedy)
    except OSError as error:
        todo = "free some disk space" if error.errno in FULL else "make it writable"
        reason = error.strerror or error
        raise DataError(
            f"{published[0].url} cannot be stored in {folder.parent} ({reason}); {todo} and run the command again, "
            f"or {remedy}"
        ) from error


def _download(label: str, what: Archive | SingleFile, folder: Path, remedy: str) -> Path:
    import pooch

    from stbench.datasets.http import Interrupted, Refused, ResumingDownloader

    address = hashlib.sha256(what.url.encode()).hexdigest()[:16]  # what another address left here is not continued
    target = _downloads(folder) / address / what.file_name
    downloader = ResumingDownloader(target.with_name(f"{target.name}.part"), f"{label}: {what.file_name}")
    pooch.get_logger().setLevel("WARNING")  # it announces each download on stderr
    failed = f"{label} is not here and cannot be downloaded from {what.url}"
    try:
        pooch.retrieve(what.url, what.known_hash, fname=target.name, path=target.parent, downloader=downloader)
    except (Interrupted, Refused) as error:
        raise DataError(f"{failed} ({error}); {remedy}") from error
    except ValueError as error:  # the checksum; pooch has deleted the file
        reason = str(error).split(". ")[0]  # its first sentence names both
        raise DataError(f"{failed} ({reason}); {remedy}") from error
    return target


def _install(here: list[tuple[Archive | SingleFile, Path]], folder: Path, remedy: str) -> None:
    import pooch

    unpacked = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(unpacked, ignore_errors=True)  # of a process that was killed
    lines = [f"{each.url}\nsha256 {pooch.file_hash(str(path))}\n" for each, path in here]
    try:
        for each, path in sorted(here, key=lambda pair: isinstance(pair[0], SingleFile)):
            _install_or_discard(each, path, unpacked, remedy)  # archives first: files are moved, and not to be lost
        (unpacked / SOURCE).write_text("".join(lines))
        os.replace(unpacked, folder)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    shutil.rmtree(_downloads(folder), ignore_errors=True)


def _install_or_discard(what: Archive | SingleFile, path: Path, target: Path, remedy: str) -> None:
    try:
        what.install(path, target)
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in ARCHIVES_FAULT:
            raise
        path.unlink()
        reason = " ".join(str(error).split())
        raise DataError(
            f"{what.url}: the archive is damaged or unsafe ({reason}); run the command again, or {remedy}"
        ) from error


def _downloads(folder: Path) -> Path:
    return folder.parent / ".downloads" / folder.name
