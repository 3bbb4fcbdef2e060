"""The callback of a configured run, and the mask that it begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lightning import Callback
from torch import Tensor, nn

from prune_bench.artefacts import load_model
from prune_bench.callbacks import OMP, RP, make_callback
from prune_bench.config import Config
from prune_bench.pruning.compensation import Unchanged
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.methods import find_method
from prune_bench.pruning.plans import AtStart
from prune_bench.sweep.runs.dependencies import initial_run, mask_run, run_id
from prune_bench.sweep.runs.folders import run_folder


def callbacks_for(config: Config, mask: Mapping[str, Tensor] | None = None) -> list[Callback]:
    """The callbacks of a configured run: none where nothing is removed. `mask` is the first one, drawn elsewhere.

    Rounds are runs of their own here, so that what is left of them in a fit is the mask that it begins with.
    """
    method = find_method(config.method)
    if not method.removes or config.sparsity == 0:
        return []
    if method.mask_source == "rounds":
        method = replace(method, schedule=AtStart(), compensation=Unchanged(), mask_source="start")
    frames = round(1000 * config.pruning.reference_seconds / config.features.hop_ms)
    return [make_callback(method, config.sparsity, config.pruning, mask, config.seed, frames)]


def first_mask(config: Config, model: nn.Module) -> MaskSet | None:
    """The mask that a run begins with; None where its callback draws it from the weights it starts from."""
    pruning, method = config.pruning, find_method(config.method)
    options: dict[str, Any] = {
        "structure": pruning.structure, "allocation": pruning.allocation, "seed": config.seed, "kinds": method.kinds
    }  # fmt: skip
    if method.mask_source == "chance":
        return RP(config.sparsity, **options).choose(model)
    source, start = mask_run(config), initial_run(config)
    if source is None or (start is not None and run_id(source) == run_id(start)):
        return None
    return OMP(config.sparsity, **options).choose(load_model(run_folder(source) / "model"))
