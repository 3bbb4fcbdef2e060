"""Parameters, non-zeros and bytes of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from prune_bench.pruning.targets import with_biases


class Sized(Protocol):
    """A model that knows its encoder's weights, and which of them are prunable."""

    def block_matrices(self) -> list[str]: ...

    def encoder_parameters(self) -> Iterator[nn.Parameter]: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def state_dict(self) -> dict[str, Tensor]: ...


def measure_size(model: Sized, folder: str | Path | None = None, biases: bool = False) -> dict[str, int]:
    """Counts of parameters and the bytes of the files in `folder`.

    Returns `blocks` and `blocks_nonzero` (weight matrices of the encoder layers, and with `biases` what is added to
    their products: what sparsity is a fraction of), `encoder` (all its parameters), `total` and `total_nonzero` (the
    whole model) and `bytes`: of the saved model in `folder`, of the parameters and buffers in memory without one.
    """
    parameters = dict(model.named_parameters())
    names = model.block_matrices()
    blocks = [parameters[name] for name in (with_biases(names, parameters) if biases else names)]
    return {
        "blocks": _count(blocks),
        "blocks_nonzero": _nonzero(blocks),
        "encoder": _count(model.encoder_parameters()),
        "total": _count(parameters.values()),
        "total_nonzero": _nonzero(parameters.values()),
        "bytes": _bytes_in_memory(model) if folder is None else _bytes_on_disk(Path(folder)),
    }


def kept_fractions(model: Sized, dense: Sized) -> dict[str, tuple[float, int]]:
    """What `model` holds of each of the dense model's weight matrices: the fraction, non-zeros of all factors over the
    matrix's size, and that size."""
    ours, theirs = (dict(network.named_parameters()) for network in (model, dense))
    kept = {}
    for name in dense.block_matrices():
        layer = name.removesuffix("weight")
        parts = [value for key, value in ours.items() if key.startswith(layer) and value.dim() > 1]
        kept[name] = _nonzero(parts) / theirs[name].numel(), theirs[name].numel()
    return kept


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _nonzero(tensors: Iterable[Tensor]) -> int:
    return sum(int(tensor.count_nonzero()) for tensor in tensors)


def _bytes_in_memory(model: Sized) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def _bytes_on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
