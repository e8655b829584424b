"""A model fitted in a process of its own: ``python -m stbench.testing.model.alone JOB.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(job: dict[str, Any]) -> None:
    """Fit on the subject's slides and write the prediction of its test slide, with as many threads as the caller."""
    sys.path[:] = job["path"]
    import numpy as np

    if job["torch_threads"] is not None:  # sums are split among threads, and training magnifies how they were rounded
        import torch

        torch.set_num_threads(job["torch_threads"])

    from stbench.models.contract import Context
    from stbench.registry import load_object
    from stbench.testing.model.prediction import whole
    from stbench.testing.model.subject import Slides

    folder = Path(job["folder"])
    slides = Slides.grown(folder / "slides")
    work_dir = folder / "work" / "alone"
    work_dir.mkdir(parents=True)
    params = load_object(job["params_class"]).model_validate(job["params"])
    context = Context(seed=0, device="cpu", work_dir=work_dir, cache_dir=folder / "slides" / "cache")
    model = load_object(job["factory"])(params, context)
    model.fit(slides.train, slides.validation)
    shape = (slides.test.n_spots, slides.test.adata.n_vars)
    np.save(job["out"], whole(model.predict(slides.test.without_expression()), shape, "predict"))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
