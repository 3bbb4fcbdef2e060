"""Rows and timings as a sweep writes them, made up: plausible, seeded, and quick."""

from __future__ import annotations

from typing import Any

import numpy as np

from prune_bench.families import Unfinished, as_row
from prune_bench.measurement.accuracy import rate_of
from prune_bench.pruning.methods import METHODS

WIDTH, HEADS, FFN, KERNEL, LAYERS = 144, 4, 576, 15, 4
BLOCKS = LAYERS * (4 * WIDTH * FFN + 5 * WIDTH * WIDTH + 3 * WIDTH * WIDTH + WIDTH * KERNEL)
COST = {  # points of error rate added at 100 % removed, on top of dense
    "dense": 0.0, "continue_ft": -4.0, "scratch": 60.0, "omp": 55.0, "parp": 48.0, "svd": 150.0, "l0_sparsity": 20.0,
    "l0_flops": 26.0, "l0_without_hidden": 27.0, "l0_heads": 70.0, "l0_without_kd": 30.0,
}  # fmt: skip
BASE = {"dev-clean": 7.5, "dev-other": 22.0, "test-clean": 8.0, "test-other": 24.0}
DENSE_LAYER = {"ffn1": FFN, "heads": HEADS, "conv": WIDTH, "ffn2": FFN, "hidden": WIDTH}


def run_name(method: str, sparsity: float, seed: int) -> str:
    return f"{method}{f'-{sparsity:g}' if sparsity else ''}-s{seed}-0123456789ab"


def row(method: str, sparsity: float = 0.0, seed: int = 0, utterances: int = 300, **changes: Any) -> dict[str, Any]:
    """A finished run. Error counts are Poisson about the method's cost, alike for all methods but for that cost."""
    kept = 1 - sparsity
    values: dict[str, Any] = {
        **{"run": run_name(method, sparsity, seed), "method": method, "sparsity": sparsity, "seed": seed},
        **{
            "task": "transducer",
            "structure": "groups",
            "target": METHODS[method].target,
            "preset": "tiny",
            "corpus": "espeak",
            "status": "done",
            "reason": "",
        },
        **{"dense_sha": f"{seed:02d}" + "ab" * 31, "achieved": sparsity, "physical": sparsity > 0},
        "size.blocks": round(BLOCKS * kept),
        "size.blocks_nonzero": round(BLOCKS * kept),
        "size.encoder": round(BLOCKS * kept) + 240_000,
        "size.total": round(BLOCKS * kept) + 330_000,
        "flops.blocks": 1e9 * kept,
        "flops.encoder": 1e9 * kept + 2e8,
        **{"updates.final": 800, "updates.total": 1600 if method == "dense" else 2400, "utterances": {}},
        **{"layers": layers(sparsity), "dense_layers": layers(0.0), "stream": WIDTH - round(20 * sparsity)},
        **{"hardware.cpu": "Example CPU", "hardware.cores": 2, "threads": 1, "precision": "32-true"},
        **{"seconds.train": 60.0, "seconds.evaluate": 5.0},
        "versions": {"torch": "2.11.0"},
        "config": {
            "model": {"width": WIDTH, "heads": HEADS, "ffn": FFN, "kernel": KERNEL, "layers": LAYERS, "subsampling": 6},
            "features": {"mels": 80},
        },
        "finished": "2026-01-01T00:00:00+00:00",
    }
    for split, base in BASE.items():
        words = np.random.default_rng(len(split)).integers(4, 10, utterances)
        rng = np.random.default_rng([seed, sum(map(ord, split))])
        rate = (base + COST[method] * max(sparsity, 0.1) ** 2 * base / 8) / 100
        errors = np.minimum(rng.poisson(words * rate), words)
        found = rate_of(errors, words)
        values |= {f"wer.{split}": found.mean, f"wer.{split}.low": found.low, f"wer.{split}.high": found.high}
        values["utterances"][split] = {"errors": errors.tolist(), "words": words.tolist()}
    return {**as_row(values, values["run"]), **changes}


def unfinished(method: str, sparsity: float, status: str, reason: str, seed: int = 0) -> dict[str, Any]:
    """A failed or infeasible run: it has no numbers."""
    whole = row(method, sparsity, seed, utterances=1)
    keys = Unfinished.__required_keys__ - {"status", "reason"}
    return {**{key: whole[key] for key in keys}, "status": status, "reason": reason}


def layers(sparsity: float) -> dict[str, dict[str, int]]:
    """Unit counts that prune the bottom more than the top and FFN layers most."""
    counts = {}
    for i in range(LAYERS):
        less = sparsity * (1.5 - i / (LAYERS - 1))
        kept = {"ffn1": round(FFN * max(0.05, 1 - 1.2 * less)), "ffn2": round(FFN * max(0.05, 1 - 1.2 * less))}
        heads = HEADS - round(HEADS * less * 0.8)
        counts[f"layers.{i}"] = DENSE_LAYER | kept | {"heads": heads, "hidden": WIDTH - round(30 * less)}
    return counts


def timing(rows: list[dict[str, Any]], seconds: float = 10.0) -> dict[str, Any]:
    """Timings of the finished rows; blocks take time by their FLOPs, the front end always the same."""
    timings: dict[str, Any] = {}
    for one in rows:
        if one["status"] == "done":
            share = (one["flops.blocks"] / 1e9) * (0.97 if one["method"] == "l0_flops" else 1.0)
            timings[one["run"]] = {
                "eager": parts(0.002, 0.003 + 0.014 * share), "onnx": parts(0.001, 0.0005 + 0.007 * share)
            }  # fmt: skip
    protocol = {"seconds": seconds, "frames": 1000, "input": "speech", "rounds": 30, "threads": 1}
    return {**timings, "_protocol": protocol}


def parts(front_end: float, blocks: float) -> dict[str, dict[str, float]]:
    stages = {"front_end": front_end, "blocks": blocks, "decoding": 0.004, "total": front_end + blocks + 0.004}
    return {name: {"median": value, "low": 0.95 * value, "high": 1.2 * value} for name, value in stages.items()}
