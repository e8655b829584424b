"""A store in an object store, worked on in a mirror: a folder with its runs, and those that are still to be uploaded.

Runs never change after they appeared, so pulling adds folders and pushing adds objects. A run is there once its
``run.json`` is, which is uploaded last, after the truths it refers to.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from stbench.errors import StoreError
from stbench.store.bucket import Bucket, Listed
from stbench.store.layout import MARKER, RESCORED, Layout

PARALLEL = 16
RUN_DEPTH = 5
"""Names in the path of a run's folder: runs/<dataset>/<protocol>/<model>/<cell_key>-<run_id>."""

STATED = "run.json"
ADDED = RESCORED.format(metric="*")


class RemoteStore:
    """A store in a bucket and its mirror on this machine.

    Parameters
    ----------
    uri
        ``s3://bucket/prefix`` or ``gs://bucket/prefix``.
    mirrors
        Folder of all mirrors.

    Attributes
    ----------
    mirror
        The store to work on.
    """

    def __init__(self, uri: str, mirrors: Path) -> None:
        self.bucket = Bucket(uri)
        address = f"{self.bucket.endpoint} {self.bucket.uri}"
        readable = re.sub(r"[^\w.-]+", "-", self.bucket.root)
        self.folder = mirrors / f"{readable[:60]}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"
        self.mirror = self.folder / "store"
        self.layout = Layout(self.mirror)
        self._there: dict[str, Listed] = {}

    @property
    def uri(self) -> str:
        """The address."""
        return self.bucket.uri

    def pull(self) -> int:
        """Fetch what the mirror lacks; returns the number of runs that came.

        A run that was here and is no longer in the bucket moves out of the mirror, to ``removed`` beside it.

        Raises
        ------
        StoreError
            If the bucket cannot be read, or the mirror not be written.
        """
        with self._locked(), self._said("read"):
            synced = self._synced()
            self.bucket.check()
            # runs first: the truths of a run that is listed are there by then
            self._there = self.bucket.list("runs") | self.bucket.list("truth")
            runs = _runs(self._there)
            self._pull_marker()
            for gone in synced.keys() - runs.keys():
                self._set_aside(gone)
            if runs:
                self.layout.create()
            new = [run for run in runs if not (self.mirror / run / STATED).exists()]
            with ThreadPoolExecutor(PARALLEL) as pool:
                stated = dict(zip(new, pool.map(lambda run: self.bucket.read(f"{run}/{STATED}"), new), strict=True))
                keys = sorted({key for text in stated.values() for key in _truth_keys(text)})
                list(pool.map(self._pull_truth, keys))
                list(pool.map(lambda run: self._pull_run(run, runs[run], stated[run]), new))
                states = pool.map(lambda run: self._pull_changes(run, runs[run], synced.get(run, {})), runs)
                self._note(dict(zip(runs, states, strict=True)))
            return len(new)

    def push(self) -> int:
        """Upload the runs, and metrics added to runs, that the bucket lacks; returns the number of runs.

        Raises
        ------
        StoreError
            If they cannot be uploaded; they stay in the mirror, and the next push goes on.
        """
        if not self.layout.exists():
            return 0
        with self._locked(), self._said("written"):
            synced = self._synced()
            here = [self.layout.inside(path.parent) for path in self.layout.runs.glob(f"*/*/*/*/{STATED}")]
            here = sorted(PurePosixPath(*Path(run).parts).as_posix() for run in here)
            new = [run for run in here if run not in synced]
            if new and MARKER not in self._there:
                self._put(MARKER)
            for run in new:
                self._push_run(run)
                synced[run] = {}
                self._note(synced)
            for run in here:
                if self._push_metrics(run, synced):
                    self._note(synced)
            return len(new)

    def _pull_marker(self) -> None:
        stated = self.bucket.look(MARKER)
        if not stated:
            return
        self._there[MARKER] = stated
        if not self.layout.exists():
            self._place(MARKER)
        self.layout.check()

    def _pull_truth(self, key: str) -> None:
        folder = f"truth/{key}"
        if not (self.mirror / folder).exists():
            with self._staged(folder) as partial:
                for path in self._there:
                    if path.startswith(f"{folder}/"):
                        self.bucket.fetch(path, partial / path.removeprefix(f"{folder}/"))

    def _pull_run(self, run: str, files: Mapping[str, Listed], stated: bytes) -> None:
        shutil.rmtree(self.mirror / run, ignore_errors=True)  # it has no record: damaged
        with self._staged(run) as partial:
            for name in files:
                if name != STATED and not fnmatch(name, ADDED):
                    self.bucket.fetch(f"{run}/{name}", partial / name)
            (partial / STATED).write_bytes(stated)

    def _pull_changes(
        self, run: str, files: Mapping[str, Listed], state: Mapping[str, list[int]]
    ) -> dict[str, list[int]]:
        """Fetch files that are damaged here, and metrics that changed there only; returns the run's state."""
        now = dict(state)
        for name, listed in files.items():
            path = self.mirror / run / name
            if fnmatch(name, ADDED):
                here, *there = state.get(name, [0, 0, 0])
                stale = not path.exists() or (there != _as_listed(listed) and path.stat().st_mtime_ns == here)
            else:
                stale = not path.exists() or path.stat().st_size != listed.size
            if stale:
                self._place(f"{run}/{name}")
                if fnmatch(name, ADDED):
                    now[name] = [path.stat().st_mtime_ns, *_as_listed(listed)]
        return now

    def _push_run(self, run: str) -> None:
        folder = self.mirror / run
        for key in _truth_keys((folder / STATED).read_bytes()):
            for path in sorted(self.layout.truth_folder(key).glob("*")):
                self._put(f"truth/{key}/{path.name}")
        names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
        for name in sorted(names, key=lambda name: (name == STATED, name)):
            if name == STATED or not fnmatch(name, ADDED):
                self._put(f"{run}/{name}")

    def _push_metrics(self, run: str, synced: dict[str, dict[str, list[int]]]) -> bool:
        state = synced[run]
        pushed = False
        for path in sorted((self.mirror / run).glob(ADDED)):
            changed = path.stat().st_mtime_ns
            if changed != state.get(path.name, [0])[0]:
                name = f"{run}/{path.name}"
                self.bucket.put(name, path)
                listed = self.bucket.look(name)
                state[path.name] = [changed, *(_as_listed(listed) if listed else [0, 0])]
                pushed = True
        return pushed

    def _put(self, path: str) -> None:
        source = self.mirror / path
        size = source.stat().st_size
        if path not in self._there or self._there[path].size != size:
            self.bucket.put(path, source)
            self._there[path] = Listed(size, 0)

    def _set_aside(self, run: str) -> None:
        source, final = self.mirror / run, self.folder / "removed" / run
        if source.exists():
            shutil.rmtree(final, ignore_errors=True)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.rename(source, final)

    def _place(self, path: str) -> None:
        """Fetch one file, all at once."""
        final = self.mirror / path
        partial = self._partial(path)
        self.bucket.fetch(path, partial)
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial, final)

    @contextmanager
    def _staged(self, folder: str) -> Iterator[Path]:
        """A folder to fill, which appears all at once."""
        partial, final = self._partial(folder), self.mirror / folder
        try:
            partial.mkdir(parents=True)
            yield partial
            final.parent.mkdir(parents=True, exist_ok=True)
            os.rename(partial, final)
        except OSError:
            if not final.exists():  # else a command that works here was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _partial(self, path: str) -> Path:
        return self.layout.staging / f"pull-{PurePosixPath(path).name}-{os.getpid()}-{os.urandom(4).hex()}"

    def _synced(self) -> dict[str, dict[str, list[int]]]:
        """Runs that were seen in the bucket, and of each the metrics added to it: changed here, changed there, size."""
        try:
            stated: dict[str, dict[str, list[int]]] = json.loads((self.folder / "synced.json").read_text())
        except (OSError, ValueError):
            return {}
        return stated

    def _note(self, synced: Mapping[str, Any]) -> None:
        self._write("synced.json", synced)

    def _write(self, name: str, value: Any) -> None:
        partial = self.folder / f".{name}.{os.getpid()}"
        partial.write_text(json.dumps(value))
        os.replace(partial, self.folder / name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time copies between a mirror and its bucket."""
        from filelock import FileLock

        with self._said("mirrored"):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write("remote.json", {"uri": self.uri, "endpoint": self.bucket.endpoint})
            lock = FileLock(self.folder / ".lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"the store {self.uri} cannot be {what} by its mirror {self.mirror} ({error})") from error


def _as_listed(listed: Listed) -> list[int]:
    """What tells a file from an earlier one; a bucket's clock has seconds."""
    return [listed.changed_ns // 1_000_000_000, listed.size]


def _runs(there: Mapping[str, Listed]) -> dict[str, dict[str, Listed]]:
    """Files of every whole run by its folder, of those whose names could be a path in a store."""
    runs: dict[str, dict[str, Listed]] = {}
    for path, listed in there.items():
        names = path.split("/")
        if names[0] == "runs" and len(names) > RUN_DEPTH and not {"", ".", ".."} & {*names} and "\\" not in path:
            runs.setdefault("/".join(names[:RUN_DEPTH]), {})["/".join(names[RUN_DEPTH:])] = listed
    return {run: files for run, files in runs.items() if STATED in files}


def _truth_keys(stated: bytes) -> list[str]:
    """Truths that a record names; none if it is damaged, which `stbench store verify` says."""
    try:
        keys = [str(test["truth_key"]) for test in json.loads(stated)["test"]]
    except (ValueError, KeyError, TypeError):
        return []
    return [key for key in keys if re.fullmatch(r"[\w-]+", key)]
