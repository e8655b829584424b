"""What can be published at an address, and how it comes into a folder: a file as it is, or parts of an archive."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import urlsplit

DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    EOFError, ValueError, ArithmeticError, NotImplementedError, RuntimeError,
)  # fmt: skip
"""What `Archive.install` raises of an archive that is damaged, encrypted or unsafe; beside OSErrors."""


@dataclass(frozen=True)
class Published:
    """Something at an address.

    Attributes
    ----------
    url
        Its address.
    known_hash
        ``sha256:…`` if somebody verified it.
    """

    url: str
    known_hash: str | None = None

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return PurePosixPath(urlsplit(self.url).path).name or "download"


@dataclass(frozen=True)
class SingleFile(Published):
    """A file that is kept as it is, under the name its address ends in."""

    def is_in(self, folder: Path) -> bool:
        """Whether it was installed there."""
        return (folder / self.file_name).is_file()

    def install(self, downloaded: Path, target: Path) -> None:
        """Move it into `target`, on the same disk."""
        target.mkdir(parents=True, exist_ok=True)
        os.replace(downloaded, target / self.file_name)


@dataclass(frozen=True)
class Archive(Published):
    """A tar or zip archive of which some folders are kept.

    Attributes
    ----------
    root
        Folder inside the archive that becomes the folder it is unpacked into; ``*`` stands for any one name.
    parts
        Subfolders of it that are unpacked; all if empty.
    """

    root: str = ""
    parts: tuple[str, ...] = ()

    def is_in(self, folder: Path) -> bool:
        """Whether any of its parts was unpacked there."""
        return not self.parts or any((folder / part).exists() for part in self.parts)

    def install(self, downloaded: Path, target: Path) -> None:
        """Unpack the files that are wanted into `target`; links and devices are left out.

        Raises
        ------
        OSError, *DAMAGE
            The archive is damaged or encrypted, a name leads out of `target`, or nothing in it is wanted.
        """
        with downloaded.open("rb") as file:
            is_zip = file.read(2) == b"PK"
        n_files = self._unzip(downloaded, target) if is_zip else self._untar(downloaded, target)
        if not n_files:
            raise ValueError(f"nothing below {self.root}/ in it")

    def _untar(self, downloaded: Path, target: Path) -> int:
        n_files = 0
        with tarfile.open(downloaded) as tar:
            for member in tar:
                inside = self._inside(member.name)
                if inside and member.isfile():
                    tar.extract(member.replace(name=inside, deep=False), target, filter="data")
                    n_files += 1
            while tar.fileobj and tar.fileobj.read(1 << 20):
                pass  # to the end, where gzip compares its checksum
        return n_files

    def _unzip(self, downloaded: Path, target: Path) -> int:
        n_files = 0
        with zipfile.ZipFile(downloaded) as archive:
            for member in archive.infolist():
                inside = self._inside(member.filename)
                kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive was not made on Unix
                if inside and not member.is_dir() and kind in (0, stat.S_IFREG):
                    place = target / inside
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(member) as packed, place.open("xb") as file:
                        shutil.copyfileobj(packed, file)  # to the end, where zip compares its checksum
                    n_files += 1
        return n_files

    def _inside(self, name: str) -> str:
        """Path below the root of a member that is wanted, else empty."""
        parts, root = PurePosixPath(name).parts, PurePosixPath(self.root).parts
        if len(parts) <= len(root) or not all(map(fnmatchcase, parts, root)):
            return ""
        inside = PurePosixPath(*parts[len(root) :])
        if self.parts and not any(inside.is_relative_to(part) for part in self.parts):
            return ""
        for path in (inside, PureWindowsPath(inside)):
            if path.anchor or ".." in path.parts:
                raise ValueError(f"{name!r} would be outside of the folder")
        return str(inside)
