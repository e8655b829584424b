"""Archives are unpacked whole or not at all; nothing leaves the folder."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from published import GOOD, REMEDY, ST_ARCHIVE, files, member, noisy_archive, publish

from stbench.datasets import download
from stbench.datasets.unpack import Archive
from stbench.errors import DataError

KINDS = ("tar", "zip")


@pytest.fixture
def fetch(tmp_path: Path, site: tuple[Path, str]) -> Callable[..., Path]:
    def run(known_hash: str | None = None) -> Path:
        target = tmp_path / "cache" / "data" / "her2st"
        download.fetch("her2st", (Archive(site[1], known_hash, **ST_ARCHIVE),), target, REMEDY)
        return target

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_the_wanted_parts_are_unpacked_and_the_checksum_recorded(
    site: tuple, fetch: Callable[..., Path], kind: str
) -> None:
    archive = publish(site[0], *GOOD, kind=kind)

    found = files(fetch())

    source = found.pop("SOURCE.txt").decode()
    assert found == {"ST-cnts/A1.tsv.gz": b"counts", "ST-pat/lbl/A1.tsv": b"labels"}
    assert source == f"{site[1]}\nsha256 {hashlib.sha256(archive).hexdigest()}\n"


def test_nothing_else_is_left_behind(site: tuple, fetch: Callable[..., Path]) -> None:
    publish(site[0], *GOOD)

    target = fetch()

    assert [name for name in files(target.parent) if not name.startswith("her2st/")] == []


def test_a_known_checksum_is_compared(tmp_path: Path, site: tuple, fetch: Callable[..., Path]) -> None:
    digest = hashlib.sha256(publish(site[0], *GOOD)).hexdigest()

    with pytest.raises(DataError) as caught:
        fetch("sha256:" + "0" * 64)
    assert re.fullmatch(
        rf"her2st is not here and cannot be downloaded from {site[1]} "
        rf"\([^.]*\(set.tar.gz\)[^.]* expected sha256:0{{64}} but got {digest}\); {REMEDY}",
        str(caught.value),
    )
    assert files(tmp_path / "cache") == {}
    assert fetch(f"sha256:{digest}").is_dir()


def outside(folder: Path, target: Path) -> set[str]:
    """Everything below `folder` that is neither in the server's folder nor in the data's."""
    found = {p for p in folder.rglob("*") if not p.is_dir() and p.suffix != ".lock"}
    return {str(p) for p in found if target not in p.parents and p.parent.name != "site"}


CLIMBING = {
    "parent": "x/data/ST-cnts/../../../../evil",
    "further": "x/data/ST-cnts/../../../../../../evil",
    "absolute": "/data/ST-cnts/../../../evil",
    "Windows": "x/data/ST-cnts/..\\..\\evil",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CLIMBING.values(), ids=CLIMBING.keys())
def test_a_member_that_climbs_out_of_its_folder_is_refused(
    tmp_path: Path, site: tuple, fetch: Callable[..., Path], name: str, kind: str
) -> None:
    publish(site[0], *GOOD, member(name), kind=kind)

    with pytest.raises(DataError, match=r"the archive is damaged or unsafe \(.*outside.*\); run the command again"):
        fetch()

    assert files(tmp_path / "cache") == {}
    assert outside(tmp_path, tmp_path / "cache") == set()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["/tmp/stbench-evil", "../stbench-evil", "C:/stbench-evil"])
def test_where_everything_is_wanted_nothing_may_lead_outside(tmp_path: Path, site: tuple, name: str, kind: str) -> None:
    publish(site[0], *GOOD, member(name), kind=kind)

    with pytest.raises(DataError, match=r"unsafe \(.*stbench-evil' would be outside of the folder\)"):
        download.fetch("all", (Archive(site[1]),), tmp_path / "cache" / "all", REMEDY)

    assert files(tmp_path / "cache") == {}
    assert not Path("/tmp/stbench-evil").exists()


NO_FILES = {
    "symlink": member("x/data/ST-cnts/link", b"", type=tarfile.SYMTYPE, linkname="../../../.."),
    "absolute symlink": member("x/data/ST-cnts/link", b"", type=tarfile.SYMTYPE, linkname="/tmp"),
    "hard link": member("x/data/ST-cnts/link", b"", type=tarfile.LNKTYPE, linkname="../../evil"),
    "device": member("x/data/ST-cnts/link", b"", type=tarfile.CHRTYPE),
    "fifo": member("x/data/ST-cnts/link", b"", type=tarfile.FIFOTYPE),
}


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for kind in KINDS for name in NO_FILES if (name, kind) != ("hard link", "zip")]
)
def test_links_and_devices_are_left_out_and_nothing_goes_through_them(
    tmp_path: Path, site: tuple, fetch: Callable[..., Path], name: str, kind: str
) -> None:
    publish(site[0], *GOOD, NO_FILES[name], member("x/data/ST-cnts/link/file", b"inside"), kind=kind)

    target = fetch()

    assert files(target)["ST-cnts/link/file"] == b"inside"
    assert not any(p.is_symlink() for p in target.rglob("*"))
    assert outside(tmp_path, target) == set()


MISSHAPEN = {
    "file where a folder is": (member("x/data/ST-cnts/a/b"), member("x/data/ST-cnts/a")),
    "folder where a file is": (member("x/data/ST-cnts/a"), member("x/data/ST-cnts/a/b")),
    "name too long": (member("x/data/ST-cnts/" + "n" * 300),),
    "null in the name": (member("x/data/ST-cnts/a", pax_headers={"path": "x/data/ST-cnts/a\0b"}),),
    "time beyond all clocks": (member("x/data/ST-cnts/a", pax_headers={"mtime": "1e300"}),),
}


@pytest.mark.parametrize(
    ("name", "kind"), [(name, "tar") for name in MISSHAPEN] + [(name, "zip") for name in list(MISSHAPEN)[:3]]
)
def test_an_archive_no_folder_can_hold_is_one_sentence(
    tmp_path: Path, site: tuple, fetch: Callable[..., Path], name: str, kind: str
) -> None:
    publish(site[0], *GOOD, *MISSHAPEN[name], kind=kind)

    with pytest.raises(
        DataError, match=rf"the archive is damaged or unsafe \(.+\); run the command again, or {REMEDY}$"
    ):
        fetch()

    assert files(tmp_path / "cache") == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["truncated", "overwritten", "last bytes", "html", "empty", "other layout"])
def test_a_damaged_archive_leaves_nothing_and_the_next_try_fetches_anew(
    tmp_path: Path, site: tuple, fetch: Callable[..., Path], damage: str, kind: str
) -> None:
    whole = noisy_archive(site[0], kind)
    middle = len(whole) // 2
    broken = {
        "truncated": whole[:middle],
        "overwritten": whole[:middle] + b"\xff" * 2000 + whole[middle + 2000 :],
        "last bytes": whole[:-8] + b"\0" * 8,
        "html": b"<html>sign in</html>",
        "empty": b"",
    }
    if damage == "other layout":
        publish(site[0], member("x/elsewhere/file"), kind=kind)
    else:
        (site[0] / "set.tar.gz").write_bytes(broken[damage])

    with pytest.raises(DataError, match=rf"{site[1]}: the archive is damaged or unsafe .*; run the command again"):
        fetch()

    assert files(tmp_path / "cache") == {}
    noisy_archive(site[0], kind)
    assert (fetch() / "ST-cnts" / "big.bin").stat().st_size == 200_000


def test_an_encrypted_zip_is_one_sentence(site: tuple, fetch: Callable[..., Path]) -> None:
    whole = bytearray(publish(site[0], *GOOD, kind="zip"))
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = whole.find(header)
        whole[at + flags] |= 1
    (site[0] / "set.tar.gz").write_bytes(whole)

    with pytest.raises(DataError, match=r"damaged or unsafe \(.*is encrypted.*\); run the command again"):
        fetch()


def test_an_archive_kept_whole_has_every_file_where_it_was(tmp_path: Path, site: tuple) -> None:
    publish(site[0], *GOOD, kind="zip")
    target = tmp_path / "all"

    download.fetch("all", (Archive(site[1]),), target, REMEDY)

    assert set(files(target)) == {"SOURCE.txt", *(info.name for info, _ in GOOD)}
