"""How much of a FLOP reduction the compacted blocks turn into latency, and what the front end leaves of it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from experiments.benchmarks.interleaved import arch_of
from experiments.benchmarks.results import Goal, Result, ratio, spread
from prune_bench.compaction import compact
from prune_bench.families import preset
from prune_bench.measurement.flops import count_flops
from prune_bench.measurement.latency import eager_stages, onnx_stages, time_passes
from prune_bench.models.arch import TransducerArch
from prune_bench.models.transducer import Transducer
from prune_bench.pruning.masks import MaskSet

ROUNDS = 20
SECONDS = 10.0
LAYERS = 3
GOAL = 0.85
MAX_SYMBOLS = 5
SIZES = ("dense", "compacted")
RUNTIMES = ("eager", "onnx")

Key = tuple[str, str]
Timings = dict[tuple[str, str, str], dict[str, list[float]]]


def run(rounds: int = ROUNDS, device: str = "cpu", presets: tuple[str, ...] = ("paper", "tiny")) -> Result:
    """Dense and compacted models of two widths, half of the heads and FFN channels removed, timed on the CPU."""
    archs = {f"{name} width": narrow(arch_of(preset(name))) for name in presets}
    models = {(key, size): model for key, arch in archs.items() for size, model in pair(arch).items()}
    timings = time_encoders(models, rounds)
    what = f"{LAYERS} layers at most, {SECONDS:g} s of audio, 1 thread, cpu"
    result = Result(f"Blocks without half of their heads and FFN channels: {what}")
    for key in archs:
        for runtime in RUNTIMES:
            report(result, key, runtime, models, timings)
    result.notes.append("turned: reduction of time over that of FLOPs, by the median round; best: by the best rounds")
    result.notes.append("encoder: front end and blocks; cap: what it could gain at most while the front end stays")
    return result


def time_encoders(models: dict[Key, Transducer], rounds: int) -> Timings:
    """Front end and blocks of every model under both runtimes, interleaved; no decoding, which compaction leaves."""
    pipelines, inputs = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for key, model in models.items():
            runtimes = eager_stages(model, MAX_SYMBOLS), onnx_stages(model, Path(folder), 1, MAX_SYMBOLS)
            for runtime, stages in zip(RUNTIMES, runtimes, strict=True):
                pipelines[*key, runtime] = {part: stages[part] for part in ("front_end", "blocks")}
                inputs[*key, runtime] = torch.randn(1, round(100 * SECONDS), model.arch.encoder.mels)
        return time_passes(pipelines, inputs, rounds)


def report(result: Result, name: str, runtime: str, models: dict[Key, Transducer], timings: Timings) -> None:
    """Add one width's row for a runtime, and its goal."""
    flops = [count_flops(models[name, size].arch, SECONDS, 10.0)["blocks"] for size in SIZES]
    before, after = (timings[name, size, runtime] for size in SIZES)
    saved, faster = 1 - flops[1] / flops[0], 1 - ratio(after["blocks"], before["blocks"])
    front, blocks = median(before["front_end"]), median(before["blocks"])
    result.rows.append(
        {
            "model": f"{name}, {runtime}",
            "FLOPs": f"-{saved:.1%}",
            "dense, ms": spread(before["blocks"]),
            "compacted, ms": spread(after["blocks"]),
            "time": f"-{faster:.1%}",
            "turned": f"{faster / saved:.2f}",
            "best": f"{(1 - min(after['blocks']) / min(before['blocks'])) / saved:.2f}",
            "front end": f"{front / (front + blocks):.0%}",
            "cap": f"{(front + blocks) / front:.1f}x",
            "encoder": f"{1 / ratio(after['total'], before['total']):.2f}x",
        }
    )
    for size in SIZES:
        for part, seconds in timings[name, size, runtime].items():
            result.seconds[f"{name}, {size}, {runtime}, {part}"] = seconds
    if runtime == "onnx" and name.startswith("paper"):
        result.goals.append(Goal(f"{name}, ONNX Runtime: turned", faster / saved, GOAL, at_least=True))


def narrow(arch: TransducerArch) -> TransducerArch:
    """The same widths with at most a few layers."""
    return replace(arch, encoder=replace(arch.encoder, layers=arch.encoder.layers[:LAYERS]))


def pair(arch: TransducerArch) -> dict[str, Any]:
    """A dense model with random weights, and the same without half of its heads and FFN channels."""
    torch.manual_seed(0)
    dense = Transducer(arch).eval()
    groups = [group for group in dense.units() if group.kind in ("heads", "ffn")]
    masks = MaskSet({group.name: torch.randperm(group.size) >= group.size // 2 for group in groups})
    return {"dense": dense, "compacted": compact(dense, masks)}
