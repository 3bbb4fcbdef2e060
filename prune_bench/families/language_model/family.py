"""A language model: its experiment and its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from prune_bench.config import Config, FitConfig, LanguageModelConfig
from prune_bench.config.checks import check_heads, check_numbers
from prune_bench.data.text.batches import TextData
from prune_bench.data.text.corpus import TextCorpus, prepare_text
from prune_bench.data.tokenizers import Tokenizer, tokenizer_digest
from prune_bench.export import export_language_model
from prune_bench.families.language_model.fusing import measure_fused
from prune_bench.families.language_model.presets import PRESETS
from prune_bench.families.language_model.quantities import (
    QUANTITIES,
    LanguageModelRow,
    describe_decoding,
    describe_timing,
)
from prune_bench.families.language_model.scratch import shrink
from prune_bench.families.record import Experiment, Family, Folders, Progress, Report
from prune_bench.families.speech import SCORES
from prune_bench.measurement.lm_latency import time_language_models
from prune_bench.measurement.perplexity import measure_perplexity
from prune_bench.measurement.size import kept_fractions
from prune_bench.models.arch import BlockArch
from prune_bench.models.transformer_lm import LanguageModel, LanguageModelArch
from prune_bench.pruning.methods import find_method
from prune_bench.tasks.language_model import LanguageModelTask

JUDGED = ("dev", "test")
SENTENCE = 32  # tokens that costs are counted over


class LanguageModelExperiment(Experiment):
    """The next token from those before it."""

    def open(self, cache: Path, progress: bool) -> TextCorpus:
        return prepare_text(self.config, cache, progress)

    def make_data(self, corpus: TextCorpus, fit: FitConfig) -> TextData:
        return TextData(corpus.splits, fit, self.config.seed)

    def make_task(self, corpus: TextCorpus, fit: FitConfig, folder: Path) -> LanguageModelTask:
        lm, arch = self.config.lm, make_arch(self.config.lm, corpus.tokenizer)
        if find_method(self.config.method).is_narrow:
            arch = shrink(arch, self.config.sparsity)
        return LanguageModelTask(LanguageModel(arch, lm.dropout), fit, self.config.seed)

    def judge(self, model: LanguageModel, corpus: TextCorpus, progress: Progress) -> dict[str, Any]:
        """Perplexities of development and test text."""
        words, row = corpus.splits["train"].words, dict[str, Any](sentences={})
        for split in JUDGED:
            found = measure_perplexity(model, corpus.splits[split], words, progress)
            row["sentences"][split] = found.pop("sentences")
            row[f"ppl.{split}"] = found.pop("units")
            row.update({f"ppl.{split}.{name}": value for name, value in found.items()})
        return row

    def judge_fused(self, model: LanguageModel, corpus: TextCorpus, folders: Folders, report: Report) -> dict[str, Any]:
        return measure_fused(model, self.config, corpus, folders, report)

    def time(self, models: Mapping[str, LanguageModel], corpus: TextCorpus, progress: Progress) -> dict[str, Any]:
        rounds, threads = self.config.measurement.timing_rounds, self.config.execution.threads
        return time_language_models(models, SENTENCE, self.config.fusion.beam, rounds, threads, progress)

    def example(self, model: LanguageModel) -> tuple[Tensor | None, ...]:
        generator = torch.Generator().manual_seed(0)
        return (torch.randint(model.arch.vocabulary, (1, SENTENCE), generator=generator),)

    def count_flops(self, model: LanguageModel) -> dict[str, int]:
        """Operations per token, of the layers and with the embeddings, in a sentence of 32."""
        with torch.device("meta"):
            again = LanguageModel(model.arch).eval().requires_grad_(False)
            tokens = torch.empty((1, SENTENCE), dtype=torch.long)
        layers, everything = FlopCounterMode(display=False), FlopCounterMode(display=False)
        with torch.no_grad():
            with layers:
                again.blocks(torch.empty((1, SENTENCE, model.arch.width), device="meta"))
            with everything:
                again(tokens)
        counts = {"blocks": layers.get_total_flops(), "encoder": everything.get_total_flops()}
        return {name: round(count / SENTENCE) for name, count in counts.items()}

    def describe(self, model: LanguageModel, dense: LanguageModel) -> dict[str, Any]:
        return {"kept": kept_fractions(model, dense)}


def make_arch(lm: LanguageModelConfig, tokenizer: Tokenizer) -> LanguageModelArch:
    """The dense architecture of a configuration."""
    return LanguageModelArch(
        vocabulary=tokenizer.size,
        width=lm.width,
        head_width=lm.head_width or lm.width // lm.heads,
        layers=(BlockArch(lm.heads, lm.ffn),) * lm.layers,
        tied=lm.tied,
        embeddings=lm.embeddings,
        tokenizer=tokenizer_digest(tokenizer),
    )


def check(config: Config) -> None:
    """Raise ValueError for a width that the heads do not share evenly, and for fusion with other tokens."""
    if not config.lm.head_width:
        check_heads("lm", config.lm.width, config.lm.heads)
    for key in ("weights", "internal"):
        check_numbers(f"fusion.{key}", getattr(config.fusion, key))
    if config.measurement.fused and config.text.tokens != "speech":
        raise ValueError(f"text.tokens={config.text.tokens}: measurement.fused=true needs text.tokens=speech")


def recogniser(config: Config) -> Config:
    """The dense run of the recogniser that a language model is fused with: one for all seeds."""
    return replace(config, task="transducer", method="dense", sparsity=0.0, seed=0, dense=config.fusion.fit)


FAMILY = Family(
    name="language_model",
    model=LanguageModel,
    arch=LanguageModelArch,
    experiment=LanguageModelExperiment,
    presets=PRESETS,
    reads=("corpus", "tokenizer", "text", "lm"),
    data=("corpus", "tokenizer", "features", "text"),
    choices={
        "text.tokens": ("speech", "text"),
        "text.on_bad": ("fail", "skip"),
    },
    check=check,
    recogniser=recogniser,
    row=LanguageModelRow,
    quantities=QUANTITIES,
    columns=("ppl.*", "ppl.test.words", *SCORES, "size", "flops.token", "latency.step", "latency.onnx"),
    scores=("ppl.*",),
    axes=("size", "flops.token", "latency.step", "latency.onnx"),
    prunable="layers and the embedding",
    describe_decoding=describe_decoding,
    timed=True,
    exports={"model": export_language_model},
    describe_timing=describe_timing,
)
