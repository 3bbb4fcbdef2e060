"""Each benchmark on the smallest model: what it measures is real, no time is asserted."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from experiments.benchmarks import (
    compaction,
    coverage,
    decoding,
    encoder,
    language_model,
    masks,
    overhead,
    step,
    taylor,
)
from experiments.benchmarks.__main__ import NAMES, parse
from experiments.benchmarks.interleaved import arch_of, make_task, random_batches
from experiments.benchmarks.results import Goal, Result, ratio, show, write
from prune_bench.families import preset
from prune_bench.measurement.size import measure_size
from prune_bench.models.arch import block_weights
from prune_bench.models.transducer import Transducer
from prune_bench.models.transformer_lm import LanguageModel
from prune_bench.models.wav2vec2 import Wav2Vec2


@pytest.mark.parametrize("names", [[], ["masks"], [*NAMES]])
def test_any_number_of_benchmarks_can_be_named(monkeypatch, names):
    monkeypatch.setattr("sys.argv", ["benchmarks", *names])
    assert parse().names == names


def test_an_unknown_benchmark_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", "mask"])
    with pytest.raises(SystemExit):
        parse()
    assert "choose from step" in capsys.readouterr().err


@pytest.mark.slow
def test_steps_of_both_transducers_are_timed_and_counted():
    result = step.run(rounds=2, presets=("smoke",))
    assert {key: len(seconds) for key, seconds in result.seconds.items()} == {"smoke ours": 2, "smoke torchaudio": 2}
    assert all(float(row["GFLOP"]) > 0 for row in result.rows)
    assert [goal.at_least for goal in result.goals] == [True]
    assert sum("RNN-T" in note for note in result.notes) == 2


def test_flop_count_sees_attention():
    config = preset("smoke")
    model = config.model
    (batch,) = random_batches(config, 1)
    task = make_task(config)
    frames = len(batch.features) * -(-batch.features.shape[1] // model.subsampling)
    weights = sum(p.numel() for name, p in task.model.named_parameters() if name.endswith("weight") and p.dim() > 1)
    lower = 6 * frames * block_weights(task.model.arch)
    assert lower < step.count_step(task, batch) < 20 * frames * weights


def test_every_variant_takes_its_turns():
    result = overhead.run(rounds=2, name="smoke")
    assert {len(seconds) for seconds in result.seconds.values()} == {2}
    assert {"dense", "L0 + KD", "Lightning ModelPruning", "torch.nn.utils.prune"} <= set(result.seconds)
    assert len(result.goals) == len(overhead.LIMITS)


def test_a_failing_fit_stops_the_benchmark():
    config = preset("smoke")
    task = make_task(config)
    task.model.joiner.output = nn.Linear(3, 3)
    with pytest.raises(RuntimeError, match="shapes"):
        overhead.fit_interleaved([overhead.Variant(task)], random_batches(config, 1), 1, 0, "cpu")


def test_mask_updates_of_peers_remove_the_same_share():
    scores = masks.make_scores(48 * 100, zeros=False)
    masks.whole_update(scores)
    removed = sum(int((score == 0).sum()) for score in scores.values())
    assert removed == masks.removed(scores)


def test_mask_benchmark_measures_time_and_memory(monkeypatch):
    monkeypatch.setattr(masks, "peak_memory", lambda name, scores: 1.0)
    result = masks.run(rounds=2, scores=480_000)
    assert [row["update"] for row in result.rows] == list(masks.UPDATES)
    assert {len(seconds) for seconds in result.seconds.values()} == {2}


def test_peak_memory_counts_what_an_update_adds():
    assert masks.peak_memory("torch.topk", 4_800_000) > 8 * 4_800_000 / 2 / 1e6


def test_compacted_model_has_half_of_heads_and_channels():
    models = compaction.pair(arch_of(preset("smoke")))
    before, after = (models[key].arch.encoder.layers[0] for key in ("dense", "compacted"))
    assert isinstance(models["compacted"], Transducer)
    assert (2 * after.heads, 2 * after.ffn1, 2 * after.ffn2) == (before.heads, before.ffn1, before.ffn2)
    assert after.conv == before.conv


@pytest.mark.slow
def test_compaction_benchmark_reports_both_runtimes():
    result = compaction.run(rounds=2, presets=("smoke",))
    assert [row["model"] for row in result.rows] == ["smoke width, eager", "smoke width, onnx"]


def test_encoder_is_timed_beside_a_plain_loop_of_the_same_widths(monkeypatch):
    monkeypatch.setattr(encoder, "peak_memory", lambda key, name: 100.0)
    result = encoder.run(rounds=2, name="smoke", memory="smoke")
    assert {key: len(seconds) for key, seconds in result.seconds.items()} == {
        encoder.DENSE: 2, encoder.PRUNED: 2, encoder.PLAIN: 2,
    }  # fmt: skip
    assert [goal.at_least for goal in result.goals] == [False, True, False]
    arch = encoder.arch_of(preset("smoke", "ctc"))
    ours, theirs = (sum(p.numel() for p in make(arch).parameters()) for make in (Wav2Vec2, encoder.plain_model))
    assert ours == theirs


@pytest.mark.slow
def test_memory_of_whole_processes_is_measured():
    assert encoder.peak_memory(encoder.PRUNED, "smoke") > 100


def test_result_is_printed_and_written(tmp_path, capsys):
    seconds = {"a": [1.0, 2.0], "b": [2.0, 6.0]}
    goal = Goal("b over a", ratio(seconds["b"], seconds["a"]), 3.0, at_least=False)
    result = Result("Title", [{"variant": "a", "ms": "1"}], [goal], ["a note"], seconds)
    show(result)
    write(result, tmp_path / "result.json", "cpu")
    assert "b over a: 2.5, at most 3: met" in capsys.readouterr().out
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["seconds"] == seconds
    assert written["goals"][0]["met"]
    assert written["hardware"]["threads"] == torch.get_num_threads()


def test_language_models_train_beside_a_plain_loop_and_are_timed_factorised():
    result = language_model.run(rounds=2, name="smoke", sizes=("smoke",))
    assert {key: len(seconds) for key, seconds in result.seconds.items()} == {
        language_model.DENSE: 2, language_model.TAYLOR: 2, language_model.PLAIN: 2,
    }  # fmt: skip
    assert [goal.at_least for goal in result.goals] == [False, True, False]
    assert len(result.notes) == 4


def test_decoding_is_timed_at_the_rate_of_speech():
    result = decoding.run(rounds=2, name="smoke", seconds=1.0)
    assert [len(taken) for taken in result.seconds.values()] == [2] * 4
    assert [row["part"] for row in result.rows] == [*result.seconds]
    (goal,) = result.goals
    assert goal.value > 0
    assert 3 < float(result.notes[0].split()[-4]) < 9


@torch.no_grad()
def test_the_plain_language_model_looks_back_alone():
    arch = language_model.arch_of(preset("smoke", "language_model"))
    model = language_model.PlainModel(arch, 0.0).eval()
    tokens = torch.randint(arch.vocabulary, (2, 6))
    assert torch.allclose(model(tokens)[:, :4], model(tokens[:, :4]), atol=1e-5)
    ours = sum(p.numel() for p in LanguageModel(arch).parameters())
    assert sum(p.numel() for p in model.parameters()) == ours


def test_factors_of_half_the_size():
    arch = language_model.arch_of(preset("tiny", "language_model"))
    full, half = (measure_size(LanguageModel(one))["blocks"] for one in (arch, language_model.halved(arch)))
    embeddings = arch.vocabulary * arch.width
    assert (half - embeddings) / (full - embeddings) == pytest.approx(0.5, abs=0.01)


def test_coverage_is_printed_beside_the_bootstraps():
    result = coverage.run(rounds=40)
    assert len(result.rows) == len(coverage.QUANTITIES) * len(coverage.SEEDS) * len(coverage.DEVIATIONS)
    assert [goal.at_least for goal in result.goals] == [True, False]
    lowest, highest = (goal.value for goal in result.goals)
    assert 0.7 < lowest < highest <= 1


def test_scores_are_ranked_against_removal():
    result = taylor.run(updates=3, held=8, scored=256)
    assert [row["score"] for row in result.rows] == [
        *(f"Taylor, {examples} a gradient" for examples in taylor.EXAMPLES),
        "magnitude",
    ]
    assert all(-1 <= float(row[kind]) <= 1 for row in result.rows for kind in ("heads", "ffn", "weights"))
    assert result.rows[0]["ffn"] != result.rows[-2]["ffn"]
