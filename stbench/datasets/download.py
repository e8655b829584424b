"""Fetching a published archive: checksum recorded, retried, extracted with a data filter."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from stbench.errors import DataError


def fetch_archive(
    url: str, folder: Path, root: str, parts: tuple[str, ...], remedy: str, known_hash: str | None = None
) -> None:
    """Download a tar archive and unpack some of its folders into `folder`, all or nothing.

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
        No connection, a wrong checksum, an archive that is damaged or reaches outside its folder.
    """
    import pooch

    downloads = folder.parent / ".downloads"
    name = f"{folder.name}.tar.gz"
    try:
        downloader = pooch.HTTPDownloader(progressbar=False, timeout=30)
        pooch.retrieve(url, known_hash, fname=name, path=downloads, downloader=downloader)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; ValueError is a checksum mismatch
        raise DataError(f"{folder.name} is not here and cannot be downloaded from {url} ({error}); {remedy}") from error
    archive = downloads / name
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        _unpack(archive, partial, root, parts)
        (partial / "SOURCE.txt").write_text(f"{url}\nsha256 {pooch.file_hash(str(archive))}\n")
        os.replace(partial, folder)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        archive.unlink(missing_ok=True)
        reason = " ".join(str(error).split())
        raise DataError(f"{url}: the archive is damaged or unsafe ({reason}); run the command again") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    archive.unlink(missing_ok=True)


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
