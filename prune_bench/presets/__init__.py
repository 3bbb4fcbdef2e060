"""Presets: the same experiment at four sizes, as functions returning a Config, for each task."""

from __future__ import annotations

from prune_bench.config import Config
from prune_bench.overrides import suggest
from prune_bench.presets import ctc, transducer

PRESETS = {"transducer": transducer.PRESETS, "ctc": ctc.PRESETS}


def preset(name: str, task: str = "transducer") -> Config:
    """The named preset of a task. ValueError with a suggestion for an unknown name."""
    if task not in PRESETS:
        raise ValueError(suggest(task, list(PRESETS), "value for task:"))
    if name not in PRESETS[task]:
        raise ValueError(suggest(name, list(PRESETS[task]), "preset"))
    return PRESETS[task][name]()
