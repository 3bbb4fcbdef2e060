"""Which version of this code a row comes from."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[2]


def read_code(package: Path = PACKAGE) -> dict[str, Any]:
    """The package's version; where it lies in a git checkout also the commit, and whether files differ from it."""
    code: dict[str, Any] = {"version": version("prune-bench")}
    try:
        ask_git(package, "ls-files", "--error-unmatch", "__init__.py")  # not a checkout that merely lies above
        commit = ask_git(package, "rev-parse", "--short=12", "HEAD")
        changes = ask_git(package, "--no-optional-locks", "status", "--porcelain", ".")
    except (OSError, subprocess.CalledProcessError):
        return code
    return {**code, "commit": commit, "dirty": bool(changes)}


def ask_git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


CODE = read_code()  # once, at the import: files may change while the code that was imported runs
