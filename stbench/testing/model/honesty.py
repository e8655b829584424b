"""Checks of models: no leak, no trace, no dependence on where they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress

import numpy as np

from stbench.testing.check import DoesNotApply
from stbench.testing.edge_cases import at_the_edges, redrawn, rescanned, with_isolated_spot, with_odd_values
from stbench.testing.imports import require_cheap
from stbench.testing.model.fitting import FIT, REORDERED, REPEATABLE, SAME, checks
from stbench.testing.model.prediction import Values, difference
from stbench.testing.model.subject import GENES, SPOTS, ModelSubject
from stbench.testing.slides import toy_slides

RESCANNED = 0.1
"""Share of the predictions' spread that resampling may cost: frozen and trained networks lose 0.01 to 0.03."""


@checks.add("what a method knows of the test slide's expression it must not use", needs=REPEATABLE)
def leak_probe(subject: ModelSubject) -> None:
    """Another draw of the test slide's expression, in memory and on disk, changes nothing."""
    first, second = (_with_expression_nearby(subject, draw) for draw in (1, 2))
    worst = difference(first, second)
    assert worst <= SAME, (
        f"predictions change (by {worst:.2g}) when the test slide's expression is drawn anew: the model reads it, from "
        "the slide, from memory or from a file beside the image"
    )


def _with_expression_nearby(subject: ModelSubject, draw: int) -> Values:
    """Predict a slide while its expression lies where a leak finds it: the caller's slide, files beside the image."""
    beside = subject.folder / "leak-probe"
    *_, slide = toy_slides(beside, patients=6, spots=SPOTS, genes=GENES)
    slide = redrawn(slide, draw)
    slide.adata.copy().write_h5ad(beside / f"{slide.info.id}.h5ad")
    slide.adata.to_df().to_csv(beside / f"{slide.info.id}.csv")
    values = subject.predict(subject.base, slide, "a slide of another patient")
    with suppress(Exception):  # a model may refuse a slide that carries expression: the harness never gives one
        given = subject.base.predict(slide)
        if isinstance(given, np.ndarray) and given.shape == values.shape:
            values = np.concatenate([values, given])
    return values


@checks.add("a method that ignores the training expression is not trained on this fold", needs=FIT)
def learns_from_training(subject: ModelSubject) -> None:
    """Another draw of the training slides' expression changes the prediction."""
    slides = subject.slides
    train, validation = ([redrawn(s, 10 + i) for i, s in enumerate(some)] for some in (slides.train, slides.validation))
    other = subject.predict(subject.fit(train, validation), slides.test, "a model of another draw")
    assert difference(subject.prediction, other) > REORDERED, (
        "another draw of the training expression changes nothing: the prediction does not come from these slides"
    )


@checks.add("slides are shared by the folds, and the harness scores on them")
def inputs_untouched(subject: ModelSubject) -> None:
    """Neither fit nor predict changes the slides it is given."""
    modified = _after_a_try(subject).seen.modified
    assert not modified, f"modified {', '.join(dict.fromkeys(modified))}; work on a copy"


@checks.add("numbers must not depend on what else ran in the process")
def global_state(subject: ModelSubject) -> None:
    """Random generators, torch's flags, environment and working directory are left as found."""
    settings = _after_a_try(subject).seen.settings
    with suppress(Exception):
        _ = subject.twin
    state = settings + subject.seen_again.generators  # imports draw random numbers too: the second fit is looked at
    assert not state, (
        f"left changed: {', '.join(dict.fromkeys(state))}; draw inside `with seeded(self.context)` "
        "(stbench.models.seeding) and restore what you set"
    )


@checks.add("runs must work, and mean the same, on a machine without network")
def no_network(subject: ModelSubject) -> None:
    """Nothing is asked of the network."""
    hosts = _after_a_try(subject).seen.network
    assert not hosts, f"asked the network for {', '.join(hosts)}; take weights from stbench.models.encoders, or a file"


@checks.add("files left elsewhere leak between folds, and fail where only the store can be written")
def writes_only_in_its_folder(subject: ModelSubject) -> None:
    """Files are written in the context's work and cache folders only."""
    writes = _after_a_try(subject).seen.writes
    assert not writes, f"wrote {', '.join(writes)}; write in context.work_dir, or through the cache"


def _after_a_try(subject: ModelSubject) -> ModelSubject:
    """Make sure the model was fitted and has predicted once, whatever came of it: that is `fit_predict`'s to say."""
    with suppress(Exception):
        _ = subject.prediction
    return subject


@checks.add("real slides have genes that never vary, empty spots and genes that were not measured", needs=FIT)
def odd_values(subject: ModelSubject) -> None:
    """Fits where a gene is constant, a spot all zero and a tenth of the entries not measured; predicts finitely."""
    slides = subject.slides
    train, validation = ([with_odd_values(s) for s in some] for some in (slides.train, slides.validation))
    subject.predict(subject.fit(train, validation), slides.test, "a model of odd values")


@checks.add("filters leave spots without a neighbour", needs=FIT)
def isolated_spot(subject: ModelSubject) -> None:
    """A slide with a spot that has no neighbours can be predicted."""
    subject.predict(subject.base, with_isolated_spot(subject.slides.test), "a slide with an isolated spot")


@checks.add("spots lie at the image's edge, where patches reach beyond it", needs=FIT)
def image_edge(subject: ModelSubject) -> None:
    """Points in the corners of the image can be predicted."""
    subject.predict(subject.base, at_the_edges(subject.slides.test), "points in the corners of the image")


@checks.add("slides of one dataset are scanned at different resolutions", needs=FIT)
def other_scan(subject: ModelSubject) -> None:
    """A slide scanned with twice the pixels per µm gives nearly the same prediction: patches are cut in µm."""
    test = subject.slides.test
    finer = subject.predict(subject.base, rescanned(test, subject.folder), "a slide scanned twice as fine")
    spread = float(subject.prediction.std(0).mean())
    off = float(np.abs(finer - subject.prediction).mean())
    assert off <= max(RESCANNED * spread, REORDERED), (
        f"the same tissue scanned twice as fine is predicted {off:.2g} away on average, predictions vary by "
        f"{spread:.2g}; ask for patches in µm, not in pixels"
    )


@checks.add("each run has a process of its own, and many have no GPU", needs=("fit_predict", "same_seed"))
def own_process(subject: ModelSubject) -> None:
    """Fitted in a fresh process without a GPU, the model predicts the same."""
    if subject.importable is None:
        raise DoesNotApply("the class cannot be imported by name; put it in a module, or check its spec")
    out = subject.folder / "alone.npy"
    job = subject.folder / "alone.json"
    factory, params_class = subject.importable
    torch = sys.modules.get("torch")
    job.write_text(
        json.dumps(
            {
                "factory": factory,
                "params_class": params_class,
                "params": subject.params.model_dump(mode="json"),
                "folder": str(subject.folder),
                "out": str(out),
                "path": sys.path,
                "torch_threads": torch.get_num_threads() if torch else None,
            }
        )
    )
    command = [sys.executable, "-m", "stbench.testing.model.alone", str(job)]
    without_gpu = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=without_gpu)  # noqa: S603
    assert done.returncode == 0, f"failed in a process of its own:\n{done.stderr[-2000:]}"
    worst = difference(subject.prediction, np.load(out))
    assert worst <= REORDERED, f"predicts differently (by {worst:.2g}) in a process of its own"


@checks.add("every command imports the plugin module and, to plan, the parameters: seconds of imports are felt by all")
def cheap_to_plan(subject: ModelSubject) -> None:
    """Importing the plugin module and the parameters imports neither torch nor scanpy nor lightning."""
    if subject.spec is None:
        raise DoesNotApply("a class without a spec")
    modules = [subject.spec.params.partition(":")[0], *subject.plugin_modules]
    require_cheap(modules, "name the model by an import string and keep its Params in a module without torch")
