"""Text to tokens, which are numbers, and back; token 0 is the blank of the transducer and of CTC."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import sentencepiece

from prune_bench.config import TokenizerConfig
from prune_bench.files import write_text

BLANK = 0
UNKNOWN = "token outside the vocabulary"
VERSION = 1


class Tokenizer(Protocol):
    """`size` counts every token, the blank included. `encode` raises ValueError for a character it does not know."""

    @property
    def size(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: Sequence[int]) -> str: ...

    def state(self) -> Any: ...

    def save(self, path: str | Path) -> None: ...


class Textless:
    """For speech whose text is not read: no tokens but the blank."""

    size = 1

    def encode(self, text: str) -> list[int]:
        return []

    def decode(self, tokens: Sequence[int]) -> str:
        return ""

    def state(self) -> list[str]:
        return []

    def save(self, path: str | Path) -> None:
        """Nothing to keep."""


class Symbols:
    """One token for each symbol of the training text; a subclass says how a text splits into symbols."""

    kind: ClassVar[str]
    separator: ClassVar[str]

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = list(symbols)
        self.numbers = {symbol: number for number, symbol in enumerate(symbols, start=1)}

    @staticmethod
    def split(text: str) -> Sequence[str]:
        raise NotImplementedError

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> Self:
        return cls(sorted({symbol for text in texts for symbol in cls.split(text)}))

    @classmethod
    def from_state(cls, state: Sequence[str]) -> Self:
        return cls(state)

    def state(self) -> list[str]:
        return self.symbols

    @property
    def size(self) -> int:
        return 1 + len(self.symbols)

    def encode(self, text: str) -> list[int]:
        symbols = self.split(text)
        check_known(symbols, self.numbers, self.separator)
        return [self.numbers[symbol] for symbol in symbols]

    def decode(self, tokens: Sequence[int]) -> str:
        return self.separator.join(self.symbols[token - 1] for token in tokens if token != BLANK)

    def save(self, path: str | Path) -> None:
        save_tokenizer(self, Path(path))


class Characters(Symbols):
    """One token per character."""

    kind, separator = "characters", ""

    @staticmethod
    def split(text: str) -> Sequence[str]:
        return text


class Words(Symbols):
    """One token for each part between spaces: a word, or a phone where the targets are phones."""

    kind, separator = "words", " "

    @staticmethod
    def split(text: str) -> Sequence[str]:
        return text.split()


class SentencePiece:
    """Byte-pair tokens (Sennrich et al., 2016) trained on the training text; the unknown token doubles as the blank.

    With few tokens, byte pairs make shorter sequences than a unigram model, which leaves more frames per token.
    """

    kind: ClassVar[str] = "sentencepiece"

    def __init__(self, model: bytes, alphabet: str) -> None:
        self.model, self.alphabet = model, alphabet
        self.known = set(alphabet)
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> SentencePiece:
        """Train `size` tokens beside the blank, or as many as the text gives."""
        lines, model = list(texts), io.BytesIO()
        alphabet = "".join(sorted({letter for text in lines for letter in text}))
        if size <= len(alphabet):
            raise ValueError(f"tokenizer.size={size} is too small: the training text has {len(alphabet)} characters")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, model_type="bpe", vocab_size=size + 1,
            hard_vocab_limit=False, character_coverage=1.0, normalization_rule_name="identity", num_threads=1,
            minloglevel=2, unk_id=BLANK, bos_id=-1, eos_id=-1, pad_id=-1, input_sentence_size=1_000_000,
        )  # fmt: skip
        return cls(model.getvalue(), alphabet)

    @classmethod
    def from_state(cls, state: dict[str, str]) -> SentencePiece:
        return cls(bytes.fromhex(state["model"]), state["alphabet"])

    def state(self) -> dict[str, str]:
        return {"model": self.model.hex(), "alphabet": self.alphabet}

    @property
    def size(self) -> int:
        return int(self.processor.vocab_size())

    def encode(self, text: str) -> list[int]:
        check_known(text, self.known)
        return list(self.processor.encode(text))

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.processor.decode([int(token) for token in tokens if token != BLANK]))

    def save(self, path: str | Path) -> None:
        save_tokenizer(self, Path(path))


TOKENIZERS: dict[str, type[Symbols] | type[SentencePiece]] = {
    "characters": Characters,
    "sentencepiece": SentencePiece,
    "words": Words,
}


def train_tokenizer(config: TokenizerConfig, texts: Iterable[str]) -> Symbols | SentencePiece:
    if config.kind not in TOKENIZERS:
        raise ValueError(f"tokenizer.kind={config.kind!r} is unknown; choose one of {', '.join(TOKENIZERS)}")
    return TOKENIZERS[config.kind].train(texts, config.size)


def load_tokenizer(path: str | Path) -> Symbols | SentencePiece:
    """Read what `save` wrote."""
    content = json.loads(Path(path).read_text())
    return TOKENIZERS[content["kind"]].from_state(content["state"])


def save_tokenizer(tokenizer: Symbols | SentencePiece, path: Path) -> None:
    write_text(path, json.dumps({"kind": tokenizer.kind, "state": tokenizer.state()}))


def tokenizer_digest(tokenizer: Tokenizer) -> str:
    """Twelve hex digits of the SHA-256 of a tokenizer's state: equal where two tokenizers encode alike."""
    return hashlib.sha256(json.dumps(tokenizer.state()).encode()).hexdigest()[:12]


def check_known(symbols: Iterable[str], known: Iterable[str], separator: str = "") -> None:
    unknown = sorted(set(symbols) - set(known))
    if unknown:
        raise ValueError(f"{separator.join(unknown)!r} does not occur in the training text")
