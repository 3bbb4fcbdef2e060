"""Train, prune, measure: `python experiments/sweep.py table=table1 preset=tiny`, or `--help`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.papers import REPORTS
from prune_bench.choices import choices
from prune_bench.config import Config
from prune_bench.families import FAMILIES, family_of
from prune_bench.overrides import ALIASES, flat_keys
from prune_bench.pruning.methods import METHODS
from prune_bench.reports.rows.files import read_timing
from prune_bench.reports.tables.table import table_of
from prune_bench.sweep.grid import Grid, read_grid
from prune_bench.sweep.runs.folders import table_folder
from prune_bench.sweep.sweep import CorpusError, Sweep

USAGE = """\
usage: python experiments/sweep.py [key=value ...]

  table=table1 preset=tiny                          a published table or figure
  table=table1 extended=true references=true        more sparsities; dense models of each size from scratch
  table=parp-figure7 languages=all                  a multilingual one; sparsity=0.1:0.9:0.1 where it varies
  method=l0 sparsity=0.5                            one run
  method=omp,parp,svd sparsity=0.2:0.8:0.2 seed=0,1 a grid: lists and first:last:step ranges multiply
  task=ctc method=imp sparsity=0.9                  a pretrained wav2vec 2.0 encoder in the place of the transducer

What is finished is not done again; an interrupted command goes on when started again.
"""


def main(arguments: list[str]) -> int:
    """The exit code: 0, 1 if something failed, 2 for a wrong command, 130 if interrupted."""
    if {"-h", "--help", "help"} & set(arguments):
        print(USAGE + describe_keys())
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    console = Console()
    try:
        return run(read_grid(arguments, REPORTS), console)
    except ValueError as error:
        print(f"sweep.py: {error}", file=sys.stderr)
        return 2
    except CorpusError:
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from here")
        return 130


def run(grid: Grid, console: Console) -> int:
    """Run what is missing, then write and print the table."""
    folder, family = table_folder(grid.configs[0], grid.name), family_of(grid.configs[0])
    asked = REPORTS[grid.table] if grid.table else None
    timed, compared = (asked.timed, asked.compared) if asked else (family.timed, False)
    rows = (sweep := Sweep(grid.configs, folder, console, timed, compared)).run()
    report = asked or table_of(rows)
    timing = read_timing(folder)
    report.write(rows, timing, folder)
    print(report.text(rows, timing, console.width if console.is_terminal else None))
    print(f"\nwritten to {folder}")
    return int(sweep.failed)


def interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def describe_keys() -> str:
    """Every key with its default and its values."""
    named = {"method": tuple(METHODS), "preset": tuple(FAMILIES.find("transducer").presets), "table": tuple(REPORTS)}
    allowed = choices(Config()) | named
    short = {key: alias for alias, key in ALIASES.items()}
    lines = ["", "keys, with their defaults before the preset (a short name in brackets):", ""]
    keys = {key: default for family in FAMILIES for key, default in flat_keys(family.config()).items()}
    for key, default in {"table": "", **keys}.items():
        if key.endswith(".content"):
            continue
        name = f"{key} [{short[key]}]" if key in short else key
        lines.append(f"  {name:<40} {default!s:<16} {', '.join(allowed.get(key, ()))}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
