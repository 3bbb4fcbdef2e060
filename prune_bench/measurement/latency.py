"""Seconds that models take for one utterance, measured side by side in one process.

Every model is timed once a round, in an order drawn anew for each round, so that a change in the machine's speed meets
all models alike, however many they are. A pass goes from features to tokens and is timed at the border of each stage:
the unpruned front end and decoding bound what pruning can gain. Run nothing beside it.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

import onnxruntime
import torch
from torch import Tensor

from prune_bench.data.store import FeatureStore
from prune_bench.decoding.greedy import search_greedy
from prune_bench.export import export_blocks, export_front_end, open_session, run_encoder
from prune_bench.models.transducer import Transducer

Key = TypeVar("Key", bound=Hashable)
Stages = Mapping[str, Callable[[Any], Any]]
Progress = Callable[[int, int], None]

WARMUP_ROUNDS = 2


def time_models(
    models: Mapping[str, Transducer],
    seconds: float,
    rounds: int,
    threads: int = 1,
    hop_ms: float = 10.0,
    features: Tensor | None = None,
    max_symbols: int = 5,
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Time each model on one utterance of `seconds`, eager and under ONNX Runtime, on the CPU and without padding.

    Returns for each name {"eager": parts, "onnx": parts} with parts `front_end`, `blocks`, `decoding` and `total`,
    each the `median`, `low` and `high` seconds over `rounds`; and how it was done under `_protocol`. Decoding is the
    same eager code in both. `features` (frames, mels), best `speech(store, frames)`, are cut to `seconds`; without
    them the input is noise, on which a model may emit more or fewer tokens than on speech. Models are left in eval
    mode. `progress(done, total)` is called after each model's preparation and each round.

    Raises:
        ValueError: `features` is shorter than `seconds`.
    """
    frames = round(1000 * seconds / hop_ms)
    inputs = {name: _inputs(features, frames, model.arch.encoder.mels) for name, model in models.items()}
    total = len(models) + rounds + WARMUP_ROUNDS
    pipelines = {}
    with tempfile.TemporaryDirectory() as folder:
        for done, (name, model) in enumerate(models.items(), start=1):
            pipelines[name, "eager"] = eager_stages(model.eval(), max_symbols)
            pipelines[name, "onnx"] = onnx_stages(model, Path(folder), threads, max_symbols)
            if progress:
                progress(done, total)
        starts = {key: inputs[key[0]] for key in pipelines}
        report = (lambda done, _: progress(len(models) + done, total)) if progress else None
        timings = time_pipelines(pipelines, starts, rounds, threads, report)
    speech = {"seconds": seconds, "frames": frames, "input": "noise" if features is None else "speech"}
    timings["_protocol"] = {**speech, "max_symbols": max_symbols, **protocol(rounds, threads)}
    return timings


def protocol(rounds: int, threads: int) -> dict[str, Any]:
    """How all models are timed."""
    return {
        "rounds": rounds,
        "warmup_rounds": WARMUP_ROUNDS,
        "threads": threads,
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def time_pipelines(
    pipelines: Mapping[tuple[str, str], Stages],
    inputs: Mapping[tuple[str, str], Any],
    rounds: int,
    threads: int = 1,
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Seconds of every stage of the pipelines (model, runtime): {model: {runtime: {stage: median, low, high}}}."""
    timings: dict[str, dict[str, Any]] = {name: {} for name, _ in pipelines}
    for (name, runtime), durations in time_passes(pipelines, inputs, rounds, threads, progress).items():
        timings[name][runtime] = {part: summarise(values) for part, values in durations.items()}
    return timings


def time_passes(
    pipelines: Mapping[Key, Stages],
    inputs: Mapping[Key, Any],
    rounds: int,
    threads: int = 1,
    progress: Progress | None = None,
) -> dict[Key, dict[str, list[float]]]:
    """Seconds of every stage, and of all as `total`, in each of `rounds` rounds over all pipelines.

    A pipeline's stages run in order, each on what the one before returned, the first on `inputs`. An untimed pass
    comes right before each timed one, so that every pipeline finds its own weights in the caches.
    """
    keys = list(pipelines)
    passes: dict[Key, dict[str, list[float]]] = {key: {} for key in keys}
    with _undisturbed(threads):
        for number in range(rounds + WARMUP_ROUNDS):
            for key in Random(number).sample(keys, len(keys)):
                _time_pass(pipelines[key], inputs[key])
                durations = _time_pass(pipelines[key], inputs[key])
                if number >= WARMUP_ROUNDS:
                    for part, duration in durations.items():
                        passes[key].setdefault(part, []).append(duration)
            if progress:
                progress(number + 1, rounds + WARMUP_ROUNDS)
    return passes


def eager_stages(model: Transducer, max_symbols: int) -> Stages:
    """The model's own modules, from features (1, frames, mels) to tokens."""
    encoder = model.encoder
    return {
        "front_end": lambda features: encoder.front_end(features, None)[0],
        "blocks": encoder.blocks,
        "decoding": _search(model, max_symbols),
    }


def onnx_stages(model: Transducer, folder: Path, threads: int, max_symbols: int) -> Stages:
    """Front end and blocks under ONNX Runtime, decoding by the model itself. `folder` may go afterwards."""
    front_end = open_session(export_front_end(model, folder / "front_end.onnx"), threads)
    blocks = open_session(export_blocks(model, folder / "blocks.onnx"), threads)
    return {
        "front_end": lambda features: run_encoder(front_end, features),
        "blocks": lambda stream: run_encoder(blocks, stream),
        "decoding": _search(model, max_symbols),
    }


def speech(store: FeatureStore, frames: int) -> Tensor:
    """The first utterances of a split end to end: (frames, mels). ValueError for a split that is shorter."""
    pieces, collected = [], 0
    for index in range(len(store)):
        pieces.append(store[index])
        collected += len(pieces[-1])
        if collected >= frames:
            return torch.cat(pieces)[:frames]
    raise ValueError(f"the split holds {collected} frames of speech, timing needs {frames}: lower the timed seconds")


def summarise(durations: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": median(durations), "low": min(durations), "high": max(durations)}


def _search(model: Transducer, max_symbols: int) -> Callable[[Tensor], list[list[int]]]:
    return lambda hidden: search_greedy(model, hidden, torch.tensor([hidden.shape[1]]), max_symbols)


def _inputs(features: Tensor | None, frames: int, mels: int) -> Tensor:
    if features is None:
        return torch.randn(1, frames, mels, generator=torch.Generator().manual_seed(0))
    if len(features) < frames:
        raise ValueError(f"{len(features)} frames of speech for a timing of {frames}: give a longer utterance")
    return features[None, :frames]


def _time_pass(stages: Stages, inputs: Any) -> dict[str, float]:
    durations = {}
    begin = start = perf_counter()
    for name, stage in stages.items():
        inputs = stage(inputs)
        end = perf_counter()
        durations[name] = end - start
        start = end
    return {**durations, "total": start - begin}


@contextmanager
def _undisturbed(threads: int) -> Iterator[None]:
    """No gradients, no garbage collection, and that many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    gc.collect()
    gc.disable()
    try:
        with torch.inference_mode():
            yield
    finally:
        gc.enable()
        torch.set_num_threads(before)
