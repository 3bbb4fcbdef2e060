"""Files appear whole and on the disk, or not at all; what is cached is made once."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from prune_bench import files
from prune_bench.files import cached_file, cached_folder, write_file, write_text, written_folder


def content(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def calls(monkeypatch):
    """What reaches the disk, in order: the name of each synchronised file or folder, and each move."""
    calls = []
    sync, replace = files._sync, os.replace
    monkeypatch.setattr(files, "_sync", lambda path: calls.append(path.name) or sync(path))
    monkeypatch.setattr(os, "replace", lambda source, target: calls.append("move") or replace(source, target))
    return calls


def fail(partial):
    partial.write_text("half")
    raise OSError("disk full")


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = write_text(tmp_path / "table.md", "old")
    with pytest.raises(OSError, match="disk full"):
        write_file(path, fail)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("table.md", "old")]


def test_a_file_is_written_under_its_own_name_into_folders_that_are_made(tmp_path):
    names = []
    path = write_file(tmp_path / "a" / "b.onnx", lambda partial: names.append(partial.name) or partial.write_text("x"))
    assert names == ["b.onnx"]
    assert content(tmp_path) == {"a/b.onnx": "x"}
    assert path == tmp_path / "a" / "b.onnx"


def test_content_is_on_the_disk_before_its_name_and_then_the_name(tmp_path, calls):
    write_text(tmp_path / "row.json", "{}")
    assert calls == ["row.json", "move", tmp_path.name]
    calls.clear()
    with written_folder(tmp_path / "model") as folder:
        write_text(folder / "arch.json", "{}", sync=False)
    assert calls == ["move", "arch.json", "model", "move", tmp_path.name]


def test_a_folder_takes_the_place_of_the_old_one_once_it_is_whole(tmp_path):
    for text in ("old", "new"):
        with written_folder(tmp_path / "model") as folder:
            (folder / text).write_text(text)
    assert content(tmp_path) == {"model/new": "new"}
    with pytest.raises(OSError, match="disk full"), written_folder(tmp_path / "model") as folder:
        fail(folder / "half")
    assert content(tmp_path) == {"model/new": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_cached_is_made_once_and_what_a_killed_writer_left_is_removed(tmp_path):
    for name in (".one.txt", ".two", ".one.txt-kept"):
        (tmp_path / f"{name}.{'0' * 32}").mkdir()
    for text in ("first", "second"):
        cached_file(tmp_path / "one.txt", lambda partial, text=text: partial.write_text(text))
        with cached_folder(tmp_path / "two") as folder:
            if folder:
                (folder / "part").write_text(text)
    assert content(tmp_path) == {"one.txt": "first", "two/part": "first", "one.txt.lock": "", "two.lock": ""}
    assert [path.name for path in tmp_path.glob(".*")] == [f".one.txt-kept.{'0' * 32}"]


def build(path, built):
    with cached_folder(path) as folder:
        if folder:
            time.sleep(0.2)
            (folder / "part").write_text("x")
        built.put(folder is not None)


def test_of_several_processes_one_makes_the_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    built = context.Queue()
    processes = [context.Process(target=build, args=(tmp_path / "store", built)) for _ in range(2)]
    for process in processes:
        process.start()
    assert sorted(built.get(timeout=60) for _ in processes) == [False, True]
    for process in processes:
        process.join()
