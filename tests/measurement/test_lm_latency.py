from __future__ import annotations

import pytest
import torch

from prune_bench.measurement.lm_latency import eager_stages, onnx_stages, time_language_models
from tests.helpers.text import WORDS, make_model


def test_every_model_is_timed_both_ways():
    seen = []
    models = {"one": make_model(), "other": make_model(1)}
    timings = time_language_models(models, 5, 3, rounds=2, progress=lambda *done: seen.append(done))
    assert timings.pop("_protocol").items() >= {"units": 5, "hypotheses": 3, "rounds": 2, "threads": 1}.items()
    assert timings.keys() == models.keys()
    for timed in timings.values():
        assert {runtime: set(parts) for runtime, parts in timed.items()} == {
            "eager": {"step", "sentence", "total"},
            "onnx": {"sentence", "total"},
        }
        assert 0 < timed["eager"]["step"]["low"] <= timed["eager"]["step"]["median"] <= timed["eager"]["step"]["high"]
    assert seen[-1][0] == seen[-1][1]


@torch.inference_mode()
def test_stages_compute_what_they_are_named_after(tmp_path, monkeypatch):
    model, tokens = make_model().eval(), torch.randint(WORDS.size, (3, 5))
    steps = []
    monkeypatch.setattr(model, "step", lambda token, state: steps.append(token.tolist()) or (None, state))
    assert eager_stages(model)["step"](tokens) is tokens
    assert steps == tokens.T.tolist()
    found = onnx_stages(make_model().eval(), tmp_path, threads=1)["sentence"](tokens)
    assert found.numpy() == pytest.approx(make_model().eval()(tokens[:1]).numpy(), abs=1e-5)
