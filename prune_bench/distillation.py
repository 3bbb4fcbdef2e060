"""Layer-wise distillation: the pruned encoder's hidden states follow the unpruned one's."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class LayerwiseDistillation(nn.Module):
    """Mean over layers of the squared distance between student and teacher block outputs, on non-pad frames.

    The teacher is a frozen copy of `encoder` in eval mode, fed the very inputs (SpecAugment included) that the
    student saw. One linear map, identity at first and shared by all layers, is trained on the student's side; with
    `side` "teacher" it is applied to the teacher as printed in equation 8 of arXiv 2305.19549, where both sides can
    shrink together.

    `encoder` must hold its blocks in `layers`, and be called as encoder(features, lengths) -> (hidden, lengths).
    """

    def __init__(self, encoder: nn.Module, width: int, side: str = "student"):
        super().__init__()
        self.teacher = copy.deepcopy(encoder).eval().requires_grad_(False)
        self.transform = nn.Linear(width, width, bias=False, dtype=next(encoder.parameters()).dtype)
        nn.init.eye_(self.transform.weight)
        self.side = side
        self._inputs: tuple[Any, ...] = ()
        self._lengths: Tensor | None = None
        self._student: list[Tensor] = []
        self._taught: list[Tensor] = []
        self._handles: list[RemovableHandle] = []
        for layer in self.teacher.get_submodule("layers").children():
            layer.register_forward_hook(partial(_collect, self._taught))

    def watch(self, encoder: nn.Module) -> None:
        """Record `encoder`'s block outputs during its training forwards, and no other's."""
        self.release()

        self._handles = [encoder.register_forward_pre_hook(self._start), encoder.register_forward_hook(self._finish)]
        for layer in encoder.get_submodule("layers").children():
            self._handles.append(layer.register_forward_hook(partial(_collect, self._student)))

    def _start(self, _encoder: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._inputs = inputs
        self._student.clear()

    def _finish(self, _encoder: nn.Module, _inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        self._lengths = output[1]

    def release(self) -> None:
        """Stop recording."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._inputs = [], ()
        self._student.clear()
        self._taught.clear()

    def loss(self) -> Tensor:
        """The distillation loss of the last recorded forward."""
        self._taught.clear()
        with torch.no_grad():
            self.teacher(*self._inputs)
        assert self._lengths is not None
        frames = self._student[0].shape[1]
        inside = torch.arange(frames, device=self._lengths.device) < self._lengths[:, None]
        student, teacher = torch.stack(self._student), torch.stack(self._taught)
        if self.side == "student":
            student = self.transform(student)
        else:
            teacher = self.transform(teacher)
        return ((student - teacher).square().mean(-1) * inside).sum() / (inside.sum() * len(student))


def _collect(outputs: list[Tensor], _layer: nn.Module, _inputs: Any, output: Tensor) -> None:
    outputs.append(output)
