"""What reports take from rows of Conformer-Transducers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from prune_bench.families.quantities import Columns, Quantity, Timing
from prune_bench.families.speech import ERROR_RATES, TRAINING, SpeechRow
from prune_bench.families.transducer.retained import lost


class TransducerRow(SpeechRow):
    """What each layer holds, before pruning and after it, and how wide the stream between them is."""

    layers: dict[str, dict[str, int]]
    dense_layers: dict[str, dict[str, int]]
    stream: int


def rtf(engine: str) -> Callable[[Columns, Timing, str], float | None]:
    """Seconds of computation for a second of audio, front end and blocks; None if the run was not timed."""

    def read(row: Columns, timing: Timing, which: str) -> float | None:
        parts = timing.get(row["run"], {}).get(engine, {})
        if "blocks" not in parts:
            return None
        return (parts["front_end"]["median"] + parts["blocks"]["median"]) / timing["_protocol"]["seconds"]

    return read


def lost_share(row: Columns, timing: Timing, which: str) -> float | None:
    """Removed percentage of the weights of a module, or of the bottom or top layers."""
    return lost(row)[which]


def describe_timing(protocol: Mapping[str, Any], dense: Sequence[Mapping[str, Any]]) -> str:
    """How speed was measured, and the most that pruning the blocks alone can gain."""
    caps = []
    for engine, name in (("eager", "eager"), ("onnx", "ONNX Runtime")):
        parts = [timed[engine] for timed in dense if engine in timed]
        if parts:
            shares = [p["front_end"]["median"] / (p["front_end"]["median"] + p["blocks"]["median"]) for p in parts]
            caps.append(f"{100 * fmean(shares):.0f} % ({name})")
    share = f" The front end, never pruned, takes {' and '.join(caps)} of the dense encoder's time." if caps else ""
    return (
        f"RTF: front end and blocks in eager PyTorch and under ONNX Runtime, {protocol['seconds']:g} s of "
        f"{protocol['input']}, batch 1, threads {protocol['threads']}, median of {protocol['rounds']} rounds that "
        f"interleave all models.{share}"
    )


def real_time(title: str, engine: str, drop: int = 0) -> Quantity:
    """A real-time factor of the encoder."""
    return Quantity(
        title=title, group="encoder RTF", read=rtf(engine), digits=5, compared=True, less="faster", drop=drop
    )


QUANTITIES = {
    **ERROR_RATES,
    **TRAINING,
    "rtf": real_time("eager PyTorch", "eager"),
    "rtf.onnx": real_time("ONNX Runtime", "onnx", drop=4),
    "lost.*": Quantity(title="lost of *, %", read=lost_share, digits=1),
}
