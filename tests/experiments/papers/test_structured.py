from __future__ import annotations

import pytest

from experiments.papers import CLAIMS, FIGURES, REPORTS, TABLES
from experiments.papers.structured import PUBLISHED1, PUBLISHED2
from prune_bench.config import Config
from prune_bench.pruning.methods import METHODS
from prune_bench.reports.rows.cells import DENSE, Cell
from tests.reports.samples import row, timing, unfinished

CLAIM_SET = CLAIMS["claims"]


def sample(seeds: tuple[int, ...], utterances: int = 500) -> list[dict]:
    """Rows of all that the claims need, heads-only infeasible beyond 30 %."""
    rows = []
    for line in CLAIM_SET.configurations():
        if line["seed"] in seeds:
            method, sparsity, seed = line["method"], line["sparsity"], line["seed"]
            infeasible = method == "l0_heads" and sparsity > 0.3
            rows.append(
                unfinished(method, sparsity, "infeasible", "heads hold 31 %", seed)
                if infeasible
                else row(method, sparsity, seed, utterances)
            )
    return rows


@pytest.mark.parametrize(
    ("name", "plain", "extended", "references"),
    [("table1", 22, 32, 26), ("table2", 18, 26, 22), ("figure2", 4, 6, 4), ("claims", 102, 150, 114)],
)
def test_configurations(name, plain, extended, references):
    report = REPORTS[name]
    assert len(report.configurations()) == plain
    assert len(report.configurations(extended=True)) == extended
    assert len(report.configurations(references=True)) == references
    for line in report.configurations(extended=True, references=True):
        assert set(line) <= set(vars(Config()))
        assert line["method"] in METHODS


def test_table1_lines():
    lines = TABLES["table1"].configurations()
    assert lines[:3] == [
        {"method": "dense", "sparsity": 0.0},
        {"method": "continue_ft", "sparsity": 0.0},
        {"method": "omp", "sparsity": 0.2},
    ]
    assert {line["method"] for line in lines} == {
        "dense", "continue_ft", "omp", "parp", "svd", "l0_sparsity", "l0_flops"
    }  # fmt: skip


def test_claims_run_seed_by_seed_all_that_they_mention():
    lines = CLAIM_SET.configurations(extended=True)
    assert [line["seed"] for line in lines] == sorted(line["seed"] for line in lines)
    known = {Cell(line["method"], line["sparsity"]) for line in lines}
    mentioned = {
        c for claim in CLAIM_SET.groups[0].claims for pair in claim.comparisons for c in (pair.a.cell, pair.b.cell)
    }
    assert mentioned <= known


def test_published_changes_follow_from_the_published_values():
    for cell, values in PUBLISHED1.items():
        for quantity, rounding in (("rtf", 0.004), ("size", 0.002)):
            if cell != DENSE:
                change = values[quantity] / PUBLISHED1[DENSE][quantity] - 1
                assert change == pytest.approx(values[f"{quantity}.change"], abs=rounding), (cell, quantity)


def test_published_tables_agree_with_each_other():
    shared = PUBLISHED1.keys() & PUBLISHED2.keys()
    assert len(shared) == 5
    for cell in shared:
        assert PUBLISHED2[cell].items() <= PUBLISHED1[cell].items()
    assert PUBLISHED2.keys() == {*TABLES["table2"].cells()} - {Cell("continue_ft")}
    assert PUBLISHED1.keys() == {*TABLES["table1"].cells()} - {Cell("continue_ft")}


def test_verdicts_on_the_published_numbers():
    verdicts = {v.claim.name: v.paper for v in CLAIM_SET.judge([])}
    assert verdicts == {
        "beats_omp": "holds (8 of 8)",
        "beats_parp": "holds (8 of 8)",
        "beats_svd": "holds (8 of 8)",
        "svd_worst": "holds (32 of 32)",
        "free_at_20": "holds (2 of 2)",
        "flops_faster": "fails (1 of 4)",
        "hidden_masks": "holds (8 of 8)",
        "distillation": "fails (7 of 8)",
        "heads_worst": "holds (24 of 24)",
        "bottom_first": "holds (1 of 1)",
        "ffn_first": "no numbers",
    }


def test_three_seeds_of_plain_differences_reproduce():
    rows = sample((0, 1, 2))
    verdicts = {v.claim.name: v.ours for v in CLAIM_SET.judge(rows, timing(rows))}
    for name in ("beats_omp", "beats_svd", "svd_worst", "flops_faster", "heads_worst", "bottom_first", "ffn_first"):
        assert verdicts[name] == "reproduced", name
    assert verdicts["free_at_20"] != "reproduced"  # these rows lose more than the margin at 20 %


def test_one_seed_is_inconclusive_throughout(tmp_path):
    rows = sample((0,), utterances=100)
    verdicts = CLAIM_SET.judge(rows, timing(rows))
    assert {verdict.ours for verdict in verdicts} == {"inconclusive"}
    text = CLAIM_SET.text(rows, timing(rows))
    assert sum("three seeds" in verdict.counts for verdict in verdicts) == len(verdicts)
    assert "beyond the paper" not in text


def test_claims_beyond_the_paper_appear_with_their_rows():
    rows = [row(method, 0.85, 0, 50) for method in ("dense", "omp", "l0_sparsity") if method != "dense"]
    assert "beyond the paper" in CLAIM_SET.text([row("dense", utterances=50), *rows])


def test_claims_are_written_with_their_evidence(tmp_path):
    rows = sample((0,), utterances=50)
    names = {path.name for path in CLAIM_SET.write(rows, timing(rows), tmp_path)}
    assert (
        names == {"claims.md", "claims.tex", "claims.csv", "evidence.csv"} == {path.name for path in tmp_path.iterdir()}
    )
    assert "L0 (sparsity) 20 % < OMP 20 %, test-clean" in (tmp_path / "claims.md").read_text()
    assert len((tmp_path / "claims.csv").read_text().splitlines()) == 1 + 11


def test_every_report_offers_the_same():
    assert REPORTS.keys() == {*TABLES, *FIGURES, *CLAIMS} >= {"table1", "table2", "figure2", "claims"}
    for report in (report for report in REPORTS.values() if report.task == "transducer"):
        assert isinstance(report.timed, bool)
        assert report.text([row("dense", utterances=20)])
