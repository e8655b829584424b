"""Whether one cell is done, without reading the whole store."""

from __future__ import annotations

from stbench.matrix import Cell
from stbench.store.index import look
from stbench.store.layout import Layout
from stbench.store.record import RunRecord


def finished_run(layout: Layout, cell: Cell) -> RunRecord | None:
    """Latest whole run of a cell that ended well; looks at the folders of that cell only."""
    below = layout.run_folder(cell.dataset, cell.protocol, cell.model, cell.key, "").parent
    for folder in sorted(below.glob(f"{cell.key}-*"), reverse=True):
        try:
            record = RunRecord.model_validate_json((folder / "run.json").read_bytes())
            seen = look(folder)
        except (OSError, ValueError):
            continue  # removed just now, or damaged
        whole = all(seen.get(name, (-1, 0))[0] == size for name, size in record.files.items())
        if record.status == "ok" and whole:
            return record
    return None
