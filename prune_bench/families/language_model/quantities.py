"""What reports take from rows of language models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from prune_bench.families.common import COMMON
from prune_bench.families.quantities import Quantity, Ratio, Row, Timing, column
from prune_bench.families.speech import ERROR_RATES
from prune_bench.measurement.counts import entropies, word_errors


def latency(runtime: str, stage: str) -> Callable[[Row, Timing, str], float | None]:
    """Microseconds that a language model takes for a unit."""

    def read(row: Row, timing: Timing, which: str) -> float | None:
        parts = timing.get(row["run"], {}).get(runtime, {})
        return 1e6 * parts[stage]["median"] / timing["_protocol"]["units"] if stage in parts else None

    return read


def without(row: Row, which: str) -> Ratio | None:
    """Errors of the recogniser without a language model."""
    return word_errors(row, which.removeprefix("wer."), alone=True)


def describe_timing(protocol: Mapping[str, Any], dense: Sequence[Mapping[str, Any]]) -> str:
    """How speed was measured."""
    return (
        f"Latency: microseconds a unit of a sentence of {protocol['units']}, threads {protocol['threads']}, median "
        f"of {protocol['rounds']} rounds that interleave all models; in fusion, {protocol['hypotheses']} "
        "hypotheses read it unit by unit, all at once."
    )


def a_unit(title: str, runtime: str, stage: str, drop: int = 0) -> Quantity:
    """A latency."""
    return Quantity(
        title=title, group="microseconds a unit", read=latency(runtime, stage), digits=1, compared=True, less="faster",
        drop=drop,
    )  # fmt: skip


# Entropies are in hundredths of a nat, whose differences are relative changes of the perplexity in percent.
QUANTITIES = {
    **ERROR_RATES,
    "alone.*": Quantity(title="WER % without a language model", group="*", ratio=without),
    "entropy.*": Quantity(title="entropy, hundredths of a nat", group="*", ratio=entropies),
    "ppl.*": Quantity(
        title="perplexity", group="*", ratio=entropies, rising=lambda hundredths: math.exp(hundredths / 100), digits=3
    ),
    "size": replace(COMMON["size"], group="weights"),
    "flops.unit": Quantity(
        title="millions", group="operations a unit", read=column("flops.encoder", 1e6), compared=True, less="faster",
        drop=2,
    ),
    "latency.step": a_unit("in fusion", "eager", "step"),
    "latency.sentence": a_unit("all at once", "eager", "sentence"),
    "latency.onnx": a_unit("ONNX Runtime", "onnx", "sentence", drop=4),
}  # fmt: skip
