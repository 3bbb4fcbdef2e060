"""Models and their pretraining."""

from __future__ import annotations

from dataclasses import dataclass, field

from prune_bench.config.fits import FitConfig


@dataclass
class ModelConfig:
    """Conformer-Transducer widths before any pruning."""

    layers: int = 4
    width: int = 144
    heads: int = 4
    ffn: int = 576
    kernel: int = 15
    subsampling: int = 6
    dropout: float = 0.1
    predictor: str = "stateless"
    predictor_width: int = 144
    predictor_layers: int = 1
    predictor_dropout: float = 0.0
    joint_width: int = 96
    ctc_weight: float = 0.3


@dataclass
class EncoderConfig:
    """wav2vec 2.0's encoder before any pruning. `convs` lists (channels, kernel, stride) as fairseq writes them.

    `size` large doubles the layers and adds a third to all widths, as published.
    """

    size: str = "base"
    convs: str = "[(64, 10, 5)] + [(64, 3, 2)] * 4 + [(64, 2, 2)] * 2"
    norm: str = "layer_norm"
    norm_first: bool = True
    layers: int = 6
    width: int = 192
    heads: int = 3
    ffn: int = 768
    position_kernel: int = 32
    position_groups: int = 16


@dataclass
class PretrainingConfig:
    """Where a wav2vec 2.0 encoder's weights come from, and how its own pretraining runs.

    `source` is `own`, `random`, or published weights: a bundle's name (`wav2vec2-base`, `xlsr-53`), a Hugging Face
    folder, a fairseq checkpoint; behind a `+` those for several `languages`. `wav2vec2` is short for the bundle in the
    encoder's size, and XLSR-53.
    Languages join with `+` and share `utterances` evenly; `corpus`, `root` and `train` say which audio.
    A masked span of `mask_length` frames starts at each frame with probability `mask_start`; the targets are `clusters`
    cluster indices, and an unmasked frame has `unmasked_weight` times the weight of a masked one (0 in HuBERT).
    """

    source: str = "own"
    corpus: str = "espeak"
    root: str = ""
    train: str = "train"
    languages: str = "en"
    utterances: int = 6000
    clusters: int = 100
    mask_start: float = 0.08
    mask_length: int = 10
    unmasked_weight: float = 0.0
    seed: int = 0
    fit: FitConfig = field(default_factory=FitConfig)
    content: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass
class FinetuningConfig:
    """How a pretrained encoder is fine-tuned, under fairseq's names.

    `dropout` is of the stream before the layers and of what each module adds to it, `input_dropout` of the projected
    features, `final_dropout` of what the head reads. `head_only` is the fraction of updates in which the head learns
    alone, with methods that are not `unfrozen`. In an utterance of T frames `mask_prob` T / `mask_length` spans of
    `mask_length` frames, which may overlap, are replaced by the mask embedding of the pretrained encoder, and spans of
    channels likewise by zeros; with `mask_prob` 0 frames are hidden as `features` says.
    """

    dropout: float = 0.0
    input_dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    final_dropout: float = 0.0
    layer_drop: float = 0.0
    head_only: float = 0.0
    mask_prob: float = 0.0
    mask_length: int = 10
    mask_channel_prob: float = 0.0
    mask_channel_length: int = 64


@dataclass
class LanguageModelConfig:
    """A causal Transformer before any pruning; in its fits `frames` count tokens.

    A head is `head_width` wide, with 0 `width / heads`. With `tied`, one matrix serves as input and output embedding;
    with `embeddings` it can be pruned and counts towards a sparsity.
    """

    layers: int = 4
    width: int = 144
    heads: int = 4
    head_width: int = 0
    ffn: int = 576
    dropout: float = 0.1
    tied: bool = True
    embeddings: bool = True
