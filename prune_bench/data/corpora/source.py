"""What every corpus offers: utterances in parts, each part read in order by one worker process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.registry import suggest

# Stand-ins for the amounts of labels that pretrained encoders are compared on.
SHARES = {"": 1.0, "10h": 1.0, "1h": 0.25, "10min": 0.0625}
COUNTS = ("train_utterances", "dev_utterances", "test_utterances", "seed")
SUBSETS = ("train", "dev_clean", "dev_other", "test_clean", "test_other")
SPLITS = ("train", "dev-clean", "dev-other", "test-clean", "test-other")


@dataclass(frozen=True)
class Utterance:
    """One transcript and where its audio lies: a segment of file `audio`, or None if the corpus makes its own.

    `line` is the line of the listing that names it, 0 without one.
    """

    id: str
    text: str
    speaker: str
    split: str
    audio: str | None = None
    start: float = 0.0
    duration: float | None = None
    line: int = 0


Load = Callable[[], tuple[Utterance, Tensor]]


class Source(Protocol):
    """A corpus. `read` runs in workers, on a pickled copy; the others are cheap and run in the parent.

    `fingerprint` and the bytes of `files` say what a split holds, wherever it lies.
    """

    def fingerprint(self, split: str) -> Any:
        """JSON value that changes whenever the texts, speakers or order of `split` would, or audio that is made up."""

    def files(self, split: str) -> Sequence[Path]:
        """The audio files of `split`, those that are missing too; none where all audio is synthesised."""

    def parts(self, split: str) -> list[Sequence[Any]]:
        """The utterances of `split`, in parts that may be read in any order."""

    def read(self, part: Sequence[Any]) -> Iterator[Load]:
        """One function an utterance, to be called in order; it may raise BadUtterance."""


@dataclass(frozen=True, kw_only=True)
class CorpusSpec:
    """A corpus, as the configuration names it under `corpus.name`.

    Attributes:
        source: Its reader.
        options: The keys of the section `corpus` that it reads, beside those that hold for all.
        own: Options of its own, numbers or text, with their defaults; `read_own` gives their values.
        splits: Training first, then those whose names begin with `dev` and with `test`.
        languages: Those that it has, None for any.
        place: Where the speech of a language lies.
    """

    name: str
    source: Callable[[CorpusConfig, FeatureConfig], Source]
    options: tuple[str, ...] = ()
    own: Mapping[str, Any] = field(default_factory=dict)
    splits: tuple[str, ...] = SPLITS
    languages: tuple[str, ...] | None = None
    place: Callable[[CorpusConfig, str], str] = lambda config, language: f"{config.root}/{language}"

    def read_own(self, config: CorpusConfig) -> dict[str, Any]:
        """The values of its own options, of the types of their defaults.

        Raises:
            ValueError: it has no such option, or the option no such value.
        """
        values = dict(self.own)
        for name, text in config.options.items():
            if name not in self.own:
                known = suggest(name, list(self.own), "option") if self.own else "it has no options of its own"
                raise ValueError(f"corpus.options.{name}: corpus.name={self.name}: {known}")
            try:
                values[name] = type(self.own[name])(text)
            except ValueError:
                kind = type(self.own[name]).__name__
                raise ValueError(f"corpus.options.{name}={text}: corpus.name={self.name} takes {kind}") from None
        return values

    def normalise_own(self, config: CorpusConfig) -> dict[str, str]:
        """Its own options as they name runs: without those that have their defaults. ValueError as `read_own`."""
        return {name: str(value) for name, value in self.read_own(config).items() if value != self.own[name]}


def subset_of(config: CorpusConfig, split: str) -> str:
    """The corpus' own name of one of the five `SPLITS`."""
    return str(getattr(config, split.replace("-", "_")))


def count_of(config: CorpusConfig, split: str) -> int:
    """How many utterances of `split` a generated corpus makes."""
    count = int(getattr(config, split.partition("-")[0] + "_utterances"))
    return max(1, round(count * SHARES[config.labels])) if split == "train" else count


def labelled(config: CorpusConfig, split: str, items: Sequence[Any]) -> Sequence[Any]:
    """The share of a recorded training set that `config.labels` stands for, spread evenly; all of any other split."""
    return items[:: round(1 / SHARES[config.labels])] if split == "train" else items


def chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[first : first + size] for first in range(0, len(items), size)]
