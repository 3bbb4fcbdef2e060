"""Decoding by beam search with shallow fusion, against real time: the encoder, the search alone, and with a language
model."""

from __future__ import annotations

from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from experiments.benchmarks import language_model
from experiments.benchmarks.interleaved import TOKENS_A_SECOND, arch_of
from experiments.benchmarks.results import Goal, Result, spread
from prune_bench.decoding.beam import search_beam
from prune_bench.decoding.fusion import Fusion
from prune_bench.decoding.greedy import search_greedy
from prune_bench.families import preset
from prune_bench.measurement.fusion import ROWS
from prune_bench.models.transducer import BLANK, Transducer
from prune_bench.models.transformer_lm import LanguageModel

ROUNDS = 5
BEAM = 8
HALVINGS = 12
ENCODER, GREEDY, ALONE, FUSED = "encoder", "greedy search", f"beam {BEAM}", f"beam {BEAM} with a language model"


@torch.inference_mode()
def run(rounds: int = ROUNDS, device: str = "cpu", name: str = "tiny", seconds: float = 4.0) -> Result:
    """Rounds over as many utterances of noise as are searched at once, by random models of a preset's size.

    The blank's bias is set so that about as many tokens are emitted as in speech: the time of a search depends on them.
    """
    config = preset(name, "language_model")
    arch = arch_of(config)
    torch.manual_seed(0)
    model = Transducer(arch).eval().to(device)
    fusion = Fusion(LanguageModel(language_model.arch_of(config)).eval().to(device), 0.2)
    utterances, frames = ROWS // BEAM, round(1000 * seconds / config.features.hop_ms)
    features = torch.randn(utterances, frames, config.features.mels).to(device)
    hidden, lengths = model.encoder(features, torch.full((utterances,), frames).to(device))
    emitted = calibrate(model, hidden, lengths, round(TOKENS_A_SECOND * seconds * utterances))
    variants = {
        ENCODER: lambda: model.encoder(features),
        GREEDY: lambda: search_greedy(model, hidden, lengths),
        ALONE: lambda: search_beam(model, hidden, lengths, BEAM),
        FUSED: lambda: search_beam(model, hidden, lengths, BEAM, fusion=fusion),
    }
    result = Result(f"Decoding, {name}, {torch.get_num_threads()} thread(s), {device}")
    result.seconds = {key: [] for key in variants}
    for number in range(rounds + 1):
        for key, variant in variants.items():
            start = perf_counter()
            variant()
            if device == "cuda":
                torch.cuda.synchronize()
            if number:
                result.seconds[key].append(perf_counter() - start)
    speech = utterances * seconds
    for key, taken in result.seconds.items():
        factor = f"{median(taken) / speech:.4f}"
        result.rows.append({"part": key, "ms": spread(taken), "seconds a second of speech": factor})
    both = (median(result.seconds[ENCODER]) + median(result.seconds[FUSED])) / speech
    result.goals.append(Goal("encoder and fused beam search, seconds a second of speech", both, 0.05, at_least=False))
    result.notes.append(f"{utterances} utterances of {seconds:g} s at once, {emitted / speech:.1f} tokens a second")
    return result


def calibrate(model: Transducer, hidden: Tensor, lengths: Tensor, wanted: int) -> int:
    """Set the blank's bias so that greedy search emits about `wanted` tokens; how many it emits."""
    bias = model.joiner.output.bias
    assert bias is not None
    low, high = -20.0, 20.0
    for _ in range(HALVINGS):
        bias[BLANK] = (low + high) / 2
        emitted = sum(map(len, search_greedy(model, hidden, lengths)))
        low, high = (low, float(bias[BLANK])) if emitted < wanted else (float(bias[BLANK]), high)
    return emitted
