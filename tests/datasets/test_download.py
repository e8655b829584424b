"""Downloads are whole or not there at all, and go on where an earlier one stopped."""

from __future__ import annotations

import errno
import hashlib
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from published import REMEDY, ST_ARCHIVE, Flaky, files, noisy_archive

from stbench.datasets.download import fetch
from stbench.datasets.unpack import Archive, SingleFile
from stbench.errors import DataError


def fetch_from(server: Flaky, cache: Path) -> Path:
    target = cache / "her2st"
    fetch("her2st", (Archive(server.url, **ST_ARCHIVE),), target, REMEDY)
    assert (target / "ST-cnts" / "big.bin").stat().st_size == 200_000
    assert files(target)["SOURCE.txt"].decode().endswith(hashlib.sha256(server.body).hexdigest() + "\n")
    return target


def test_a_server_that_refuses(tmp_path: Path, site: tuple) -> None:
    with pytest.raises(DataError, match=rf"her2st is not here and cannot be downloaded .*404.*; {REMEDY}"):
        fetch("her2st", (Archive(site[1]),), tmp_path / "cache" / "her2st", REMEDY)

    assert files(tmp_path / "cache") == {}


def test_no_server_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"downloaded from http://127.0.0.1:9/x \(Connection refused\); {REMEDY}$"):
        fetch("her2st", (SingleFile("http://127.0.0.1:9/x"),), tmp_path / "data", REMEDY)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("validator", [{"ETag": '"1"'}, {"Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"}])
def test_a_dropped_connection_is_continued_where_it_broke_off(
    tmp_path: Path, flaky: Flaky, validator: dict[str, str], chunked: bool
) -> None:
    flaky.validator, flaky.chunked, flaky.plan = validator, chunked, ["drop 150000"]

    fetch_from(flaky, tmp_path)

    first, second = flaky.asked
    assert (first.start, first.sent) == (None, 150_000)
    assert second.start is not None
    assert 150_000 - (1 << 16) <= second.start <= 150_000
    assert second.sent == len(flaky.body) - second.start
    assert second.if_range == next(iter(validator.values()))


def test_the_next_run_continues_too(tmp_path: Path, flaky: Flaky) -> None:
    flaky.plan = ["drop 90000", "drop 40000", "drop 1"]
    size = len(flaky.body)
    with pytest.raises(DataError, match=rf"\(the connection dropped after \d+ of {size} bytes\); {REMEDY}$"):
        fetch_from(flaky, tmp_path)
    (part,) = tmp_path.rglob("*.part")
    kept = part.stat().st_size

    fetch_from(flaky, tmp_path)

    assert kept > 0
    assert flaky.asked[-1].start == kept


@pytest.mark.parametrize(
    ("setting", "value"), [("ranges", False), ("validator", {}), ("validator", {"ETag": 'W/"1"'})], ids=str
)
def test_without_ranges_or_a_version_it_starts_anew(tmp_path: Path, flaky: Flaky, setting: str, value: object) -> None:
    setattr(flaky, setting, value)
    flaky.plan = ["drop 150000"]

    fetch_from(flaky, tmp_path)

    assert [a.sent for a in flaky.asked] == [150_000, len(flaky.body)]


@pytest.mark.parametrize("heeds", [True, False])
def test_a_file_that_changed_between_two_tries_starts_anew(tmp_path: Path, flaky: Flaky, heeds: bool) -> None:
    new = noisy_archive(tmp_path) + b"\0" * 10

    def change() -> None:
        flaky.body, flaky.validator, flaky.after = new, {"ETag": '"2"'}, lambda: None

    flaky.plan, flaky.after, flaky.heeds_if_range = ["drop 150000"], change, heeds

    fetch_from(flaky, tmp_path)

    assert flaky.asked[-1].sent == len(new)


def test_a_part_longer_than_the_file_starts_anew(tmp_path: Path, flaky: Flaky) -> None:
    flaky.plan = ["drop 150000"] + ["status 500"] * 2
    with pytest.raises(DataError, match="500"):
        fetch_from(flaky, tmp_path)
    (part,) = tmp_path.rglob("*.part")
    part.write_bytes(bytes(len(flaky.body)))

    fetch_from(flaky, tmp_path)

    assert [a.start for a in flaky.asked[-2:]] == [len(flaky.body), None]


def test_a_server_error_is_tried_again(tmp_path: Path, flaky: Flaky) -> None:
    flaky.plan = ["status 500", "status 503"]

    fetch_from(flaky, tmp_path)

    assert len(flaky.asked) == 3


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (500, 3), (502, 3)])
def test_tries_per_refusal(tmp_path: Path, flaky: Flaky, status: int, tries: int) -> None:
    flaky.plan = [f"status {status}"] * 9

    with pytest.raises(DataError, match=rf"cannot be downloaded from {flaky.url} \({status} [\w ]+\); {REMEDY}$"):
        fetch_from(flaky, tmp_path)

    assert len(flaky.asked) == tries


def test_two_threads_download_once(tmp_path: Path, flaky: Flaky) -> None:
    flaky.delay_s = 0.2
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda _: fetch_from(flaky, tmp_path), range(3)))

    assert len(set(results)) == 1
    assert len(flaky.asked) == 1


def test_two_processes_download_once_and_pipes_get_no_progress(tmp_path: Path, flaky: Flaky) -> None:
    flaky.delay_s = 0.5
    code = (
        "import sys, pathlib; from stbench.datasets.download import fetch; "
        "from stbench.datasets.unpack import Archive; "
        f"fetch('x', (Archive({flaky.url!r}, root='*/data'),), pathlib.Path(sys.argv[1]), 'x')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "her2st")]

    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]

    assert [p.communicate(timeout=30)[0] for p in running] == [b"", b""]
    assert [p.returncode for p in running] == [0, 0]
    assert len(flaky.asked) == 1


def test_what_a_killed_process_left_is_no_obstacle(tmp_path: Path, flaky: Flaky) -> None:
    (tmp_path / ".her2st.unpacking" / "ST-cnts").mkdir(parents=True)
    (tmp_path / ".her2st.unpacking" / "ST-cnts" / "half").touch()
    (tmp_path / "her2st").mkdir()

    assert "ST-cnts/half" not in files(fetch_from(flaky, tmp_path))


def test_files_of_others_in_its_place_are_kept(tmp_path: Path, flaky: Flaky) -> None:
    (tmp_path / "her2st").mkdir()
    (tmp_path / "her2st" / "images.tsv").touch()

    with pytest.raises(
        DataError, match=f"{flaky.url} is not unpacked over what lies in .*; move that away, or {REMEDY}"
    ):
        fetch_from(flaky, tmp_path)

    assert files(tmp_path) == {"her2st/images.tsv": b""}
    assert flaky.asked == []


def test_an_earlier_address_is_not_continued(tmp_path: Path, flaky: Flaky) -> None:
    flaky.plan = ["drop 150000"] + ["status 500"] * 2
    with pytest.raises(DataError):
        fetch("her2st", (Archive(f"{flaky.url}?old"),), tmp_path / "her2st", REMEDY)

    fetch_from(flaky, tmp_path)

    assert flaky.asked[-1].start is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_full_of_the_download(tmp_path: Path, flaky: Flaky) -> None:
    flaky.plan = ["drop 150000"] + ["status 500"] * 2
    with pytest.raises(DataError, match="500"):
        fetch_from(flaky, tmp_path)
    (part,) = tmp_path.rglob("*.part")
    part.unlink()
    part.symlink_to("/dev/full")

    with pytest.raises(DataError) as caught:
        fetch_from(flaky, tmp_path)

    assert str(caught.value) == (
        f"{flaky.url} cannot be stored in {tmp_path} (No space left on device); "
        f"free some disk space and run the command again, or {REMEDY}"
    )


def test_a_disk_full_of_what_is_unpacked_keeps_the_download(
    tmp_path: Path, flaky: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "copyfileobj", full)
        with pytest.raises(DataError, match=r"\(No space left on device\); free some disk space"):
            fetch_from(flaky, tmp_path)

    assert not (tmp_path / "her2st").exists()
    fetch_from(flaky, tmp_path)
    assert len(flaky.asked) == 1


def test_several_files_come_together_or_not_at_all(tmp_path: Path, site: tuple, flaky: Flaky) -> None:
    (site[0] / "counts.h5").write_bytes(b"counts")
    url = site[1].replace("set.tar.gz", "counts.h5")
    both = (SingleFile(url), Archive(flaky.url, **ST_ARCHIVE))
    flaky.plan = ["status 404"]

    with pytest.raises(DataError, match=rf"^visium is not here and cannot be downloaded from {flaky.url} \(404"):
        fetch("visium", both, tmp_path / "sample", REMEDY)
    absent = not (tmp_path / "sample").exists()
    (site[0] / "counts.h5").unlink()  # it is not asked for again
    fetch("visium", both, tmp_path / "sample", REMEDY)

    found = files(tmp_path / "sample")
    assert absent
    assert set(found) == {"SOURCE.txt", "counts.h5", "ST-cnts/A1.tsv.gz", "ST-cnts/big.bin", "ST-pat/lbl/A1.tsv"}
    assert found["SOURCE.txt"].decode().splitlines() == [
        url,
        f"sha256 {hashlib.sha256(b'counts').hexdigest()}",
        flaky.url,
        f"sha256 {hashlib.sha256(flaky.body).hexdigest()}",
    ]


def test_a_damaged_archive_costs_no_other_download(tmp_path: Path, site: tuple, flaky: Flaky) -> None:
    (site[0] / "counts.h5").write_bytes(b"counts")
    whole, flaky.body = flaky.body, flaky.body[:1000]
    both = (SingleFile(site[1].replace("set.tar.gz", "counts.h5")), Archive(flaky.url, **ST_ARCHIVE))
    with pytest.raises(DataError, match=f"^{flaky.url}: the archive is damaged"):
        fetch("visium", both, tmp_path / "sample", REMEDY)
    (site[0] / "counts.h5").unlink()
    flaky.body = whole

    fetch("visium", both, tmp_path / "sample", REMEDY)

    assert files(tmp_path / "sample")["counts.h5"] == b"counts"
