"""The lines under a table: whose numbers these are, and how they were taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prune_bench.families import Finished
from prune_bench.pruning.methods import METHODS
from prune_bench.reports.pages.sheets import ALONE
from prune_bench.reports.rows.cells import DENSE, Cell
from prune_bench.reports.rows.results import Results


def describe_runs(
    results: Results, setting: str, scored: bool = True, rows: Sequence[Finished] = (), bounded: bool | None = None
) -> list[str]:
    """Corpus, preset, seeds and hardware; test sets and the dense model on dev if error rates are shown (`scored`), and
    what intervals are over if any are (`bounded`, by default as `scored`).

    `rows` are what else was run, perhaps elsewhere.
    """
    done = results.done
    if not done:
        return [f"Published: {setting}. No run has finished yet."]
    row = done[0]
    seeds = "seed " + str(results.seeds[0]) if len(results.seeds) == 1 else f"mean of seeds {_join(results.seeds)}"
    return [
        f"{f'Published = {setting}; ours = ' if setting else ''}{row['corpus']}, preset {row['preset']}, {seeds}.",
        *(_scores(results) if scored else []),
        *(_intervals(results) if (scored if bounded is None else bounded) else []),
        f"Block weights: what the weight matrices of the {results.family.prunable} store, the base of every "
        "percentage in the first column.",
        *_without_gain(results),
        *dict.fromkeys(note for row in done for note in row.get("notes", ())),
        _hardware([*done, *rows]),
        *_code([*done, *rows]),
    ]


def describe_timing(results: Results) -> list[str]:
    """How speed was measured."""
    if "_protocol" not in results.timing:
        return ["Not timed yet."]
    runs = results.runs.get(DENSE, {}).values()
    dense = [results.timing[row["run"]] for row in runs if row["run"] in results.timing]
    return [results.family.describe_timing(results.timing["_protocol"], dense)]


def describe_unfinished(results: Results, cells: Sequence[Cell]) -> list[str]:
    """Why a line has no numbers, or fewer seeds than the others."""
    return [
        f"{METHODS[cell.method].label} {100 * cell.sparsity:g} %, seed {row['seed']}, {row['status']}: {row['reason']}"
        for cell in cells
        for row in results.unfinished.get(cell, [])
    ]


def _scores(results: Results) -> list[str]:
    utterances: Any = results.done[0].get("utterances", {})
    judged = {split: counts["words"] for split, counts in utterances.items() if split.startswith("test")}
    if not judged:
        return []
    targets = results.done[0]["config"]["corpus"]["targets"]
    sets = "; ".join(f"{split} {len(words):,} utterances, {sum(words):,} {targets}" for split, words in judged.items())
    decoding = results.family.describe_decoding(results.done)
    lines = [f"Error rates in percent, {decoding}: {sets}" + (" in the first setting." if results.by else ".")]
    rates = {split: results.estimate(f"wer.{split}", DENSE) for split in utterances if split.startswith("dev")}
    known = [f"{rate.mean:.2f} % on {split}" for split, rate in rates.items() if rate]
    return [*lines, f"Dense model: {' and '.join(known)}."] if known and not results.by else lines


def _intervals(results: Results) -> list[str]:
    counts = {len(runs) for runs in results.runs.values()}
    columns = dict.fromkeys(results.find(name)[0].splits for name in (*results.family.columns, *results.family.scores))
    judged = " or ".join(column for column in columns if column in results.done[0])
    several = [f"over seeds and {judged}"] if max(counts) > 1 else []
    alone = [f"{ALONE} of one seed, over {judged} only"] if 1 in counts else []
    return [f"Intervals: 95 %, {'; '.join((*several, *alone))}."]


def _hardware(rows: Sequence[Finished]) -> str:
    machines = {
        ", ".join(filter(None, (row.get("hardware.gpu"), row["hardware.cpu"], f"{row['hardware.cores']} cores")))
        for row in rows
    }
    threads = {row["threads"] for row in rows}
    versions = {row["versions"]["torch"] for row in rows}
    formats = {row["precision"] for row in rows}
    return (
        f"Trained on {_join(machines)} in {_join(formats)}; threads a run: {_join(threads)}; torch {_join(versions)}."
    )


def _code(rows: Sequence[Finished]) -> list[str]:
    """That rows come from several versions of the code, where they do."""
    found = {describe_code(row.get("code")) for row in rows}
    return [f"Rows of {len(found)} versions of the code: {_join(found)}."] if len(found) > 1 else []


def describe_code(code: Mapping[str, Any] | None) -> str:
    """A row's version of the code in words; rows did not always tell it."""
    if code is None:
        return "an earlier version"
    commit = f" at {code['commit']}" if "commit" in code else ""
    return f"{code['version']}{commit}{' with changes' if code.get('dirty') else ''}"


def _without_gain(results: Results) -> list[str]:
    labels = [(METHODS[row["method"]].label, row) for row in results.done if row["sparsity"]]
    compacted = {label for label, row in labels if row["physical"]}
    masked = {
        f"{label} ({row['config']['pruning']['structure']})" if label in compacted else label
        for label, row in labels
        if not row["physical"]
    }
    return [f"No physical gain (masked, not compacted): {'; '.join(sorted(masked))}."] if masked else []


def _join(values: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, values)))
