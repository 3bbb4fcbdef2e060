"""The lines of a corpus of text: of files, of its generator, or of transcripts."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prune_bench.config import TextConfig
from prune_bench.data.digests import file_digests
from prune_bench.data.text.corpora import TEXTS, TextLine
from prune_bench.fingerprint import fingerprint


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
    named = getattr(config, split) or TEXTS.find(config.name).files.get(split, "")
    return [Path(config.root) / name for name in named.split("+") if name]


def lines(config: TextConfig, split: str, transcripts: Sequence[str]) -> Iterator[TextLine]:
    """The lines of "train", "dev" or "test"; `transcripts` are those of the speech corpus' split of that name.

    Raises:
        ValueError: nothing is named to train on.
    """
    paths, generate = paths_of(config, split), TEXTS.find(config.name).generate
    if paths:
        for path in paths:
            yield from read_file(path)
    elif split != "train":
        for number, text in enumerate(transcripts, start=1):
            yield TextLine(text, f"{split} transcript {number}")
    elif generate:
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
    spec = TEXTS.find(config.name)
    return spec.fingerprint(config) if split == "train" and spec.generate else list(transcripts)
