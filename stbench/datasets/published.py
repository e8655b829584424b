"""Data sets that others published: in a folder of the user's, or downloaded into the cache."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from pathlib import Path

from stbench.datasets.contract import DataFile, Dataset
from stbench.errors import DataError
from stbench.slides import cache


class PublishedDataset(Dataset):
    """A data set in the layout its authors published.

    Attributes
    ----------
    subfolders
        Class attribute: subfolders of ``--data-dir`` that are looked into first.
    """

    subfolders: tuple[str, ...]

    @property
    @abstractmethod
    def layout(self) -> str:
        """What its folder holds, in words."""

    @abstractmethod
    def holds(self, folder: Path) -> bool:
        """Whether anything of the data set is in the folder."""

    @abstractmethod
    def download(self) -> None:
        """Download what the cache lacks into `downloaded`."""

    def lacks(self, folder: Path) -> list[str]:
        """What is missing where some of the data set is; it cannot be read without."""
        return []

    def locate(self) -> Path | None:
        """``--data-dir`` (or its subfolders), else a finished download."""
        given = next((place for place in self._given if self.holds(place)), None)
        if given or not self.holds(self.downloaded) or self.lacks(self.downloaded):
            return given
        return self.downloaded

    @cached_property
    def folder(self) -> Path:
        """The data set's folder; downloaded if it is nowhere and no ``--data-dir`` was given.

        Raises
        ------
        DataError
            ``--data-dir`` holds nothing or not all of it; the download failed.
        """
        found, given = self.locate(), self.context.data_dir
        if given and (found is None or found == self.downloaded):
            below = ", ".join(f"{name}/" for name in self.subfolders)
            raise DataError(
                f"{self.name}: {given} does not hold {self.layout}; looked there and in {below} below it. Put it "
                f"there, give another --data-dir, or put it into {self.downloaded} and give none"
            )
        if found is None:
            self.download()
            return self.downloaded
        if missing := self.lacks(found):
            raise DataError(f"{self.name}: {found} lacks {', '.join(missing)}; add what is missing")
        return found

    @property
    def downloaded(self) -> Path:
        """Where a download goes."""
        return self.context.cache_dir / "data" / self.name

    @property
    def remedy(self) -> str:
        """What to do where it cannot be downloaded."""
        return f"put {self.layout} into a folder and give it as --data-dir, or into {self.downloaded}"

    def _file(self, name: str, path: Path) -> DataFile:
        return DataFile(name, cache.sha256(path, self.context.cache_dir), path)

    @property
    def _given(self) -> list[Path]:
        given = self.context.data_dir
        return [*(given / name for name in self.subfolders), given] if given else []
