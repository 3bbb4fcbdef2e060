from __future__ import annotations

import gc
import json

import numpy as np
import pytest
import torch

from prune_bench.data.store import FeatureStore
from prune_bench.measurement.latency import (
    WARMUP_ROUNDS,
    eager_stages,
    onnx_stages,
    speech,
    summarise,
    time_models,
    time_passes,
)
from prune_bench.models.arch import ConformerArch, TransducerArch
from prune_bench.models.transducer import Transducer


def make_model(seed: int, ffn: int = 16) -> Transducer:
    torch.manual_seed(seed)
    encoder = ConformerArch.dense(mels=8, subsampling=4, width=16, heads=2, ffn=ffn, kernel=3, layers=1)
    model = Transducer(TransducerArch(encoder, 5, "stateless", 8, 1, 8))
    torch.nn.init.normal_(model.joiner.output.weight, std=2.0)
    return model.eval()


def test_pipelines_alternate_in_an_order_of_their_own_each_round():
    calls = []

    def note(name: str):
        return {"first": lambda value: calls.append((name, value)) or value + 1, "second": calls.append}

    names = "abcdefghij"
    passes = time_passes({name: note(name) for name in names}, dict.fromkeys(names, 1), rounds=30)
    order = [call[0] for call in calls if isinstance(call, tuple)]
    assert order[::2] == order[1::2], "a warm-up pass comes right before the timed one"
    assert calls[:4] == [(order[0], 1), 2, (order[0], 1), 2]
    rounds = [order[start : start + 20 : 2] for start in range(0, len(order), 20)]
    assert len(rounds) == 30 + WARMUP_ROUNDS
    assert all(sorted(one) == list(names) for one in rounds)
    assert len({tuple(one) for one in rounds}) == len(rounds)
    places = {name: [one.index(name) for one in rounds] for name in names}
    assert all(min(places[name]) < 3 and max(places[name]) > 6 for name in names)
    assert all(len(values) == 30 for parts in passes.values() for values in parts.values())


def test_parts_add_up_to_the_total():
    passes = time_passes({"one": {"up": lambda x: x + 1, "down": lambda x: x - 1}}, {"one": 0}, rounds=4)
    parts = passes["one"]
    assert list(parts) == ["up", "down", "total"]
    assert np.add(parts["up"], parts["down"]) == pytest.approx(parts["total"])


def test_summary_is_median_and_range():
    assert summarise([3.0, 1.0, 2.0, 10.0]) == {"median": 2.5, "low": 1.0, "high": 10.0}


def test_timing_leaves_the_process_as_it_was():
    torch.set_num_threads(2)
    seen = {}

    def look(_: None) -> None:
        seen.update(threads=torch.get_num_threads(), collects=gc.isenabled(), records=torch.is_grad_enabled())

    time_passes({"one": {"look": look}}, {"one": None}, rounds=1, threads=1)
    after = {"threads": torch.get_num_threads(), "collects": gc.isenabled(), "records": torch.is_grad_enabled()}
    torch.set_num_threads(1)
    assert seen == {"threads": 1, "collects": False, "records": False}
    assert after == {"threads": 2, "collects": True, "records": True}


def test_both_runtimes_hear_the_same(tmp_path):
    model, features = make_model(0), torch.randn(1, 90, 8)
    outputs = []
    for stages in (eager_stages(model, 2), onnx_stages(model, tmp_path, threads=1, max_symbols=2)):
        value = features
        with torch.inference_mode():
            for stage in stages.values():
                value = stage(value)
        outputs.append(value)
    assert outputs[0] == outputs[1]
    assert len(outputs[0][0]) > 0


def test_models_are_timed_in_every_part():
    models, seen = {"dense": make_model(0), "pruned": make_model(1, ffn=4)}, []
    timings = time_models(
        models, seconds=0.5, rounds=2, features=torch.randn(80, 8), progress=lambda *counts: seen.append(counts)
    )
    assert list(timings) == ["dense", "pruned", "_protocol"]
    for name in models:
        assert list(timings[name]) == ["eager", "onnx"]
        for parts in timings[name].values():
            assert list(parts) == ["front_end", "blocks", "decoding", "total"]
            assert all(0 < part["low"] <= part["median"] <= part["high"] for part in parts.values())
    protocol = timings["_protocol"]
    assert (protocol["seconds"], protocol["frames"], protocol["input"]) == (0.5, 50, "speech")
    assert (protocol["rounds"], protocol["threads"]) == (2, 1)
    assert seen == [(done, 6) for done in range(1, 7)]
    assert json.loads(json.dumps(timings)) == timings


def test_too_little_speech_is_refused():
    with pytest.raises(ValueError, match="40 frames of speech for a timing of 50"):
        time_models({"dense": make_model(0)}, seconds=0.5, rounds=1, features=torch.randn(40, 8))


def test_speech_joins_utterances():
    features = np.arange(24, dtype=np.float16).reshape(12, 2)
    lengths = np.array([5, 4, 3])
    store = FeatureStore(
        (features,), np.zeros(3, int), np.cumsum(lengths) - lengths, lengths, ["0", "1", "2"], ["a"] * 3, ["s"] * 3,
        [0.1] * 3, {},
    )  # fmt: skip
    assert speech(store, 7).tolist() == features[:7].tolist()
    assert speech(store, 12).shape == (12, 2)
    with pytest.raises(ValueError, match="holds 12 frames"):
        speech(store, 13)
