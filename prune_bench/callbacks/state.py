"""What a pruning callback holds, in a fit, from a checkpoint or from other processes."""

from __future__ import annotations

from numbers import Real
from typing import Any

from lightning import Callback, LightningModule, Trainer

from prune_bench.callbacks.handover import Handover
from prune_bench.callbacks.shortfall import BestCheckpoints
from prune_bench.pruning.masks import MaskSet
from prune_bench.pruning.method import Method


class PruningState(Callback):
    """The masks of one row of the methods table, asked for by `sparsity`, and their state in checkpoints.

    Raises:
        RuntimeError: `achieved` or `masks` is read before anything was pruned.
    """

    def __init__(self, method: Method, sparsity: float, key: dict[str, Any]):
        given: Any = sparsity
        if not isinstance(given, Real) or not 0.0 <= sparsity < 1.0:
            wrong = f"{type(self).__name__}: sparsity={sparsity!r}"
            raise ValueError(f"{wrong}: give the removed fraction, a number at least 0 and below 1")
        self.method, self.sparsity = method, sparsity
        self._key = {"sparsity": sparsity, **key}
        self._step = 0  # batches after which an optimizer was stepped
        self._stage: str | None = None  # of the Trainer that runs
        self._loaded: dict[str, Any] | None = None  # state of a fit elsewhere
        self._best = BestCheckpoints()
        self._handover = Handover()

    @property
    def state_key(self) -> str:
        return self._generate_state_key(**self._key)

    @property
    def achieved(self) -> float:
        """The removed fraction of the prunable weights (of their FLOPs where those are the target)."""
        loaded = self.loaded
        self._check_pruned(loaded)
        return self.measure() if loaded is None else loaded["achieved"]

    @property
    def masks(self) -> MaskSet:
        """What is kept, by name."""
        loaded = self.loaded
        self._check_pruned(loaded)
        return self.mask_set() if loaded is None else MaskSet(loaded["masks"])

    def _check_pruned(self, loaded: dict[str, Any] | None) -> None:
        if loaded is None and not self.ready:
            raise RuntimeError(f"{type(self).__name__} has pruned nothing before trainer.fit")

    @property
    def loaded(self) -> dict[str, Any] | None:
        """The state of a checkpoint, or of a fit in other processes, that stands in for a fit here."""
        if not self.fitting:
            self._loaded = self._handover.take() or self._loaded
        return self._loaded

    @property
    def fitting(self) -> bool:
        """Whether a fit runs."""
        return self._stage == "fit"

    @property
    def ready(self) -> bool:
        """Whether a fit has begun for this callback: loops that tune a Trainer run before."""
        raise NotImplementedError

    def measure(self) -> float:
        """The removed fraction in this process."""
        raise NotImplementedError

    def mask_set(self) -> MaskSet:
        """The masks in this process."""
        raise NotImplementedError

    # The stages of a Trainer.

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._stage = stage

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._stage = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._stage = None

    # Checkpoints.

    def state_dict(self) -> dict[str, Any]:
        if (loaded := self.loaded) is not None:
            return dict(loaded)
        if not self.ready:
            return {}
        return {"step": self._step, "achieved": self.achieved, "masks": dict(self.masks), **self.own_state()}

    def own_state(self) -> dict[str, Any]:
        """What a fit needs beside counter and masks to go on."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best.sparsities = dict(state_dict.get("best", {}))
        if self._stage != "fit":
            self._loaded = state_dict
        if self._stage in ("fit", None):
            self.resume(state_dict)

    def resume(self, state: dict[str, Any]) -> None:
        """Go on, in the fit that runs or the next one, from a state."""
        self._step = state["step"]
