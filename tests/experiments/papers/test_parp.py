"""PARP's tables and figures: what they run, what they print, from made-up rows."""

from __future__ import annotations

import csv

import pytest

from experiments.papers import parp
from experiments.papers.parp.published import H2L, TABLE1
from prune_bench.config import to_dict
from prune_bench.families import preset
from prune_bench.models.pretrained import published
from prune_bench.overrides import override
from prune_bench.pruning.methods import METHODS
from prune_bench.reports.pages.styles import METHOD_STYLES
from prune_bench.reports.rows.cells import Cell
from prune_bench.reports.rows.results import Results
from prune_bench.sweep.grid import read_grid
from prune_bench.sweep.runs.dependencies import fine_tunings, normalise, run_id
from tests.reports.samples import row

REPORTS = {**parp.TABLES, **parp.FIGURES}
LANGUAGES = parp.Scope().languages
UNPRINTED = {"random_start_fails", "transfer_costs", "parp_transfers"}
COST = {"rp": 60, "mpi": 50, "omp": 40, "imp": 30, "parp": 20, "parp_p": 10, "parp_p_staged": 8, "dense": 0}


def fake(line, seed=0):
    """A finished run of a report's line; the more a method costs, the more errors it makes."""
    config = normalise(override(preset("smoke", "ctc"), {**line, "seed": seed}))
    errors = [1 + (COST.get(config.method, 25) * config.sparsity > place) for place in range(40)]
    rate = 100 * sum(errors) / (40 * 4)
    values = {
        "run": run_id(config), "task": "ctc", "config": to_dict(config), "fine_tunings": len(fine_tunings(config)),
        "seconds.all_fits": 60.0 * len(fine_tunings(config)), "overlap.start": 0.995, "threshold": 0.01,
        "physical": False, "dense_sha": f"{seed}-{config.corpus.language}-{config.pretraining.languages}"
        f"-{config.corpus.labels}-{config.encoder.size}-{config.corpus.joint}",
        "utterances": {split: {"errors": errors, "words": [4] * 40} for split in
                       ("dev-clean", "dev-other", "test-clean", "test-other")},
    }  # fmt: skip
    for split in values["utterances"]:
        values |= {f"wer.{split}": rate, f"wer.{split}.low": rate - 1, f"wer.{split}.high": rate + 1}
    found = row("dense", seed=seed)
    for key in ("layers", "dense_layers", "stream"):
        del found[key]
    return {**found, **values, "method": config.method, "sparsity": config.sparsity}


def rows_of(report, seeds=(0,)):
    return [fake(line, seed) for seed in seeds for line in report.configurations()]


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_prints_and_writes_all_formats(name, tmp_path):
    report = REPORTS[name]
    rows = rows_of(report)
    assert report.task == "ctc"
    assert report.name == name
    assert report.text(rows, {}).startswith(report.title)
    suffixes = {path.suffix for path in report.write(rows, {}, tmp_path)}
    assert {".md", ".tex", ".csv", ".png", ".svg"} <= suffixes


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_without_rows_is_no_error(name, tmp_path):
    assert REPORTS[name].title in REPORTS[name].text([])
    assert REPORTS[name].write([], {}, tmp_path)


def test_table1_counts_fine_tunings_beside_the_published_ones():
    report = parp.TABLES["parp-table1"].report
    results = Results(rows_of(report), by=report.by)
    for method, count, *_ in TABLE1:
        assert results.estimate("fine_tunings", Cell(method, 0.9)).mean == count


def test_figure1_counts_three_passes_for_each_batch_of_every_fit():
    report = parp.FIGURES["parp-figure1"].report
    rows = [{**one, "flops.encoder": 1e9, "updates.total": 100} for one in rows_of(report)]
    config = rows[0]["config"]
    seconds = config["final"]["frames"] / config["features"]["sample_rate"]
    expected = 3 * 1e9 / config["pruning"]["reference_seconds"] * seconds * 100 / 1e12
    results = Results(rows, by=report.by)
    assert results.estimate("flops.training", Cell("parp", 0.9)).mean == pytest.approx(expected)
    assert results.estimate("flops.training", Cell("imp", 0.9)).mean == pytest.approx(expected)


def test_table2_keeps_the_two_sizes_apart(tmp_path):
    report = parp.TABLES["parp-table2"]
    report.write(rows_of(report), {}, tmp_path)
    lines = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [(line["encoder.size"], line["method"]) for line in lines] == [
        ("base", "dense"), ("base", "parp"), ("large", "dense"), ("large", "parp"),
    ]  # fmt: skip
    assert [line["published.wer.test-clean"] for line in lines] == ["49.3", "38.0", "46.3", "33.7"]


def test_table3_averages_over_languages():
    report = parp.TABLES["parp-table3"].report
    rows = rows_of(report, seeds=(0, 1))
    results = Results(rows, by=report.by)
    cell = Cell("parp", 0.9, H2L)
    expected = [one["wer.test-clean"] for one in rows if (one["method"], one["sparsity"]) == ("parp", 0.9)]
    assert len(results.members(cell)) == len(LANGUAGES)
    estimate = results.estimate("wer.test-clean", cell)
    assert estimate.mean == pytest.approx(sum(expected) / len(expected))
    assert estimate.low < estimate.mean < estimate.high
    shown = report.text(rows)
    assert "40.10" in shown
    assert "22.90" in shown


def test_figure4_takes_one_joint_model_into_account():
    joint = {line["corpus.joint"] for line in parp.FIGURES["parp-figure4"].configurations()}
    assert joint == {"", "es+fr+it+nl+ru"}


def test_figure2_reads_the_overlaps_of_its_runs():
    report = parp.FIGURES["parp-figure2"].report
    rows = rows_of(report)
    by_place = {(one["config"]["corpus"]["language"], one["config"]["pretraining"]["languages"]): one for one in rows}
    es, fr = (by_place[language, "en"]["run"] for language in ("es", "fr"))
    overlaps = {es: {es: 1.0, fr: 0.91, "mpi": 0.93, "rp": 0.33}, fr: {es: 0.91, fr: 1.0, "mpi": 0.92, "rp": 0.34}}
    results = Results(rows, {"_overlaps": overlaps}, report.by)
    found = report.parts[0].find(results)
    assert found[("es", "fr")] == found[("fr", "es")] == 0.91
    assert found[("MPI", "es")] == 0.93
    assert found[("RP", "fr")] == 0.34
    assert ("nl", "es") not in found
    assert report.parts[1].find(results) == {}


def test_figure7_is_nought_on_the_diagonal_and_negative_where_a_mask_hurts():
    report = parp.FIGURES["parp-figure7"].report
    rows = rows_of(report)
    for one in rows:
        config = one["config"]
        if one["method"] == "transfer" and config["pruning"]["mask_language"] != config["corpus"]["language"]:
            counts = one["utterances"]["test-clean"]
            counts["errors"] = [1.5 * errors for errors in counts["errors"]]
    found = report.parts[0].find(Results(rows, by=report.by))
    assert all(found[(name, name)] == 0 for name in LANGUAGES)
    assert found[("ru", "es")] == pytest.approx(-0.5)
    for part in report.parts:
        assert {row for row, _ in part.find(Results(rows, by=report.by))} == {*LANGUAGES, "RP"}


def test_every_method_named_in_a_report_has_a_style():
    named = {line["method"] for report in REPORTS.values() for line in report.configurations()}
    assert named <= METHODS.keys()
    assert named <= METHOD_STYLES.keys()


def test_claims_hold_on_the_published_numbers_and_not_without_rows():
    claims = parp.CLAIMS["parp-claims"].report
    verdicts = {verdict.claim.name: verdict for verdict in claims.judge([])}
    assert {verdict.ours for verdict in verdicts.values()} == {"inconclusive"}
    assert all(verdict.paper.startswith("holds") for name, verdict in verdicts.items() if name not in UNPRINTED)
    assert {name for name, verdict in verdicts.items() if verdict.paper == "no numbers"} == UNPRINTED


def test_claims_are_judged_each_on_the_runs_of_its_report():
    claims = parp.CLAIMS["parp-claims"].report
    rows = [fake(line, line["seed"]) for line in claims.configurations() if line["seed"] < 3]
    verdicts = {verdict.claim.name: verdict.ours for verdict in claims.judge(rows, {})}
    assert verdicts["parp_p_beats_parp"] == verdicts["one_fine_tuning"] == "reproduced"
    assert verdicts["parp_transfers"] == "reproduced"
    assert verdicts["transfer_costs"] == "inconclusive"
    assert verdicts["masks_overlap"] == "inconclusive"
    assert verdicts["little_pruning_helps"] == "inconclusive"


def test_figure4_has_no_empty_panels_and_counts_phones():
    report = parp.FIGURES["parp-figure4"].report
    rows = rows_of(report)
    assert len(report.draw(Results(rows, by=report.by)).axes) == len(report.panels) == 4
    assert "160 phones" in report.text(rows, {})


def test_claims_name_the_hardware_and_the_settings_of_all_their_rows():
    first, second = parp.TABLES["parp-table1"], parp.TABLES["parp-table2"]
    rows = rows_of(first) + [{**one, "precision": "bf16-mixed", "hardware.cpu": "Other"} for one in rows_of(second)]
    text = parp.CLAIMS["parp-claims"].report.text(rows, {})
    assert "Other, 2 cores" in text
    assert "in 32-true, bf16-mixed;" in text
    for words in (
        "large, PARP 10 % < large, dense, test-other",
        "nl, CSR: chance < smallest IOU",
        "nl with its own mask",
    ):
        assert words in text


def test_smoke_covers_two_languages_and_two_sparsities():
    grids = {name: read_grid([f"table={name}", "preset=smoke"], REPORTS).configs for name in REPORTS}
    phones = {config.corpus.language for name, configs in grids.items() for config in configs
              if config.corpus.targets == "phones"}  # fmt: skip
    assert phones == {"es", "nl"}
    assert {config.sparsity for config in grids["parp-figure3"]} == {0.0, 0.5, 0.9}


def test_a_command_chooses_languages_and_sparsities_and_its_rows_remember():
    grid = read_grid(["table=parp-figure7", "languages=sv,tr", "preset=smoke"], REPORTS)
    assert {config.corpus.language for config in grid.configs} == {"sv", "tr"}
    lines = [{"method": config.method, "sparsity": config.sparsity, "corpus.language": config.corpus.language,
              "pruning.mask_language": config.pruning.mask_language, "corpus.targets": "phones"}
             for config in grid.configs]  # fmt: skip
    assert "tr" in REPORTS["parp-figure7"].text([fake(line) for line in lines])
    every = read_grid(["table=parp-figure2", "languages=all"], REPORTS)
    assert len({config.corpus.language for config in every.configs}) == 10
    steps = read_grid(["table=parp-figure6", "sparsity=0.1:0.9:0.1"], REPORTS)
    assert len({config.sparsity for config in steps.configs}) == 10


@pytest.mark.parametrize(("words", "message"), [
    (["languages=n"], "unknown value for languages: 'n'"), (["task=transducer"], "leave out task="),
    (["corpus.labels=1h"], r"leave out corpus\.labels="),
    (["corpus=librispeech"], r"corpus\.language=es: librispeech has en alone; add for example corpus=commonvoice"),
    (["corpus=fsdd"], "fsdd has en alone"),
    (["corpus=manifest", "corpus.root=mine", "languages=de,eo"],
     r"corpus\.root=mine: write \{language\} where the folders of de, eo differ"),
])  # fmt: skip
def test_words_a_report_cannot_take_are_refused(words, message):
    with pytest.raises(ValueError, match=message):
        read_grid(["table=parp-figure7", *words], REPORTS)


def test_a_corpus_of_ones_own_has_languages_of_its_own():
    words = ["corpus=manifest", "corpus.root=mine/{language}", "languages=nl,eo"]
    for name in ("parp-figure4", "parp-figure7"):
        grid = read_grid([f"table={name}", *words], REPORTS)
        assert "eo" in {config.corpus.language for config in grid.configs} | {config.corpus.joint[3:] for config in
                                                                             grid.configs}  # fmt: skip
    lines = [{"method": config.method, "sparsity": config.sparsity, "corpus.language": config.corpus.language,
              "pruning.mask_language": config.pruning.mask_language, "corpus.targets": "phones"}
             for config in grid.configs]  # fmt: skip
    assert "eo" in REPORTS["parp-figure7"].text([fake(line) for line in lines])
    joint = ["table=parp-figure4", "corpus=manifest", "corpus.root=mine"]
    with pytest.raises(ValueError, match=r"corpus\.root=mine: write \{language\} where"):
        read_grid(joint, REPORTS)


def test_multilingual_starts_are_other_published_weights():
    grid = read_grid(["table=parp-table3", "preset=paper", "corpus=commonvoice", "corpus.root=mine"], REPORTS)
    found = {published(config.pretraining, config.encoder.size) for config in grid.configs}
    assert found == {"wav2vec2-base", "xlsr-53"}
    grid = read_grid(["table=parp-table2", "preset=paper", "corpus.root=mine"], REPORTS)
    found = {published(config.pretraining, config.encoder.size) for config in grid.configs}
    assert found == {"wav2vec2-base", "wav2vec2-large"}


@pytest.mark.parametrize("languages", ["", "languages=es,nl"])
def test_figure4_prints_its_joint_model_for_whatever_languages_it_was_run_with(languages):
    words = [word for word in ("table=parp-figure4", languages) if word]
    joint = {config.corpus.joint for config in read_grid(words, REPORTS).configs} - {""}
    rows = []
    for config in read_grid([*words, "preset=smoke"], REPORTS).configs if languages else []:
        rows.append(fake({"method": config.method, "sparsity": config.sparsity, "corpus.joint": config.corpus.joint,
                          "corpus.language": "nl", "corpus.targets": "phones", "corpus.labels": "1h",
                          "pretraining.languages": config.pretraining.languages}))  # fmt: skip
    rows = rows or rows_of(REPORTS["parp-figure4"])
    report = parp.FIGURES["parp-figure4"].make(parp.scope_of(rows))
    results = Results(rows, by=report.by)
    assert {dict(panel.setting)["corpus.joint"] for panel in report.panels} - {""} == joint
    assert all(
        {line.method for line in report.points(panel, results)} == {"dense", "omp", "parp"} for panel in report.panels
    )


@pytest.mark.parametrize(("rate", "moved", "expected"), [
    (1e-5, 0.005, "reproduced"), (1e-5, 0.05, "not reproduced"), (4e-3, 0.05, "inconclusive"),
])  # fmt: skip
def test_a_mask_need_not_stay_where_the_learning_rate_is_large(rate, moved, expected):
    """Ten updates judged one by one, the first threshold 0.01."""
    lines = [{**line, "final.learning_rate": rate} for line in REPORTS["parp-figure5"].configurations()]
    rows = [{**fake(line, seed), "overlap.start": 1 - moved} for seed in range(3) for line in lines]
    verdicts = {verdict.claim.name: verdict.ours for verdict in parp.CLAIMS["parp-claims"].report.judge(rows)}
    assert verdicts["mask_stays"] == expected


@pytest.mark.parametrize("method", ["parp", "imp"])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_number_of_fine_tunings_is_no_reproduction(method, change):
    claims = parp.CLAIMS["parp-claims"].report
    rows = [fake(line, seed) for seed in (0, 1, 2) for line in parp.TABLES["parp-table1"].configurations()]
    for one in rows:
        one["fine_tunings"] += change * (one["method"] == method)
    assert {v.claim.name: v.ours for v in claims.judge(rows, {})}["one_fine_tuning"] != "reproduced"
