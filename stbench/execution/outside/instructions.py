"""``README.md`` of an exported task."""

from __future__ import annotations

from pathlib import Path

from stbench.execution.outside.task_file import TaskFile

TEXT = """\
# {dataset} under {protocol}

{n_folds} folds, to be predicted by a model that runs outside of stbench {stbench}. Data revision {dataset_revision},
protocol version {protocol_version}; the leaderboard is sorted by `{headline}`.

## What is here

| path | what it is |
|---|---|
| `task.json` | folds and their parts, images with their scale, naming, the recipe of a patch |
| `folds/<fold>/panel.csv` | the genes to predict; `train_mean`, `hvg50`, `heg50` are of training spots |
| `folds/<fold>/train/*.h5ad` | targets: `X` (spots, genes); `layers["measured"]` is False where it is no measurement |
| `folds/<fold>/validation/*.h5ad` | the same, for choosing epochs and parameters |
| `folds/<fold>/test/*.h5ad` | the spots to predict: names, array positions, pixel centres; no expression |

Centres are in `obsm["spatial"]`, x and y in pixels of the slide's image. {patches}

## The rules

* A model of a fold is trained on `folds/<fold>/train` and chosen by `folds/<fold>/validation`, on nothing else of this
  dataset: the test slides of one fold are training slides of another.
* Every fold has a panel of its own.
* {seeds}

## What to hand back

One `.parquet`, `.csv` or `.csv.gz` file with a row per prediction and the columns

| column | holds |
|---|---|
| `fold`, `slide` | as in `task.json` |
| `spot` | {spots} |
| `gene` | {genes} |
| `y_pred` | the prediction, in the units of the training targets; finite |
| `y_std` | optional: its standard deviation |

Folds, slides, spots or genes without a row lower the coverage, and the leaderboard marks the model incomplete; names
that are not in the task, repeated rows and values that are not finite are refused.

```
stbench score predictions.parquet --as my-model -d {dataset} -p {protocol}
stbench score predictions.parquet --as my-model --task {out} --card card.yaml
```

`card.yaml` says what a reader should know of the model: `title` (required), `authors`, `url`, `licence`, `paper` (DOI),
`code_version`, `trained_on`, `encoder`, `notes`, `train_seconds`, `n_parameters`.
{not_runnable}"""


def instructions(task: TaskFile, out: Path) -> str:
    """What to train on, what to hand back, and the command that scores it."""
    left_out = "".join(f"* fold {fold}: {reason}\n" for fold, reason in task.not_runnable.items())
    return TEXT.format(
        dataset=task.dataset,
        protocol=task.protocol,
        n_folds=len(task.folds),
        stbench=task.stbench,
        dataset_revision=task.dataset_revision,
        protocol_version=task.protocol_version,
        headline=task.headline,
        patches=task.patches,
        seeds=task.seeds,
        spots=task.naming["spots"],
        genes=task.naming["genes"],
        out=out.name,
        not_runnable=f"\n## Folds that cannot be run\n\n{left_out}" if left_out else "",
    )
