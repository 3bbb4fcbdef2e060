"""Which values a configuration may hold."""

from __future__ import annotations

from prune_bench.config import Config, CorpusConfig

ENGLISH = ("fsdd", "librispeech")
FITS = ("dense", "final", "pretraining.fit", "fusion.fit")
PRECISIONS = ("auto", "32-true", "bf16-mixed")
SCHEDULES = ("cosine", "tri_stage")
CHOICES: dict[str, tuple[str, ...]] = {
    "task": ("transducer", "ctc", "language_model"),
    "corpus.name": ("espeak", "fsdd", "librispeech", "commonvoice", "manifest"),
    "corpus.on_bad": ("fail", "skip"),
    "corpus.targets": ("words", "phones"),
    "corpus.labels": ("", "10min", "1h", "10h"),
    "text.name": ("espeak", "wikitext2", "librispeech-lm", "files"),
    "text.units": ("speech", "text"),
    "text.on_bad": ("fail", "skip"),
    "features.kind": ("log_mel", "waveform"),
    "tokenizer.kind": ("characters", "sentencepiece", "words"),
    "model.predictor": ("stateless", "lstm"),
    "encoder.size": ("base", "large"),
    "encoder.norm": ("layer_norm", "group_norm"),
    "pretraining.corpus": ("espeak", "fsdd", "librispeech", "commonvoice", "manifest"),
    "pruning.structure": ("groups", "weights", "weights+biases", "ranks", "heads"),
    "pruning.imp_step": ("original10", "remaining10"),
    "pruning.counter": ("exact", "paper_eq3"),
    "pruning.distillation_side": ("student", "teacher"),
    **{f"{fit}.precision": PRECISIONS for fit in FITS},
    **{f"{fit}.schedule": SCHEDULES for fit in FITS},
    "wandb.mode": ("offline", "online", "disabled"),
    "execution.launcher": ("local", "slurm"),
}


def check(config: Config) -> None:
    """Raise ValueError for values no run can have."""
    if not 0.0 <= config.sparsity < 1.0:
        raise ValueError(f"sparsity={config.sparsity}: give the removed fraction, at least 0 and below 1")
    fits = {"dense": config.dense, "final": config.final, "pretraining.fit": config.pretraining.fit}
    for name, fit in {**fits, "fusion.fit": config.fusion.fit}.items():
        for key in ("steps", "frames", "accumulate", "devices", "checkpoint_every"):
            if getattr(fit, key) < 1:
                raise ValueError(f"{name}.{key}={getattr(fit, key)}: must be at least 1")
        if fit.clip < 0:
            raise ValueError(f"{name}.clip={fit.clip}: must be a norm, or 0 for no clipping")
        if fit.schedule == "tri_stage" and fit.warmup + fit.hold > 1:
            raise ValueError(f"{name}.warmup={fit.warmup} and {name}.hold={fit.hold}: together at most 1")
    if config.encoder.size == "large" and config.encoder.heads % 3:
        raise ValueError(f"encoder.heads={config.encoder.heads}: encoder.size=large needs a multiple of 3")
    model, encoder, lm = config.model, config.encoder, config.lm
    widths = {"model": (model.width, model.heads), "encoder": (encoder.width, encoder.heads)}
    if not lm.head_width:
        widths["lm"] = (lm.width, lm.heads)
    for name, (width, heads) in widths.items():
        if width % heads:
            raise ValueError(f"{name}.width={width} is not a multiple of {name}.heads={heads}")
    check_language(config.corpus)
    for key in ("weights", "internal"):
        check_numbers(f"fusion.{key}", getattr(config.fusion, key))
    check_numbers("pruning.sizes", config.pruning.sizes or "0")
    if config.measurement.fused and (config.task != "language_model" or config.text.units != "speech"):
        raise ValueError("measurement.fused=true is for task=language_model with text.units=speech")


def check_language(corpus: CorpusConfig) -> None:
    """Raise ValueError where a corpus does not have the language that is asked of it."""
    asked = corpus.joint or corpus.language
    if corpus.name in ENGLISH and asked != "en":
        raise ValueError(f"corpus.language={asked}: {corpus.name} is English; add for example corpus=commonvoice")


def check_numbers(key: str, text: str) -> None:
    """Raise ValueError for what is not numbers joined with +."""
    try:
        [float(number) for number in text.split("+")]
    except ValueError:
        raise ValueError(f"{key}={text}: give numbers joined with +, as 0.1+0.3") from None
