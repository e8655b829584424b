"""``stbench status``."""

from __future__ import annotations

from stbench.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption

SQL = """
SELECT dataset, protocol, model,
       count(DISTINCT cell_key) FILTER (status = 'ok') AS done,
       count(DISTINCT cell_key) FILTER (cell_key NOT IN (SELECT cell_key FROM cells)) AS failed,
       count(*) AS runs,
       round(sum(total_seconds), 1) AS seconds,
       max(finished) AS last
FROM runs GROUP BY ALL ORDER BY ALL
"""


def status(store: StoreOption = DEFAULT_STORE, output: FormatOption = Format.TABLE) -> None:
    """What a store holds: cells done and failed by dataset, protocol and model."""
    from stbench.report.console import print_json, print_table, warn
    from stbench.store import Store

    opened = Store(store)
    rows = opened.query(SQL).to_pylist()
    for problem in opened.problems:
        warn(problem)
    if output is Format.JSON:
        print_json(rows)
        return
    columns = ["dataset", "protocol", "model", "done", "failed", "runs", "seconds", "last"]
    numeric = ("done", "failed", "runs", "seconds")
    print_table(columns, [list(row.values()) for row in rows], title=f"store {store}", numeric=numeric)
    for folder, record in opened.records.items():
        if record.status != "ok" and record.cell_key not in opened.finished():
            why = f"{record.failure.kind}: {record.failure.message}" if record.failure else ""
            print(f"{record.status} {record.cell} ({folder.name}): {why}")
