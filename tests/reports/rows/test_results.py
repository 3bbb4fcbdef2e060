from __future__ import annotations

import gzip
import json
import lzma

import numpy as np
import pytest

from prune_bench.config import FitConfig
from prune_bench.config.history import translate
from prune_bench.families.transducer.quantities import QUANTITIES
from prune_bench.families.transducer.retained import hidden_widths, lost, retained
from prune_bench.measurement.accuracy import rate_of
from prune_bench.reports.rows.cells import DENSE, Cell, value_of, varied_keys
from prune_bench.reports.rows.files import read_rows, read_timing
from prune_bench.reports.rows.results import Results
from tests.reports.samples import layers, row, timing, unfinished


def test_rows_of_two_dense_models_within_a_seed_are_refused():
    rows = [row("dense"), row("omp", 0.5, dense_sha="ff" * 32)]
    with pytest.raises(ValueError, match=r"seed 0 mixes two dense models: dense-s0-\w+ starts from 00abab.* from ffff"):
        Results(rows)


def test_seeds_may_have_dense_models_of_their_own():
    results = Results([row("dense", seed=0), row("dense", seed=1), row("omp", 0.5, seed=1)])
    assert results.seeds == [0, 1]
    assert results.values("size", DENSE).keys() == {0, 1}


def held(digest: str, language: str = "en") -> dict[str, object]:
    return {
        "config": {**row("dense")["config"], "corpus": {"language": language, "content": {language: {"dev": digest}}}}
    }


def test_rows_of_a_corpus_that_changed_are_refused():
    rows = [row("dense", **held("a")), row("omp", 0.5, **held("b"))]
    with pytest.raises(ValueError, match=r"corpus\.en\.dev changed between dense-s0-\w+ and omp-0\.5-s0-\w+: report"):
        Results(rows)
    rows = [row("dense", **held("a")), row("dense", run="other", dense_sha="b", **held("b", "nl"))]
    assert len(Results(rows, by=("corpus.language",)).rows) == 2


def test_content_tells_no_settings_apart():
    alike = [row("omp", 0.5, run=run, **held(run)) for run in "ab"]
    for one in alike:
        one["config"] = translate(one["config"])
    assert varied_keys(alike) == ()
    alike[1]["config"]["features"]["mels"] = 40
    assert varied_keys(alike) == ("features.mels",)


@pytest.mark.parametrize(("key", "value"), [("preset", "smoke"), ("corpus", "fsdd")])
def test_rows_of_two_presets_or_corpora_are_refused(key, value):
    with pytest.raises(ValueError, match=f"2 values of {key}"):
        Results([row("dense"), row("omp", 0.5, **{key: value})])


def test_rows_of_two_test_sets_are_refused():
    with pytest.raises(ValueError, match="evaluated on different test sets"):
        Results([row("dense"), row("omp", 0.5, utterances=299)])


def test_two_runs_of_one_cell_and_seed_are_refused_by_name():
    with pytest.raises(ValueError, match=r"first and second are both omp at 0\.5, seed 0"):
        Results([row("omp", 0.5, run="first"), row("omp", 0.5, run="second")])


def test_a_run_that_was_tried_again_counts_once_with_its_last_row():
    results = Results([unfinished("omp", 0.5, "failed", "killed"), row("omp", 0.5)])
    assert list(results.runs[Cell("omp", 0.5)]) == [0]
    assert not results.unfinished


def test_one_seed_has_an_interval_over_its_utterances():
    one = row("omp", 0.5)
    estimate = Results([one]).estimate("wer.test-clean", Cell("omp", 0.5))
    assert estimate == rate_of(*one["utterances"]["test-clean"].values())
    assert (estimate.mean, estimate.seeds) == (pytest.approx(one["wer.test-clean"]), 1)


def test_no_interval_of_rates_goes_below_nothing():
    rows = [row("omp", 0.5, seed) for seed in range(3)]
    for one in rows[1:]:
        one["utterances"]["test-clean"]["errors"] = [0] * 300
    estimate = Results(rows).estimate("wer.test-clean", Cell("omp", 0.5))
    assert estimate.low == 0 < estimate.mean < estimate.high


def test_rows_without_counts_have_a_mean_alone():
    estimate = Results([{**row("omp", 0.5), "utterances": {}}]).estimate("wer.test-clean", Cell("omp", 0.5))
    assert estimate.mean > 0
    assert estimate.low is estimate.high is None


def test_several_seeds_give_the_mean_of_their_rates_and_an_interval_around_all():
    rows = [row("omp", 0.5, seed) for seed in range(3)]
    estimate = Results(rows).estimate("wer.test-other", Cell("omp", 0.5))
    rates = [one["wer.test-other"] for one in rows]
    assert estimate.mean == pytest.approx(np.mean(rates))
    assert estimate.low < estimate.mean < estimate.high


def test_change_compares_with_the_dense_model_of_the_same_seed():
    rows = [
        row("dense", seed=0, **{"size.blocks_nonzero": 100}),
        row("dense", seed=1, **{"size.blocks_nonzero": 200}),
        row("omp", 0.5, seed=0, **{"size.blocks_nonzero": 50}),
        row("omp", 0.5, seed=1, **{"size.blocks_nonzero": 150}),
        row("omp", 0.5, seed=2, **{"size.blocks_nonzero": 1}),
    ]
    results = Results(rows)
    assert results.change("size", Cell("omp", 0.5)) == pytest.approx((-0.5 - 0.25) / 2)
    assert results.change("size", DENSE) is None


def test_rtf_is_the_encoders_seconds_for_a_second_of_audio():
    one = row("dense")
    timed = timing([one], seconds=5.0)
    timed[one["run"]]["eager"]["front_end"]["median"] = 0.01
    timed[one["run"]]["eager"]["blocks"]["median"] = 0.04
    rtf, onnx = QUANTITIES["rtf"], QUANTITIES["rtf.onnx"]
    assert rtf.value(one, timed, "") == pytest.approx(0.01)
    assert rtf.value(row("omp", 0.5), timed, "") is None
    assert onnx.value(one, {}, "") is None


def test_an_unknown_quantity_is_one_line():
    results = Results([row("dense")])
    with pytest.raises(ValueError, match=r"unknown quantity of task=transducer: 'rtf\.onxx': did you mean 'rtf\.onnx'"):
        results.values("rtf.onxx", DENSE)
    with pytest.raises(ValueError, match=r"unknown quantity of task=transducer: 'ppl\.test'"):
        results.estimate("ppl.test", DENSE)
    assert results.estimate("wer.test-foreign", DENSE) is None


def test_retained_counts_weights_by_module_and_layer():
    # One layer of width 4 with 2 heads of width 2, 6 FFN channels, a kernel of 3; half of each goes, one head stays.
    model = {"width": 4, "heads": 2, "ffn": 6, "kernel": 3, "layers": 1, "subsampling": 2}
    dense = {"layers.0": {"ffn1": 6, "heads": 2, "conv": 4, "ffn2": 6, "hidden": 4}}
    kept = {"layers.0": {"ffn1": 3, "heads": 1, "conv": 0, "ffn2": 3, "hidden": 2}}
    one = {"config": {"model": model, "features": {"mels": 80}}, "layers": kept, "dense_layers": dense, "stream": 3}
    ffn, attention = 2 * 3 * (3 + 2), 2 * (4 * 2 + 4)
    ratios = retained(one)
    assert ratios["ffn"] == [pytest.approx(ffn / 96)]
    assert ratios["attention"] == [pytest.approx(attention / 80)]
    assert ratios["conv"] == [0.0]
    assert ratios["all"] == [pytest.approx((ffn + attention) / (96 + 80 + 60))]
    assert hidden_widths(one) == [2]


def test_nothing_is_lost_of_an_unpruned_model():
    assert set(lost(row("dense", stream=144)).values()) == {0.0}


def test_bottom_and_top_are_the_published_shares_of_the_layers():
    one = row("l0_sparsity", 0.5, stream=144)
    whole = layers(0.0)
    one["layers"] = {**whole, "layers.1": {**whole["layers.1"], "ffn1": 0, "ffn2": 0}}
    assert lost(one)["bottom"] > 20
    assert lost(one)["top"] == 0
    one["layers"] = {**whole, "layers.2": {**whole["layers.2"], "ffn1": 0, "ffn2": 0}}
    assert lost(one)["bottom"] == lost(one)["top"] == 0  # of four layers, two are bottom and one is top


def test_layers_stand_in_the_order_of_their_numbers():
    counts = {f"layers.{i}": {"hidden": i} for i in (10, 9, 0)}
    assert hidden_widths({"layers": counts}) == [0, 9, 10]


def test_rows_are_read_from_listings_plain_or_compressed(tmp_path):
    lines = [json.dumps(row("dense", run=name)) for name in "abc"]
    (tmp_path / "rows.jsonl").write_text(lines[0] + "\n")
    (tmp_path / "rows-1.jsonl.gz").write_bytes(gzip.compress((lines[1] + "\n").encode()))
    (tmp_path / "rows-2.jsonl.xz").write_bytes(lzma.compress((lines[2] + "\n").encode()))
    assert sorted(one["run"] for one in read_rows(tmp_path)) == ["a", "b", "c"]


def test_rows_are_read_from_run_folders(tmp_path):
    (tmp_path / "some-run").mkdir()
    (tmp_path / "some-run" / "row.json").write_text(json.dumps(row("dense", run="a")))
    assert [one["run"] for one in read_rows(tmp_path)] == ["a"]


def test_a_row_of_an_earlier_version_has_the_keys_of_this_one(tmp_path):
    earlier = {**row("dense"), "config": {"text": {"longest": 9}}}
    del earlier["task"]
    (tmp_path / "rows.jsonl").write_text(json.dumps(earlier))
    (one,) = read_rows(tmp_path)
    assert one["task"] == "transducer"
    assert value_of(one, "text.max_tokens") == 9
    assert value_of(one, "final.steps") == FitConfig().steps
    assert read_timing(tmp_path) == {}


def test_timings_taken_alike_are_read_together(tmp_path):
    for name, run, seconds in (("timing-0", "a", 10), ("timing-1", "b", 10), ("timing-2", "c", 20)):
        (tmp_path / f"{name}.json").write_text(json.dumps({run: {}, "_protocol": {"seconds": seconds}}))
    with pytest.raises(ValueError, match=r"timing-2\.json: timed in another way"):
        read_timing(tmp_path)
    (tmp_path / "timing-2.json").unlink()
    assert read_timing(tmp_path) == {"a": {}, "b": {}, "_protocol": {"seconds": 10}}


def test_unreadable_rows_are_named_with_their_line(tmp_path):
    with pytest.raises(ValueError, match=r"neither rows\.jsonl nor"):
        read_rows(tmp_path / "nowhere")
    (tmp_path / "rows.jsonl").write_text(json.dumps(row("dense")) + '\n{"run": \n')
    with pytest.raises(ValueError, match=r"rows.jsonl:2: not JSON"):
        read_rows(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"achieved": None}, "a row without 'achieved': delete it and run the sweep again"),
        ({"layers": None}, "a row without 'layers'"),
        ({"seed": "0"}, "seed='0' is no int"),
        ({"physical": 1}, "physical=1 is no bool"),
        ({"sparsity": True}, "sparsity=True is no float"),
        ({"status": "finished"}, "status='finished' is no failed or infeasible"),
        ({"stream": [144]}, r"stream=\[144\] is no int"),
        ({"task": "transduce"}, "did you mean 'transducer'"),
        ({"achieved": float("nan")}, "achieved=nan is no finite number"),
        ({"wer.test-clean": float("inf")}, r"wer\.test-clean=inf is no finite number"),
    ],
)
def test_a_row_without_a_column_of_its_family_is_refused_by_name(tmp_path, changes, words):
    made = {key: value for key, value in {**row("dense"), **changes}.items() if value is not None}
    (tmp_path / "rows.jsonl").write_text(json.dumps(made) + "\n")
    with pytest.raises(ValueError, match=words):
        read_rows(tmp_path)


def test_runs_without_numbers_need_no_columns_of_measurements(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(unfinished("omp", 0.5, "failed", "killed")) + "\n")
    assert [one["reason"] for one in read_rows(tmp_path)] == ["killed"]


@pytest.mark.parametrize(("suffix", "packed"), [(".gz", gzip.compress), (".xz", lzma.compress)])
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: b"no" + data[2:], lambda data: data[:20] + b"xx" * 9]
)
def test_packed_rows_that_are_cut_off_or_damaged_are_named(tmp_path, suffix, packed, damage):
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(damage(packed(b'{"run": "one"}\n' * 50)))
    with pytest.raises(ValueError, match=rf"rows.jsonl{suffix}: cut off or damaged"):
        read_rows(tmp_path)
