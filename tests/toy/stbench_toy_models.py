"""Toy models: good ones, and one for each way a model can break."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from stbench_toy_params import DiesParams, ForksParams, GoodParams, NoParams, ScaledParams, SleepsParams

from stbench.models import DenseMap, DenseTile, Model, Points, PredictionBlock, stack_targets
from stbench.slides import Slide

Array = NDArray[np.float32]


class Linear(Model[NoParams]):
    """Least squares on the mean colour of the patch."""

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        features = np.concatenate([self.features(slide) for slide in train])
        self.weights = np.linalg.lstsq(features, stack_targets(train), rcond=None)[0]

    def features(self, slide: Slide) -> NDArray[np.float64]:
        colour = slide.patches(pixels=8, microns=40.0).mean((1, 2)) / 255
        return np.column_stack([colour, np.log(colour + 0.01), np.ones(slide.n_spots)])

    def predict(self, slide: Slide) -> Array:
        return (self.features(slide) @ self.weights).astype(np.float32)


class Good(Linear):
    """Its seed matters a little."""

    params: GoodParams

    def predict(self, slide: Slide) -> Array:
        exact = super().predict(slide)
        draw = np.random.default_rng(self.context.seed).normal(0, self.params.noise, exact.shape)
        return (exact + draw).astype(np.float32)

    @property
    def n_parameters(self) -> int:
        return int(self.weights.size)


class Scaled(Linear):
    """What it predicts is scaled after training; it can be kept, maps images, and shows attention."""

    params: ScaledParams

    def predict(self, slide: Slide) -> Array:
        return super().predict(slide) * np.float32(self.params.scale)

    def save(self, folder: Path) -> None:
        np.save(folder / "weights.npy", self.weights)

    def load(self, folder: Path) -> None:
        self.weights = np.load(folder / "weights.npy")

    def dense(self, slide: Slide, genes: Sequence[int]) -> DenseMap:
        self.context.report("squares of 8 pixels")
        width, height = slide.image.size

        def tiles() -> Iterator[DenseTile]:
            for row in range(height // 8):
                strip = slide.image.read(0, row * 8, width // 8 * 8, 8)
                colour = strip.reshape(8, -1, 8, 3).mean((0, 2)) / 255
                features = np.column_stack([colour, np.log(colour + 0.01), np.ones(len(colour))])
                values = (features @ self.weights[:, genes]).astype(np.float32) * np.float32(self.params.scale)
                yield DenseTile(row, 0, values.T[:, None])

        return DenseMap((height // 8, width // 8), 8 * slide.mpp, 8.0, tiles())

    def attention(self, slide: Slide, spot: int) -> Array:
        reach = np.array([[20.0, 40.0, 80.0], [10.0, 30.0, 90.0]])  # two layers of three heads
        distance = np.linalg.norm(slide.centers_px - slide.centers_px[spot], axis=1)
        near = np.exp(-distance / reach[..., None])
        return np.asarray(near / near.sum(-1, keepdims=True), np.float32)


class Blind(Linear):
    """Refuses slides that carry more than a test slide may."""

    def predict(self, slide: Slide) -> Array:
        adata = slide.adata
        assert adata.X is None
        assert adata.n_vars == 0
        assert adata.raw is None
        assert not adata.layers
        assert not adata.uns
        assert set(adata.obs) == {"array_row", "array_col"}
        return super().predict(slide)


class Streams(Linear):
    """The same prediction in blocks."""

    def predict(self, slide: Slide) -> Iterator[PredictionBlock]:
        whole = super().predict(slide)
        for start in range(0, slide.n_spots, 16):
            spots = slice(start, min(start + 16, slide.n_spots))
            yield spots, whole[spots], np.full_like(whole[spots], 0.5)


class Chatty(Linear):
    """Writes eight megabytes of log and dies."""

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        for _ in range(1000):
            print("µ" * 4000)
        print("the last line")
        os._exit(9)


class CheatsValidation(Linear):
    """Rewrites the targets it is validated on."""

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        for slide in validation:
            slide.adata.X = slide.adata.X * 100


class Flaky(Linear):
    """Cannot predict the whole of P3; its last fifth, for validation, it can."""

    def predict(self, slide: Slide) -> Array:
        if slide.info.patient == "P3" and slide.n_spots > 20:
            raise RuntimeError("cannot predict P3")
        return super().predict(slide)


class Sleeps(Linear):
    params: SleepsParams

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        time.sleep(self.params.seconds)


class WrongShape(Linear):
    def predict(self, slide: Slide) -> Array:
        return super().predict(slide)[1:]


class NotFinite(Linear):
    def predict(self, slide: Slide) -> Array:
        values = super().predict(slide)
        values[0, 0] = np.nan
        return values


class FitError(Linear):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        raise ValueError("no way to fit [this]")


class PredictError(Linear):
    def predict(self, slide: Slide) -> Array:
        raise ZeroDivisionError("predict broke")


class Killed(Linear):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Exits(Linear):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        os._exit(7)


class Dies(Linear):
    """Kills its process the first time a run comes to a point of its writing; the next time it lets it pass."""

    params: DiesParams

    POINTS: ClassVar = {
        "predictions": ("open", "stage", 1),  # predictions.parquet is open and empty
        "truth-file": ("open", "truth.parquet", 1),  # each Parquet file is opened by Python when it is synced
        "truth": ("os.rename", "truth", 1),
        "moments": ("open", "moments.parquet", 1),
        "record": ("open", "run.json", 1),
        "half-record": ("open", "run.json", 2),
        "run": ("os.rename", "toy-dies", 1),
        "committed": ("open", "toy-dies", 1),
    }

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        died = self.context.cache_dir / "-".join(["died", self.params.at, *(slide.info.id for slide in train)])
        if not died.exists():
            died.touch()
            self.die_at(*self.POINTS[self.params.at])

    def die_at(self, event: str, name: str, left: int) -> None:
        def hook(seen: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if seen != event or isinstance(arguments[0], int):
                return
            path = Path(os.fsdecode(arguments[0])) if event == "open" else Path(os.fsdecode(arguments[1])).parent
            if path.name == name:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)


class Between(Linear):
    """Says something of the places between the spots."""

    def points(self, slide: Slide) -> Points:
        between = slide.at(slide.centers_px[:-1] + np.diff(slide.centers_px, axis=0) / 2)
        return Points(between.centers_px, 20.0, self.predict(between))


class Forks(Linear):
    """Starts processes that outlive it unless somebody ends them: one in its group, one that left it."""

    params: ForksParams

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        super().fit(train, validation)
        sleep = [sys.executable, "-c", "import time; time.sleep(300)"]
        started = [subprocess.Popen(sleep)]
        if self.params.then == "hangs":  # of a worker that is gone nobody can tell it was its child
            started.append(subprocess.Popen(sleep, start_new_session=True))
        (Path(self.params.children) / self.params.then).write_text(" ".join(str(child.pid) for child in started))
        if self.params.then == "crashes":
            os._exit(1)
        if self.params.then == "stops":
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.params.then == "hangs":
            time.sleep(300)


class Hungry(Linear):
    """Has no room for batches as large as usual."""

    def predict(self, slide: Slide) -> Array:
        if self.context.batch(64) > 32:
            raise MemoryError("no room for 64 at a time")
        return super().predict(slide)


class Leaks(Linear):
    """Takes memory until its process may have no more; it asks for no batches."""

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        import resource

        import psutil

        limit = psutil.Process().memory_info().vms + 200 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        kept = []
        while True:
            kept.append(np.ones(2**20))
