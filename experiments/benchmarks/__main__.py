"""Speed, memory and the coverage of intervals, side by side with peers: `python -m experiments.benchmarks [NAME ...]`.

Prints a table and the goals met or missed for each, and writes `output/benchmarks/NAME.json`. Run nothing beside it.
"""

from __future__ import annotations

import argparse
import importlib
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

NAMES = ("step", "overhead", "masks", "compaction", "encoder", "language_model", "decoding", "coverage", "taylor")


def known(name: str) -> str:
    """`name`, if there is such a benchmark; argparse's own `choices` would refuse an empty list."""
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"unknown benchmark {name!r}: choose from {', '.join(NAMES)}")
    return name


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", type=known, help=f"of {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, help="timed rounds over all variants (each benchmark has its own number)")
    parser.add_argument("--device", default="cpu", help="where training steps run: cpu or cuda")
    parser.add_argument("--output", default="output/benchmarks", help="folder of the JSON files")
    return parser.parse_args()


def main() -> None:
    from pathlib import Path

    import torch

    from experiments.benchmarks.results import show, write

    options = parse()
    torch.set_num_threads(1)
    for name in options.names or NAMES:
        benchmark = importlib.import_module(f"experiments.benchmarks.{name}")
        result = benchmark.run(rounds=options.rounds or benchmark.ROUNDS, device=options.device)
        show(result)
        write(result, Path(options.output) / f"{name}.json", options.device)


if __name__ == "__main__":
    main()
