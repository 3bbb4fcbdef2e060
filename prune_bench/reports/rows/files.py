"""Rows and timings as they lie in folders."""

from __future__ import annotations

import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prune_bench.config.history import translate

UNPACKED: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.decompress, ".xz": lzma.decompress}


def read_rows(*folders: Path) -> list[dict[str, Any]]:
    """Every row below each folder: `rows*.jsonl`, plain or as `.gz` or `.xz`, else `*/row.json` of the runs in it.

    Of several rows of one run the last one counts. Configurations of earlier versions get the keys of this one.
    Raises ValueError when a folder has none or one cannot be read.
    """
    rows = {row["run"]: row for folder in folders for row in _rows_in(folder)}
    return [{**row, "config": translate(row.get("config", {}))} for row in rows.values()]


def _found(folders: Iterable[Path], pattern: str) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.glob(pattern))]


def _rows_in(folder: Path) -> list[dict[str, Any]]:
    listings = [path for suffix in UNPACKED for path in sorted(folder.glob(f"rows*.jsonl{suffix}"))]
    if listings:
        return [_parse(line, f"{path}:{n}") for path in listings for n, line in enumerate(_lines(path), start=1)]
    rows = [_parse(path.read_text(encoding="utf-8"), str(path)) for path in sorted(folder.glob("*/row.json"))]
    if not rows:
        raise ValueError(f"{folder}: neither rows.jsonl nor */row.json: run experiments/sweep.py, or give rows=FOLDER")
    return rows


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
