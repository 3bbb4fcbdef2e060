from __future__ import annotations

import json
import shutil

import pytest
import torch

from prune_bench.artefacts import load_model, weights_sha
from prune_bench.families.speech import SpeechExperiment
from prune_bench.models.arch import block_weights
from prune_bench.sweep.runs.dependencies import dense_of
from prune_bench.sweep.runs.files import write_config, write_lines
from prune_bench.sweep.runs.folders import run_folder
from prune_bench.sweep.runs.rows import read_row, unfinished
from prune_bench.sweep.stages import fits, timing
from prune_bench.sweep.stages.progress import Reporter, read_progress
from prune_bench.sweep.stages.registry import STAGES


def finish(config):
    STAGES["run"](run_folder(config), config, Reporter(run_folder(config)))
    return read_row(run_folder(config))


@pytest.fixture
def pruned(make_config, place_dense):
    config = make_config(method="omp", sparsity=0.3)
    place_dense(config)
    return config


def test_a_finished_run_has_a_complete_row(pruned):
    row = finish(pruned)
    model, dense = (load_model(run_folder(config) / "model") for config in (pruned, dense_of(pruned)))
    assert (row["status"], row["physical"], row["method"]) == ("done", True, "omp")
    assert row["dense_sha"] == weights_sha(dense)
    assert row["size.blocks"] == block_weights(model.arch)
    assert row["achieved"] == pytest.approx(1 - block_weights(model.arch) / block_weights(dense.arch))
    assert row["achieved"] == pytest.approx(0.3, abs=0.02)
    assert row["layers"]["layers.0"].keys() == {"ffn1", "heads", "conv", "ffn2", "hidden"}
    assert row["dense_layers"]["layers.1"] == {"ffn1": 32, "heads": 4, "conv": 16, "ffn2": 32, "hidden": 16}
    assert (row["updates.final"], row["updates.total"], row["stream"]) == (6, 10, 16)
    assert row["seconds.train"] > 0
    assert json.loads(json.dumps(row)) == row
    for split in ("dev-clean", "dev-other", "test-clean", "test-other"):
        counts = row["utterances"][split]
        assert row[f"wer.{split}"] == pytest.approx(100 * sum(counts["errors"]) / sum(counts["words"]))
        assert (sum(counts["errors"]), len(counts["words"])) == (row[f"wer.{split}.errors"], 3)
        low, high = row[f"wer.{split}.low"], row[f"wer.{split}.high"]
        assert (low, high) == (None, None) or low <= row[f"wer.{split}"] <= high
    progress = read_progress(run_folder(pruned))
    assert (progress.phase, progress.done, progress.total) == ("evaluating", 12, 12)


def test_it_is_the_saved_model_that_is_measured(pruned, monkeypatch):
    save = fits.save_model

    def save_another(model, folder):
        with torch.no_grad():
            model.joiner.output.weight.zero_()
            model.joiner.output.bias.zero_()
            model.joiner.output.bias[0] = 1.0  # nothing but blanks
        save(model, folder)

    monkeypatch.setattr(fits, "save_model", save_another)
    row = finish(pruned)
    assert row["wer.test-clean"] == 100.0
    assert row["wer.test-clean.errors"] == row["wer.test-clean.words"]


def test_a_finished_run_is_left_alone_and_a_lost_row_needs_no_training(pruned, monkeypatch):
    first = finish(pruned)
    monkeypatch.setattr(fits, "make_trainer", lambda *_: pytest.fail("trained again"))
    assert finish(pruned) == first
    (run_folder(pruned) / "row.json").unlink()
    again = finish(pruned)
    same = {key for key in first if not key.startswith(("seconds.evaluate", "finished"))}
    assert {key: again[key] for key in same} == {key: first[key] for key in same}


@pytest.mark.parametrize(
    ("measured", "message"),
    [({}, "a row without 'utterances'"), ({"utterances": {}, "wer.test": float("nan")}, r"wer\.test=nan is no finite")],
)
def test_a_row_that_lacks_a_number_is_not_written(pruned, monkeypatch, measured, message):
    monkeypatch.setattr(SpeechExperiment, "judge", lambda *_: dict(measured))
    with pytest.raises(ValueError, match=message):
        finish(pruned)
    assert read_row(run_folder(pruned)) is None


def test_references_are_measured_against_the_same_dense_model(make_config, place_dense):
    configs = [make_config(method=method, sparsity=sparsity) for method, sparsity in (("dense", 0.0), ("scratch", 0.3))]
    place_dense(configs[0])
    dense, scratch = map(finish, configs)
    assert dense["dense_sha"] == scratch["dense_sha"]
    assert (dense["achieved"], dense["physical"], dense["updates.total"]) == (0.0, False, 4)
    assert scratch["achieved"] == pytest.approx(0.3, abs=0.02)
    assert (scratch["physical"], scratch["updates.total"]) == (True, 4)


def test_all_finished_models_of_a_table_are_timed_side_by_side_once(pruned, monkeypatch, tmp_path):
    finish(pruned)
    finish(dense_of(pruned))
    table = tmp_path / "table"
    rows = [read_row(run_folder(config)) for config in (dense_of(pruned), pruned)]
    write_lines(table / "rows.jsonl", [*rows, {**unfinished(pruned, "failed", "killed"), "run": "omp-0.9"}])
    write_config(table, pruned)
    STAGES["time"](table, pruned, Reporter(table))
    timed = json.loads((table / "timing.json").read_text())
    assert set(timed) == {rows[0]["run"], rows[1]["run"], "_protocol"}
    assert timed[rows[0]["run"]]["eager"]["blocks"]["median"] > 0
    assert (timed["_protocol"]["seconds"], timed["_protocol"]["input"]) == (0.5, "speech")
    monkeypatch.setattr(timing, "experiment_of", lambda *_: pytest.fail("timed again"))
    STAGES["time"](table, pruned, Reporter(table))


def test_the_corpus_stage_makes_the_features(make_config, trained):
    config = make_config()
    STAGES["corpus"](run_folder(config), config, Reporter(None))
    made, before = ({path.name for path in (folder / "cache" / "features").iterdir()} for folder in
                    (run_folder(config).parents[1], trained))  # fmt: skip
    assert made == before
    shutil.rmtree(run_folder(config).parents[1])


def test_a_method_without_masks_has_no_overlap_whatever_the_structure_of_others(make_config, place_dense):
    rows = []
    for method in ("svd", "omp"):
        config = make_config(method=method, sparsity=0.3, pruning__structure="weights")
        place_dense(config)
        rows.append(finish(config))
    assert [row["status"] for row in rows] == ["done", "done"]
    assert ["overlap.start" in row for row in rows] == [False, True]
