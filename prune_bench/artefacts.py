"""A finished model on disk: arch.json and model.safetensors, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from prune_bench.families import FAMILIES, Family
from prune_bench.files import written_folder
from prune_bench.registry import suggest

RENAMED = {"units": "tokenizer"}  # keys of an arch.json as older versions wrote them


def save_model(model: Any, folder: str | Path) -> Path:
    """Write a model's arch and weights to `folder`, replacing what was there. Returns the folder."""
    folder = Path(folder)
    kind = family_of_model(model).saved_as
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with written_folder(folder) as partial:
        (partial / "arch.json").write_text(json.dumps({"kind": kind, **model.arch.to_dict()}, indent=1))
        save_file(state, partial / "model.safetensors")
    return folder


def load_model(folder: str | Path) -> Any:
    """The model saved in `folder`, of any family, in eval mode.

    Raises:
        ValueError: the folder holds no complete model, or one of an unknown family, naming the file.
    """
    folder = Path(folder)
    for name in ("arch.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name} is missing: give a folder written by save_model")
    try:
        arch = json.loads((folder / "arch.json").read_text())
        family = family_saved_as(arch.pop("kind", "transducer"), folder)
        model = family.model(family.arch.from_dict({RENAMED.get(key, key): value for key, value in arch.items()}))
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (SafetensorError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{folder} is not a readable model ({str(error).splitlines()[0]}): delete it and train it again"
        ) from None
    return model.eval()


def family_of_model(model: Any) -> Family:
    """The family that a model is of."""
    return next(family for family in FAMILIES if isinstance(model, family.model))


def export_model(folder: str | Path, to: str | Path) -> list[Path]:
    """Write the model saved in `folder` as the ONNX files of its family, into folder `to`. Returns their paths.

    Raises:
        ValueError: the folder holds no complete model, or one whose family has no export.
    """
    model = load_model(folder)
    family = family_of_model(model)
    if not family.exports:
        raise ValueError(f"{folder}: models of task={family.name} have no export: give its record `exports`")
    return [export(model, Path(to) / f"{name}.onnx") for name, export in family.exports.items()]


def family_saved_as(kind: str, folder: Path) -> Family:
    """The family whose models are saved under that name."""
    known = {family.saved_as: family for family in FAMILIES}
    if kind not in known:
        raise ValueError(f"{folder / 'arch.json'}: {suggest(kind, list(known), 'kind of model')}")
    return known[kind]


def weights_sha(model: nn.Module) -> str:
    """Sixteen hex digits of the SHA-256 over names and values of a model's state."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
