"""Passes of a module over calibration batches, for criteria that need statistics of data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor


def run_batches(
    trainer: Trainer, module: LightningModule, batches: Iterable[Any] | None, count: int, gradients: bool
) -> Iterator[None]:
    """Run `training_step` on the first `count` of `batches` (None: of the training data), one an item, in evaluation
    mode, with a backward pass where `gradients`. Parameters, their gradients and the random state stay as they were.

    Raises:
        ValueError: the module steps its optimizers itself, in `training_step`.
    """
    if not module.automatic_optimization:
        raise ValueError("calibration runs training_step, which in this module steps optimizers: give mask=")
    if batches is None:
        trainer.fit_loop.setup_data()
        batches = trainer.train_dataloader or ()
    with _apart(module), torch.set_grad_enabled(gradients):
        for index, batch in enumerate(islice(iter(batches), count)):
            batch = trainer.strategy.batch_to_device(batch)
            with trainer.precision_plugin.forward_context():
                output = module.training_step(batch, index)
            if gradients:
                module.zero_grad(set_to_none=True)
                _loss_of(output).backward()
            yield


def _loss_of(output: Any) -> Tensor:
    loss = output["loss"] if isinstance(output, dict) else output
    if not isinstance(loss, Tensor):
        raise ValueError("training_step gave no loss for a calibration batch: give other batches")
    return loss


@contextmanager
def _apart(module: LightningModule) -> Iterator[None]:
    """Evaluation mode, without logging; afterwards gradients, modes and random state are what they were."""
    modes = {layer: layer.training for layer in module.modules()}
    gradients = {parameter: parameter.grad for parameter in module.parameters()}
    module.eval()
    module.__dict__["log"] = lambda *arguments, **options: None
    try:
        with torch.random.fork_rng(devices=[module.device] if module.device.type == "cuda" else []):
            yield
    finally:
        del module.__dict__["log"]
        for layer, mode in modes.items():
            layer.training = mode
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
