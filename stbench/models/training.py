"""A LightningModule in, a fitted module out.

Lightning runs the loop; stbench decides what every method shares: early stopping and the best epoch are taken
on validation data only, and nothing is written but what the run keeps.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback, EarlyStopping

from stbench.errors import UsageError
from stbench.models.contract import Context

PRECISION = {"float32": "32-true", "bf16-mixed": "bf16-mixed", "16-mixed": "16-mixed"}


@dataclass(frozen=True)
class Trained:
    """How a training went.

    Attributes
    ----------
    epochs
        Epochs run.
    best_epoch
        The epoch (from 0) whose weights the module now has.
    best_loss
        Its monitored loss; None without validation data.
    losses
        The monitored loss after each epoch; empty without validation data.
    """

    epochs: int
    best_epoch: int
    best_loss: float | None
    losses: tuple[float, ...] = ()


def train_module(
    module: lightning.LightningModule,
    train: Iterable[Any],
    validation: Iterable[Any] | None,
    context: Context,
    *,
    epochs: int,
    patience: int | None = None,
    monitor: str = "val_loss",
    accumulate: int = 1,
    clip_norm: float | None = None,
) -> Trained:
    """Train in place; the module ends with its best validation epoch's weights, on the CPU, in eval mode.

    Parameters
    ----------
    module
        Defines ``training_step``, ``configure_optimizers`` and, with validation data, a ``validation_step``
        that logs `monitor` (smaller is better).
    train, validation
        Batches, iterated once per epoch: usually a ``DataLoader``, or a list; without `validation` (None) the
        last epoch is kept.
    epochs
        Upper bound.
    patience
        Epochs without improvement before stopping; None never stops early.
    accumulate
        Batches per optimiser step.
    clip_norm
        Gradient norm limit.

    Raises
    ------
    UsageError
        If training diverged (the monitored loss is not finite).
    """
    keep = _KeepBest(monitor if validation is not None else None, context)
    callbacks: list[Callback] = [keep]
    if validation is not None and patience is not None:
        callbacks.append(EarlyStopping(monitor, patience=patience, check_finite=False))
    accelerator, devices = _accelerator(context.device)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=devices,
            precision=PRECISION[context.precision],  # type: ignore[arg-type]
            max_epochs=epochs,
            accumulate_grad_batches=accumulate,
            gradient_clip_val=clip_norm,
            callbacks=callbacks,
            plugins=[LightningEnvironment()],  # a cluster's own launcher is the executor's business
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=context.work_dir,
        )
        with _keyboard_interrupt(), _compiled(module, context):
            trainer.fit(module, _loader(train), _loader(validation))
    keep.restore(module)
    module.cpu().eval()
    return Trained(trainer.current_epoch, keep.epoch, keep.loss, tuple(keep.losses))


def predict_precision(context: Context) -> torch.autocast:
    """Autocast for prediction that matches the precision a module was trained with."""
    device = torch.device(context.device).type
    dtype = torch.float16 if context.precision == "16-mixed" else torch.bfloat16
    return torch.autocast(device, dtype=dtype, enabled=context.precision != "float32")


class _KeepBest(Callback):
    """Keeps the weights of the best validation epoch in memory; without validation the last epoch stands."""

    def __init__(self, monitor: str | None, context: Context) -> None:
        self.monitor = monitor
        self.context = context
        self.epoch = 0
        self.loss: float | None = None
        self.losses: list[float] = []
        self.weights: dict[str, Any] | None = None

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self.context.progress("epoch", trainer.current_epoch + 1, int(trainer.max_epochs or 0))
        if self.monitor is None:
            self.epoch = trainer.current_epoch
            return
        if self.monitor not in trainer.callback_metrics:
            raise UsageError(f"{type(module).__name__} does not log {self.monitor!r} in validation_step")
        loss = float(trainer.callback_metrics[self.monitor])
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        self.context.report(f"{epoch}: {self.monitor} {loss:.5f}")
        self.losses.append(loss)
        if loss == loss and (self.loss is None or loss < self.loss):
            self.loss, self.epoch = loss, trainer.current_epoch
            self.weights = copy.deepcopy(module.state_dict())

    def restore(self, module: lightning.LightningModule) -> None:
        if self.monitor is None:
            return
        if self.weights is None:
            raise UsageError(f"training diverged: {self.monitor} was never finite; lower the learning rate")
        module.load_state_dict(self.weights)


class _Batches:
    """Batches of one loader: Lightning takes a bare list for a list of loaders."""

    def __init__(self, batches: list[Any] | tuple[Any, ...]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _loader(batches: Iterable[Any] | None) -> Iterable[Any] | None:
    return _Batches(batches) if isinstance(batches, list | tuple) else batches


@contextlib.contextmanager
def _compiled(module: lightning.LightningModule, context: Context) -> Iterator[None]:
    """Compile the module's networks if that is asked for; what they are and what they are called stays."""
    networks = list(module.children()) if context.compile else []
    for network in networks:
        network.compile()
    try:
        yield
    finally:
        for network in networks:
            network._compiled_call_impl = None


@contextlib.contextmanager
def _keyboard_interrupt() -> Iterator[None]:
    """Undo Lightning's answer to Ctrl-C: it ignores SIGINT from then on and raises SystemExit(1)."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


def _accelerator(device: str) -> tuple[str, list[int] | int]:
    kind, _, index = device.partition(":")
    if kind == "cuda":
        return "gpu", [int(index or 0)]
    return kind, 1
