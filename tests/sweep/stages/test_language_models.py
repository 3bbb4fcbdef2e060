"""Runs of a language model beside a recogniser, from the corpus to the row."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import pytest

from prune_bench.artefacts import load_model, save_model
from prune_bench.families import preset
from prune_bench.families.language_model import fusing
from prune_bench.measurement.fusion import tune
from prune_bench.overrides import override
from prune_bench.pruning import Infeasible
from prune_bench.sweep.runs.dependencies import gradual_run, reference_runs, with_dependencies
from prune_bench.sweep.runs.files import write_lines
from prune_bench.sweep.runs.folders import run_folder
from prune_bench.sweep.runs.rows import is_final, read_row, unfinished, write_row
from prune_bench.sweep.stages import fits
from prune_bench.sweep.stages.progress import Reporter
from prune_bench.sweep.stages.registry import STAGES, open_corpus
from tests.sweep.conftest import SMALLEST

SPLITS = ("dev-clean", "dev-other", "test-clean", "test-other")


def configure(recordings, output, **changes):
    values = {
        **SMALLEST, "corpus.root": str(recordings), "execution.output": str(output), "text.name": "files",
        "text.root": str(recordings), "text.train": "text.txt", "lm.layers": 2, "lm.width": 16, "lm.heads": 2,
        "lm.ffn": 32, "final.steps": 20, "fusion.beam": 2, "fusion.weights": "0.1+0.3", "fusion.fit.steps": 4,
        "fusion.fit.frames": 300, "pruning.intermediate": "0.5+0.7", "measurement.fused": True,
    }  # fmt: skip
    values |= {key.replace("__", "."): value for key, value in changes.items()}
    return override(preset("smoke", "language_model"), values)


def finish(config):
    """The row of a run, its needs seen to."""
    for one in (*reference_runs(config), *with_dependencies(config)):
        fits.fit(one, open_corpus(one), Reporter(None))
    STAGES["run"](run_folder(config), config, Reporter(None))
    return read_row(run_folder(config))


@pytest.fixture(scope="session")
def shared(recordings, tmp_path_factory):
    """An output folder with the recogniser, the dense language model and its row."""
    (recordings / "text.txt").write_text("ab ab\nba a b\nabba\nbaab a\nb b a\n" * 4)
    output = tmp_path_factory.mktemp("language")
    finish(configure(recordings, output))
    return output


@pytest.fixture
def make(recordings, shared, tmp_path):
    shutil.copytree(shared, tmp_path / "output")
    return lambda **changes: configure(recordings, tmp_path / "output", **changes)


def test_a_row_tells_perplexities_and_error_rates_with_and_without_help(make):
    row = read_row(run_folder(make()))
    assert (row["status"], row["task"], row["achieved"]) == ("done", "language_model", 0.0)
    for split in ("dev", "test"):
        sentences = row["sentences"][split]
        assert row[f"ppl.{split}"] == pytest.approx(
            math.exp(sum(sentences["nats"]) / sum(sentences["units"])), rel=1e-5
        )
        assert row[f"ppl.{split}.low"] < row[f"ppl.{split}"] < row[f"ppl.{split}.words"]
    for split in SPLITS:
        for kind in ("", "alone."):
            counts = row[f"{kind}utterances"][split]
            assert row[f"{kind}wer.{split}"] == pytest.approx(100 * sum(counts["errors"]) / sum(counts["words"]))
        assert len(row["frequent"][split]) == len(row["utterances"][split]["words"]) == 3
    assert row["fusion"]["weight"] in (0.1, 0.3)
    assert len(row["fusion"]["tried"]) == 2
    assert row["rtf.decoding"] > 0
    assert row["kept"]["head.weight"][0] == 1.0


def learning_rates(config):
    """As they were noted."""
    lines = map(json.loads, (run_folder(config) / "metrics.jsonl").read_text().splitlines())
    return [line["train/learning_rate"] for line in lines if "train/learning_rate" in line]


@pytest.mark.parametrize("structure", ["weights", "groups", "ranks"])
def test_a_gradual_run_delivers_its_sizes_with_the_dense_models_weights(make, monkeypatch, structure):
    monkeypatch.setattr(fusing, "tune", lambda *_: pytest.fail("tuned again"))
    config = make(method="taylor_gradual", sparsity=0.5, pruning__structure=structure)
    halved = finish(config)
    whole = finish(replace(config, sparsity=0.7))
    assert (halved["updates.final"], whole["updates.final"]) == (10, 20)
    assert (halved["achieved"], whole["achieved"]) == (pytest.approx(0.5, abs=0.05), pytest.approx(0.7, abs=0.05))
    assert halved["physical"] == (structure != "weights")
    rates = learning_rates(replace(config, sparsity=0.7))
    assert rates[len(rates) // 2 - 1] == pytest.approx(rates[-1]) == min(rates)
    assert halved["fusion"] == whole["fusion"] == read_row(run_folder(make()))["fusion"]
    assert set(halved["utterances"]) == {"test-clean", "test-other"}
    assert "alone.wer.test-clean" not in halved


def test_a_row_without_fusion_is_completed_when_it_is_asked_for(make):
    config = make(method="omp", sparsity=0.5, pruning__structure="weights", measurement__fused=False)
    assert "wer.test-clean" not in finish(config)
    asked = override(config, {"measurement.fused": True})
    assert run_folder(asked) == run_folder(config)
    assert "wer.test-clean" in finish(asked)
    assert "wer.test-clean" in finish(config)


def test_weights_are_those_of_the_smallest_error_rate_on_development_speech(make):
    config = make()
    corpus, model = open_corpus(config), load_model(run_folder(config) / "model")
    texts = corpus.speech.splits["dev-clean"].texts
    good = {0.1: ["", "", ""], 0.3: texts}

    def recognise(one, fusion):
        return good[fusion.weight]

    encoded = fusing.Encoded([], texts)
    assert tune(recognise, model, {"dev-clean": encoded}, [0.1, 0.3], [0.0])["weight"] == 0.3


def test_the_correction_of_the_internal_language_model_is_chosen_with_the_weight(make):
    config = make()
    texts, model = open_corpus(config).speech.splits["dev-clean"].texts, load_model(run_folder(config) / "model")

    def recognise(one, fusion):
        return texts if (fusion.weight, fusion.internal) == (0.1, 0.2) else [""] * len(texts)

    chosen = tune(recognise, model, {"dev-clean": fusing.Encoded([], texts)}, [0.1, 0.3], [0.0, 0.2])
    assert (chosen["weight"], chosen["internal"], len(chosen["tried"])) == (0.1, 0.2, 4)


def test_a_size_of_an_infeasible_run_says_so(make):
    config = make(method="gradual", sparsity=0.1, pruning__structure="heads", pruning__intermediate="0.1+0.5")
    path = gradual_run(config)
    write_row(run_folder(path), unfinished(path, "infeasible", "at most 30 % can be removed so"))
    with pytest.raises(Infeasible, match=r"run to 50.0%, and at most 30 % can be removed so: leave it out of pruning"):
        fits.fit(config, open_corpus(config), Reporter(None))


def test_a_row_is_not_final_for_another_recogniser(make):
    config = make()
    row = read_row(run_folder(config))
    assert is_final(row, config)
    assert not is_final(row, override(config, {"model.predictor": "lstm"}))
    assert not is_final(row, override(config, {"fusion.fit.steps": 3}))
    assert is_final(row, override(config, {"model.predictor": "lstm", "measurement.fused": False}))


def test_a_language_model_of_other_tokens_is_refused(make):
    config = make()
    model = load_model(run_folder(config) / "model")
    model.arch = replace(model.arch, tokenizer="other")
    shutil.rmtree(run_folder(config) / "model")
    save_model(model, run_folder(config) / "model")
    (run_folder(config) / "row.json").unlink()
    with pytest.raises(ValueError, match="other tokens than the recogniser: train it with the same tokenizer"):
        STAGES["run"](run_folder(config), config, Reporter(None))


def test_language_models_are_timed_side_by_side(make, tmp_path):
    config = make()
    row = read_row(run_folder(config))
    write_lines(tmp_path / "table" / "rows.jsonl", [row])
    STAGES["time"](tmp_path / "table", config, Reporter(None))
    timed = json.loads((tmp_path / "table" / "timing.json").read_text())
    assert timed[row["run"]]["eager"]["step"]["median"] > 0
    assert (timed["_protocol"]["units"], timed["_protocol"]["hypotheses"]) == (32, 2)
