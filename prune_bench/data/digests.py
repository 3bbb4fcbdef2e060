"""Digests of what files hold, computed again only for files whose size or time of modification changed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock
from rich.progress import track

from prune_bench.files import write_text

DIGITS = 32
AT_ONCE, UNSAVED = 1000, 20_000  # files handed to the threads, and read between two writes of the cache
RECENT = 2.0  # seconds in which a file system may give two changes one time
State = tuple[int, int]
Known = dict[str, tuple[int, int, str]]


def file_digests(paths: Sequence[Path], cache: Path, title: str = "", progress: bool = False) -> list[str]:
    """The SHA-256 of each file's bytes, 32 hex digits, or nothing for a file that cannot be read.

    They are kept in file `cache` with each path's size and time of modification. `progress` shows a line with `title`
    while files are read.
    """
    states = {os.path.abspath(path): state_of(path) for path in paths}
    known, found = read_cache(cache), Known()
    digests = {name: known[name][2] for name, state in states.items() if is_known(known, name, state)}
    missing = [name for name in states if name not in digests]
    shown = progress and bool(missing)
    read = track(read_files(missing), title, len(missing), transient=True, disable=not shown)
    for name, digest in zip(missing, read, strict=True):
        digests[name], state = digest, states[name]
        if digest and state and time.time_ns() - state[1] > RECENT * 1e9:
            found[name] = (*state, digest)
        if len(found) == UNSAVED:
            add_to_cache(cache, found)
            found = {}
    add_to_cache(cache, found)
    return [digests[os.path.abspath(path)] for path in paths]


def read_files(names: Sequence[str]) -> Iterator[str]:
    """The digest of each file."""
    with ThreadPoolExecutor() as threads:
        for first in range(0, len(names), AT_ONCE):
            yield from threads.map(digest_of, names[first : first + AT_ONCE])


def state_of(path: Path) -> State | None:
    """Size and time of modification; None for a file that is not there."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def digest_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    except (OSError, ValueError):
        return ""


def is_known(known: Known, name: str, state: State | None) -> bool:
    return state is not None and name in known and tuple(known[name][:2]) == state


def read_cache(cache: Path) -> Known:
    """The digests in a cache. ValueError where it is damaged."""
    try:
        return json.loads(cache.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{cache}: not readable ({error}): delete it") from None


def add_to_cache(cache: Path, found: Known) -> None:
    if found:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{cache}.lock"):
            write_text(cache, json.dumps(read_cache(cache) | found))
