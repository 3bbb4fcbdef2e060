"""Print and write a table, figure or the claims again from finished rows. Trains nothing.

    python experiments/report.py table1
    python experiments/report.py table1 preset=smoke corpus=fsdd
    python experiments/report.py figure2 rows=results/table1-tiny-espeak to=output/figures

Names: {names}. `runs` prints whatever rows there are.

    rows=FOLDER    where rows.jsonl and timing.json lie (default: output/tables/NAME-PRESET-CORPUS); of several
                   folders, joined with commas, the last one that has a run counts
    seed=0,1       only the rows of these seeds (default: all)
    to=FOLDER      where to write (default: output/tables/, under the name of the last folder of rows)
    plugins=MODULE where a family or corpus of another's is defined, joined with +
    preset=tiny    corpus=espeak    output=output
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.papers import REPORTS
from prune_bench.families import Row
from prune_bench.plugins import load_plugins
from prune_bench.registry import suggest
from prune_bench.reports.rows.files import read_rows, read_timing
from prune_bench.reports.tables.table import table_of

DEFAULTS = {"rows": "", "seed": "", "to": "", "preset": "tiny", "corpus": "espeak", "output": "output", "plugins": ""}
RUNS = "runs"


def parse(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The report's name and its options. ValueError for anything unknown, with the nearest known word."""
    names = [*REPORTS, RUNS]
    given = [argument for argument in arguments if "=" not in argument]
    if len(given) != 1:
        raise ValueError(f"name one of {', '.join(names)}, as in: python experiments/report.py table1")
    if given[0] not in names:
        raise ValueError(suggest(given[0], names, "table or figure"))
    options = dict(DEFAULTS)
    for argument in arguments:
        key, separator, value = argument.partition("=")
        if separator and key not in options:
            raise ValueError(suggest(key, list(options), "key"))
        if separator:
            options[key] = value
    return given[0], options


def report(name: str, options: dict[str, str]) -> list[Path]:
    """Print one report, write its files and return their paths. ValueError for rows that cannot be reported."""
    load_plugins(options["plugins"])
    tables = Path(options["output"]) / "tables"
    named = options["rows"] or str(tables / f"{name}-{options['preset']}-{options['corpus']}")
    sources = [Path(folder) for folder in named.split(",")]
    target = Path(options["to"] or tables / sources[-1].resolve().name)
    rows, timing = of_seeds(read_rows(*sources), options["seed"]), read_timing(*sources)
    made = table_of(rows) if name == RUNS else of_task(name, rows)
    print(made.text(rows, timing, shutil.get_terminal_size((200, 24)).columns))
    return made.write(rows, timing, target)


def of_task(name: str, rows: Sequence[Row]) -> Any:
    """The report of that name. ValueError where rows are not of the family that it shows."""
    report, tasks = REPORTS[name], sorted({row["task"] for row in rows})
    if tasks != [report.task]:
        raise ValueError(f"{name} shows runs of task={report.task}, these rows are of task={', '.join(tasks)}")
    return report


def of_seeds(rows: Sequence[Row], text: str) -> list[Row]:
    """The rows of the seeds in `text`, separated by commas; all where it is empty. ValueError if none is left."""
    seeds = [seed.strip() for seed in text.split(",")] if text else []
    kept = [row for row in rows if not seeds or str(row["seed"]) in seeds]
    if text and not kept:
        known = ", ".join(sorted({str(row["seed"]) for row in rows}))
        raise ValueError(f"seed={text}: no such rows; there are seeds {known}")
    return kept


def main(arguments: Sequence[str]) -> int:
    if not arguments or {"-h", "--help"} & set(arguments):
        print((__doc__ or "").format(names=", ".join(REPORTS)))
        return 0
    try:
        paths = report(*parse(arguments))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\nWritten to {paths[0].parent}: {', '.join(path.name for path in paths)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
