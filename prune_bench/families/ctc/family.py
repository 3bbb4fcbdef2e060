"""A wav2vec 2.0 encoder with a CTC head: its experiment and its record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from prune_bench.artefacts import weights_sha
from prune_bench.config import Config, FinetuningConfig, FitConfig
from prune_bench.config.checks import check_heads
from prune_bench.data import Batch, Corpus, prepare, prepare_unlabelled
from prune_bench.data.store import derive
from prune_bench.decoding.ctc import collapse
from prune_bench.export import export_recogniser
from prune_bench.families.ctc.presets import PRESETS, adapted
from prune_bench.families.ctc.pretraining import make_arch, make_pretraining
from prune_bench.families.record import Family, Progress
from prune_bench.families.speech import ERROR_RATES, SCORES, TRAINING, SpeechExperiment, SpeechRow
from prune_bench.fingerprint import fingerprint
from prune_bench.measurement.flops import count_in_passing
from prune_bench.measurement.size import kept_fractions
from prune_bench.models.pretrained import load_pretrained, published
from prune_bench.models.wav2vec2 import Wav2Vec2, Wav2Vec2Arch, frames_of, read_convs
from prune_bench.pruning.methods import find_method
from prune_bench.tasks.ctc import CtcTask
from prune_bench.tasks.pretraining import PretrainingTask

HEAD = "aux."
ZEROS = "Hidden frames are zeros: the pretrained weights have no mask embedding."


class CtcRow(SpeechRow):
    """The fraction kept of each matrix, with its size."""

    kept: dict[str, list[float]]


class CtcExperiment(SpeechExperiment):
    """Waveforms to tokens by a pretrained encoder."""

    def open(self, cache: Path, progress: bool) -> Corpus:
        """Pretraining reads speech without text."""
        made = prepare if find_method(self.config.method).supervised else prepare_unlabelled
        return made(self.config, cache, progress)

    def make_task(self, corpus: Corpus, fit: FitConfig, folder: Path) -> CtcTask | PretrainingTask:
        if not find_method(self.config.method).supervised:
            return make_pretraining(self.config, corpus.splits["train"], folder)
        config, source = self.config, published(self.config.pretraining, self.config.encoder.size)
        method = find_method(config.method)
        if method.is_narrow:
            raise ValueError(f"method={method.name} is of task=transducer: compare with method=unpretrained")
        weights = load_pretrained(source) if source else None
        arch = replace(weights.arch if weights else make_arch(config.encoder), vocabulary=corpus.tokenizer.size)
        model = make_model(arch, config.finetuning)
        if weights and method.start != "random":
            self.adopt(model, weights)
        tuning = replace(config.finetuning, head_only=0.0) if method.unfrozen else config.finetuning
        return CtcTask(model, fit, config.features, tuning, config.seed, corpus.tokenizer)

    def adopt(self, model: Wav2Vec2, source: Wav2Vec2) -> None:
        """The head comes along where its size fits; a pretrained encoder has none of this vocabulary.

        The mask embedding comes along where `model` has one to hide frames by.
        """
        theirs, ours = source.state_dict(), model.state_dict()
        if not model.arch.mask_embedding:
            theirs.pop("mask_embedding", None)
        if model.arch.vocabulary != source.arch.vocabulary:
            theirs = {name: value for name, value in theirs.items() if not name.startswith(HEAD)}
            theirs |= {name: value for name, value in ours.items() if name.startswith(HEAD)}
        wrong = [name for name in ours if name not in theirs or theirs[name].shape != ours[name].shape]
        if wrong or theirs.keys() != ours.keys():
            name = next(iter(wrong), min(theirs.keys() - ours.keys(), default=""))
            raise ValueError(f"pretrained weights of another size: {name} does not fit; correct encoder.* or retrain")
        model.load_state_dict(theirs)

    def cache_front_end(self, corpus: Corpus, model: Wav2Vec2, cache: Path, progress: Progress) -> Corpus:
        """With the convolutions' float32 output, where it depends on one utterance alone and is not too large."""
        store, config = corpus.splits["train"], self.config
        size = sum(frames_of(model.arch.convs, samples) for samples in store.lengths) * model.arch.convs[-1][0] * 4
        alone = model.arch.norm == "layer_norm" and find_method(config.method).start != "random"
        if not alone or size > config.execution.feature_cache_gb * 1e9:
            return corpus
        scaled = [model.arch.epsilon] if model.arch.normalize else []
        name = fingerprint([weights_sha(model.feature_extractor), scaled, store.origin])
        convolve = torch.inference_mode()(lambda samples: model.convolve(samples.T)[0][0])
        return replace(corpus, front_end=derive(store, convolve, cache / "front_end" / name, progress))

    def recognise(self, model: Wav2Vec2, batch: Batch) -> list[list[int]]:
        return collapse(*model(batch.features.squeeze(-1), batch.lengths))

    def batch_frames(self, model: Wav2Vec2) -> int:
        """One utterance at a time where the encoder normalises over time."""
        return 1 if model.arch.norm == "group_norm" else self.config.measurement.batch_frames

    def example(self, model: Wav2Vec2) -> tuple[Tensor | None, ...]:
        rate = self.config.features.sample_rate
        return torch.randn(1, rate, generator=torch.Generator().manual_seed(0)), None

    def count_flops(self, model: Wav2Vec2) -> dict[str, int]:
        samples = round(self.config.pruning.reference_seconds * self.config.features.sample_rate)
        return count_in_passing(lambda: Wav2Vec2(model.arch), (1, samples))

    def describe(self, model: Wav2Vec2, dense: Wav2Vec2) -> dict[str, Any]:
        found: dict[str, Any] = {"kept": kept_fractions(model, dense)}
        if self.config.finetuning.mask_prob > 0 and not model.arch.mask_embedding:
            found["notes"] = [ZEROS]
        return found


def make_model(arch: Wav2Vec2Arch, tuning: FinetuningConfig) -> Wav2Vec2:
    """An encoder to be fine-tuned, at random weights; with a mask embedding where `arch` has one that is needed."""
    masked = tuning.mask_prob > 0
    if masked and not arch.mask_embedding:
        rank_zero_warn(f"{ZEROS} A Hugging Face folder or a fairseq checkpoint as pretraining.source has one.")
    return Wav2Vec2(
        replace(arch, mask_embedding=masked and arch.mask_embedding),
        dropout=tuning.dropout,
        layer_drop=tuning.layer_drop,
        input_dropout=tuning.input_dropout,
        attention_dropout=tuning.attention_dropout,
        activation_dropout=tuning.activation_dropout,
        final_dropout=tuning.final_dropout,
    )


def check(config: Config) -> None:
    """Raise ValueError for widths that the heads do not share evenly, a large encoder's too."""
    if config.encoder.size == "large" and config.encoder.heads % 3:
        raise ValueError(f"encoder.heads={config.encoder.heads}: encoder.size=large needs a multiple of 3")
    check_heads("encoder", config.encoder.width, config.encoder.heads)


def pretraining(config: Config) -> Config | None:
    """The run of an encoder's own pretraining; None where its weights are published or random."""
    own = config.pretraining.source == "own"
    return replace(config, method="pretraining", sparsity=0.0, seed=config.pretraining.seed) if own else None


FAMILY = Family(
    name="ctc",
    kind="wav2vec2",
    model=Wav2Vec2,
    arch=Wav2Vec2Arch,
    experiment=CtcExperiment,
    presets=PRESETS,
    reads=("corpus", "features", "tokenizer", "encoder", "pretraining", "finetuning"),
    data=("corpus", "tokenizer", "features"),
    choices={"encoder.size": ("base", "large"), "encoder.norm": ("layer_norm", "group_norm")},
    check=check,
    adapted=adapted,
    pretraining=pretraining,
    encoder_frames=lambda config, samples: frames_of(read_convs(config.encoder.convs), samples),
    row=CtcRow,
    quantities={**ERROR_RATES, **TRAINING},
    columns=("fine_tunings", "minutes", *SCORES),
    scores=SCORES,
    exports={"recogniser": export_recogniser},
)
