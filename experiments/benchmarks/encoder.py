"""Fine-tuning a wav2vec 2.0 encoder beside a plain loop around torchaudio's, and what PARP adds in time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F
from torchaudio.models import Wav2Vec2Model, wav2vec2_model

from experiments.benchmarks.interleaved import TOKENS_A_SECOND, PlainLoop, Variant, fit_interleaved, precision_on, quiet
from experiments.benchmarks.masks import resident
from experiments.benchmarks.overhead import HookClock, sum_laps
from experiments.benchmarks.results import Goal, Result, ratio, spread
from prune_bench.callbacks import PARP
from prune_bench.config import Config
from prune_bench.data.batches import Batch
from prune_bench.families import preset
from prune_bench.families.ctc.pretraining import make_arch
from prune_bench.models.wav2vec2 import Wav2Vec2, Wav2Vec2Arch
from prune_bench.tasks.ctc import CtcTask

ROUNDS = 15
RETURNED = {"MALLOC_MMAP_THRESHOLD_": "131072"}  # glibc then hands freed tensors back: peaks are of what was in use
VOCABULARY = 32
SPARSITY = 0.5
MEMORY_STEPS = 4
DENSE, PRUNED, PLAIN = "dense", "PARP, weights", "torchaudio, plain loop"


def run(rounds: int = ROUNDS, device: str = "cpu", name: str = "tiny", memory: str = "paper") -> Result:
    """Rounds of as many steps as PARP has between two judgements, in turn; memory on the preset of that name."""
    config = preset(name, "ctc")
    interval = max(1, round(config.pruning.interval * config.final.steps))
    callback, precision = PARP(SPARSITY, interval=interval), precision_on(config, device)
    clock = HookClock(callback)
    variants = {
        DENSE: Variant(make_task(config), precision=precision),
        PRUNED: Variant(make_task(config), [callback], precision=precision),
        PLAIN: PlainLoop(plain_model(arch_of(config)), plain_loss, precision),
    }
    fit_interleaved(
        list(variants.values()), noise(config, 4), rounds * interval, interval, device, consecutive=interval
    )
    result = Result(f"Fine-tuning steps of the encoder, {name}, {device}")
    laps = {key: sum_laps(variant.seconds, interval) for key, variant in variants.items()}
    result.seconds = laps
    for key, seconds in laps.items():
        over = f"{ratio(seconds, laps[DENSE]) - 1:+.1%}" if key != DENSE else ""
        result.rows.append({"variant": key, f"{interval} steps, ms": spread(seconds), "over dense": over})
    hooks = clock.seconds / (len(variants[PRUNED].seconds) + interval) * interval / median(laps[DENSE])
    result.goals.append(Goal("PARP: share of a step in its hooks", hooks, 0.02, at_least=False))
    result.goals.append(Goal("throughput over the plain loop's", ratio(laps[PLAIN], laps[DENSE]), 1.0, at_least=True))
    measure_memory(result, memory)
    result.notes.append(f"all in {precision}; rounds of {interval} steps, in each of which PARP judges anew once")
    return result


def measure_memory(result: Result, name: str) -> None:
    """Peaks of whole processes, dense and with PARP, as a multiple of the prunable weights."""
    peaks = {key: peak_memory(key, name) for key in (DENSE, PRUNED)}
    size = weights_of(name) * 4 / (1 << 20)
    result.notes.append(
        f"peak memory of {MEMORY_STEPS} steps, {name} ({size:.0f} MB of prunable weights): "
        + ", ".join(f"{key} {peak:.0f} MB" for key, peak in peaks.items())
    )
    more = (peaks[PRUNED] - peaks[DENSE]) / size
    result.goals.append(Goal("PARP: peak memory over dense, of the weights'", more, 0.3, at_least=False))


def plain_loss(model: Wav2Vec2Model, batch: Batch, device: str) -> Tensor:
    logits, lengths = model(batch.features.squeeze(-1).to(device), batch.lengths.to(device))
    scores = logits.float().log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(scores, batch.targets.to(device), lengths, batch.target_lengths, zero_infinity=True)


def plain_model(arch: Wav2Vec2Arch) -> Wav2Vec2Model:
    """torchaudio's own encoder of the same widths, its convolutions frozen."""
    model = wav2vec2_model(
        arch.norm, list(arch.convs), arch.conv_bias, arch.width, 0.0, arch.position_kernel, arch.position_groups,
        len(arch.layers), arch.layers[0].heads, 0.0, arch.layers[0].ffn, 0.0, 0.0, arch.norm_first, 0.0, VOCABULARY,
    )  # fmt: skip
    model.feature_extractor.requires_grad_(False)
    return model


def arch_of(config: Config) -> Wav2Vec2Arch:
    return Wav2Vec2Arch(**{**vars(make_arch(config.encoder)), "vocabulary": VOCABULARY})


def make_task(config: Config) -> CtcTask:
    torch.manual_seed(0)
    return CtcTask(Wav2Vec2(arch_of(config)), config.final, config.features)


def noise(config: Config, count: int, seconds: float = 4.0) -> list[Batch]:
    """Noise in the shape of a preset's batches: `final.frames` samples in utterances of `seconds`."""
    samples, tokens = round(seconds * config.features.sample_rate), round(TOKENS_A_SECOND * seconds)
    rows = max(1, config.final.frames // samples)
    lengths, counts = torch.full((rows,), samples), torch.full((rows,), tokens)
    return [
        Batch(torch.randn(rows, samples, 1), lengths, torch.randint(1, VOCABULARY, (rows, tokens)), counts,
              torch.arange(rows))
        for _ in range(count)
    ]  # fmt: skip


def weights_of(name: str) -> int:
    """How many prunable weights a preset's encoder has, counted without allocating them."""
    with torch.device("meta"):
        model = Wav2Vec2(arch_of(preset(name, "ctc")))
    return sum(model.get_parameter(weight).numel() for weight in model.block_matrices())


def peak_memory(key: str, name: str) -> float:
    """Peak resident megabytes of a process that fine-tunes a few steps on one utterance."""
    command = [sys.executable, "-m", "experiments.benchmarks.encoder", key, name]
    environment = {**os.environ, **RETURNED, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main(key: str, name: str) -> None:
    import lightning
    from torch.utils.data import DataLoader

    config = preset(name, "ctc")
    config.final.frames = 1
    callbacks = [PARP(SPARSITY, interval=1)] if key == PRUNED else []
    with quiet():
        trainer = lightning.Trainer(
            max_steps=MEMORY_STEPS, max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, callbacks=callbacks,
        )  # fmt: skip
        trainer.fit(make_task(config), DataLoader(noise(config, MEMORY_STEPS), batch_size=None))
    print(resident())


if __name__ == "__main__":
    main(*sys.argv[1:])
