"""Small models to search with."""

from __future__ import annotations

import torch

from prune_bench.models.arch import BlockArch, ConformerArch, TransducerArch
from prune_bench.models.transducer import Transducer
from prune_bench.models.transformer_lm import LanguageModel, LanguageModelArch

ENCODER = ConformerArch.dense(mels=20, subsampling=2, width=32, heads=2, ffn=48, kernel=5, layers=1)


def talkative(kind="stateless", vocabulary=9):
    """A random model that emits often."""
    torch.manual_seed(3)
    model = Transducer(TransducerArch(ENCODER, vocabulary, kind, 16, 2, 24)).eval()
    for parameter in (model.joiner.output.weight, model.joiner.predictor.weight, model.joiner.encoder.weight):
        parameter.data.mul_(6.0)
    model.joiner.output.bias.data[0] += 5.0
    return model


def language_model(vocabulary=9):
    torch.manual_seed(4)
    model = LanguageModel(LanguageModelArch(vocabulary, 16, 8, (BlockArch(2, 24),))).eval()
    model.head.weight.data.mul_(4.0)
    return model
