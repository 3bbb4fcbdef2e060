"""Which part of a configuration shapes a run, and hashes that name it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from prune_bench.config import Config, to_dict

MODELS = {"transducer": ("model",), "ctc": ("encoder", "pretraining", "finetuning")}


def fingerprint(values: Any) -> str:
    """Twelve hex digits that name a JSON-able value."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def sections(task: str, method: str) -> tuple[str, ...]:
    """What of a configuration shapes a run; of `pruning`, only the method's knobs do."""
    dense = ("seed", "corpus", "features", "tokenizer", *MODELS[task], "dense")
    special = {
        "dense": dense,
        "continue_ft": (*dense, "method", "final"),
        "scratch": (*dense, "method", "sparsity"),
        "unpretrained": (*dense, "method"),
        "pretraining": ("features", "encoder", "pretraining"),
    }
    return special.get(method, (*dense, "method", "sparsity", "final", "pruning"))


def identity(config: Config, *sections: str, knobs: Sequence[str] | None = None) -> str:
    """The hash of the sections that shape a stage; of `pruning` only the `knobs`.

    What a preset is called, where a fit executes and how often it saves a run executes do not change its identity.
    """
    values = to_dict(config)
    for key in ("download",):
        values["corpus"].pop(key)
    for fit in (values["dense"], values["final"], values["pretraining"]["fit"]):
        for key in ("accelerator", "checkpoint_every"):
            fit.pop(key)
    if knobs is not None:
        values["pruning"] = {key: values["pruning"][key] for key in knobs}
    return fingerprint({section: values[section] for section in sections})
