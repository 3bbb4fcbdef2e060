"""Everything that training and evaluation of a language model read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

from rich.progress import track

from prune_bench.config import Config, TextConfig
from prune_bench.data.corpus import Corpus, cached_tokenizer, prepare
from prune_bench.data.store import describe
from prune_bench.data.text.sources import content_of, describe_lines, lines, paths_of
from prune_bench.data.text.store import TextStore, write_text_store
from prune_bench.data.texts import spell
from prune_bench.data.tokenizers import Tokenizer, tokenizer_digest
from prune_bench.files import cached_folder
from prune_bench.fingerprint import fingerprint

SPLITS = ("train", "dev", "test")
TEXTS_FOR_TOKENIZER = 200_000
VERSION = 2
Transcripts = Mapping[str, list[str]]


@dataclass(frozen=True)
class TextCorpus:
    """The splits "train", "dev" and "test", the tokenizer, and the recogniser's corpus where its tokens are used."""

    splits: dict[str, TextStore]
    tokenizer: Tokenizer
    speech: Corpus | None


def prepare_text(config: Config, cache: str | Path, progress: bool = True) -> TextCorpus:
    """Make, or open if made before, the sentences of `config.text` under folder `cache`.

    No sentence of development or test text, nor what is spoken in those splits of the speech, is trained on.
    Raises ValueError, naming the file, the line and the remedy, for text that cannot be used.
    """
    text, cache = config.text, Path(cache)
    speech = prepare(replace(config, task="transducer"), cache, progress) if text.tokens == "speech" else None
    spoken = transcripts(speech)
    if speech is None:
        head = list(islice(filter(None, (spell(line.text) for line in lines(text, "train", []))), TEXTS_FOR_TOKENIZER))
        if not head:
            raise ValueError(f"no sentence in {origin(text, 'train')}: it is empty")
        tokenizer: Tokenizer = cached_tokenizer(config.tokenizer, head, cache)
    else:
        tokenizer = speech.tokenizer
    splits = {split: text_store(config, split, spoken, tokenizer, cache, progress) for split in SPLITS}
    return TextCorpus(splits, tokenizer, speech)


def origin(text: TextConfig, split: str) -> str:
    """The source of a split's lines, in words."""
    return f"{' + '.join(map(str, paths_of(text, split))) or text.name} (text.{split})"


def transcripts(speech: Corpus | None) -> Transcripts:
    """The transcripts of the development and of the test splits."""
    if speech is None:
        return {split: [] for split in SPLITS}
    judged = {split: [text for store in speech.kind(split).values() for text in store.texts] for split in SPLITS[1:]}
    return {"train": [], **judged}


def judged_sentences(text: TextConfig, spoken: Transcripts) -> set[str]:
    """The sentences of development and test text, and the transcripts of those splits of the speech."""
    judged = ([*(line.text for line in lines(text, split, spoken[split])), *spoken[split]] for split in SPLITS[1:])
    return {spell(sentence) for sentences in judged for sentence in sentences}


def text_store(
    config: Config, split: str, spoken: Transcripts, tokenizer: Tokenizer, cache: Path, progress: bool
) -> TextStore:
    """One split, written once."""
    text, training = config.text, split == "train"
    content = text.content or content_of(text, cache, progress)
    sources = {part: describe_lines(text, part, spoken[part], content) for part in (SPLITS if training else (split,))}
    shaped = [VERSION, sources, text.max_tokens, text.on_bad, asdict(config.tokenizer), tokenizer_digest(tokenizer)]
    if training:
        shaped.append(spoken)
    path = cache / "text" / f"{text.name}-{split}-{fingerprint(shaped)}"
    with cached_folder(path) as folder:
        if folder is not None:
            if text.content and text.content != content_of(text, cache, progress):
                raise ValueError(f"{origin(text, split)}: changed since the sweep began; start it again")
            split_lines = lines(text, split, spoken[split])
            write_text_store(
                folder,
                track(split_lines, f"{text.name} {split}", disable=not (progress and training), transient=True),
                tokenizer,
                text.max_tokens,
                held_out=judged_sentences(text, spoken) if training else (),
                skip=text.on_bad == "skip",
                keep_texts=not training,
                origin=origin(text, split),
            )
    store = TextStore.open(path)
    if store.skipped and progress:
        print(f"{text.name} {split}: {sum(store.skipped.values())} lines left out: {describe(store.skipped)}")
    return store
