"""Mask update over 100 million scores: seconds, and peak memory beyond the scores themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from experiments.benchmarks.results import Goal, Result, spread
from prune_bench.pruning.allocation import everywhere
from prune_bench.pruning.criteria import magnitude
from prune_bench.pruning.pruner import Pruner
from prune_bench.pruning.schedules import OneShot
from prune_bench.pruning.structures import Weights

ROUNDS = 3
SCORES = 100_000_000
TENSORS = 48
SPARSITY = 0.5

Scores = dict[str, Tensor]


def run(rounds: int = ROUNDS, device: str = "cpu", scores: int = SCORES) -> Result:
    """Ours on fresh scores, on scores of which half are zeros, and as a whole update, beside torch's ways."""
    result = Result(f"Mask update, {scores:,} scores in {TENSORS} tensors, {torch.get_num_threads()} thread(s), cpu")
    inputs = {zeros: make_scores(scores, zeros) for zeros in (False, True)}
    for _ in range(rounds):
        for name, (update, zeros) in UPDATES.items():
            start = perf_counter()
            update(inputs[zeros])
            result.seconds.setdefault(name, []).append(perf_counter() - start)
    peaks = {name: peak_memory(name, scores) for name in UPDATES}
    size = 4 * scores / (1 << 20)
    for name, seconds in result.seconds.items():
        extra = f"{peaks[name]:.0f} MB, {peaks[name] / size:.2f}x"
        result.rows.append({"update": name, "ms": spread(seconds), "beyond the scores": extra})
    for name in (FRESH, PRUNED):
        result.goals.append(Goal(f"{name}: seconds, best round", min(result.seconds[name]), 1.0, at_least=False))
        result.goals.append(Goal(f"{name}: memory beyond the scores over theirs", peaks[name] / size, 2.0, False))
    return result


def make_scores(count: int, zeros: bool) -> Scores:
    """Magnitudes of normal weights; with `zeros` the smaller half is zero, as after an update."""
    generator = torch.Generator().manual_seed(0)
    scores = {
        f"layers.{i}": torch.empty(count // TENSORS).normal_(0, 0.02, generator=generator).abs_()
        for i in range(TENSORS)
    }
    if zeros:
        for score in scores.values():
            score[score < 0.0135] = 0.0
    return scores


def removed(scores: Scores) -> int:
    return round(SPARSITY * sum(score.numel() for score in scores.values()))


def ours(scores: Scores) -> None:
    everywhere(scores, removed(scores))


def whole_update(scores: Scores) -> None:
    """Score, select and zero, as a callback does; the weights are zeroed in place."""
    Pruner(magnitude, Weights(scores), OneShot(SPARSITY)).update(0)


def by_kthvalue(scores: Scores) -> None:
    flat = torch.cat(list(scores.values()))
    threshold = flat.kthvalue(removed(scores)).values
    _ = [score > threshold for score in scores.values()]


def by_topk(scores: Scores) -> None:
    flat = torch.cat(list(scores.values()))
    mask = torch.ones_like(flat, dtype=torch.bool)
    mask[flat.topk(removed(scores), largest=False).indices] = False


def by_torch_prune(scores: Scores) -> None:
    layers = [nn.Module() for _ in scores]
    for layer, score in zip(layers, scores.values(), strict=True):
        layer.weight = nn.Parameter(score, requires_grad=False)
    prune.global_unstructured([(layer, "weight") for layer in layers], prune.L1Unstructured, amount=SPARSITY)


FRESH, PRUNED = "ours, fresh scores", "ours, half of them zeros"
UPDATES: dict[str, tuple[Callable[[Scores], None], bool]] = {
    FRESH: (ours, False),
    PRUNED: (ours, True),
    "ours, whole update of weights": (whole_update, True),
    "torch.kthvalue and compare": (by_kthvalue, False),
    "torch.topk": (by_topk, False),
    "torch.nn.utils.prune.global_unstructured": (by_torch_prune, False),
}


def peak_memory(name: str, scores: int) -> float:
    """Megabytes that one update adds to a fresh process' peak."""
    command = [sys.executable, "-m", "experiments.benchmarks.masks", name, str(scores)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def resident() -> float:
    """Peak resident megabytes of this process so far (a rusage would count the parent's too)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main(name: str, count: int) -> None:
    update, zeros = UPDATES[name]
    update(make_scores(1000 * TENSORS, zeros))
    scores = make_scores(count, zeros)
    before = resident()
    update(scores)
    print(resident() - before)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
