"""Speech, text, features and tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

LANGUAGE = "{language}"


@dataclass
class CorpusConfig:
    """Where speech and text come from. Subsets join with `+`, as in `train-clean-100+train-clean-360`.

    `targets` are the words of the transcripts, or `phones`: how eSpeak NG pronounces them in `language`. With `joint`,
    languages joined with `+`, training takes all of these, development and test `language` alone. `labels` names how
    much of it is labelled: Libri-light's subset of that name, or its stand-in, a share of the training utterances.
    `options` are those that a corpus has of its own, as text: `corpus.options.NAME` in a command. In a manifest's
    `root`, `{language}` stands for the language. `content` is what it holds, a digest by language and
    split: sweeps fill it in, and it names runs in the place of `root`.
    """

    name: str = "espeak"
    language: str = "en"
    joint: str = ""
    labels: str = ""
    targets: str = "words"
    root: str = ""
    download: bool = False
    on_bad: str = "fail"
    train: str = "train"
    dev_clean: str = "dev-clean"
    dev_other: str = "dev-other"
    test_clean: str = "test-clean"
    test_other: str = "test-other"
    train_utterances: int = 5000
    dev_utterances: int = 400
    test_utterances: int = 1500
    seed: int = 0
    options: dict[str, str] = field(default_factory=dict)
    content: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass
class FeatureConfig:
    """What a model reads: `log_mel` energies, or the `waveform`, whose frames are samples.

    SpecAugment's masks are drawn in training only.
    """

    kind: str = "log_mel"
    sample_rate: int = 16000
    mels: int = 80
    window_ms: float = 25.0
    hop_ms: float = 10.0
    time_masks: int = 2
    time_width: int = 20
    frequency_masks: int = 2
    frequency_width: int = 16


@dataclass
class TokenizerConfig:
    """`kind` is `characters`, `sentencepiece` or `words` (tokens apart by spaces: phones, too).

    `size` is the number of sentencepiece tokens without the blank.
    """

    kind: str = "sentencepiece"
    size: int = 128


@dataclass
class TextConfig:
    """Text of a language model: sentences of `espeak`'s generator, files of `wikitext2` or `librispeech-lm` in
    folder `root`, or `files`, named in `train`, `dev` and `test` and joined with `+`.

    Where `dev` or `test` is empty, the transcripts of the speech corpus stand in. The `tokens` are the recogniser's
    ("speech"), as shallow fusion needs, or learned from the text itself ("text"). Lines of more than `max_tokens` are
    cut between words. `sentences` is how many `espeak` draws; `on_bad` says what is done with a line that the tokenizer
    cannot encode. `content` holds a digest of each split's files, as in `CorpusConfig`.
    """

    name: str = "espeak"
    root: str = ""
    train: str = ""
    dev: str = ""
    test: str = ""
    tokens: str = "speech"
    sentences: int = 100000
    max_tokens: int = 64
    on_bad: str = "fail"
    seed: int = 0
    content: dict[str, str] = field(default_factory=dict)
