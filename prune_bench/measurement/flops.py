"""Floating-point operations of an encoder, counted as it runs; two operations per multiply-add."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from prune_bench.models.arch import TransducerArch
from prune_bench.models.conformer import Conformer


def count_flops(arch: TransducerArch, seconds: float, hop_ms: float) -> dict[str, int]:
    """Operations of `blocks` and of the whole `encoder` (front end included) for one utterance of `seconds`."""
    return count_in_passing(lambda: Conformer(arch.encoder), (1, round(1000 * seconds / hop_ms), arch.encoder.mels))


def count_in_passing(make: Callable[[], Any], shape: tuple[int, ...]) -> dict[str, int]:
    """The same for the encoder that `make` builds, on inputs of `shape`; it offers `front_end` and `blocks`.

    Counted by torch.utils.flop_counter: matrix products and convolutions. It runs on the meta device, for on a CPU the
    counter takes fused attention for free.
    """
    with torch.device("meta"):
        encoder, features = make().eval().requires_grad_(False), torch.empty(shape)
    front_end, blocks = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with torch.no_grad():
        with front_end:
            stream, _ = encoder.front_end(features, None)
        with blocks:
            encoder.blocks(stream)
    return {"blocks": blocks.get_total_flops(), "encoder": front_end.get_total_flops() + blocks.get_total_flops()}
