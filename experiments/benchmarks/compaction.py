"""How much of a FLOP reduction the compacted blocks turn into latency, and what the front end leaves of it."""

from __future__ import annotations

from dataclasses import replace

import torch

from experiments.benchmarks.results import Goal, Result
from experiments.benchmarks.turns import arch_of
from prune_bench.compaction import compact
from prune_bench.measurement.flops import count_flops
from prune_bench.measurement.latency import time_models
from prune_bench.models.arch import TransducerArch
from prune_bench.models.transducer import Transducer
from prune_bench.presets import preset
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.structures import scale_outputs

ROUNDS = 20
SECONDS = 10.0
PAPER_LAYERS = 3
GOAL = 0.85


def run(rounds: int = ROUNDS, device: str = "cpu", presets: tuple[str, ...] = ("paper", "tiny")) -> Result:
    """Dense and compacted models of two widths, half of the heads and FFN channels removed, timed on the CPU."""
    archs = {f"{name} width": narrow(arch_of(preset(name))) for name in presets}
    models = {(key, size): model for key, arch in archs.items() for size, model in pair(arch).items()}
    timings = time_models({" ".join(key): model for key, model in models.items()}, SECONDS, rounds)
    result = Result(f"Half of the heads and FFN channels removed, {SECONDS:g} s of audio, 1 thread, cpu")
    for key in archs:
        report(result, key, *(models[key, size] for size in ("dense", "compacted")), timings)
    result.notes.append("ms: medians, range in brackets; turned: latency reduction over FLOP reduction of the blocks")
    return result


def report(result: Result, key: str, dense: Transducer, small: Transducer, timings: dict) -> None:
    """Add one width's rows for eager and ONNX Runtime, and its goal."""
    flops = [count_flops(model.arch, SECONDS, 10.0)["blocks"] for model in (dense, small)]
    saved = 1 - flops[1] / flops[0]
    for runtime in ("eager", "onnx"):
        before, after = (timings[f"{key} {size}"][runtime] for size in ("dense", "compacted"))
        faster = 1 - after["blocks"]["median"] / before["blocks"]["median"]
        front, blocks = before["front_end"]["median"], before["blocks"]["median"]
        result.rows.append(
            {
                "model": f"{key}, {runtime}",
                "FLOPs": f"-{saved:.1%}",
                "blocks, ms": f"{milliseconds(before['blocks'])} -> {milliseconds(after['blocks'])}",
                "latency": f"-{faster:.1%}",
                "turned": f"{faster / saved:.2f}",
                "front end": f"{front / (front + blocks):.0%}",
                "cap": f"{(front + blocks) / front:.1f}x",
                "encoder": f"{(front + blocks) / (after['front_end']['median'] + after['blocks']['median']):.2f}x",
            }
        )
        result.seconds[f"{key}, {runtime}"] = [before["blocks"]["median"], after["blocks"]["median"]]
        if runtime == "onnx" and key.startswith("paper"):
            result.goals.append(Goal(f"{key}, ONNX Runtime: turned", faster / saved, GOAL, at_least=True))


def narrow(arch: TransducerArch) -> TransducerArch:
    """The same widths with at most a few layers."""
    return replace(arch, encoder=replace(arch.encoder, layers=arch.encoder.layers[:PAPER_LAYERS]))


def pair(arch: TransducerArch) -> dict[str, Transducer]:
    """A dense model with random weights, and the same without half of its heads and FFN channels."""
    torch.manual_seed(0)
    dense = Transducer(arch).eval()
    groups = [group for group in dense.units() if group.kind in ("heads", "ffn")]
    masks = MaskSet({group.name: torch.randperm(group.size) >= group.size // 2 for group in groups})
    scale_outputs(dict(dense.named_parameters()), groups, masks)
    return {"dense": dense, "compacted": Transducer(compact(dense, masks).arch).eval()}


def milliseconds(part: dict[str, float]) -> str:
    return f"{1000 * part['median']:.1f} ({1000 * part['low']:.1f}-{1000 * part['high']:.1f})"
