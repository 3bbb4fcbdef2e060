"""Training a language model beside a plain loop around torch's encoder, what Taylor scores add, what factors gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.benchmarks.interleaved import PlainLoop, Variant, fit_interleaved, precision_on
from experiments.benchmarks.overhead import HookClock, sum_laps
from experiments.benchmarks.results import Goal, Result, ratio, spread
from prune_bench.callbacks import Gradual
from prune_bench.config import Config
from prune_bench.data.text.batches import TextBatch
from prune_bench.families import preset
from prune_bench.measurement.lm_latency import time_language_models
from prune_bench.models.arch import BlockArch
from prune_bench.models.transformer_lm import LanguageModel, LanguageModelArch, sinusoids
from prune_bench.pruning.knobs import read_sparsities
from prune_bench.pruning.plans import spacing
from prune_bench.tasks.language_model import LanguageModelTask

ROUNDS = 25
LENGTH, HYPOTHESES, REPEATS = 32, 8, 30
DENSE, TAYLOR, PLAIN = "dense", "gradual, Taylor", "torch.nn.TransformerEncoder, plain loop"


def run(
    rounds: int = ROUNDS, device: str = "cpu", name: str = "tiny", sizes: Sequence[str] = ("tiny", "paper")
) -> Result:
    """Rounds of as many steps as gradual pruning has between two removals, in turn; latencies on presets `sizes`."""
    config = preset(name, "language_model")
    interval = interval_of(config)
    precision = precision_on(config, device)
    callback = Gradual(0.5, ramp=0.9, interval=interval, criterion="taylor")
    clock = HookClock(callback)
    variants = {
        DENSE: Variant(make_task(config), precision=precision),
        TAYLOR: Variant(make_task(config), [callback], precision=precision),
        PLAIN: PlainLoop(PlainModel(arch_of(config), config.lm.dropout), plain_loss, precision),
    }
    fit_interleaved(
        list(variants.values()), sentences(config, 4), rounds * interval, interval, device, consecutive=interval
    )
    laps = {key: sum_laps(variant.seconds, interval) for key, variant in variants.items()}
    result = Result(f"Training steps of the language model, {name}, {device}")
    result.seconds = dict(laps)
    for key, seconds in laps.items():
        over = f"{ratio(seconds, laps[DENSE]) - 1:+.1%}" if key != DENSE else ""
        result.rows.append({"variant": key, f"{interval} steps, ms": spread(seconds), "over dense": over})
    hooks = clock.seconds / (rounds + 1) / fmean(laps[DENSE])
    result.goals.append(Goal("Taylor scores and removals: share of a step", hooks, 0.03, at_least=False))
    result.goals.append(Goal("throughput over the plain loop's", ratio(laps[PLAIN], laps[DENSE]), 1.0, at_least=True))
    result.notes.append(f"all in {precision}; rounds of {interval} steps, in each of which once more is removed")
    for size in sizes:
        compare_factors(result, size)
    return result


def interval_of(config: Config) -> int:
    """Updates between two removals of the gradual run that delivers all sizes."""
    return spacing(config.pruning.interval, config.final.steps / len(read_sparsities(config.pruning.intermediate)))


def compare_factors(result: Result, name: str) -> None:
    """Latencies of the dense model and of one whose matrices are factorised to half of their size."""
    arch = arch_of(preset(name, "language_model"))
    models = {"dense": LanguageModel(arch).eval(), "half": LanguageModel(halved(arch)).eval()}
    timed = time_language_models(models, LENGTH, HYPOTHESES, REPEATS, torch.get_num_threads())
    for engine, stage in (("onnx", "sentence"), ("eager", "sentence"), ("eager", "step")):
        dense, half = (1e6 * timed[key][engine][stage]["median"] / LENGTH for key in models)
        result.notes.append(f"{name}, {engine}, {stage}: {dense:.4g} us per token dense, {half:.4g} factorised to half")
        if engine == "onnx":
            result.goals.append(
                Goal(f"{name}: factorised to half under ONNX Runtime, time over dense", half / dense, 1.0, False)
            )


def halved(arch: LanguageModelArch) -> LanguageModelArch:
    """The architecture with every matrix of its layers at the rank that halves it."""
    layers = {name: layer for name, layer in LanguageModel(arch).named_modules() if isinstance(layer, nn.Linear)}
    shapes = {name: layer.weight.shape for name, layer in layers.items() if name.startswith("layers.")}
    return arch.with_ranks({name: rows * columns // (2 * (rows + columns)) for name, (rows, columns) in shapes.items()})


class PlainModel(nn.Module):
    """torch's own encoder of the same widths, causal, its attention scaled-dot-product."""

    def __init__(self, arch: LanguageModelArch, dropout: float):
        super().__init__()
        heads, ffn = arch.layers[0].heads, arch.layers[0].ffn
        layer = nn.TransformerEncoderLayer(arch.width, heads, ffn, dropout, F.gelu, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, len(arch.layers), nn.LayerNorm(arch.width), False)
        self.embedding = nn.Parameter(torch.randn(arch.vocabulary, arch.width) * arch.width**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        width, length = self.embedding.shape[1], tokens.shape[1]
        places = torch.arange(length, device=tokens.device)
        stream = F.embedding(tokens, self.embedding) * math.sqrt(width) + sinusoids(places, width)
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=tokens.device, dtype=stream.dtype)
        return self.encoder(stream, mask, is_causal=True) @ self.embedding.T


def plain_loss(model: PlainModel, batch: TextBatch, device: str) -> Tensor:
    scores = model(batch.tokens.to(device))
    return F.cross_entropy(scores.float().flatten(0, 1), batch.targets.to(device).flatten())


def arch_of(config: Config) -> LanguageModelArch:
    """The dense architecture of a preset, with a vocabulary of the preset's size."""
    lm = config.lm
    head_width = lm.head_width or lm.width // lm.heads
    return LanguageModelArch(
        config.tokenizer.size + 1, lm.width, head_width, (BlockArch(lm.heads, lm.ffn),) * lm.layers
    )


def make_task(config: Config) -> LanguageModelTask:
    """The dense task of a preset, the same random weights every time."""
    torch.manual_seed(0)
    return LanguageModelTask(LanguageModel(arch_of(config), config.lm.dropout), config.final)


def sentences(config: Config, count: int) -> list[TextBatch]:
    """Random tokens in the shape of a preset's batches: `final.frames` tokens in sentences of one length."""
    generator = torch.Generator().manual_seed(0)
    rows = max(1, config.final.frames // LENGTH)
    lengths, places = torch.full((rows,), LENGTH), torch.arange(rows)
    batches = []
    for _ in range(count):
        tokens = torch.randint(1, config.tokenizer.size, (rows, LENGTH + 1), generator=generator)
        batches.append(TextBatch(tokens[:, :-1], tokens[:, 1:], lengths, places))
    return batches
