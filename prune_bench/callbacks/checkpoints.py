"""A checkpoint's model is the masked one, while the fit trains what lies under the mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor

Pairs = Sequence[tuple[Tensor, Tensor]]


def removed_values(pairs: Pairs) -> list[Tensor]:
    """What lies under the zeros of each parameter's mask, on the CPU."""
    return [weight.detach()[_gone(weight, factor)].cpu() for weight, factor in pairs]


@torch.no_grad()
def put_back(pairs: Pairs, values: Sequence[Tensor]) -> None:
    """Write such values back, in place."""
    for (weight, factor), value in zip(pairs, values, strict=True):
        weight[_gone(weight, factor)] = value.to(weight)


def _gone(weight: Tensor, factor: Tensor) -> Tensor:
    return (factor.to(weight.device) == 0).expand_as(weight)


@contextmanager
def masked(pairs: Pairs) -> Iterator[None]:
    """The masks hold inside."""
    values = [weight.detach().clone() for weight, _ in pairs]
    for weight, factor in pairs:
        weight.data.mul_(factor.to(weight.device))
    try:
        yield
    finally:
        for (weight, _), value in zip(pairs, values, strict=True):
            weight.data.copy_(value)


class MaskedCheckpoints:
    """Wraps a module's `on_save_checkpoint`, the last hook before any checkpoint is written, also of weights alone and
    of averaged weights: the state that is written has zeros where `pairs()` says so. `written` is called first. A copy
    of the module has a copy of this that does nothing. With `once` it is released when a checkpoint was written.
    """

    def __init__(
        self,
        module: LightningModule,
        pairs: Callable[[], Pairs],
        written: Callable[[], object] = tuple,
        once: bool = False,
    ):
        self.module, self.pairs, self.written, self.once = module, pairs, written, once
        self.inner = module.on_save_checkpoint
        module.__dict__["on_save_checkpoint"] = self

    def __call__(self, checkpoint: dict[str, Any]) -> None:
        self.inner(checkpoint)
        self.written()
        places = names_of(self.module)
        for weight, factor in self.pairs():
            for name in places.get(id(weight), ()):
                if name in checkpoint["state_dict"]:
                    value = checkpoint["state_dict"][name]
                    checkpoint["state_dict"][name] = value * factor.to(value.device)
        if self.once:
            self.release()

    def release(self) -> None:
        """Leave the module as it was, but for what others have wrapped around it since."""
        self.pairs = self.written = tuple
        outer = self.module.__dict__.get("on_save_checkpoint")
        while isinstance(outer, MaskedCheckpoints) and outer.pairs is tuple:
            del self.module.__dict__["on_save_checkpoint"]
            outer = outer.inner
            if isinstance(outer, MaskedCheckpoints):
                self.module.__dict__["on_save_checkpoint"] = outer

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "pairs": tuple, "written": tuple}


def names_of(module: LightningModule) -> Mapping[int, list[str]]:
    """All names of each parameter, which tied ones have several of, by its identity."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return names
