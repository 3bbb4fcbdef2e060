"""Lines to sentences of tokens on disk, and sentences to batches."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from prune_bench.config import Config
from prune_bench.data import grammar
from prune_bench.data.text import batches as batching
from prune_bench.data.text import corpus as corpus_module
from prune_bench.data.text.batches import IGNORED, Sentences, TextStream, stride, text_evaluation
from prune_bench.data.text.corpora import TEXTS, TextLine, TextSpec
from prune_bench.data.text.corpus import prepare_text, text_store
from prune_bench.data.text.sources import describe_lines, lines
from prune_bench.data.text.store import HELD_OUT, TextStore, cut, write_text_store
from prune_bench.data.tokenizers import UNKNOWN, Characters, Words, tokenizer_digest
from prune_bench.overrides import override


def write(path: Path, *texts: str) -> None:
    path.write_text("\n".join(texts) + "\n")


@pytest.fixture
def config(tmp_path) -> Config:
    """Three files of text with tokens of its own."""
    config = Config(task="language_model")
    config.text.name, config.text.root, config.text.tokens = "files", str(tmp_path), "text"
    config.text.train, config.text.dev, config.text.test = "train.txt", "dev.txt", "test.txt"
    config.tokenizer.kind = "characters"
    write(tmp_path / "train.txt", "A red lamp.", "", "two boats", "= =", "an old clock", "a boat")
    write(tmp_path / "dev.txt", "a lamp", "an old boat")
    write(tmp_path / "test.txt", "two red boats", "a clock")
    return config


def decoded(corpus, split):
    store = corpus.splits[split]
    return [corpus.tokenizer.decode(store[index].tolist()) for index in range(len(store))]


def test_lines_become_spelled_sentences(config, tmp_path):
    corpus = prepare_text(config, tmp_path / "cache", progress=False)
    assert decoded(corpus, "train") == ["a red lamp", "two boats", "an old clock", "a boat"]
    assert decoded(corpus, "test") == corpus.splits["test"].texts == ["two red boats", "a clock"]
    assert corpus.splits["train"].texts == []
    assert corpus.splits["train"].words == dict(a=2, red=1, lamp=1, two=1, boats=1, an=1, old=1, clock=1, boat=1)


def test_what_is_judged_is_not_trained_on(config, tmp_path, capsys):
    write(tmp_path / "train.txt", "a red lamp", "A clock!", "", "an old boat", "two clocks")
    write(tmp_path / "test.txt", "two red boats", "", "a clock")
    corpus = prepare_text(config, tmp_path / "cache")
    assert decoded(corpus, "train") == ["a red lamp", "two clocks"]
    assert f"files train: 2 lines left out: 2 {HELD_OUT}" in capsys.readouterr().out


def test_what_is_spoken_is_not_trained_on_whatever_text_is_judged(config, tmp_path):
    spoken = {"train": [], "dev": ["Two boats."], "test": ["a boat"]}
    tokenizer = Characters.train(["a red lamp two boats an old clock"], 0)
    store = text_store(config, "train", spoken, tokenizer, tmp_path / "cache", progress=False)
    assert [tokenizer.decode(store[index].tolist()) for index in range(len(store))] == ["a red lamp", "an old clock"]


def test_the_second_call_reads_the_cache_and_a_changed_file_does_not(config, tmp_path):
    first = prepare_text(config, tmp_path / "cache", progress=False)
    again = prepare_text(config, tmp_path / "cache", progress=False)
    assert first.splits["train"].tokens.filename == again.splits["train"].tokens.filename
    write(tmp_path / "train.txt", "a red clock", "two old boats lamps then")
    changed = prepare_text(config, tmp_path / "cache", progress=False)
    assert decoded(changed, "train") == ["a red clock", "two old boats lamps then"]


def test_gzip_and_several_files_are_read_in_order(config, tmp_path):
    with gzip.open(tmp_path / "more.gz", "wt") as file:
        file.write("one more\nlast\n")
    config.text.train = "train.txt+more.gz"
    texts = [line.text.strip() for line in lines(config.text, "train", [])]
    assert texts[0] == "A red lamp."
    assert texts[-2:] == ["one more", "last"]


def test_generated_sentences_begin_with_the_spoken_ones_and_meet_no_test_sentence():
    config = Config()
    config.text.sentences = 300
    texts = [line.text for line in lines(config.text, "train", [])]
    assert texts[:50] == list(grammar.sentences("train", 50, 0))
    assert len(set(texts)) == 300
    assert not {grammar.owner(text) for text in texts} - {"train"}


def test_bytes_that_are_not_utf8_are_refused_by_line(config, tmp_path):
    (tmp_path / "train.txt").write_bytes(b"a lamp\ncaf\xe9\n")
    with pytest.raises(ValueError, match=r"train.txt:2: not UTF-8 .*convert the file"):
        prepare_text(config, tmp_path / "cache", progress=False)
    assert not list((tmp_path / "cache").glob("text/*-train-*/index.json"))


def test_an_empty_text_has_no_tokens(config, tmp_path):
    (tmp_path / "train.txt").write_text("\n")
    config.tokenizer.kind = "sentencepiece"
    with pytest.raises(ValueError, match=r"no sentence in .*train\.txt \(text\.train\): it is empty"):
        prepare_text(config, tmp_path / "cache", progress=False)


def test_a_corpus_of_text_is_a_record(config, monkeypatch):
    """One that generates its lines is trained on without a file, and named by what shapes them."""
    said = TextSpec(name="said", generate=lambda _: iter([TextLine("a lamp", "line 1")]), fingerprint=lambda c: c.seed)
    monkeypatch.setitem(TEXTS._records, "said", said)
    text = override(config, {"text.name": "said", "text.train": "", "text.seed": 3}).text
    assert [line.text for line in lines(text, "train", [])] == ["a lamp"]
    assert describe_lines(text, "train", [], {}) == 3
    with pytest.raises(ValueError, match=r"unknown value for text\.name: 'sad': did you mean 'said'"):
        override(config, {"text.name": "sad"})


def test_the_published_text_of_librispeech_is_read_packed(config, tmp_path):
    config.text.name, config.text.train = "librispeech-lm", ""
    with pytest.raises(ValueError, match=r"librispeech-lm-norm\.txt\.gz is missing"):
        prepare_text(config, tmp_path / "cache", progress=False)
    (tmp_path / "librispeech-lm-norm.txt.gz").write_bytes(
        gzip.compress(b"A RED BOAT\nTWO RED BOATS\nAN OLD CLOCK AND LAMP\n")
    )
    corpus = prepare_text(config, tmp_path / "cache", progress=False)
    assert decoded(corpus, "train") == ["a red boat", "an old clock and lamp"]


@pytest.mark.parametrize("content", ["", "\n\n", "... \n"])
def test_text_without_a_sentence_is_refused(config, tmp_path, content):
    (tmp_path / "test.txt").write_text(content)
    with pytest.raises(ValueError, match=r"no sentence in .*test\.txt \(text\.test\): it is empty"):
        prepare_text(config, tmp_path / "cache", progress=False)


def test_a_damaged_archive_is_named(config, tmp_path):
    whole = gzip.compress(b"a red lamp\n" * 5000)
    config.text.train = "more.gz"
    for content in (whole[:-30], b"no archive"):
        (tmp_path / "more.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"more\.gz: damaged after line \d+ \(.*\): fetch the file again"):
            prepare_text(config, tmp_path / "cache", progress=False)


def test_a_missing_file_is_named(config, tmp_path):
    config.text.dev = "gone.txt"
    with pytest.raises(ValueError, match=r"gone.txt is missing: correct text.root"):
        prepare_text(config, tmp_path / "cache", progress=False)


def test_what_cannot_be_spelled_stops_or_is_counted(config, tmp_path):
    write(tmp_path / "test.txt", "two boats", "a zebra")
    with pytest.raises(ValueError, match=r"test.txt:2: token outside the vocabulary, 'z'.* text.on_bad=skip"):
        prepare_text(config, tmp_path / "cache", progress=False)
    config.text.on_bad = "skip"
    corpus = prepare_text(config, tmp_path / "cache", progress=False)
    assert corpus.splits["test"].skipped == {UNKNOWN: 1}
    assert decoded(corpus, "test") == ["two boats"]


def test_long_lines_are_cut_between_words():
    tokenizer = Words.train(["a b c d e f g"], 0)
    pieces = list(cut("a b c d e f g", tokenizer, 2))
    assert [text for text, _ in pieces] == ["a", "b c", "d e", "f g"]
    assert all(tokenizer.decode(tokens) == text for text, tokens in pieces)
    assert [text for text, _ in cut("abc", Characters(list("abc")), 2)] == ["abc"]


def test_tokens_tell_tokenizers_apart():
    one, other = Words(["a", "b"]), Words(["b", "a"])
    assert tokenizer_digest(one) == tokenizer_digest(Words(["a", "b"])) != tokenizer_digest(other)


@pytest.fixture
def store(tmp_path, monkeypatch) -> TextStore:
    """A thousand sentences of 1 to 30 tokens in windows of 128."""
    monkeypatch.setattr(batching, "WINDOW", 128)
    lengths = np.random.default_rng(0).integers(1, 31, 1000)
    folder = tmp_path / "store"
    folder.mkdir()
    texts = (TextLine(" ".join(["a"] * length), "") for length in lengths)
    write_text_store(folder, texts, Words(["a"]), longest=30)
    return TextStore.open(folder)


def taken(stream, count):
    return [batch for batch, _ in zip(stream, range(count), strict=False)]


def test_a_pass_meets_every_sentence_once_in_another_order_than_the_next(store):
    stream = TextStream(store, 256, 3)
    passes = [np.concatenate([np.concatenate(stream.epoch(number)) for number in numbers])
              for numbers in (range(8), range(8, 16))]  # fmt: skip
    assert all(sorted(one) == list(range(1000)) for one in passes)
    assert not np.array_equal(*passes)


def test_batches_hold_at_most_so_many_tokens_with_little_padding(store):
    stream, padded, real = TextStream(store, 256, 3), 0, 0
    for batch in taken(stream, 60):
        lengths = store.lengths(np.array(batch)) + 1
        assert len(batch) * lengths.max() <= 256
        padded, real = padded + len(batch) * lengths.max(), real + lengths.sum()
    assert real > 0.8 * padded


@pytest.mark.parametrize("start", [1, 7, 61])
def test_a_stream_that_starts_later_goes_on_where_the_first_would_be(store, start):
    whole = taken(TextStream(store, 256, 3), start + 20)
    assert taken(TextStream(store, 256, 3, lambda: start), 20) == whole[start:]
    assert taken(TextStream(store, 256, 4), 5) != whole[:5]


def test_processes_share_each_batch(store):
    whole = taken(TextStream(store, 256, 3), 10)
    shares = [taken(TextStream(store, 256, 3, int, rank, 2), 10) for rank in (0, 1)]
    assert [{*a, *b} for a, b in zip(*shares, strict=True)] == [set(batch) for batch in whole]


@pytest.mark.parametrize("count", [1, 2, 7, 1000, 4096])
def test_strides_are_permutations(count):
    for turn in range(4):
        assert sorted(stride(count, 0, turn, np.arange(count))) == list(range(count))


def test_a_batch_reads_from_border_to_border(config, tmp_path):
    corpus = prepare_text(config, tmp_path / "cache", progress=False)
    (batch,) = text_evaluation(corpus.splits["dev"])
    longest = corpus.tokenizer.encode("an old boat")
    assert batch.indices.tolist() == [1, 0]
    assert batch.tokens[0].tolist() == [0, *longest]
    assert batch.targets[0].tolist() == [*longest, 0]
    length = len("a lamp")
    assert batch.lengths.tolist() == [len(longest) + 1, length + 1]
    assert batch.tokens[1, length + 1 :].tolist() == [0] * (len(longest) - length)
    assert batch.targets[1, length + 1 :].tolist() == [IGNORED] * (len(longest) - length)


def peak_of(config, folder, count):
    """Bytes held at most while `count` lines are read, written and trained on; what is mapped does not count."""
    with gzip.open(folder / "many.gz", "wt") as file:
        file.writelines(f"a {('red', 'old')[number % 2]} lamp, two boats and a clock\n" for number in range(count))
    config.text.train = "many.gz"
    tracemalloc.start()
    train = prepare_text(config, folder / "cache", progress=False).splits["train"]
    assert len(train) == count
    for batch, _ in zip(TextStream(train, 500, 0), range(200), strict=False):
        Sentences(train).__getitems__(batch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_large_text_is_read_and_trained_on_in_constant_memory(config, tmp_path, monkeypatch):
    """Five times the text: 2.5 MB more are on disk."""
    monkeypatch.setattr(corpus_module, "TEXTS_FOR_TOKENIZER", 1000)
    few = peak_of(config, tmp_path, 10_000)
    assert peak_of(config, tmp_path, 50_000) < few + 500_000


def test_the_published_wikipedia_text_is_read(config, tmp_path):
    folder = Path(os.environ.get("PRUNE_BENCH_DATA", "nowhere")) / "wikitext-2"
    if not folder.is_dir():
        pytest.skip("set PRUNE_BENCH_DATA to a folder that holds wikitext-2/")
    text = config.text
    text.name, text.root, text.train, text.dev, text.test = "wikitext2", str(folder), "valid.txt", "test.txt", ""
    text.on_bad, config.tokenizer.kind, config.tokenizer.size = "skip", "sentencepiece", 200
    corpus = prepare_text(config, tmp_path / "cache", progress=False)
    train, test = corpus.splits["train"], corpus.splits["test"]
    assert train.words["lobster"] == 14
    assert len(train) > 5000
    assert len(test) > 5000
    assert max(train.lengths(np.arange(len(train)))) <= text.max_tokens
    (batch, *_) = text_evaluation(test, tokens=2000)
    words = test.texts[int(batch.indices[0])]
    assert corpus.tokenizer.decode(batch.tokens[0, 1:].tolist()) == words
