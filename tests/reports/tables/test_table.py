from __future__ import annotations

import csv
import math
import re

import pytest

from experiments.papers import TABLES
from prune_bench.reports.rows.cells import Cell
from prune_bench.reports.tables.table import table_of
from tests.reports.samples import row, timing, unfinished

TABLE = TABLES["table1"]


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return [row(line["method"], line["sparsity"]) for line in TABLE.configurations()]


def line_of(text: str, percent: int, label: str) -> str:
    (found,) = [line for line in text.splitlines() if re.match(rf"{percent} +{re.escape(label)} ", line)]
    return found


def test_a_full_table_prints_every_line_with_our_numbers_beside_the_published(rows):
    text = TABLE.text(rows, timing(rows))
    assert "pending" not in text
    omp = next(one for one in rows if one["run"].startswith("omp-0.5"))
    line = line_of(text, 50, "OMP")
    for number in (
        f"{omp['wer.test-clean']:.2f}",
        f"{omp['wer.test-other.high']:.2f}",
        "3.57",
        "8.02",
        "37.8",
        "0.145",
    ):
        assert number in line
    assert "(\N{MINUS SIGN}50.0 %)" in line
    assert "800 / 2400" in line
    assert re.search(r"50\.0 % FLOPs", line_of(text, 50, "L0 (FLOPs)"))


def test_dense_has_no_change_and_continue_ft_nothing_published(rows):
    text = TABLE.text(rows, timing(rows))
    assert "(" not in line_of(text, 0, "Dense").replace("Dense, trained on", "")
    assert line_of(text, 0, "Dense, trained on").count("–") == 4


def test_notes_say_whose_numbers_these_are(rows):
    notes = TABLE.text(rows, timing(rows)).rpartition("━")[2]
    notes = " ".join(notes.split())
    for words in (
        "Published = LibriSpeech 960 h", "ours = espeak, preset tiny, seed 0", "300 utterances", "Example CPU, 2 cores",
        "on dev-clean", "10 s of speech", "median of 30 rounds", "takes 11 % (eager) and 12 % (ONNX Runtime)",
    ):  # fmt: skip
        assert words in notes


def test_a_growing_table_shows_what_is_pending_and_what_went_wrong(rows):
    reasons = "RuntimeError: out of memory", "heads hold 31 %"
    partial = [
        *rows[:4],
        unfinished("svd", 0.2, "failed", reasons[0]),
        unfinished("l0_sparsity", 0.2, "infeasible", reasons[1]),
    ]
    text = TABLE.text(partial)
    assert "failed" in line_of(text, 20, "SVD")
    assert "infeasible" in line_of(text, 20, "L0 (sparsity)")
    assert "pending" in line_of(text, 50, "OMP")
    assert "SVD 20 %, seed 0, failed: RuntimeError: out of memory" in text
    assert reasons[1] in text
    assert line_of(text, 20, "OMP").count("–") >= 2  # not timed yet
    assert "Not timed yet." in text


def test_a_table_without_any_finished_run_renders_and_writes(tmp_path):
    rows = [unfinished("omp", 0.2, "failed", "KeyError: 'x_y' & more")]
    assert "No run has finished yet." in TABLE.text(rows)
    names = {path.name for path in TABLE.write(rows, None, tmp_path)}
    assert names == {"table.md", "table.tex", "table.csv", "table.png", "table.svg", "index.html", "plotly.min.js"}


def test_several_seeds_are_averaged_and_counted(rows):
    more = [*rows, row("omp", 0.5, seed=1), row("dense", seed=1), unfinished("svd", 0.5, "failed", "killed", seed=1)]
    text = TABLE.text(more, timing(more))
    assert line_of(text, 50, "OMP").endswith(" 2")
    assert line_of(text, 50, "SVD").endswith(" 1")
    assert "mean of seeds 0, 1" in text
    assert "SVD 50 %, seed 1, failed: killed" in text
    mean = (row("omp", 0.5)["wer.test-clean"] + row("omp", 0.5, seed=1)["wer.test-clean"]) / 2
    assert f"{mean:.2f}" in line_of(text, 50, "OMP")


def test_mixed_dense_models_are_refused(rows, tmp_path):
    mixed = [*rows[:2], row("omp", 0.2, dense_sha="ff" * 32)]
    for attempt in (lambda: TABLE.text(mixed), lambda: TABLE.write(mixed, None, tmp_path)):
        with pytest.raises(ValueError, match="mixes two dense models"):
            attempt()
    assert not list(tmp_path.iterdir())


def test_lines_on_request_appear_with_their_first_row(rows):
    assert "Dense of this size" not in TABLE.text(rows)
    text = TABLE.text([*rows, row("scratch", 0.5), row("omp", 0.85)])
    assert "pending" in line_of(text, 20, "Dense of this size")
    assert "pending" not in line_of(text, 50, "Dense of this size")
    assert "pending" in line_of(text, 70, "SVD")
    assert "–" in line_of(text, 85, "OMP")


def test_rows_of_other_methods_stay_out(rows):
    assert "heads only" not in TABLE.text([*rows, row("l0_heads", 0.2)])


def test_masked_models_are_marked_without_gain(rows):
    assert "No physical gain" not in TABLE.text(rows)
    masked = [row("dense"), row("omp", 0.5, physical=False)]
    assert "No physical gain (masked, not compacted): OMP." in TABLE.text(masked)


def test_what_rows_note_is_said_once():
    rows = [row("dense", notes=["Frames are zeros."]), row("omp", 0.3, notes=["Frames are zeros.", "And more."])]
    text = TABLE.text(rows)
    assert text.count("Frames are zeros.") == text.count("And more.") == 1


def test_written_files(rows, tmp_path):
    paths = TABLE.write(rows, timing(rows), tmp_path)
    assert {path.name for path in paths} == {path.name for path in tmp_path.iterdir()}
    pictures = {f"wer-{quantity}{kind}" for quantity in ("size", "rtf", "rtf-onnx") for kind in (".png", ".svg")}
    assert pictures | {"table.md", "table.tex", "table.csv", "table.png", "index.html"} <= {path.name for path in paths}
    assert all(path.stat().st_size for path in paths)
    with (tmp_path / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 22
    omp = next(line for line in lines if (line["method"], line["sparsity"]) == ("omp", "0.5"))
    assert float(omp["wer.test-clean"]) == pytest.approx(row("omp", 0.5)["wer.test-clean"])
    assert float(omp["size.change"]) == pytest.approx(-0.5, abs=1e-6)
    assert float(omp["published.size"]) == 37.8
    assert float(omp["rtf"]) == pytest.approx(0.0012)
    assert (tmp_path / "table.tex").read_text().count(r" \\") == 22 + 2


def test_a_table_of_any_rows_has_just_their_lines():
    rows = [row("l0_heads", 0.6), row("dense"), row("omp", 0.6)]
    table = table_of(rows)
    assert table.cells(True, True) == [Cell("dense"), Cell("omp", 0.6), Cell("l0_heads", 0.6)]
    assert "pending" not in table.text(rows)


def test_a_table_of_runs_in_several_settings_names_them():
    def fine_tuned(method, labels):
        unread = {"final": {"steps": len(labels) if method == "dense" else 3}, "execution": {"output": labels}}
        config = {
            "corpus": {"labels": labels, "targets": "words"},
            "pruning": {"structure": "groups", "imp_step": labels},
            **unread,
        }
        sparsity = 0.5 if method == "omp" else 0.0
        return row(method, sparsity, run=f"{method}-{labels}", config=config, dense_sha=labels)

    rows = [fine_tuned(method, labels) for labels in ("10min", "1h") for method in ("dense", "omp")]
    table = table_of(rows)
    assert table.by == ("corpus.labels",)
    assert table.cells() == [
        Cell(*line, (("corpus.labels", labels),)) for labels in ("10min", "1h") for line in (("dense", 0), ("omp", 0.5))
    ]
    text = table.text(rows)
    assert [text.count(f"labels {labels}") for labels in ("10min", "1h")] == [2, 2]
    assert "pending" not in text


def test_a_table_of_language_models_draws_perplexities_against_size(tmp_path):
    def model(method, sparsity=0.0):
        nats = [3.0 + sparsity, 4.0, 5.0]
        judged = {"nats": nats, "units": [2, 2, 2], "words": [1, 1, 1], "frequent": [1.0, 2.0, 3.0]}
        changes = {"task": "language_model", "utterances": {}, "sentences": {"dev": judged, "test": judged}}
        return {key: value for key, value in {**row(method, sparsity), **changes}.items() if not key.startswith("wer.")}

    rows = [model("dense"), model("omp", 0.5), model("omp", 0.8)]
    table = table_of(rows)
    text = table.text(rows)
    assert f"{math.exp(12.5 / 6):.3f}" in text
    assert "WER" not in text
    written = {path.name for path in table.write(rows, {}, tmp_path)}
    assert {"ppl-size.png", "ppl-flops-token.svg", "index.html"} <= written
    assert not any(name.startswith("wer") for name in written)
