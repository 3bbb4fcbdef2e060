"""Where lines of text come from: files, or the generator of the synthetic speech."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prune_bench.config import TextConfig
from prune_bench.data import grammar
from prune_bench.data.digests import file_digests
from prune_bench.fingerprint import fingerprint

GENERATED = "espeak"
FILES = {
    "files": {"train": "", "dev": "", "test": ""},
    "librispeech-lm": {"train": "librispeech-lm-norm.txt.gz", "dev": "", "test": ""},
    "wikitext2": {"train": "train.txt", "dev": "valid.txt", "test": "test.txt"},
}


class TextLine(NamedTuple):
    """A line and where it stands, in words."""

    text: str
    place: str


def read_file(path: Path) -> Iterator[TextLine]:
    """The lines of a text file, gzipped or not, one at a time.

    Raises:
        ValueError: the file is missing or damaged, or a line is not UTF-8.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing: correct text.root or text.train, text.dev, text.test")
    number = 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        try:
            for number, line in enumerate(file, start=1):
                yield TextLine(line.decode("utf-8"), f"{path}:{number}")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}:{number}: not UTF-8 ({error.reason}): convert the file") from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: damaged after line {number} ({error}): fetch the file again") from None


def paths_of(config: TextConfig, split: str) -> list[Path]:
    """The files of a split; none where the transcripts of the speech corpus stand in, or where text is generated."""
    named = getattr(config, split) or FILES.get(config.name, {}).get(split, "")
    return [Path(config.root) / name for name in named.split("+") if name]


def generate(config: TextConfig) -> Iterator[TextLine]:
    """Sentences of the speech corpus' generator, of which the spoken ones of its training split are the first."""
    for number, text in enumerate(grammar.sentences("train", config.sentences, config.seed), start=1):
        yield TextLine(text, f"sentence {number}")


def lines(config: TextConfig, split: str, transcripts: Sequence[str]) -> Iterator[TextLine]:
    """The lines of "train", "dev" or "test"; `transcripts` are those of the speech corpus' split of that name.

    Raises:
        ValueError: nothing is named to train on.
    """
    paths = paths_of(config, split)
    if paths:
        for path in paths:
            yield from read_file(path)
    elif split != "train":
        for number, text in enumerate(transcripts, start=1):
            yield TextLine(text, f"{split} transcript {number}")
    elif config.name == GENERATED:
        yield from generate(config)
    else:
        raise ValueError(f"text.name={config.name} needs files to train on: add text.train=FILE")


def content_of(config: TextConfig, cache: Path, progress: bool = False) -> dict[str, str]:
    """A digest of what the files of each split hold, for the splits that have files; kept under folder `cache`."""
    named = {split: paths_of(config, split) for split in ("train", "dev", "test")}
    return {
        split: fingerprint(file_digests(paths, cache / "digests.json", f"content of {split} text", progress))
        for split, paths in named.items()
        if paths
    }


def describe_lines(config: TextConfig, split: str, transcripts: Sequence[str], content: Mapping[str, str]) -> Any:
    """JSON value that changes whenever the lines of a split would; `content` is that of `content_of`."""
    if split in content:
        return content[split]
    generated = split == "train" and config.name == GENERATED
    return [config.sentences, config.seed, grammar.source("en").content] if generated else list(transcripts)
