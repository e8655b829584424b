"""Fetching a published archive: once, whole, with its checksum, unpacked with a data filter."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from stbench.errors import DataError

SOURCE = "SOURCE.txt"  # address and checksum; written last
FULL = {errno.ENOSPC, errno.EDQUOT}
ARCHIVES_FAULT = {None, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ENAMETOOLONG}


def fetch_archive(
    url: str, folder: Path, root: str, parts: tuple[str, ...], remedy: str, known_hash: str | None = None
) -> None:
    """Download a tar archive and unpack some of its folders into `folder`, all or nothing.

    A download that was cut off is continued by the next call. Of several processes one downloads and the others
    wait for it.

    Parameters
    ----------
    root
        Folder inside the archive's single top folder that becomes `folder`.
    parts
        Its subfolders to unpack.
    remedy
        What the error says to do when the archive cannot be had.
    known_hash
        ``sha256:…`` if somebody verified it; otherwise the checksum is recorded beside the data.

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
            if (folder / SOURCE).is_file() and any((folder / part).exists() for part in parts):
                return  # another process was faster
            if folder.exists() and any(folder.iterdir()):
                raise DataError(f"{url} is not unpacked over what lies in {folder}; move that away, or {remedy}")
            archive = _download(url, folder, remedy, known_hash)
            _install(archive, url, folder, root, parts, remedy)
    except OSError as error:
        todo = "free some disk space" if error.errno in FULL else "make it writable"
        reason = error.strerror or error
        raise DataError(
            f"{url} cannot be stored in {folder.parent} ({reason}); {todo} and run the command again, or {remedy}"
        ) from error


def _download(url: str, folder: Path, remedy: str, known_hash: str | None) -> Path:
    import pooch

    from stbench.datasets.http import Interrupted, Refused, ResumingDownloader

    address = hashlib.sha256(url.encode()).hexdigest()[:16]  # what another address left here is not continued
    archive = _downloads(folder) / address / f"{folder.name}.tar.gz"
    downloader = ResumingDownloader(archive.with_name(f"{archive.name}.part"), folder.name)
    pooch.get_logger().setLevel("WARNING")  # it announces each download on stderr
    failed = f"{folder.name} is not here and cannot be downloaded from {url}"
    try:
        pooch.retrieve(url, known_hash, fname=archive.name, path=archive.parent, downloader=downloader)
    except (Interrupted, Refused) as error:
        raise DataError(f"{failed} ({error}); {remedy}") from error
    except ValueError as error:  # the checksum; pooch has deleted the file
        reason = str(error).split(". ")[0]  # its first sentence names both
        raise DataError(f"{failed} ({reason}); {remedy}") from error
    return archive


def _install(archive: Path, url: str, folder: Path, root: str, parts: tuple[str, ...], remedy: str) -> None:
    import pooch

    unpacked = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(unpacked, ignore_errors=True)  # of a process that was killed
    try:
        _unpack_or_discard(archive, url, unpacked, root, parts, remedy)
        (unpacked / SOURCE).write_text(f"{url}\nsha256 {pooch.file_hash(str(archive))}\n")
        os.replace(unpacked, folder)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    shutil.rmtree(_downloads(folder), ignore_errors=True)


def _downloads(folder: Path) -> Path:
    return folder.parent / ".downloads" / folder.name


def _unpack_or_discard(archive: Path, url: str, target: Path, root: str, parts: tuple[str, ...], remedy: str) -> None:
    try:
        _unpack(archive, target, root, parts)
    except (tarfile.TarError, EOFError, zlib.error, ValueError, ArithmeticError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in ARCHIVES_FAULT:
            raise
        archive.unlink()
        reason = " ".join(str(error).split())
        raise DataError(
            f"{url}: the archive is damaged or unsafe ({reason}); run the command again, or {remedy}"
        ) from error


def _unpack(archive: Path, target: Path, root: str, parts: tuple[str, ...]) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            inside = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            wanted = any(inside.is_relative_to(PurePosixPath(root, part)) for part in parts)
            if wanted and member.isfile():
                renamed = member.replace(name=str(inside.relative_to(root)), deep=False)
                tar.extract(renamed, target, filter="data")
        while tar.fileobj and tar.fileobj.read(1 << 20):
            pass  # to the end, where gzip compares its checksum
    if not target.exists():
        raise tarfile.TarError(f"nothing below {root}/ in it")
