"""A checkpoint's model is the masked one, while the fit trains what lies under the mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

Pairs = Sequence[tuple[Tensor, Tensor]]
HOOKS = ("on_save_checkpoint", "on_load_checkpoint")


class Masking(Protocol):
    """A callback that masks a module."""

    @property
    def state_key(self) -> str: ...

    @property
    def fitting(self) -> bool: ...

    def pairs(self) -> Pairs:
        """Parameters and what multiplies them, in a shape that does."""

    def note_checkpoint(self, trainer: Trainer) -> None:
        """A checkpoint is being written, perhaps of weights alone."""


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
    """Stands around two hooks of a module for the callbacks that mask it, until they leave.

    `on_save_checkpoint` is the last hook before any checkpoint is written, also of weights alone and of averaged
    weights: the state that is written is multiplied by their `pairs()`, and what it was before is put under "under" in
    the callback's state. `on_load_checkpoint` is the first when one is read: a fit goes on from these values. A copy of
    the module has a copy of this that does nothing.
    """

    def __init__(self, module: LightningModule):
        self.module, self.callbacks = module, dict[Masking, bool]()
        self.own = {hook: getattr(module, hook) for hook in HOOKS}
        vars(module).update({hook: getattr(self, hook) for hook in HOOKS})

    @classmethod
    def join(cls, module: LightningModule, callback: Masking, once: bool = False) -> MaskedCheckpoints:
        """Mask what is saved of `module` for this callback too; with `once` until a checkpoint was written."""
        there = getattr(vars(module).get(HOOKS[0]), "__self__", None)
        joined = there if isinstance(there, cls) else cls(module)
        joined.callbacks[callback] = once
        return joined

    def leave(self, callback: Masking) -> None:
        """Leave the module as it was when the last one leaves, but for what others have wrapped around it since."""
        self.callbacks.pop(callback, None)
        for hook in HOOKS if not self.callbacks else ():
            if vars(self.module).get(hook) == getattr(self, hook):
                del vars(self.module)[hook]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.own["on_save_checkpoint"](checkpoint)
        names = names_of(self.module)
        for callback, once in list(self.callbacks.items()):
            callback.note_checkpoint(self.module.trainer)
            under = multiply(checkpoint["state_dict"], callback.pairs(), names)
            if state := checkpoint.get("callbacks", {}).get(callback.state_key):
                state["under"] = under
            if once:
                self.leave(callback)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for callback in reversed(self.callbacks):
            state = checkpoint.get("callbacks", {}).get(callback.state_key)
            if callback.fitting and state:
                checkpoint["state_dict"].update(state.get("under", ()))
        self.own["on_load_checkpoint"](checkpoint)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "callbacks": {}}


def multiply(state: dict[str, Tensor], pairs: Pairs, names: Mapping[int, Sequence[str]]) -> dict[str, Tensor]:
    """Multiply a state's tensors by the factors of their parameters; returns those that it changed, as they were."""
    before: dict[str, Tensor] = {}
    for weight, factor in pairs:
        for name in names.get(id(weight), ()):
            if name in state:
                before.setdefault(name, state[name])
                state[name] = state[name] * factor.to(state[name])
    return {name: value for name, value in before.items() if not torch.equal(value, state[name])}


def names_of(module: LightningModule) -> Mapping[int, list[str]]:
    """All names of each parameter, which tied ones have several of, by its identity."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return names
