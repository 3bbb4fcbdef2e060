"""The Conformer-Transducer: its experiment and its record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prune_bench.config import Config, FitConfig
from prune_bench.config.checks import check_heads
from prune_bench.data import Corpus
from prune_bench.data.batches import Batch
from prune_bench.data.tokenizers import tokenizer_digest
from prune_bench.decoding.greedy import decode_greedy
from prune_bench.export import export_blocks, export_encoder, export_front_end
from prune_bench.families.record import Family, Progress
from prune_bench.families.speech import SCORES, SpeechExperiment
from prune_bench.families.transducer.presets import PRESETS
from prune_bench.families.transducer.quantities import QUANTITIES, TransducerRow, describe_timing
from prune_bench.families.transducer.scratch import shrink
from prune_bench.measurement.flops import count_flops
from prune_bench.measurement.latency import speech, time_models
from prune_bench.models.arch import ConformerArch, TransducerArch
from prune_bench.models.transducer import Transducer
from prune_bench.pruning.methods import find_method
from prune_bench.tasks.transducer import TransducerTask


class TransducerExperiment(SpeechExperiment):
    """Log-mel energies to tokens by a Conformer-Transducer."""

    def make_task(self, corpus: Corpus, fit: FitConfig, folder: Path) -> TransducerTask:
        config, model, tokenizer = self.config, self.config.model, corpus.tokenizer
        arch = TransducerArch.from_config(model, config.features.mels, tokenizer.size)
        arch = replace(arch, tokenizer=tokenizer_digest(tokenizer))
        if find_method(config.method).is_narrow:
            arch = shrink(arch, config.sparsity)
        return TransducerTask(
            arch,
            fit,
            config.features,
            dropout=model.dropout,
            predictor_dropout=model.predictor_dropout,
            ctc_weight=model.ctc_weight,
            seed=config.seed,
            tokenizer=tokenizer,
        )

    def recognise(self, model: Transducer, batch: Batch) -> list[list[int]]:
        return decode_greedy(model, batch.features, batch.lengths, self.config.measurement.max_symbols)

    def time(self, models: Mapping[str, Transducer], corpus: Corpus, progress: Progress) -> dict[str, Any]:
        """On one utterance of the first test split's speech, of the configured length."""
        measured, hop = self.config.measurement, self.config.features.hop_ms
        frames = round(1000 * measured.timing_seconds / hop)
        return time_models(
            models,
            measured.timing_seconds,
            measured.timing_rounds,
            threads=self.config.execution.threads,
            hop_ms=hop,
            features=speech(next(iter(corpus.kind("test").values())), frames),
            max_symbols=measured.max_symbols,
            progress=progress,
        )

    def example(self, model: Transducer) -> tuple[Tensor | None, ...]:
        features = torch.randn(1, 200, model.arch.encoder.mels, generator=torch.Generator().manual_seed(0))
        return features, None, torch.ones(1, 3, dtype=torch.long)

    def count_flops(self, model: Transducer) -> dict[str, int]:
        return count_flops(model.arch, self.config.pruning.reference_seconds, self.config.features.hop_ms)

    def describe(self, model: Transducer, dense: Transducer) -> dict[str, Any]:
        encoder = model.arch.encoder
        widths = {"layers": layer_widths(encoder), "dense_layers": layer_widths(dense.arch.encoder)}
        return {**widths, "stream": encoder.width}


def layer_widths(arch: ConformerArch) -> dict[str, dict[str, int]]:
    """What each layer holds: FFN channels, heads, convolution channels, stream dimensions it works on."""
    return {
        f"layers.{i}": {
            "ffn1": layer.ffn1,
            "heads": layer.heads,
            "conv": layer.conv,
            "ffn2": layer.ffn2,
            "hidden": layer.local_width(arch.width),
        }
        for i, layer in enumerate(arch.layers)
    }


def check(config: Config) -> None:
    """Raise ValueError for widths that the heads do not share evenly."""
    check_heads("model", config.model.width, config.model.heads)


FAMILY = Family(
    name="transducer",
    model=Transducer,
    arch=TransducerArch,
    experiment=TransducerExperiment,
    presets=PRESETS,
    reads=("corpus", "features", "tokenizer", "model"),
    data=("corpus", "tokenizer", "features"),
    choices={"model.predictor": ("stateless", "lstm")},
    check=check,
    encoder_frames=lambda config, frames: math.ceil(frames / config.model.subsampling),
    row=TransducerRow,
    quantities=QUANTITIES,
    columns=(*SCORES, "rtf", "rtf.onnx", "size"),
    scores=SCORES,
    axes=("size", "rtf", "rtf.onnx"),
    timed=True,
    exports={"encoder": export_encoder, "front_end": export_front_end, "blocks": export_blocks},
    describe_timing=describe_timing,
)
