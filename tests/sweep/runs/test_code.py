from __future__ import annotations

import subprocess
from importlib.metadata import version

import pytest

from prune_bench.config import Config
from prune_bench.sweep.runs.code import CODE, read_code
from prune_bench.sweep.runs.rows import unfinished

PERSON = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")


@pytest.fixture
def package(tmp_path):
    """A package in a folder of a checkout."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    git(tmp_path, "init", "--quiet")
    return folder


def git(folder, *arguments):
    subprocess.run(["git", "-C", str(folder), *PERSON, *arguments], check=True, capture_output=True)


def commit(folder):
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "One")


def test_a_checkout_tells_its_commit_and_whether_files_differ_from_it(package):
    commit(package)
    clean = read_code(package)
    assert clean == {"version": version("prune-bench"), "commit": clean["commit"], "dirty": False}
    assert len(clean["commit"]) == 12
    (package.parent / "notes.txt").write_text("beside the package")
    assert read_code(package) == clean
    (package / "more.py").write_text("")
    assert read_code(package) == {**clean, "dirty": True}


def test_a_package_that_no_checkout_holds_has_its_version_alone(package, tmp_path, monkeypatch):
    alone = {"version": version("prune-bench")}
    (tmp_path / "other.txt").write_text("")
    git(tmp_path, "add", "other.txt")
    git(tmp_path, "commit", "--quiet", "--message", "One")
    assert read_code(package) == alone
    monkeypatch.setenv("PATH", "")
    assert read_code(package) == alone


def test_every_row_tells_its_code():
    assert unfinished(Config(), "failed", "")["code"] == CODE
