"""Presets: the same experiment at four sizes, as functions returning a Config, for each task."""

from __future__ import annotations

from collections.abc import Container

from prune_bench.config import Config
from prune_bench.overrides import flat_keys, override, suggest
from prune_bench.presets import ctc, language_model, transducer

# Updates of a fit on fewer labels, as a fraction of those on ten hours: 12k and 15k of 20k, as published for PARP.
SHARES = {("ctc", "10min"): 0.6, ("ctc", "1h"): 0.75}
# Updates of a large encoder's pretraining, as a fraction of a base one's, where both are to take equally long.
LARGE_SHARES = {"tiny": 0.35}
PRESETS = {"transducer": transducer.PRESETS, "ctc": ctc.PRESETS, "language_model": language_model.PRESETS}


def preset(name: str, task: str = "transducer") -> Config:
    """The named preset of a task. ValueError with a suggestion for an unknown name."""
    if task not in PRESETS:
        raise ValueError(suggest(task, list(PRESETS), "value for task:"))
    if name not in PRESETS[task]:
        raise ValueError(suggest(name, list(PRESETS[task]), "preset"))
    return PRESETS[task][name]()


def with_updates(config: Config, given: Container[str]) -> Config:
    """A preset's configuration with as many updates as its labels and its encoder want; steps `given` as keys stay."""
    shares = dict.fromkeys(("dense.steps", "final.steps"), SHARES.get((config.task, config.corpus.labels), 1.0))
    if config.encoder.size == "large":
        shares["pretraining.fit.steps"] = LARGE_SHARES.get(config.preset, 1.0)
    steps = flat_keys(config)
    return override(config, {key: round(share * steps[key]) for key, share in shares.items() if key not in given})
