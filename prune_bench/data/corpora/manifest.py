"""One's own data: JSON lines with `audio_filepath` and `text`, optional `duration`, `offset`, `speaker` and `split`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from prune_bench.config import CorpusConfig, FeatureConfig
from prune_bench.config.data import LANGUAGE
from prune_bench.data.audio import BadUtterance, read_audio
from prune_bench.data.corpora.source import SUBSETS, CorpusSpec, Load, Utterance, chunks, labelled, subset_of

PART = 100
AUDIO = "audio_filepath"
Entry = tuple[str, int, dict[str, Any]]


class Manifest:
    """`corpus.root` is one file whose lines name their `split`, or a folder with a file `<split>.jsonl` a split;
    `{language}` in it stands for `corpus.language`.

    `corpus.train`, `corpus.dev_clean` and so on say what the splits are called there; several join with `+`. Relative
    audio paths are relative to the manifest. A line that is no JSON object is always an error.
    """

    def __init__(self, config: CorpusConfig, features: FeatureConfig) -> None:
        self.config, self.sample_rate = config, features.sample_rate
        self.root = Path(config.root.replace(LANGUAGE, config.language))

    def fingerprint(self, split: str) -> Any:
        return [[Path(path).name, number, entry | {AUDIO: ""}] for path, number, entry in self.entries(split)]

    def files(self, split: str) -> list[Path]:
        return [Path(path).parent / str(entry.get(AUDIO, "")) for path, _, entry in self.entries(split)]

    def parts(self, split: str) -> list[Sequence[Entry]]:
        return chunks(self.entries(split), PART)

    def entries(self, split: str) -> Sequence[Entry]:
        """Manifest, line and content of each utterance of `split`."""
        entries = []
        for path, wanted in self.listings(split):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                if line.strip():
                    entry = parse(line, f"{path}:{number}")
                    if wanted is None or entry.get("split") == wanted:
                        entries.append((str(path), number, entry | {"split": split}))
        return labelled(self.config, split, entries)

    def listings(self, split: str) -> list[tuple[Path, str | None]]:
        """Files to read for `split`, each with the value of `split` to select in it, None for every line."""
        subsets = subset_of(self.config, split).split("+")
        if self.root.is_file():
            return [(self.root, subset) for subset in subsets]
        paths = [self.root / f"{subset}.jsonl" for subset in subsets]
        for path in paths:
            if not path.is_file():
                key = f"corpus.{split.replace('-', '_')}"
                raise ValueError(f"{path}: no such manifest; correct corpus.root={self.config.root!r} or {key}")
        return [(path, None) for path in paths]

    def read(self, part: Sequence[Entry]) -> Iterator[Load]:
        return (partial(self.load, *entry) for entry in part)

    def load(self, path: str, number: int, entry: dict[str, Any]) -> tuple[Utterance, Tensor]:
        where = f"{path}:{number}"
        try:
            utterance = described(entry, Path(path), number)
            audio = read_audio(str(utterance.audio), self.sample_rate, utterance.start, utterance.duration)
        except BadUtterance as error:
            raise BadUtterance(error.reason, f"{where}: {error}") from None
        return utterance, audio


def parse(line: str, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON ({error}); write one object a line") from None
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: not a JSON object; write one object a line")
    return entry


def described(entry: dict[str, Any], path: Path, number: int) -> Utterance:
    """The utterance of one manifest line; its id names manifest and line."""
    for key, kind in ((AUDIO, str), ("text", str)):
        if not isinstance(entry.get(key), kind):
            raise BadUtterance(f"no {key}", f"no {key!r}; add it or remove the line")
    try:
        start, duration = float(entry.get("offset") or 0.0), entry.get("duration")
        duration = None if duration is None else float(duration)
    except (TypeError, ValueError):
        raise BadUtterance("bad number", "'offset' and 'duration' must be seconds; correct them") from None
    audio = path.parent / entry[AUDIO]
    return Utterance(f"{path.name}:{number}", entry["text"], str(entry.get("speaker", "")), entry["split"], str(audio),
                     start, duration, number)  # fmt: skip


CORPUS = CorpusSpec(
    name="manifest",
    source=Manifest,
    options=("root", "labels", *SUBSETS),
    place=lambda config, language: config.root.replace(LANGUAGE, language),
)
