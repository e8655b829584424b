"""Writing a task for a model that runs elsewhere: panels, training targets, test spots; no test expression."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

from stbench import __version__
from stbench.datasets import Dataset, DatasetContext
from stbench.errors import UsageError
from stbench.execution.outside.instructions import instructions
from stbench.execution.outside.task_file import TASK_FILE, FoldEntry, PartEntry, SlideEntry, TaskFile
from stbench.execution.prepare import ROLES, Role, fit_protocol, load_parts, load_protocol, open_dataset
from stbench.matrix import FoldTask, Tasks
from stbench.protocols import Part, Protocol
from stbench.registry import Registry
from stbench.slides import Slide
from stbench.slides.slide import ALLOWED_OBS

PANEL = ("symbol", "train_mean", "hvg50", "heg50")


def export_task(
    tasks: Tasks,
    out: Path,
    registry: Registry,
    context: DatasetContext,
    report: Callable[[str], None],
) -> TaskFile:
    """Write the folds of one dataset under one protocol into a folder.

    Parameters
    ----------
    out
        An empty folder, or one that does not exist; it is there when it is complete, or not at all.
    report
        Told of each fold.

    Raises
    ------
    UsageError
        The folder holds something.
    """
    first = tasks.folds[0]
    protocol = load_protocol(first, registry)
    folds: list[FoldEntry] = []
    slides: dict[str, SlideEntry] = {}
    with _complete_or_not_at_all(out) as folder:
        names = file_names([task.fold.id for task in tasks.folds])
        for number, (task, name) in enumerate(zip(tasks.folds, names, strict=True), 1):
            report(f"[{number}/{len(names)}] {task}")
            dataset = open_dataset(task, registry, context)
            folds.append(_export_fold(task, protocol, dataset, folder, f"folds/{name}", slides))
        stated = TaskFile(
            stbench=__version__,
            dataset=first.dataset,
            dataset_revision=first.dataset_revision,
            protocol=first.protocol,
            protocol_version=first.protocol_version,
            headline=protocol.headline,
            folds=folds,
            not_runnable={skipped.fold: skipped.reason for skipped in tasks.skipped},
            slides=slides,
        )
        (folder / "README.md").write_text(instructions(stated, out), encoding="utf-8")
        (folder / TASK_FILE).write_text(stated.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return stated


def require_room(out: Path) -> None:
    """Raise `UsageError` unless `out` is an empty folder or does not exist."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"-o {out} is not empty; give a folder that is empty or does not exist")


def _export_fold(
    task: FoldTask, protocol: Protocol, dataset: Dataset, root: Path, where: str, slides: dict[str, SlideEntry]
) -> FoldEntry:
    parts = load_parts(task.fold, protocol, dataset)
    fitted = fit_protocol(task, protocol, dataset, parts.train)
    entries: dict[str, list[PartEntry]] = {}
    for role in ROLES:
        stated: Sequence[Part] = getattr(task.fold, role)
        (root / where / role).mkdir(parents=True)
        names = file_names([part.slide for part in stated])
        entries[role] = []
        for part, slide, name in zip(stated, getattr(parts, role), names, strict=True):
            prepared = fitted.transform(slide)
            file = f"{where}/{role}/{name}.h5ad"
            _write(prepared, "test" if part in task.fold.test else role, root / file)
            entries[role].append(
                PartEntry(
                    slide=part.slide,
                    patient=task.patients[part.slide],
                    block=part.block,
                    n_spots=prepared.n_spots,
                    file=file,
                )
            )
            if part.slide not in slides:
                slides[part.slide] = _image(prepared)
    panel = fitted.transform(parts.train[0]).adata.var
    shown = panel[[column for column in PANEL if column in panel]].rename_axis("gene")
    shown.to_csv(root / where / "panel.csv")
    return FoldEntry(fold=task.fold.id, panel=f"{where}/panel.csv", n_genes=len(panel), **entries)


def _write(slide: Slide, role: Role, path: Path) -> None:
    """Write a part: spots only for a test part, the target besides for the others."""
    from anndata import AnnData

    adata = slide.without_expression().adata
    if role != "test":
        shown = slide.adata.obs[[column for column in ALLOWED_OBS if column in slide.adata.obs]]
        adata = AnnData(
            slide.target,
            obs=shown.copy(),
            var=slide.adata.var.copy(),
            obsm={"spatial": slide.centers_px},
            layers={"measured": slide.measured},
        )
    adata.write_h5ad(path, compression="gzip")


def _image(slide: Slide) -> SlideEntry:
    source = slide.source
    assert source is not None  # folds have no slides without an image
    width, height = slide.image.size
    return SlideEntry(
        image=str(source.path),
        sha256=source.digest,
        size_px=(width, height),
        mpp=slide.mpp,
        spot_um=slide.info.spot_um,
        spot_shape=slide.info.spot_shape,
    )


def file_names(names: Sequence[str]) -> list[str]:
    """Names that can be file names, numbered where one comes again."""
    chosen: list[str] = []
    for name in names:
        plain = re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "_"
        numbered = (f"{plain}-{n}" for n in count(2))
        chosen.append(next(candidate for candidate in chain([plain], numbered) if candidate not in chosen))
    return chosen


@contextmanager
def _complete_or_not_at_all(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write in, which takes its place in the end."""
    require_room(out)
    target = out.absolute()
    partial = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        partial.mkdir(parents=True)
        yield partial
        if out.exists():
            out.rmdir()
        os.rename(partial, target)
    except OSError as error:
        raise UsageError(f"-o {out} cannot be written ({error}); give another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
