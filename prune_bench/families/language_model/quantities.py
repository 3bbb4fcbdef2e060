"""What reports take from rows of language models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from prune_bench.families.common import COMMON
from prune_bench.families.counts import entropies, word_errors
from prune_bench.families.quantities import Columns, Quantity, Timing, column
from prune_bench.families.rows import Finished
from prune_bench.families.speech import ERROR_RATES
from prune_bench.measurement.intervals import Counts


class LanguageModelRow(Finished):
    """Nats, tokens and words of each sentence, by split, and the fraction kept of each matrix, with its size."""

    sentences: dict[str, dict[str, list[float]]]
    kept: dict[str, list[float]]


def latency(runtime: str, stage: str) -> Callable[[Columns, Timing, str], float | None]:
    """Microseconds that a language model takes for a token."""

    def read(row: Columns, timing: Timing, which: str) -> float | None:
        parts = timing.get(row["run"], {}).get(runtime, {})
        return 1e6 * parts[stage]["median"] / timing["_protocol"]["units"] if stage in parts else None

    return read


def without(row: Columns, which: str) -> Counts | None:
    """Errors of the recogniser without a language model."""
    return word_errors(row, which.removeprefix("wer."), alone=True)


def describe_decoding(rows: Sequence[Columns]) -> str:
    """How error rates in fusion came about."""
    row, fused = rows[0], [row["fusion"] for row in rows if "fusion" in row]
    chosen = {key: sorted({f"{fusion[key]:g}" for fusion in fused}) for key in ("weight", "internal")}
    weights = ", ".join(f"{key} {', '.join(values)}" for key, values in chosen.items())
    speed = f"{row['rtf.decoding']:.3f} s a second of speech on a core, behind the encoder"
    return f"beam {row['config']['fusion']['beam']} with shallow fusion ({weights}; {speed})"


def describe_timing(protocol: Mapping[str, Any], dense: Sequence[Mapping[str, Any]]) -> str:
    """How speed was measured."""
    return (
        f"Latency: microseconds per token of a sentence of {protocol['units']}, threads {protocol['threads']}, "
        f"median of {protocol['rounds']} rounds that interleave all models; in fusion, {protocol['hypotheses']} "
        "hypotheses read it token by token, all at once."
    )


def per_token(title: str, runtime: str, stage: str, drop: int = 0) -> Quantity:
    """A latency."""
    read, group = latency(runtime, stage), "microseconds per token"
    return Quantity(title=title, group=group, read=read, digits=1, compared=True, less="faster", drop=drop)


# Entropies are in hundredths of a nat, whose differences are relative changes of the perplexity in percent.
QUANTITIES = {
    **ERROR_RATES,
    "alone.*": Quantity(title="WER % without a language model", group="*", ratio=without),
    "entropy.*": Quantity(title="entropy, hundredths of a nat", group="*", splits="sentences", ratio=entropies),
    "ppl.*": Quantity(
        title="perplexity",
        group="*",
        splits="sentences",
        read=column("ppl.*"),
        ratio=entropies,
        rising=lambda hundredths: math.exp(hundredths / 100),
        digits=3,
    ),
    "size": replace(COMMON["size"], group="weights"),
    "flops.token": Quantity(
        title="millions",
        group="operations per token",
        read=column("flops.encoder", 1e6),
        compared=True,
        less="faster",
        drop=2,
    ),
    "latency.step": per_token("in fusion", "eager", "step"),
    "latency.sentence": per_token("all at once", "eager", "sentence"),
    "latency.onnx": per_token("ONNX Runtime", "onnx", "sentence", drop=4),
}
