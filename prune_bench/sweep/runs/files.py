"""The configuration and the small files in a run's folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from prune_bench.config import Config, to_dict
from prune_bench.families import read_values
from prune_bench.files import write_text
from prune_bench.plugins import load_plugins


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, or None when there is no such file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file. ValueError names the file and line that cannot be read."""
    values = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: not JSON ({error.msg}): run the sweep again") from None
    return values


def write_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """JSON lines, one object each."""
    write_text(path, "".join(json.dumps(value) + "\n" for value in values))


def write_config(folder: Path, config: Config) -> None:
    write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(to_dict(config))))


def read_config(folder: Path) -> Config:
    """The configuration of a run's folder, whose plugins are imported. ValueError when there is none."""
    path = folder / "config.yaml"
    if not path.exists():
        raise ValueError(f"{path} is missing: start the run with experiments/sweep.py")
    values = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(values, dict)
    load_plugins(str(values.get("plugins", "")))
    return read_values({str(key): value for key, value in values.items()})
