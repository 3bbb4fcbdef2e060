"""Training step of the dense transducer against one of equal widths on torchaudio's Conformer with its plain loss."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from time import perf_counter
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from experiments.benchmarks.interleaved import Variant, fit_interleaved, make_task, precision_on, quiet, random_batches
from experiments.benchmarks.peers import TorchaudioAttention, TorchaudioTask
from experiments.benchmarks.results import Goal, Result, ratio, spread
from prune_bench.config import Config
from prune_bench.data.batches import Batch
from prune_bench.families import preset
from prune_bench.models.conformer import RelativeAttention, sinusoids

ROUNDS = 10
WARMUP = 2
PRESETS = ("tiny", "small")

KINDS = {
    "dropout masks": ("dropout", "bernoulli"),
    "matrix products": ("mm", "linear", "scaled_dot_product"),
    "convolutions": ("conv",),
    "RNN-T and CTC lattices": ("rnnt", "ctc_loss"),
    "optimizer and clipping": ("adam", "Optimizer", "foreach", "linalg_vector_norm"),
    "normalisation, softmax, activations": ("norm", "softmax", "silu", "glu", "tanh", "relu", "sigmoid"),
    "copies and fills": ("copy", "clone", "aten::cat", "gather", "index", "fill", "zero", "stack"),
    "elementwise": ("aten::mul", "aten::add", "aten::sub", "aten::div", "aten::exp", "aten::sum", "aten::where"),
}


def run(rounds: int = ROUNDS, device: str = "cpu", presets: tuple[str, ...] = PRESETS) -> Result:
    """Steps of each preset and of its peer, interleaved, with the share of the matrix-product peak and what takes time.

    Ours trains in the format that a sweep would choose here; the peer is plain fp32.
    """
    peaks = {name: matmul_peak(getattr(torch, name), device) for name in ("float32", "bfloat16")}
    result = Result(f"Training step, {torch.get_num_threads()} thread(s), {device}")
    result.notes.append(
        f"measured matrix-product peak: fp32 {peaks['float32'] / 1e9:.0f} GFLOP/s, "
        f"bf16 {peaks['bfloat16'] / 1e9:.0f} GFLOP/s"
    )
    for name in presets:
        compare(result, preset(name), peaks, rounds, device)
    return result


def compare(result: Result, config: Config, peaks: dict[str, float], rounds: int, device: str) -> None:
    """Add one preset's rows, its goal and where its step goes."""
    batches, chosen = random_batches(config, 4), precision_on(config, device)
    variants = {
        "ours": Variant(make_task(config), precision=chosen),
        "torchaudio": Variant(make_task(config, TorchaudioTask)),
    }
    fit_interleaved(list(variants.values()), batches, rounds, WARMUP, device)
    types = {"ours": torch.bfloat16 if "bf16" in chosen else torch.float32, "torchaudio": torch.float32}
    attention = time_attention(config, batches[0], types, device, rounds)
    speech = float(batches[0].lengths.sum()) * config.features.hop_ms / 1000
    for name, variant in variants.items():
        seconds = median(variant.seconds)
        flops = count_step(variant.task, batches[0])
        peak = peaks[str(types[name]).removeprefix("torch.")]
        result.seconds[f"{config.preset} {name}"] = variant.seconds
        result.rows.append(
            {
                "transducer": f"{config.preset}, {name}",
                "precision": "bf16" if types[name] == torch.bfloat16 else "fp32",
                "step, ms": spread(variant.seconds),
                "x real time": f"{speech / seconds:.0f}",
                "GFLOP": f"{flops / 1e9:.1f}",
                "of peak": f"{flops / seconds / peak:.1%}",
                "attention": f"{attention[name] / seconds:.1%}",
            }
        )
        result.notes.append(f"{config.preset}, {name}: {breakdown(variant, batches, device)}")
    gain = ratio(variants["torchaudio"].seconds, variants["ours"].seconds)
    bound = 2.0 if "bf16" in chosen and device == "cpu" else 1.0
    result.goals.append(Goal(f"{config.preset}: steps of ours in one of the peer", gain, bound, at_least=True))


def matmul_peak(dtype: torch.dtype, device: str, sizes: tuple[int, ...] = (512, 1024)) -> float:
    """The best floating-point operations a second over square matrix products, the highest of several tries."""
    best = 0.0
    for size in sizes:
        left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        for _ in range(4):
            best = max(best, 2 * size**3 / timed(lambda a=left, b=right: a @ b, device))
    return best


def timed(work: Callable[[], Any], device: str) -> float:
    """Seconds of one call, the device's queue included."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return perf_counter() - start


def time_attention(
    config: Config, batch: Batch, types: dict[str, torch.dtype], device: str, rounds: int
) -> dict[str, float]:
    """Median seconds that all layers' attention takes in a step, forward and backward, by variant."""
    model = config.model
    frames = -(-batch.features.shape[1] // model.subsampling)
    stream = torch.randn(len(batch.features), frames, model.width, device=device, requires_grad=True)
    padding = (torch.arange(frames) >= (batch.lengths[:, None] - 1) // model.subsampling + 1).to(device)
    positions = sinusoids(frames, model.width, stream.detach())
    ours = RelativeAttention(model.width, model.heads, model.width // model.heads, model.width, model.dropout, {})
    theirs = TorchaudioAttention(model.width, model.heads, model.dropout).to(device)
    ours = ours.to(device)

    def step(name: str) -> None:
        with torch.autocast(device, torch.bfloat16, enabled=types[name] == torch.bfloat16):
            output: Tensor = ours(stream, positions, padding) if name == "ours" else theirs(stream, padding)
        output.float().sum().backward()

    seconds: dict[str, list[float]] = {name: [] for name in types}
    for number in range(WARMUP + rounds):
        for name in types:
            passed = timed(lambda name=name: step(name), device)
            if number >= WARMUP:
                seconds[name].append(passed)
    return {name: model.layers * median(values) for name, values in seconds.items()}


class Watch(Callback):
    """Runs one training step under a context: a profiler or a counter."""

    def __init__(self, *contexts: Any):
        self.contexts = contexts
        self.stack = ExitStack()
        self.seconds = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == trainer.max_steps - 1:
            for context in self.contexts:
                self.stack.enter_context(context)
            self.seconds = -perf_counter()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self.seconds:
            self.seconds += perf_counter()
        self.stack.close()


def watch(task: LightningModule, batches: list[Batch], device: str, precision: str, *contexts: Any) -> float:
    """Train a few steps, the last of them under the contexts; how many seconds that one took."""
    watched = Watch(*contexts)
    with quiet():
        Trainer(
            max_steps=3,
            max_epochs=-1,
            accelerator=device,
            devices=1,
            precision=precision,
            callbacks=[watched],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(task, DataLoader(batches, batch_size=None))
    return watched.seconds


def count_step(task: LightningModule, batch: Batch) -> int:
    """Operations of matrix products and convolutions in one step, backward included; attention unfused to be seen."""
    counter = FlopCounterMode(display=False)
    watch(task, [batch], "cpu", "32-true", sdpa_kernel(SDPBackend.MATH), counter)
    return counter.get_total_flops()


def breakdown(variant: Variant, batches: list[Batch], device: str) -> str:
    """Shares of a step's time by kind of operator; what no operator takes is Python, or the device waiting for it."""
    kind = torch.profiler.ProfilerActivity
    profiler = torch.profiler.profile(activities=[kind.CUDA if device == "cuda" else kind.CPU])
    total = 1e6 * watch(variant.task, batches, device, variant.precision, profiler)
    spent: dict[str, float] = {}
    for event in profiler.key_averages():
        own = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
        spent[kind_of(event.key)] = spent.get(kind_of(event.key), 0.0) + own
    spent["between operators"] = total - sum(spent.values())
    largest = sorted(spent.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {value / total:.0%}" for name, value in largest if value >= 0.005 * total)


def kind_of(operator: str) -> str:
    """The group an operator is counted in: the first that names a part of it."""
    kinds = (kind for kind, parts in KINDS.items() if any(part in operator for part in parts))
    return next(kinds, "views and other operators")
