from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from prune_bench.config import Config, FitConfig, LanguageModelConfig
from prune_bench.config.history import DEFAULTS, FORMER_NAMES
from prune_bench.families import FAMILIES, family_of
from prune_bench.overrides import flat_keys
from prune_bench.pruning.methods import METHODS, STAGES
from prune_bench.sweep.runs.dependencies import recogniser_of, run_id

UNNAMED = {  # sections, and keys of any section, that name no run, and why
    "download": "how a corpus gets there, not what it holds",
    "accelerator": "where a fit executes",
    "checkpoint_every": "how often a fit saves",
    "preset": "a name for values that count themselves",
    "measurement": "how a finished model is measured: the row says it, and other values measure the same model again",
    "fusion": "how a finished language model is measured; `fusion.fit` counts in the name of the recogniser",
    "plugins": "where a family or a corpus is found, not what it is",
    "wandb": "where metrics go",
    "execution": "where and how runs execute, not what",
    **dict.fromkeys(("calibration_batches", "block", "damping"), "of criteria that no method has yet"),
}
OTHERS = {"task": "ctc", "method": "parp"}
RUNS = [
    replace(Config(), task=task, method=method, sparsity=0.5)
    for task in FAMILIES.names
    for method in {**METHODS, **STAGES}
]


@dataclass
class LargerFit(FitConfig):
    momentum: float = 0.9


@dataclass
class LargerConfig(Config):
    dense: LargerFit = field(default_factory=LargerFit)
    final: LargerFit = field(default_factory=LargerFit)


@dataclass
class FormerModel(LanguageModelConfig):
    dimension: int = 144


@dataclass
class FormerConfig(Config):
    lm: FormerModel = field(default_factory=FormerModel)


def changed(part: Any, key: str) -> Any:
    """A configuration or a section of it with another value at a dotted key."""
    name, _, rest = key.partition(".")
    value = getattr(part, name)
    if rest:
        return replace(part, **{name: changed(value, rest)})
    if isinstance(value, bool):
        return replace(part, **{name: not value})
    return replace(part, **{name: OTHERS.get(name, f"{value}x") if isinstance(value, str) else (value or 0) + 0.25})


def names(config: Config) -> list[str]:
    """The names of a run and of the recogniser that it is measured with."""
    fused = family_of(config).recogniser is not None
    return [run_id(one) for one in (config, *([recogniser_of(config)] if fused else []))]


NAMES = list(map(names, RUNS))


@pytest.mark.parametrize("key", [key for key, value in flat_keys(Config()).items() if not isinstance(value, dict)])
def test_every_key_renames_a_run_or_stands_in_a_list_with_a_reason(key):
    renamed = any(names(changed(run, key)) != before for run, before in zip(RUNS, NAMES, strict=True))
    recogniser = key.startswith("fusion.fit.")
    reasons = [UNNAMED[part] for part in key.split(".")[recogniser:] if part in UNNAMED]
    assert renamed is not bool(reasons)


def test_a_new_key_with_a_default_moves_no_name():
    for run in RUNS:
        larger = LargerConfig(**{**vars(run), "dense": LargerFit(), "final": LargerFit()})
        assert run_id(larger) == run_id(run)
        assert run_id(replace(larger, dense=LargerFit(momentum=0.8), final=LargerFit(momentum=0.8))) != run_id(run) or (
            run.method == "pretraining"
        )


def test_a_changed_default_moves_all_names_that_its_section_shapes(monkeypatch):
    transducer, ctc = (replace(Config(), task=task) for task in ("transducer", "ctc"))
    before = run_id(transducer), run_id(ctc)
    monkeypatch.setitem(DEFAULTS, "encoder", [*DEFAULTS["encoder"], {"layers": 7}])
    assert run_id(transducer) == before[0]
    assert run_id(ctc) != before[1]


def test_a_renamed_key_keeps_all_names(monkeypatch):
    config = replace(Config(), task="language_model", lm=LanguageModelConfig(width=7))
    former = FormerConfig(**{**vars(config), "lm": FormerModel(dimension=7)})
    assert run_id(config) != run_id(former)
    monkeypatch.setitem(FORMER_NAMES, "lm.width", "lm.dimension")
    assert run_id(config) == run_id(former)


def test_runs_of_different_tasks_and_methods_are_told_apart_but_for_pretraining():
    told = [run for run in RUNS if run.method != "pretraining"]
    assert len({run_id(run) for run in told}) == len(told)
