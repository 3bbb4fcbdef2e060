"""Seconds that language models take for a sentence, token by token as in fusion and all of it at once, side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prune_bench.export import export_language_model, open_session, run_encoder
from prune_bench.measurement.latency import Progress, Stages, protocol, time_pipelines
from prune_bench.models.transformer_lm import LanguageModel


def time_language_models(
    models: Mapping[str, LanguageModel],
    length: int,
    hypotheses: int,
    rounds: int,
    threads: int = 1,
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Time each model on sentences of `length` tokens, on the CPU. Models are left in eval mode.

    Returns for each name {"eager": parts, "onnx": parts}: `step`, that many `hypotheses` read token by token with
    cached keys and values; `sentence`, one sentence in one pass. Each is the `median`, `low` and `high` seconds over
    `rounds` of the whole length.
    """
    pipelines: dict[tuple[str, str], Stages] = {}
    starts: dict[tuple[str, str], Tensor] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models.items():
            generator = torch.Generator().manual_seed(0)
            tokens = torch.randint(model.arch.vocabulary, (hypotheses, length), generator=generator)
            pipelines[name, "eager"] = eager_stages(model.eval())
            pipelines[name, "onnx"] = onnx_stages(model, Path(folder), threads)
            starts |= {(name, "eager"): tokens, (name, "onnx"): tokens}
        timings = time_pipelines(pipelines, starts, rounds, threads, progress)
    timings["_protocol"] = {"units": length, "hypotheses": hypotheses, **protocol(rounds, threads)}
    return timings


def eager_stages(model: LanguageModel) -> Stages:
    """The model itself; every stage hands on the tokens (hypotheses, length) that it was given."""

    def step(tokens: Tensor) -> Tensor:
        state = model.initial_state(len(tokens), model.norm.weight)
        for token in tokens.unbind(1):
            _, state = model.step(token, state)
        return tokens

    def sentence(tokens: Tensor) -> Tensor:
        model(tokens[:1])
        return tokens

    return {"step": step, "sentence": sentence}


def onnx_stages(model: LanguageModel, folder: Path, threads: int) -> Stages:
    """One pass under ONNX Runtime. `folder` may go afterwards."""
    session = open_session(export_language_model(model, folder / "model.onnx"), threads)
    return {"sentence": lambda tokens: run_encoder(session, tokens[:1])}
