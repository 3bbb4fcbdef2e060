"""The only place that puts files into place: each appears whole, on the disk, or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from filelock import FileLock


def write_text(path: Path, text: str, sync: bool = True) -> Path:
    """Replace a text file at once: readers see the old text or the new one. Returns the path.

    Without `sync` a loss of power may take the text back, which is quicker.
    """
    return write_file(path, lambda partial: partial.write_text(text, encoding="utf-8"), sync)


def write_file(path: Path, write: Callable[[Path], Any], sync: bool = True) -> Path:
    """Let `write` make a file of the same name elsewhere, then move it to `path`. Returns the path.

    What was at `path` stays until then, and for good if `write` raises.
    """
    with _beside(path) as partial:
        write(partial)
        _move(partial, path, sync)
    return path


def cached_file(path: Path, write: Callable[[Path], Any]) -> Path:
    """Make a file once: of several processes that ask for it one writes and the others wait. Returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            _remove_leftovers(path)
            write_file(path, write)
    return path


@contextmanager
def written_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of folder `path` once the block ends without an error."""
    with _beside(path) as partial:
        partial.mkdir()
        yield partial
        if path.exists():
            shutil.rmtree(path)
        _move(partial, path)


@contextmanager
def cached_folder(path: Path) -> Iterator[Path | None]:
    """Make a folder once: yields an empty folder to fill, or None if `path` exists.

    Processes that ask for the same folder wait for the first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        yield None
        return
    with FileLock(f"{path}.lock"):
        if path.is_dir():
            yield None
            return
        _remove_leftovers(path)
        with written_folder(path) as folder:
            yield folder


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A place of the same name in a folder beside `path`, which is removed with what is left in it."""
    room = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    room.mkdir(parents=True)
    try:
        yield room / path.name
    finally:
        shutil.rmtree(room)


def _remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left; no other writer may be at work."""
    for room in path.parent.glob(f".{escape(path.name)}.{'?' * 32}"):
        shutil.rmtree(room)


def _move(partial: Path, path: Path, sync: bool = True) -> None:
    """Move a file, or a folder and all in it, to `path`; with `sync` its content is on the disk before its name is."""
    if sync:
        for written in (*partial.rglob("*"), partial):
            _sync(written)
    os.replace(partial, path)
    if sync:
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
