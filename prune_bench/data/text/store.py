"""Encoded sentences of one split in one memory-mapped file, written in one pass over the text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prune_bench.data.store import describe
from prune_bench.data.text.corpora import TextLine
from prune_bench.data.texts import spell
from prune_bench.data.tokenizers import UNKNOWN, Tokenizer

HELD_OUT = "also in development or test text"


@dataclass(frozen=True)
class TextStore:
    """Sentence i is `tokens[ends[i] : ends[i + 1]]`, on disk. `texts` are kept where they are judged by words.

    `words` counts the words of the split; `skipped` what was left out, by reason.
    """

    tokens: np.ndarray
    ends: np.ndarray
    texts: list[str]
    words: dict[str, int]
    skipped: dict[str, int]

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """Tokens of one sentence, int64."""
        return np.asarray(self.tokens[self.ends[index] : self.ends[index + 1]], dtype=np.int64)

    def lengths(self, indices: np.ndarray) -> np.ndarray:
        """Tokens of each of these sentences."""
        return np.asarray(self.ends[indices + 1]) - np.asarray(self.ends[indices])

    @classmethod
    def open(cls, path: Path) -> TextStore:
        """Map the store in folder `path`; reads no sentence."""
        index = json.loads((path / "index.json").read_text())
        return cls(
            tokens=np.memmap(path / "tokens.bin", np.dtype(index["type"]), "r"),
            ends=np.memmap(path / "ends.bin", np.int64, "r"),
            texts=index["texts"],
            words=index["words"],
            skipped=index["skipped"],
        )


def write_text_store(
    folder: Path,
    lines: Iterable[TextLine],
    tokenizer: Tokenizer,
    longest: int,
    held_out: Collection[str] = (),
    skip: bool = False,
    keep_texts: bool = False,
    origin: str = "the text",
) -> None:
    """Write the sentences of `lines` that are not `held_out`; what cannot be spelled is left out with `skip`.

    `origin` says in words where the lines are from.

    Raises:
        ValueError: a line has characters that the tokenizer does not know, or no sentence is left.
    """
    kind = np.dtype(np.uint16 if tokenizer.size <= 1 << 16 else np.uint32)
    words, skipped, texts, end = Counter[str](), Counter[str](), list[str](), 0
    with (folder / "tokens.bin").open("wb") as tokens, (folder / "ends.bin").open("wb") as ends:
        ends.write(np.int64(0).tobytes())
        for piece, encoded in pieces(lines, tokenizer, longest, held_out, skip, skipped):
            tokens.write(np.array(encoded, dtype=kind).tobytes())
            end += len(encoded)
            ends.write(np.int64(end).tobytes())
            words.update(piece.split())
            texts += [piece] * keep_texts
    if end == 0:
        raise ValueError(f"no sentence in {origin}: {describe(dict(skipped)) or 'it is empty'}")
    index = {"type": str(kind), "texts": texts, "words": dict(words), "skipped": dict(skipped)}
    (folder / "index.json").write_text(json.dumps(index, ensure_ascii=False))


def pieces(
    lines: Iterable[TextLine],
    tokenizer: Tokenizer,
    longest: int,
    held_out: Collection[str],
    skip: bool,
    skipped: Counter[str],
) -> Iterator[tuple[str, list[int]]]:
    """The sentences to keep and their tokens; `skipped` counts the others by reason."""
    for line in lines:
        if not (text := spell(line.text)):
            continue
        if text in held_out:
            skipped[HELD_OUT] += 1
        else:
            try:
                yield from cut(text, tokenizer, longest)
            except ValueError as error:
                if not skip:
                    raise ValueError(f"{line.place}: {UNKNOWN}, {error}; correct it, or set text.on_bad=skip") from None
                skipped[UNKNOWN] += 1


def cut(text: str, tokenizer: Tokenizer, longest: int) -> Iterator[tuple[str, list[int]]]:
    """`text` and its tokens, in halves cut between words as long as there are more than `longest` tokens."""
    tokens, words = tokenizer.encode(text), text.split()
    if len(tokens) <= longest or len(words) == 1:
        yield text, tokens
        return
    middle = len(words) // 2
    yield from cut(" ".join(words[:middle]), tokenizer, longest)
    yield from cut(" ".join(words[middle:]), tokenizer, longest)
