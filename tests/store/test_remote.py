"""A store in an object store, against a local server that speaks the protocol of S3."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from handmade import commit_failure, commit_run, make_cell, random_slides
from object_store import make_bucket, serving

from stbench.errors import StoreError, UsageError
from stbench.store import Store
from stbench.store.bucket import Bucket
from stbench.store.remote import RemoteStore
from stbench.store.verify import verify

pytest.importorskip("moto.server", reason="needs moto[server]")

VALUES = random_slides(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with serving(tmp_path_factory.mktemp("server") / "log.txt") as environment:
        yield environment


@pytest.fixture
def uri(server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A prefix of the test's own, in a bucket that is there."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    make_bucket(server, "shelf")
    return f"s3://shelf/{tmp_path.name}"


def delete(bucket: Bucket, path: str) -> None:
    bucket._files.delete_file(f"{bucket.root}/{path}")


def finish(remote: RemoteStore, patient: str, run_id: str) -> str:
    """Commit a run in a mirror; returns its folder inside the store."""
    slide = f"{patient}1"
    folder = commit_run(remote.mirror, make_cell(patient), run_id, VALUES, {slide: VALUES[slide]})
    return folder.relative_to(remote.mirror).as_posix()


@pytest.fixture
def machines(uri: str, tmp_path: Path) -> tuple[RemoteStore, RemoteStore]:
    """Two machines that have opened the same empty store."""
    both = RemoteStore(uri, tmp_path / "one"), RemoteStore(uri + "/", tmp_path / "two")
    assert [machine.pull() for machine in both] == [0, 0]
    return both


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_what_one_machine_uploads_another_has_byte_for_byte(machines: tuple[RemoteStore, RemoteStore]) -> None:
    one, two = machines
    finish(one, "A", "20260101-one")
    run = finish(one, "B", "20260102-one")
    commit_failure(one.mirror, make_cell("C"), "20260103-one")
    (one.mirror / run / "model" / "deep").mkdir(parents=True)
    (one.mirror / run / "model" / "deep" / "weights.bin").write_bytes(os.urandom(3 << 20))

    assert one.push() == 3
    assert two.pull() == 3

    assert files(two.mirror) == files(one.mirror)
    assert len(Store(two.mirror).finished()) == 2
    assert (verify(two.mirror).problems, verify(two.mirror).debris) == ([], [])
    assert (one.push(), two.push(), one.pull(), two.pull()) == (0, 0, 0, 0)


def test_two_machines_that_write_end_with_the_same_runs(machines: tuple[RemoteStore, RemoteStore]) -> None:
    one, two = machines
    finish(one, "A", "20260101-one")
    finish(two, "A", "20260102-two")
    finish(two, "B", "20260103-two")

    assert (one.push(), two.push()) == (1, 2)
    assert (one.pull(), two.pull()) == (2, 1)

    assert set(files(one.mirror)) == set(files(two.mirror))
    assert len(Store(one.mirror).records) == 3
    assert len(Store(one.mirror).finished()) == 2
    assert verify(one.mirror).problems == []


def test_a_run_without_its_record_is_invisible_until_its_writer_goes_on(
    machines: tuple[RemoteStore, RemoteStore], uri: str, tmp_path: Path
) -> None:
    one, two = machines
    run = finish(one, "A", "20260101-one")
    for name in ("moments.parquet", "predictions.parquet"):  # a writer that dies on the way, in the middle of a file
        one.bucket.put(f"{run}/{name}", one.mirror / run / name)
    (tmp_path / "part").write_bytes(b"PAR1")
    one.bucket.put(f"{run}/metrics.parquet", tmp_path / "part")

    assert two.pull() == 0
    assert not two.mirror.exists()

    again = RemoteStore(uri, tmp_path / "one")
    again.pull()
    assert again.push() == 1
    assert two.pull() == 1
    assert verify(two.mirror).problems == []


def test_metrics_that_are_added_or_computed_again_travel(machines: tuple[RemoteStore, RemoteStore]) -> None:
    one, two = machines
    run = finish(one, "A", "20260101-one")
    one.push()
    two.pull()

    for content in (b"first", b"once more"):
        (one.mirror / run / "metrics-ssim.parquet").write_bytes(content)
        one.pull()
        one.push()
        two.pull()
        assert (two.mirror / run / "metrics-ssim.parquet").read_bytes() == content

    (two.mirror / run / "metrics-ssim.parquet").write_bytes(b"here!")
    two.pull()  # does not undo what is not uploaded
    two.push()
    one.pull()
    assert (one.mirror / run / "metrics-ssim.parquet").read_bytes() == b"here!"


def test_a_run_that_was_removed_from_the_bucket_does_not_come_back(machines: tuple[RemoteStore, RemoteStore]) -> None:
    one, two = machines
    gone = finish(one, "A", "20260101-one")
    finish(one, "B", "20260102-one")
    one.push()
    two.pull()
    for path in one.bucket.list(gone):
        delete(one.bucket, path)

    for machine in (two, one):
        machine.pull()
        assert machine.push() == 0
        assert [record.run_id for record in Store(machine.mirror).records.values()] == ["20260102-one"]
    assert one.bucket.list(gone) == {}
    assert (one.folder / "removed" / gone / "run.json").exists()  # nothing is lost by a slip


def test_what_is_damaged_in_the_mirror_is_fetched_again(machines: tuple[RemoteStore, RemoteStore]) -> None:
    one, _ = machines
    run, other = finish(one, "A", "20260101-one"), finish(one, "B", "20260102-one")
    one.push()
    whole = files(one.mirror)
    os.truncate(one.mirror / run / "moments.parquet", 10)
    shutil.rmtree(one.mirror / other)
    shutil.rmtree(one.mirror / "truth" / "truth-B1")

    assert one.pull() == 1

    assert files(one.mirror) == whole


def test_a_store_of_a_newer_stbench_is_refused(machines: tuple[RemoteStore, RemoteStore], tmp_path: Path) -> None:
    (tmp_path / "STORE.json").write_text('{"format": "stbench-store", "schema": 99}')
    machines[0].bucket.put("STORE.json", tmp_path / "STORE.json")

    with pytest.raises(StoreError, match="schema 99, this stbench reads up to"):
        machines[0].pull()


def test_names_that_lead_out_of_the_store_are_ignored(
    machines: tuple[RemoteStore, RemoteStore], tmp_path: Path
) -> None:
    (tmp_path / "evil").write_text('{"test": [{"truth_key": "../../.."}]}')
    machines[0].bucket.put("runs/a/b/c/..\\..\\d/run.json", tmp_path / "evil")

    assert machines[1].pull() == 0
    assert not machines[1].mirror.exists()


def test_a_bucket_that_is_not_there_is_named(uri: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no bucket nowhere\); look at the bucket's name, AWS_ACCESS"):
        RemoteStore("s3://nowhere/at/all", tmp_path).pull()


def test_an_endpoint_that_does_not_answer_is_said_soon(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        remote, since = RemoteStore(uri, tmp_path), time.monotonic()

        with pytest.raises(StoreError, match=r"at http://127.0.0.1:\d+ cannot be used .*AWS_ENDPOINT_URL"):
            remote.pull()

    assert time.monotonic() - since < 20


@pytest.mark.parametrize("text", ["s3://", "s3:///folder", "ftp://host/folder", "s3://shelf/../other"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no address of an object store; write s3://BUCKET/PREFIX"):
        Bucket(text)


@pytest.mark.parametrize("text", ["s3://key:secret@shelf/x", "s3://shelf/x?endpoint_override=localhost"])
def test_credentials_and_endpoints_come_from_the_environment_only(text: str) -> None:
    with pytest.raises(UsageError, match="go into the environment") as said:
        Bucket(text)

    assert "secret" not in str(said.value)


def test_a_mirror_belongs_to_one_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bucket name at another endpoint is another bucket."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    amazon = RemoteStore("s3://shelf/a/", tmp_path).mirror
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")

    assert (
        len({amazon, RemoteStore("s3://shelf/a", tmp_path).mirror, RemoteStore("s3://shelf/b", tmp_path).mirror}) == 3
    )
