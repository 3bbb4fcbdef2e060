"""What a family of models tells the rest of the house: one record, and one experiment a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lightning import LightningDataModule
from torch import Tensor

from prune_bench.config import Config, FitConfig
from prune_bench.families.quantities import Quantity
from prune_bench.families.rows import Finished

Progress = Callable[[int, int], None]
Report = Callable[[str, int, int], None]


class Folders(NamedTuple):
    """Where a fused model's run, its dense model's and its recogniser's lie, and what is computed once for all."""

    run: Path
    dense: Path
    recogniser: Path
    cache: Path


class Experiment:
    """The model that one configuration describes: how it is made, trained and measured. A family subclasses it.

    A corpus is whatever `open` returns. Progress is called with what is done and what there is to do, behind the name
    of its phase where there are several.
    """

    def __init__(self, config: Config):
        self.config = config

    def open(self, cache: Path, progress: bool) -> Any:
        """The data, made in folder `cache`, or opened if made before."""
        raise NotImplementedError

    def make_data(self, corpus: Any, fit: FitConfig) -> LightningDataModule:
        """Training and validation batches of one fit."""
        raise NotImplementedError

    def make_task(self, corpus: Any, fit: FitConfig, folder: Path) -> Any:
        """A `TrainingTask` at random weights or those of a published checkpoint.

        `folder` is the run's own, for what it computes on the way.
        """
        raise NotImplementedError

    def judge(self, model: Any, corpus: Any, progress: Progress) -> dict[str, Any]:
        """Columns of a row that tell how good `model` is, on the device where it lies."""
        raise NotImplementedError

    def judge_fused(self, model: Any, corpus: Any, folders: Folders, report: Report) -> dict[str, Any]:
        """The same for `model` in fusion with the recogniser that its family names."""
        raise NotImplementedError

    def example(self, model: Any) -> tuple[Tensor | None, ...]:
        """Inputs of `model` on which two models can be compared."""
        raise NotImplementedError

    def adopt(self, model: Any, source: Any) -> None:
        """Give `model` the weights of a finished one. ValueError when they do not fit."""
        model.load_state_dict(source.state_dict())

    def cache_front_end(self, corpus: Any, model: Any, cache: Path, progress: Progress) -> Any:
        """The corpus with the output of layers that are not trained, computed once for all fits in folder `cache`."""
        return corpus

    def count_flops(self, model: Any) -> dict[str, int]:
        """Operations of `blocks` and of the whole `encoder` for an input of the reference length."""
        return {}

    def describe(self, model: Any, dense: Any) -> dict[str, Any]:
        """Columns of a row that tell what is left of each layer."""
        return {}

    def time(self, models: Mapping[str, Any], corpus: Any, progress: Progress) -> dict[str, Any]:
        """Seconds that each model takes, all timed side by side, and `_protocol`: how."""
        raise ValueError(f"task={self.config.task}: its models are not timed")


def accept(config: Config) -> None:
    """Accept every configuration."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of model, as the configuration names it under `task`.

    Attributes:
        model: Its network, built from an `arch`.
        arch: The description of a network, with `to_dict` and `from_dict`.
        experiment: What the sweep asks about one configuration.
        presets: Configurations by name.
        reads: The sections of a configuration that shape a dense model, beside its seed and its fit.
        data: The sections that shape the corpus it is trained on.
        config: The class of its configurations, which may add sections to `Config`.
        kind: Its name in a saved model; by default `name`.
        choices: The values that keys of its sections may have, where not any will do.
        check: Raises ValueError for values of its sections that no model has.
        adapted: The values, by key, that keys of a preset take where a configuration's other keys ask for them.
        pretraining: The run that pretrains a configuration's model, None where its weights are published or random.
            Without it nothing is pretrained, and pruning starts from the dense model.
        recogniser: The run of the recogniser that its models can be fused with.
        encoder_frames: How many frames an encoder makes of those of an utterance.
        dataset: What its rows, folders and tables call the data.
        row: The columns of its finished rows, beside those of every family where it adds some.
        quantities: The numbers of its rows by name, beside those of every family.
        columns: The quantities that a table of its runs shows.
        scores: Those that say how good a model is; curves show them, a panel each. In these and in `columns`, `*`
            stands for every test split of a row.
        axes: Those that curves are drawn against.
        prunable: What holds the weights that a sparsity is a fraction of, in words.
        describe_decoding: How hypotheses were found that error rates are of, in words, given finished rows.
        timed: Whether its models are timed.
        exports: The ONNX files that its models can be written to, by name: each a function of the model and the path.
        describe_timing: How they were, in a sentence, given the protocol and the timings of dense models.
    """

    name: str
    model: type[Any]
    arch: type[Any]
    experiment: Callable[[Config], Experiment]
    presets: Mapping[str, Callable[[], Config]]
    reads: tuple[str, ...]
    data: tuple[str, ...]
    config: type[Config] = Config
    kind: str = ""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    check: Callable[[Config], None] = accept
    adapted: Callable[[Config], Mapping[str, Any]] = lambda config: {}
    pretraining: Callable[[Config], Config | None] | None = None
    recogniser: Callable[[Config], Config] | None = None
    encoder_frames: Callable[[Config, int], int] = lambda config, frames: frames
    dataset: Callable[[Config], str] = lambda config: config.corpus.name
    row: type[Finished] = Finished
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    axes: tuple[str, ...] = ("size",)
    prunable: str = "encoder blocks"
    describe_decoding: Callable[[Sequence[Any]], str] = lambda rows: "greedy decoding"
    timed: bool = False
    exports: Mapping[str, Callable[[Any, Path], Path]] = field(default_factory=dict)
    describe_timing: Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], str] = lambda protocol, dense: ""

    @property
    def saved_as(self) -> str:
        """The name of its models on disk."""
        return self.kind or self.name
