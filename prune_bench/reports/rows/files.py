"""Rows and timings as they lie in folders."""

from __future__ import annotations

import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prune_bench.families import Row, as_row

UNPACKED: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.decompress, ".xz": lzma.decompress}


def read_rows(*folders: Path) -> list[Row]:
    """Every row below each folder: `rows*.jsonl`, plain or as `.gz` or `.xz`, else `*/row.json` of the runs in it.

    Of several rows of one run the last one counts. Configurations of earlier versions get the keys of this one.
    Raises ValueError when a folder has none, or where one cannot be read or lacks a column.
    """
    rows = (as_row(values, place) for folder in folders for place, values in _rows_in(folder))
    return list({row["run"]: row for row in rows}.values())


def _found(folders: Iterable[Path], pattern: str) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.glob(pattern))]


def _rows_in(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """The rows of a folder, each behind its place in words."""
    listings = [path for suffix in UNPACKED for path in sorted(folder.glob(f"rows*.jsonl{suffix}"))]
    if listings:
        texts = [(f"{path}:{n}", line) for path in listings for n, line in enumerate(_lines(path), start=1)]
    else:
        texts = [(str(path), path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/row.json"))]
    if not texts:
        raise ValueError(f"{folder}: neither rows.jsonl nor */row.json: run experiments/sweep.py, or give rows=FOLDER")
    return [(place, _parse(text, place)) for place, text in texts]


def read_timing(*folders: Path) -> dict[str, Any]:
    """What was measured on models together: the folders' `timing*.json`, a file for each time that models were timed,
    and under `_overlaps` how their masks overlap; empty without any.

    Raises ValueError when two of them were taken in different ways.
    """
    merged: dict[str, Any] = {}
    for path in _found(folders, "timing*.json"):
        timing = _parse(path.read_text(encoding="utf-8"), str(path))
        if merged and merged["_protocol"] != timing["_protocol"]:
            raise ValueError(f"{path}: timed in another way than the files before it: report them apart")
        merged.update(timing)
    for path in _found(folders, "overlaps*.json"):
        merged.setdefault("_overlaps", {}).update(_parse(path.read_text(encoding="utf-8"), str(path)))
    return merged


def _lines(path: Path) -> Iterable[str]:
    unpack = UNPACKED.get(path.suffix, bytes)
    try:
        return unpack(path.read_bytes()).decode("utf-8").splitlines()
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cut off or damaged ({error}): get the file again") from None


def _parse(text: str, place: str) -> dict[str, Any]:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: not JSON ({error.msg}): delete it and run the sweep again") from None
