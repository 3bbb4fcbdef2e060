"""The language-model study's tables, figures and claims: what they run, what they print, from made-up rows."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from experiments.papers import nnlm
from experiments.papers.nnlm.grid import BEST, CHOSEN, HEADS, SETTINGS, SIZES, STRUCTURES, alone, at
from prune_bench.config import to_dict
from prune_bench.families import find_quantity, preset
from prune_bench.families.counts import PARTS, among, entropies, word_errors
from prune_bench.overrides import override
from prune_bench.reports.figures.components import kept_by_component
from prune_bench.reports.rows.cells import DENSE, Cell
from prune_bench.reports.rows.results import Results
from prune_bench.sweep.grid import read_grid
from prune_bench.sweep.runs.dependencies import gradual_run, normalise, run_id
from tests.reports.samples import row


def ratio(one, name):
    """A quantity of a row."""
    quantity, which = find_quantity(name, ["language_model"])
    return quantity.value(one, {}, which)


REPORTS = {**nnlm.TABLES, **nnlm.FIGURES}
TABLE = nnlm.TABLES["nnlm-table1"]
SPLITS = ("dev-clean", "dev-other", "test-clean", "test-other")
COST = {"weights": 0.1, "ranks": 0.2, "groups": 0.4, "heads": 0.05}
HARM = {"omp": 1.3, "taylor": 1.2, "gradual": 1.1, "taylor_gradual": 1.0, "scratch": 3.0}
MATRICES = {
    **{f"layers.{i}.{part}.weight": 100 for i in range(2) for part in ("attention.query", "ffn.up")},
    "head.weight": 50,
}


def nats_of(config):
    """The more a method costs, the worse the model, most of all when little is left."""
    harm = HARM.get(config.method, 0.0) * COST[config.pruning.structure] * config.sparsity**2
    return 1.5 + harm * (1.0 if "gradual" in config.method else 1 + config.sparsity)


def fake(line, seed=0):
    """A finished run of a report's line."""
    config = normalise(override(preset("smoke", "language_model"), {**line, "seed": seed}))
    rng, kept = np.random.default_rng(seed), 1 - config.sparsity
    tokens = rng.integers(10, 30, 60)
    nats = nats_of(config) * tokens * rng.uniform(0.99, 1.01, 60)
    errors = (np.arange(60) < nats_of(config) * 20).astype(int)
    judged = {split: {"errors": errors.tolist(), "words": [4] * 60} for split in SPLITS}
    worse = {split: {"errors": (errors + 1 + np.arange(60) % 3).tolist(), "words": [4] * 60} for split in SPLITS}
    frequent = rng.permutation(60).tolist()
    text = {"nats": nats.tolist(), "units": tokens.tolist(), "words": [5] * 60, "frequent": frequent}
    found = row("dense", seed=seed)
    for key in ("layers", "dense_layers", "stream"):
        del found[key]
    return {
        **found, "run": run_id(config), "task": "language_model", "config": to_dict(config), "method": config.method,
        "sparsity": config.sparsity, "physical": config.pruning.structure != "weights", "utterances": judged,
        "alone.utterances": worse, "sentences": {"dev": text, "test": text}, "size.blocks_nonzero": 1e6 * kept,
        "flops.encoder": 2e6 * kept, "frequent": dict.fromkeys(SPLITS, frequent), "rtf.decoding": 0.01,
        "kept": {name: [kept, size] for name, size in MATRICES.items()},
        "fusion": {"weight": 0.2, "internal": 0.0},
        **{f"wer.{split}": 100 * errors.sum() / 240 for split in SPLITS},
    }  # fmt: skip


def rows_of(report, seeds=(0,)):
    return [fake(line, seed) for seed in seeds for line in report.configurations()]


def timing_of(rows):
    parts = {"step": {"median": 0.032}, "sentence": {"median": 0.0032}}
    timed = {one["run"]: {"eager": parts, "onnx": {"sentence": {"median": 0.0016}}} for one in rows}
    return {**timed, "_protocol": {"units": 32, "hypotheses": 8, "rounds": 30, "threads": 1}}


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_prints_and_writes_all_formats(name, tmp_path):
    report, rows = REPORTS[name], rows_of(REPORTS[name])
    assert report.task == "language_model"
    assert report.name == name
    assert report.text(rows, timing_of(rows)).startswith(report.title)
    assert {".md", ".tex", ".csv", ".png", ".svg"} <= {path.suffix for path in report.write(rows, {}, tmp_path)}


@pytest.mark.parametrize("name", [*REPORTS, *nnlm.CLAIMS])
def test_a_report_without_rows_is_no_error(name, tmp_path):
    report = {**REPORTS, **nnlm.CLAIMS}[name]
    assert report.title in report.text([])
    assert report.write([], {}, tmp_path)


def test_the_grid_is_whole():
    cells = set(TABLE.cells())
    for sparsity in CHOSEN:
        assert Cell("scratch", sparsity) in cells
        assert {at(one, method, sparsity) for one in STRUCTURES for method in TABLE.methods} <= cells
    assert {alone(structure) for structure in STRUCTURES} <= cells
    assert {DENSE, Cell("continue_ft"), at(HEADS, "taylor", 0.16)} <= cells


@pytest.mark.parametrize("name", [*REPORTS, *nnlm.CLAIMS])
def test_every_line_is_a_run_of_its_own(name):
    configs = read_grid([f"table={name}", "preset=tiny"], {**REPORTS, **nnlm.CLAIMS}).configs
    assert len({run_id(config) for config in configs}) == len(configs)


def test_one_gradual_run_serves_all_sizes_but_those_that_price_it():
    configs = read_grid(["table=nnlm-figure1", "preset=tiny"], REPORTS).configs
    gradual = [config for config in configs if config.method in ("gradual", BEST) and config.pruning.intermediate]
    assert len(gradual) == 2 * len(STRUCTURES) * len(SIZES)
    assert {config.sparsity for config in gradual if gradual_run(config) is None} == {max(SIZES)}
    alone = read_grid(["table=nnlm-table1", "preset=tiny"], REPORTS).configs
    assert [gradual_run(config) for config in alone if config.method == BEST and not config.pruning.intermediate] == [
        None
    ] * 3


def test_sizes_between_take_fits_of_their_own_on_request():
    fitted = {}
    for words in ((), ("extended=true",)):
        configs = read_grid(["table=nnlm-figure1", "preset=tiny", *words], REPORTS).configs
        fitted[words] = {config.sparsity for config in configs if config.method in ("omp", "taylor", "scratch")}
    assert fitted == {(): set(CHOSEN), ("extended=true",): set(SIZES)}
    assert {cell.sparsity for cell in REPORTS["nnlm-figure1"].wanted if cell.method == "scratch"} == set(SIZES)


@pytest.mark.parametrize("name", REPORTS)
def test_the_papers_size_needs_folders_only(name):
    words = [f"table={name}", "preset=paper", "corpus.root=/speech", "text.root=/text"]
    configs = read_grid(words, REPORTS).configs
    assert {(one.corpus.name, one.text.name, one.lm.width) for one in configs} == {
        ("librispeech", "librispeech-lm", 512)
    }


def test_table1_names_structures_and_shows_latencies(tmp_path):
    rows = rows_of(TABLE)
    text = TABLE.text(rows, timing_of(rows))
    assert all(name in text for name in SETTINGS)
    assert "microseconds per token of a sentence of 32" in text
    TABLE.write(rows, timing_of(rows), tmp_path)
    lines = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [line["latency.step"] for line in lines] == ["1000.0"] * len(lines)
    assert float(lines[0]["ppl.test"]) == pytest.approx(math.exp(ratio(rows[0], "entropy.test") / 100))
    labels = [TABLE.label(cell) for cell in TABLE.cells()]
    assert labels[:3] == ["", "", HEADS]


def test_figure2_draws_what_is_left_without_a_language_model():
    report = nnlm.FIGURES["nnlm-figure2"]
    rows = rows_of(report)
    sheet = report.sheet(Results(rows, {}, report.by))
    assert sheet.blocks[0][0][1] == "no language model"
    alone = ratio(rows[0], "alone.wer.test-clean")
    assert f"{alone:.2f}" in sheet.blocks[0][0][3]


def test_points_lie_where_their_size_is():
    report = nnlm.FIGURES["nnlm-figure3"]
    found = report.points(report.panels[0], Results(rows_of(report), {}, report.by))
    assert {line.label for line in found} == {"Dense", "Dense of this size", *STRUCTURES}
    for line, points in found.items():
        assert {round(point.x, 6) for point in points.values()} == {round(2 * (1 - s), 6) for s in points}, line


def test_parts_are_fifths_and_the_rest_from_rare_to_frequent():
    frequent = [5.0, 1.0, 4.0, 2.0, 3.0, 0.0, 9.0, 8.0, 7.0, 6.0]
    assert [among(frequent, part).tolist() for part in PARTS] == [[5, 1], [3, 4, 2, 0, 9, 8], [7, 6]]


def test_a_part_counts_its_own_sentences():
    one = fake(DENSE.overrides())
    places = among(one["frequent"]["test-clean"], "tail")
    errors, words = word_errors(one, "test-clean.tail")
    assert errors.tolist() == np.asarray(one["utterances"]["test-clean"]["errors"])[places].tolist()
    assert words.sum() == 4 * 12
    parts = [entropies(one, f"test.words.{part}") for part in PARTS]
    assert sum(below.sum() for _, below in parts) == 5 * 60
    assert sum(above.sum() for above, _ in parts) == pytest.approx(sum(one["sentences"]["test"]["nats"]))


def test_rows_that_were_not_judged_so_have_no_ratio():
    one = fake(DENSE.overrides())
    assert entropies(row("dense"), "test") is None
    assert word_errors(row("dense"), "test-clean.tail") is None
    assert entropies(one, "train") is None
    assert word_errors(one, "test-clean.last") is None


def test_perplexities_of_seeds_are_averaged_as_entropies():
    rows = rows_of(TABLE, seeds=(0, 1, 2))
    estimate = Results(rows, {}, TABLE.by).estimate("ppl.test", DENSE)
    dense = [one for one in rows if one["method"] == "dense"]
    # the sentences of one table are alike for all seeds: here the first seed's counts stand below every sum
    below = sum(dense[0]["sentences"]["test"]["units"])
    mean = np.mean([sum(one["sentences"]["test"]["nats"]) / below for one in dense])
    assert estimate.mean == pytest.approx(math.exp(mean))
    assert estimate.low < estimate.mean < estimate.high


def test_components_are_weighted_by_their_size():
    kept = {
        "layers.0.attention.query.weight": [0.5, 100],
        "layers.1.attention.query.weight": [1.0, 300],
        "layers.0.ffn.up.weight": [0.0, 100],
        "layers.1.ffn.up.weight": [0.0, 300],
        "head.weight": [1.0, 200],
    }
    found = kept_by_component(json.loads(json.dumps(kept)))
    assert found["attention.query", "1"] == 0.5
    assert found["attention.query", "all"] == (50 + 300) / 400
    assert found["all", "2"] == 300 / 600
    assert found["head", "all"] == 1.0
    assert found["all", "all"] == 550 / 1000
    assert ("head", "1") not in found


def test_claims_hold_for_rows_that_say_so():
    claims = nnlm.CLAIMS["nnlm-claims"]
    unique = {one["run"]: one for line in claims.configurations() for one in [fake(line, line["seed"])]}
    rows = list(unique.values())
    verdicts = {verdict.claim.name: verdict for verdict in claims.judge(rows, timing_of(rows))}
    held = {name for name, verdict in verdicts.items() if verdict.ours == "reproduced"}
    expected = {f"{kind}_{one}" for kind in ("taylor", "gradual") for one in STRUCTURES}
    expected |= {"fusion_helps", "beats_scratch", "gradual_when_small", "structured_worst", "heads_cheap"}
    expected |= {"unstructured_best", "unstructured_slow"}
    assert expected <= held
    assert verdicts["low_rank_trades_best"].ours != "reproduced"
    assert all(verdict.seeds == 3 for verdict in verdicts.values())


def test_a_figure_shows_its_own_runs_among_those_of_the_table():
    figure, rows = nnlm.FIGURES["nnlm-figure3"], rows_of(TABLE)
    assert len({row["run"] for row in rows} - {row["run"] for row in rows_of(figure)}) > 20
    assert figure.text(rows, width=200) == figure.text(rows_of(figure), width=200)
