"""A small text store and language model."""

from __future__ import annotations

from pathlib import Path

import torch

from prune_bench.data.text.corpora import TextLine
from prune_bench.data.text.store import TextStore, write_text_store
from prune_bench.data.tokenizers import Words
from prune_bench.models.arch import BlockArch
from prune_bench.models.transformer_lm import LanguageModel, LanguageModelArch

WORDS = Words(["a", "b", "c", "d"])
SENTENCES = ("a b", "c", "a b c d a", "b b a", "d c", "a b", "c a b")


def make_store(folder: Path, texts=SENTENCES) -> TextStore:
    folder.mkdir(parents=True)
    write_text_store(folder, [TextLine(text, "") for text in texts], WORDS, longest=8, keep_texts=True)
    return TextStore.open(folder)


def make_model(seed: int = 0) -> LanguageModel:
    torch.manual_seed(seed)
    return LanguageModel(LanguageModelArch(WORDS.size, 16, 8, (BlockArch(2, 24),) * 2))
