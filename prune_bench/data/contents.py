"""What the corpora of runs hold, known before anything is named or trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from prune_bench.config import Config, CorpusConfig
from prune_bench.data.corpora import CORPORA
from prune_bench.data.corpus import unlabelled_corpora
from prune_bench.data.extraction import split_digest
from prune_bench.data.text.sources import content_of
from prune_bench.families import family_of
from prune_bench.fingerprint import fingerprint

Contents = dict[str, dict[str, str]]


def with_contents(configs: Sequence[Config], cache: Path, progress: bool) -> list[Config]:
    """The configurations with the `content` of all corpora that their runs and those behind them read.

    Lists and audio are read once and their digests kept under folder `cache`; synthesised speech is not made for it.

    Raises:
        ValueError: a corpus is not there, or its lists cannot be read.
    """
    reader = ContentReader(cache, progress)
    return [reader.add_contents(config) for config in configs]


class ContentReader:
    """Reads each corpus once for all configurations."""

    def __init__(self, cache: Path, progress: bool):
        self.cache, self.progress = cache, progress
        self.known: dict[str, Contents] = {}

    def add_contents(self, config: Config) -> Config:
        family = family_of(config)
        if "text" in family.data:
            content = content_of(config.text, self.cache, self.progress)
            config = replace(config, text=replace(config.text, content=content))
        if "corpus" in family.data and ("text" not in family.data or config.text.tokens == "speech"):
            found = self.content_of_speech(config)
            config = replace(config, corpus=replace(config.corpus, content=found))
        if family.pretraining and family.pretraining(config):
            parts = (self.content(corpus, config, ("train",)) for corpus in unlabelled_corpora(config))
            found = {language: splits for part in parts for language, splits in part.items()}
            config = replace(config, pretraining=replace(config.pretraining, content=found))
        return config

    def content_of_speech(self, config: Config) -> Contents:
        """All splits of a run's language and of that whose mask it takes, training speech of those trained jointly."""
        corpus = config.corpus
        whole = {corpus.language, config.pruning.mask_language} - {""}
        joint = {language: ("train",) for language in corpus.joint.split("+") if language}
        wanted = joint | dict.fromkeys(whole, CORPORA.find(corpus.name).splits)
        found: Contents = {}
        for language, splits in sorted(wanted.items()):
            found |= self.content(replace(corpus, language=language), config, splits)
        return found

    def content(self, corpus: CorpusConfig, config: Config, splits: Sequence[str]) -> Contents:
        """Digests of some splits of one language."""
        key = fingerprint([asdict(replace(corpus, content={}, joint="")), splits])
        if key not in self.known:
            source = CORPORA.find(corpus.name).source(corpus, config.features)
            digests = {split: split_digest(source, split, self.cache, self.progress) for split in splits}
            self.known[key] = {corpus.language: digests}
        return self.known[key]
