from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(
    ("seeds", "line"),
    [
        ({"dense": (0,), "omp": (0,)}, "Intervals: 95 %, * of one seed, over utterances only."),
        ({"dense": (0, 1), "omp": (0, 1)}, "Intervals: 95 %, over seeds and utterances."),
        (
            {"dense": (0, 1), "omp": (1,)},
            "Intervals: 95 %, over seeds and utterances; * of one seed, over utterances only.",
        ),
    ],
)
def test_a_note_says_what_intervals_are_over(seeds, line):
    results = Results([row(method, seed=seed) for method, each in seeds.items() for seed in each])
    assert line in describe_runs(results, "there")
    assert line not in describe_runs(results, "there", bounded=False)
    assert line in describe_runs(results, "there", scored=False, bounded=True)
