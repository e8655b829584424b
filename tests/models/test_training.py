from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

from stbench.errors import UsageError
from stbench.models.training import predict_precision, train_module
from stbench.testing import context

Batch = tuple[Tensor, Tensor]


class Line(lightning.LightningModule):
    """y = x · w + b, with dropout of the input where asked."""

    def __init__(self, lr: float = 0.1, dropout: float = 0.0, monitor: str = "val_loss") -> None:
        super().__init__()
        self.line = nn.Linear(3, 1)
        self.dropout = nn.Dropout(dropout)
        self.lr = lr
        self.monitor = monitor
        self.steps = 0

    def training_step(self, batch: Batch, index: int) -> Tensor:
        x, y = batch
        return mse_loss(self.line(self.dropout(x)), y)

    def validation_step(self, batch: Batch, index: int) -> None:
        x, y = batch
        self.log(self.monitor, mse_loss(self.line(x), y), batch_size=len(x))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.steps += 1


class Scripted(lightning.LightningModule):
    """Adds 1 to its weight in every epoch and reports given validation losses."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.losses = losses

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        return -self.weight.sum()

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.log("val_loss", torch.tensor(self.losses[self.current_epoch]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


ONE = [torch.zeros(1)]


def line_batches(seed: int, n: int = 4, size: int = 8) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    xs = [torch.randn(size, 3, generator=generator) for _ in range(n)]
    return [(x, x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 3) for x in xs]


BATCHES, HELD_OUT = line_batches(0), line_batches(1)


def seeded(make: Callable[[], Line], seed: int = 0) -> Line:
    torch.manual_seed(seed)
    return make()


def weights(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_it_learns(tmp_path: Path) -> None:
    module = seeded(Line)

    trained = train_module(module, BATCHES, HELD_OUT, context(tmp_path), epochs=30)

    torch.testing.assert_close(weights(module), torch.tensor([1.0, -2.0, 0.5, 3.0]), atol=0.02, rtol=0)
    assert trained.epochs == 30
    assert trained.best_loss is not None
    assert trained.best_loss < 1e-3


def test_the_best_epoch_is_restored(tmp_path: Path) -> None:
    module = Scripted([5.0, 2.0, 3.0, 1.0, 4.0])

    trained = train_module(module, ONE, ONE, context(tmp_path), epochs=5)

    assert module.weight.item() == 4.0  # the weight after epoch 3, the fourth
    assert (trained.epochs, trained.best_epoch, trained.best_loss) == (5, 3, 1.0)
    assert trained.losses == (5.0, 2.0, 3.0, 1.0, 4.0)


def test_of_equal_epochs_the_first_is_best(tmp_path: Path) -> None:
    module = Scripted([2.0, 1.0, 1.0])

    trained = train_module(module, ONE, ONE, context(tmp_path), epochs=3)

    assert (module.weight.item(), trained.best_epoch) == (2.0, 1)


def test_patience_stops_and_restores(tmp_path: Path) -> None:
    module = Scripted([5.0, 2.0, 3.0, 3.0, 1.0, 1.0])

    trained = train_module(module, ONE, ONE, context(tmp_path), epochs=6, patience=2)

    assert (trained.epochs, trained.best_epoch, trained.best_loss) == (4, 1, 2.0)
    assert module.weight.item() == 2.0


def test_a_passing_nan_is_no_best_epoch(tmp_path: Path) -> None:
    module = Scripted([2.0, float("nan"), 1.0])

    trained = train_module(module, ONE, ONE, context(tmp_path), epochs=3, patience=3)

    assert (trained.best_epoch, trained.best_loss) == (2, 1.0)


@pytest.mark.parametrize("patience", [None, 2])
def test_divergence_is_an_error(patience: int | None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="val_loss was never finite; lower the learning rate"):
        train_module(Scripted([float("nan")] * 4), ONE, ONE, context(tmp_path), epochs=4, patience=patience)


@pytest.mark.parametrize("patience", [None, 3])
def test_without_validation_the_last_epoch_stands(patience: int | None, tmp_path: Path) -> None:
    module = Scripted([])

    trained = train_module(module, ONE, None, context(tmp_path), epochs=7, patience=patience)

    assert module.weight.item() == 7.0
    assert (trained.epochs, trained.best_epoch, trained.best_loss) == (7, 6, None)
    assert trained.losses == ()


@pytest.mark.parametrize("patience", [None, 3])
def test_a_module_that_does_not_log_the_loss_is_named(patience: int | None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Line does not log 'val_loss' in validation_step"):
        train_module(Line(monitor="loss"), BATCHES, HELD_OUT, context(tmp_path), epochs=2, patience=patience)


def test_another_loss_can_be_monitored(tmp_path: Path) -> None:
    trained = train_module(Line(monitor="loss"), BATCHES, HELD_OUT, context(tmp_path), epochs=2, monitor="loss")

    assert trained.best_loss is not None


def test_accumulated_batches_equal_one_big_batch(tmp_path: Path) -> None:
    batches = line_batches(0, n=6, size=5)
    big = [tuple(map(torch.cat, zip(*group, strict=True))) for group in (batches[:3], batches[3:])]
    module, reference = seeded(Line), seeded(Line)

    train_module(module, batches, None, context(tmp_path), epochs=3, accumulate=3)
    train_module(reference, big, None, context(tmp_path), epochs=3)

    assert module.steps == reference.steps == 6
    torch.testing.assert_close(weights(module), weights(reference))


def test_batches_left_over_at_the_end_of_an_epoch_make_a_step(tmp_path: Path) -> None:
    module = seeded(Line)

    train_module(module, line_batches(0, n=5), None, context(tmp_path), epochs=2, accumulate=3)

    assert module.steps == 4


def test_batches_may_come_from_any_iterable(tmp_path: Path) -> None:
    class Stream:
        def __iter__(self) -> Iterator[Batch]:
            yield from BATCHES

    module, reference = seeded(Line), seeded(Line)
    train_module(module, Stream(), Stream(), context(tmp_path), epochs=2, accumulate=3)
    train_module(reference, BATCHES, tuple(BATCHES), context(tmp_path), epochs=2, accumulate=3)

    torch.testing.assert_close(weights(module), weights(reference))


def test_the_gradient_is_clipped(tmp_path: Path) -> None:
    module = seeded(lambda: Line(lr=1.0))
    before = weights(module)

    train_module(module, line_batches(0, n=1), None, context(tmp_path), epochs=1, clip_norm=0.25)

    assert (weights(module) - before).norm().item() == pytest.approx(0.25, rel=1e-4)


def train_with_dropout(folder: Path, seed: int) -> Tensor:
    torch.manual_seed(seed)
    module = Line(dropout=0.5)
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(BATCHES, batch_size=None, shuffle=True, generator=order)
    train_module(module, loader, HELD_OUT, context(folder), epochs=3)
    return weights(module)


def test_a_seed_decides_the_result(tmp_path: Path) -> None:
    first, again, other = (train_with_dropout(tmp_path, seed) for seed in (0, 0, 1))

    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.allclose(first, other)


def test_the_module_ends_on_the_cpu_in_evaluation_mode(tmp_path: Path) -> None:
    module = Line()

    train_module(module, BATCHES, HELD_OUT, context(tmp_path), epochs=1)

    assert not module.training
    assert not module.line.training
    assert all(p.device.type == "cpu" and p.requires_grad for p in module.parameters())


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, run = tmp_path / "here", tmp_path / "run"
    here.mkdir()
    monkeypatch.chdir(here)

    train_module(Line(), BATCHES, HELD_OUT, context(run), epochs=2, patience=1)

    assert list(here.iterdir()) == []
    assert [p for p in run.rglob("*") if p.is_file()] == []


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train_module(Line(), BATCHES, HELD_OUT, context(tmp_path), epochs=2, patience=1)

    assert capfd.readouterr() == ("", "")


def test_every_epoch_is_reported(tmp_path: Path) -> None:
    lines: list[str] = []
    told = replace(context(tmp_path), report=lines.append)

    train_module(Scripted([3.0, 2.0]), ONE, ONE, told, epochs=2)

    assert lines == ["epoch 1/2: val_loss 3.00000", "epoch 2/2: val_loss 2.00000"]


class Interrupted(Line):
    def training_step(self, batch: Batch, index: int) -> Tensor:
        os.kill(os.getpid(), signal.SIGINT)
        return super().training_step(batch, index)


def test_ctrl_c_stays_a_keyboard_interrupt(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_module(Interrupted(), BATCHES, HELD_OUT, context(tmp_path), epochs=2)

    assert signal.getsignal(signal.SIGINT) is before


class Broken(Line):
    def training_step(self, batch: Batch, index: int) -> Tensor:
        raise RuntimeError("out of paper")


def test_an_error_of_the_module_comes_through(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of paper"):
        train_module(Broken(), BATCHES, None, context(tmp_path), epochs=2)


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_training_and_prediction_share_the_precision(precision: Any, dtype: torch.dtype, tmp_path: Path) -> None:
    seen: list[torch.dtype] = []

    class Spy(Line):
        def training_step(self, batch: Batch, index: int) -> Tensor:
            seen.append(self.line(batch[0]).dtype)
            return super().training_step(batch, index)

    told = replace(context(tmp_path), precision=precision)
    module = Spy()
    train_module(module, line_batches(0, n=1), None, told, epochs=1)
    with torch.inference_mode(), predict_precision(told):
        seen.append(module.line(torch.zeros(1, 3)).dtype)

    assert seen == [dtype, dtype]
    assert weights(module).dtype == torch.float32


def test_networks_are_compiled_for_training_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def compiled(call: Callable[..., Tensor], *args: object, **kwargs: object) -> Callable[..., Tensor]:
        def counted(x: Tensor) -> Tensor:
            calls.append(type(call.__self__).__name__)  # type: ignore[attr-defined]
            return call(x)

        return counted

    monkeypatch.setattr(torch, "compile", compiled)
    module, reference = seeded(Line), seeded(Line)

    train_module(reference, BATCHES, HELD_OUT, context(tmp_path), epochs=2)
    assert calls == []
    train_module(module, BATCHES, HELD_OUT, replace(context(tmp_path), compile=True), epochs=2)
    assert set(calls) == {"Linear", "Dropout"}
    torch.testing.assert_close(weights(module), weights(reference), rtol=0, atol=0)
    calls.clear()
    module.line(BATCHES[0][0])
    assert calls == []


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    module, reference = seeded(Line), seeded(Line)

    train_module(module, BATCHES, HELD_OUT, replace(context(tmp_path), compile=True), epochs=5)
    train_module(reference, BATCHES, HELD_OUT, context(tmp_path), epochs=5)

    torch.testing.assert_close(weights(module), weights(reference), rtol=1e-4, atol=1e-5)
