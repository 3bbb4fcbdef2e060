"""A corpus prepared: features and tokenizer, made or opened, and what is left out of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from prune_bench.config import Config, CorpusConfig, FeatureConfig, TokenizerConfig
from prune_bench.data.extraction import feature_stores
from prune_bench.data.phones import with_phones
from prune_bench.data.store import FeatureStore, describe, join, merge
from prune_bench.data.tokenizers import UNKNOWN, VERSION, Textless, Tokenizer, load_tokenizer, train_tokenizer
from prune_bench.families import family_of
from prune_bench.files import cached_file


@dataclass(frozen=True)
class Corpus:
    """The splits by name, those of training, development and test, and the tokenizer trained on the training text.

    `front_end` is the training split as the output of a frozen front end, where that has been computed.
    """

    splits: dict[str, FeatureStore]
    tokenizer: Tokenizer
    front_end: FeatureStore | None = None

    def kind(self, kind: str) -> dict[str, FeatureStore]:
        """The splits of a kind: `dev` or `test`."""
        return {name: store for name, store in self.splits.items() if name.startswith(kind)}

    @property
    def judged(self) -> dict[str, FeatureStore]:
        """Those that models are judged on."""
        return {**self.kind("dev"), **self.kind("test")}


def prepare(config: Config, cache: str | Path, progress: bool = True) -> Corpus:
    """Make, or open if made before, the feature stores and the tokenizer of `config` under folder `cache`.

    Raises ValueError, naming file, line and remedy, for the first utterance that cannot be used; with
    `corpus.on_bad=skip` such utterances are left out and counted by reason in print.
    """
    corpus, options = config.corpus, (config.features, Path(cache), progress)
    stores = labelled_stores(corpus, *options)
    if corpus.joint:
        parts = (replace(corpus, language=language) for language in corpus.joint.split("+"))
        stores["train"] = join([labelled_stores(part, *options, splits=("train",))["train"] for part in parts])
    tokenizer = cached_tokenizer(config.tokenizer, inventory(config, stores), Path(cache))
    splits = {}
    for split in stores:
        splits[split] = usable(split, stores[split], tokenizer, config)
        if splits[split].skipped:
            total = sum(splits[split].skipped.values())
            print(f"{config.corpus.name} {split}: {total} utterances left out: {describe(splits[split].skipped)}")
    return Corpus(splits, tokenizer)


def inventory(config: Config, stores: Mapping[str, FeatureStore]) -> list[str]:
    """The texts that the tokenizer knows: those of training.

    Where `corpus.labels` leaves few of them, letters and phones of the other splits are known as well: an alphabet or
    a phone set is given beforehand, and a rare one need not be spoken in ten minutes. Pieces are learned, not given.
    """
    given = config.corpus.labels and config.tokenizer.kind != "sentencepiece"
    return [text for split in (stores if given else ("train",)) for text in stores[split].texts]


def labelled_stores(
    corpus: CorpusConfig, features: FeatureConfig, cache: Path, progress: bool, splits: Sequence[str] = ()
) -> dict[str, FeatureStore]:
    """Stores with words or phones as their texts."""
    stores = feature_stores(corpus, features, cache, progress, splits)
    if corpus.targets == "words":
        return stores
    return {split: with_phones(store, corpus.language, cache) for split, store in stores.items()}


def prepare_unlabelled(config: Config, cache: str | Path, progress: bool = True) -> Corpus:
    """The training speech of `config.pretraining`, in all of its languages, without any text."""
    options = (config.features, Path(cache), progress, ("train",))
    stores = [feature_stores(corpus, *options)["train"] for corpus in unlabelled_corpora(config)]
    return Corpus({"train": join(stores)}, Textless())


def unlabelled_corpora(config: Config) -> list[CorpusConfig]:
    """The corpus of each language of `config.pretraining`."""
    options = config.pretraining
    languages = options.languages.split("+")
    return [
        CorpusConfig(
            name=options.corpus,
            root=options.root,
            train=options.train,
            language=language,
            train_utterances=options.utterances // len(languages),
            on_bad=config.corpus.on_bad,
            seed=options.seed,
            content=options.content,
        )
        for language in languages
    ]


def cached_tokenizer(config: TokenizerConfig, texts: list[str], cache: Path) -> Tokenizer:
    digest = hashlib.sha256(json.dumps([VERSION, asdict(config), texts]).encode()).hexdigest()[:12]
    path = cache / "tokenizers" / f"{config.kind}-{digest}.json"
    tokenizer = load_tokenizer(cached_file(path, lambda file: train_tokenizer(config, texts).save(file)))
    if config.kind == "sentencepiece" and tokenizer.size < config.size + 1:
        print(
            f"tokenizer: {tokenizer.size - 1} tokens, not tokenizer.size={config.size}: the training text gives no more"
        )
    return tokenizer


def usable(split: str, store: FeatureStore, tokenizer: Tokenizer, config: Config) -> FeatureStore:
    """Leave out, or refuse, what the tokenizer cannot spell and what is too short for its transcript."""
    kept, skipped = [], dict(store.skipped)
    for place, (text, frames) in enumerate(zip(store.texts, store.lengths, strict=True)):
        fault = find_fault(text, family_of(config).encoder_frames(config, frames), tokenizer)
        if fault is None:
            kept.append(place)
        elif config.corpus.on_bad == "fail":
            remedy = "correct or remove it, or set corpus.on_bad=skip"
            raise ValueError(f"{config.corpus.name} {split} {store.ids[place]}: {fault[1]}; {remedy}")
        else:
            skipped = merge(skipped, {fault[0]: 1})
    if not kept:
        raise ValueError(f"{config.corpus.name} {split}: no usable utterance: {describe(skipped)}")
    return store.select(kept, skipped)


def find_fault(text: str, frames: int, tokenizer: Tokenizer) -> tuple[str, str] | None:
    """Reason and message if `text` cannot be spelled or has more tokens than encoder frames, else None."""
    try:
        tokens = tokenizer.encode(text)
    except ValueError as error:
        return UNKNOWN, f"{UNKNOWN}, {error}"
    if len(tokens) > frames:
        reason = "transcript longer than its audio"
        return reason, f"{reason}, {len(tokens)} tokens for {frames} encoder frames"
    return None
