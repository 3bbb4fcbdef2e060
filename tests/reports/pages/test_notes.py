from __future__ import annotations

from prune_bench.reports.pages.notes import describe_code, describe_runs
from prune_bench.reports.rows.results import Results
from tests.reports.samples import row

CODE = {"version": "0.1.0", "commit": "0123456789ab", "dirty": False}


def test_rows_of_several_versions_of_the_code_are_named():
    rows = [row("dense", code=CODE), row("omp", 0.5, code={**CODE, "dirty": True}), row("svd", 0.5)]
    versions = "0.1.0 at 0123456789ab, 0.1.0 at 0123456789ab with changes, an earlier version"
    assert describe_runs(Results(rows), "there")[-1] == f"Rows of 3 versions of the code: {versions}."


def test_one_version_is_not():
    for code in ({"code": CODE}, {}):
        notes = describe_runs(Results([row("dense", **code), row("omp", 0.5, **code)]), "there")
        assert not any("versions of the code" in note for note in notes)


def test_a_package_outside_a_checkout_has_a_version_alone():
    assert describe_code({"version": "1.2"}) == "1.2"
