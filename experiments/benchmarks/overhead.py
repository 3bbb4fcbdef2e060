"""What a pruning callback adds to the dense training step, beside Lightning's ModelPruning and torch.nn.utils.prune."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

from lightning import Callback
from lightning.pytorch.callbacks import ModelPruning
from torch import nn
from torch.nn.utils import prune

from experiments.benchmarks.interleaved import Variant, fit_interleaved, make_task, precision_on, random_batches
from experiments.benchmarks.results import Goal, Result, ratio, spread
from prune_bench.callbacks import L0, OMP, PARP
from prune_bench.config import Config
from prune_bench.families import preset
from prune_bench.tasks.transducer import TransducerTask

ROUNDS = 5
SPARSITY = 0.5
HOOKS = (
    "on_train_batch_start",
    "on_before_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
LIMITS = {"OMP, groups": 0.02, "PARP, groups": 0.02, "OMP, weights": 0.02, "PARP, weights": 0.02, "L0 + KD": 0.5}


def run(rounds: int = ROUNDS, device: str = "cpu", name: str = "tiny") -> Result:
    """Rounds of as many steps as PARP has between two judgements, the variants in turn.

    Two readings: the steps beside the dense ones, and the time spent in the callback's own hooks as a share of the
    dense step, which resolves what the noise of whole steps hides.
    """
    config = preset(name)
    interval = max(1, round(config.pruning.interval * config.final.steps))
    batches = random_batches(config, 4)
    variants, clocks = make_variants(config, interval, device)
    fit_interleaved(list(variants.values()), batches, rounds * interval, interval, device, consecutive=interval)
    laps = {key: sum_laps(variant.seconds, interval) for key, variant in variants.items()}
    dense = laps["dense"]
    result = Result(f"A pruning callback over the dense step, {name}, sparsity {SPARSITY:.0%}, {device}")
    result.seconds = laps
    for key, seconds in laps.items():
        inside = clocks[key].seconds / (len(variants[key].seconds) + interval) if key in clocks else 0.0
        added, hooks = ratio(seconds, dense) - 1, inside * interval / median(dense)
        result.rows.append(
            {
                "variant": key,
                f"{interval} steps, ms": spread(seconds),
                "over dense": f"{added:+.1%}" if key != "dense" else "",
                "in its hooks": f"{hooks:.2%}" if key in clocks else "",
            }
        )
        if key in LIMITS:
            value = added if key == "L0 + KD" else hooks
            result.goals.append(Goal(f"{key}: added share of a step", value, LIMITS[key], at_least=False))
    result.notes.append(f"all in {precision_on(config, device)}")
    result.notes.append(f"rounds of {interval} steps: PARP judges anew once in each")
    return result


class HookClock:
    """Adds up the seconds that a callback spends in its hooks."""

    def __init__(self, callback: Callback):
        self.seconds = 0.0
        for name in HOOKS:
            setattr(callback, name, self._timed(getattr(callback, name)))

    def _timed(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = perf_counter()
            result = hook(*arguments)
            self.seconds += perf_counter() - start
            return result

        return call


def make_variants(config: Config, interval: int, device: str) -> tuple[dict[str, Variant], dict[str, HookClock]]:
    """The same task under every callback, and clocks for the callbacks whose cost is their hooks."""
    ours: dict[str, Callback] = {
        "OMP, groups": OMP(SPARSITY, structure="groups"),
        "PARP, groups": PARP(SPARSITY, interval=interval, structure="groups"),
        "OMP, weights": OMP(SPARSITY),
        "PARP, weights": PARP(SPARSITY, interval=interval),
        "L0": L0(SPARSITY, distillation=0.0),
        "L0 + KD": L0(SPARSITY),
    }
    clocks = {key: HookClock(callback) for key, callback in ours.items()}
    variant = partial(Variant, precision=precision_on(config, device))
    variants = {"dense": variant(make_task(config))}
    variants |= {key: variant(make_task(config), [callback]) for key, callback in ours.items()}
    lightning, plain = make_task(config), make_task(config)
    variants["Lightning ModelPruning"] = variant(lightning, [model_pruning(lightning)])
    prune.global_unstructured(block_layers(plain), prune.L1Unstructured, amount=SPARSITY)
    variants["torch.nn.utils.prune"] = variant(plain)
    return variants, clocks


def block_layers(task: TransducerTask) -> list[tuple[nn.Module, str]]:
    """What our masks cover, as torch.nn.utils.prune wants it."""
    names = (name.removesuffix(".weight") for name in task.model.block_matrices())
    return [(task.model.get_submodule(name), "weight") for name in names]


def model_pruning(task: TransducerTask) -> ModelPruning:
    """Lightning's callback at its nearest to OMP: global magnitude once, at the end of the first epoch."""
    return ModelPruning(
        "l1_unstructured",
        parameters_to_prune=block_layers(task),
        amount=SPARSITY,
        use_global_unstructured=True,
        use_lottery_ticket_hypothesis=False,
        apply_pruning=lambda epoch: epoch == 0,
        make_pruning_permanent=False,
    )


def sum_laps(seconds: list[float], interval: int) -> list[float]:
    """Seconds of each round of `interval` steps."""
    return [sum(seconds[first : first + interval]) for first in range(0, len(seconds), interval)]
