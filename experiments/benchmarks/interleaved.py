"""Several fits interleaved in one process, some training steps each, so that a change in load meets all alike."""

from __future__ import annotations

import logging
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from prune_bench.config import Config
from prune_bench.data.batches import Batch
from prune_bench.models.arch import TransducerArch
from prune_bench.sweep.stages.fits import precision
from prune_bench.tasks.transducer import TransducerTask

TOKENS_A_SECOND = 6


class InterleavedFit(ABC):
    """A fit in a thread of its own that waits for `step` before every training step and notes how long each took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.error: BaseException | None = None

    @abstractmethod
    def fit(self, batches: Sequence[Any], steps: int, device: str, threads: int) -> None:
        """Take `steps` steps, each once `go` is released, and release `done` after it."""

    def step(self) -> None:
        """Let the fit take one step and wait for its end."""
        self.go.release()
        self.done.acquire()
        if self.error is not None:
            raise self.error


class Variant(InterleavedFit, Callback):
    """Lightning's fit of `task`.

    A step lasts from the start of one batch to the start of the next: callbacks, optimizer, logging and the end of an
    epoch are all in it. It must come first among the callbacks.
    """

    def __init__(self, task: LightningModule, callbacks: Sequence[Callback] = (), precision: Any = "32-true"):
        super().__init__()
        self.task, self.callbacks, self.precision = task, list(callbacks), precision
        self._start = 0.0

    def fit(self, batches: Sequence[Any], steps: int, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        try:
            trainer = Trainer(
                max_steps=steps,
                max_epochs=-1,
                accelerator=device,
                devices=1,
                precision=self.precision,
                callbacks=[self, *self.callbacks],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(self.task, DataLoader(list(batches), batch_size=None))
        except BaseException as error:
            self.error = error
        finally:
            self.done.release()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._finish_step(pl_module)
        self.done.release()
        self.go.acquire()
        self._start = perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish_step(pl_module)

    def _finish_step(self, pl_module: LightningModule) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        if self._start:
            self.seconds.append(perf_counter() - self._start)


class PlainLoop(InterleavedFit):
    """The same steps without Lightning and without this project's classes: `loss` of a plain `model`."""

    def __init__(self, model: nn.Module, loss: Callable[[Any, Any, str], Tensor], precision: str):
        super().__init__()
        self.model, self.loss, self.precision = model, loss, precision

    def fit(self, batches: Sequence[Any], steps: int, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.model.to(device).train()
        learned = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(learned, 1e-4, betas=(0.9, 0.98), fused=True)
        half = torch.bfloat16 if self.precision == "bf16-mixed" else None
        for number in range(steps):
            self.done.release()
            self.go.acquire()
            start = perf_counter()
            with torch.autocast(device, half, enabled=half is not None):
                loss = self.loss(self.model, batches[number % len(batches)], device)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learned, 5.0)
            optimizer.step()
            if device == "cuda":
                torch.cuda.synchronize()
            self.seconds.append(perf_counter() - start)
        self.done.release()


def fit_interleaved(
    variants: Sequence[InterleavedFit],
    batches: Sequence[Any],
    steps: int,
    warmup: int,
    device: str,
    consecutive: int = 1,
) -> None:
    """Fit all variants for `warmup` + `steps` steps, alternating after `consecutive` steps; each then holds the seconds
    of the last `steps`.

    Several in a row find their weights in the caches, as a training of their own would.
    """
    threads = torch.get_num_threads()
    arguments = (batches, warmup + steps, device, threads)
    workers = [threading.Thread(target=variant.fit, args=arguments, daemon=True) for variant in variants]
    with quiet():
        for worker, variant in zip(workers, variants, strict=True):
            worker.start()
            variant.done.acquire()
            if variant.error is not None:
                raise variant.error
        for number in range((warmup + steps) // consecutive):
            shift = number % len(variants)
            for variant in (*variants[shift:], *variants[:shift]):
                for _ in range(consecutive):
                    variant.step()
        for worker in workers:
            worker.join()
    for variant in variants:
        del variant.seconds[:warmup]


@contextmanager
def quiet() -> Any:
    """Lightning without its advice on hardware and workers."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logger.setLevel(level)


def random_batches(config: Config, count: int, seconds: float = 2.0) -> list[Batch]:
    """Noise in the shape of a preset's training batches: `final.frames` frames in utterances of about `seconds`."""
    generator = torch.Generator().manual_seed(0)
    longest = round(1000 * seconds / config.features.hop_ms)
    utterances, tokens = config.final.frames // longest, round(TOKENS_A_SECOND * seconds)
    batches = []
    for _ in range(count):
        lengths = torch.randint(longest * 9 // 10, longest + 1, (utterances,), generator=generator)
        lengths[0] = longest
        features = torch.randn(utterances, longest, config.features.mels, generator=generator)
        targets = torch.randint(1, config.tokenizer.size, (utterances, tokens), generator=generator)
        batches.append(Batch(features, lengths, targets, torch.full((utterances,), tokens), torch.arange(utterances)))
    return batches


def precision_on(config: Config, device: str) -> str:
    """The number format that a sweep would choose for the final fit on `device`."""
    return precision(replace(config.final, accelerator=device))


def arch_of(config: Config) -> TransducerArch:
    """The dense architecture of a preset."""
    return TransducerArch.from_config(config.model, config.features.mels, config.tokenizer.size + 1)


def make_task(config: Config, kind: type[TransducerTask] = TransducerTask) -> TransducerTask:
    """The dense task of a preset, the same random weights every time."""
    torch.manual_seed(0)
    model = config.model
    return kind(
        arch_of(config),
        config.final,
        config.features,
        dropout=model.dropout,
        predictor_dropout=model.predictor_dropout,
        ctc_weight=model.ctc_weight,
    )
