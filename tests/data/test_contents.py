from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from prune_bench.config import Config
from prune_bench.data import prepare
from prune_bench.data.contents import with_contents
from prune_bench.data.corpora import espeak
from prune_bench.data.corpora.source import SPLITS
from prune_bench.data.text.corpus import prepare_text
from prune_bench.overrides import override
from prune_bench.sweep.runs.dependencies import dense_of, run_id

TEXTS = ["a red lamp", "two boats"]


def write_manifest(root: Path, texts: list[str]) -> None:
    for split in SPLITS:
        lines = []
        for number, text in enumerate(texts):
            name = f"{split}{number}.wav"
            lines.append(json.dumps({"audio_filepath": name, "text": text}))
            if not (root / name).exists():
                soundfile.write(root / name, np.random.default_rng(number).uniform(-0.3, 0.3, 16000), 16000)
        (root / f"{split}.jsonl").write_text("\n".join(lines))


@pytest.fixture
def config(tmp_path) -> Config:
    write_manifest(tmp_path, TEXTS)
    values = {"corpus.name": "manifest", "corpus.root": str(tmp_path), "corpus.on_bad": "skip"}
    return override(Config(), {**values, "tokenizer.kind": "characters"})


def known(config: Config, cache: Path) -> Config:
    return with_contents([config], cache, progress=False)[0]


def test_what_a_corpus_holds_names_its_runs_and_where_it_lies_does_not(config, tmp_path):
    first = known(config, tmp_path / "cache")
    assert first.corpus.content["en"].keys() == set(SPLITS)
    (tmp_path / "link").symlink_to(tmp_path)
    moved = known(override(config, {"corpus.root": str(tmp_path / "link")}), tmp_path / "other cache")
    assert run_id(moved) == run_id(first) != run_id(config)
    assert run_id(override(config, {"corpus.root": "elsewhere"})) != run_id(config)


@pytest.mark.parametrize("change", ["text", "audio", "missing"])
def test_a_change_of_one_split_is_seen_and_renames(config, tmp_path, change):
    first = known(config, tmp_path / "cache")
    if change == "text":
        (tmp_path / "test-other.jsonl").write_text(json.dumps({"audio_filepath": "test-other0.wav", "text": "a lamp"}))
    elif change == "audio":
        soundfile.write(tmp_path / "test-other0.wav", np.zeros(16000), 16000)
    else:
        (tmp_path / "test-other1.wav").unlink()
    then = known(config, tmp_path / "cache")
    changed = [split for split in SPLITS if then.corpus.content["en"][split] != first.corpus.content["en"][split]]
    assert changed == ["test-other"]
    assert run_id(then) != run_id(first)
    kept = prepare(then, tmp_path / "cache", progress=False).splits["test-other"]
    assert len(kept) == {"text": 1, "audio": 2, "missing": 1}[change]


def test_repaired_audio_is_used(config, tmp_path):
    whole = (tmp_path / "train1.wav").read_bytes()
    (tmp_path / "train1.wav").write_bytes(whole[:1000])
    assert len(prepare(config, tmp_path / "cache", progress=False).splits["train"]) == 1
    (tmp_path / "train1.wav").write_bytes(whole)
    assert len(prepare(config, tmp_path / "cache", progress=False).splits["train"]) == 2


def test_features_are_not_made_of_a_corpus_that_changed_since(config, tmp_path):
    first = known(config, tmp_path / "cache")
    write_manifest(tmp_path, TEXTS[:1])
    with pytest.raises(ValueError, match="manifest train: changed since the sweep began; start it again"):
        prepare(first, tmp_path / "cache", progress=False)
    config.text.name, config.text.train, config.text.tokens = "files", str(tmp_path / "train.txt"), "text"
    config = replace(config, task="language_model")
    (tmp_path / "train.txt").write_text("a red lamp")
    first = known(config, tmp_path / "cache")
    assert first.corpus.content == {}
    (tmp_path / "train.txt").write_text("an old boat")
    assert run_id(known(config, tmp_path / "cache")) != run_id(first)
    with pytest.raises(ValueError, match=r"train\.txt .*: changed since the sweep began; start it again"):
        prepare_text(first, tmp_path / "cache", progress=False)


def test_synthesised_speech_is_known_without_being_made(tmp_path, monkeypatch):
    monkeypatch.setattr(espeak, "synthesize", None)
    configs = [Config(), replace(Config(), seed=1), override(Config(), {"corpus.train_utterances": 7})]
    first, second, fewer = with_contents(configs, tmp_path / "cache", progress=False)
    assert first.corpus.content == second.corpus.content
    differ = {split for split in SPLITS if first.corpus.content["en"][split] != fewer.corpus.content["en"][split]}
    assert differ == {"train"}


def test_only_the_languages_that_a_run_reads_name_it(tmp_path):
    values = {"method": "transfer", "sparsity": 0.5, "corpus.language": "nl", "corpus.joint": "es+nl"}
    config = known(override(Config(), {**values, "pruning.mask_language": "it"}), tmp_path / "cache")
    assert {language: len(splits) for language, splits in config.corpus.content.items()} == {"es": 1, "it": 5, "nl": 5}
    alone = known(override(Config(), {"corpus.language": "nl", "corpus.joint": "es+nl"}), tmp_path / "cache")
    assert run_id(dense_of(config)) == run_id(alone)
    for language, renamed in (("es", (True, True)), ("it", (True, False)), ("nl", (True, True))):
        content = {**config.corpus.content, language: dict.fromkeys(SPLITS, "0")}
        changed = replace(config, corpus=replace(config.corpus, content=content))
        found = (run_id(changed) != run_id(config), run_id(dense_of(changed)) != run_id(dense_of(config)))
        assert found == renamed


def test_pretraining_speech_names_pretraining_and_what_comes_of_it(tmp_path):
    config = known(override(Config(), {"task": "ctc", "pretraining.languages": "en+nl"}), tmp_path / "cache")
    assert config.pretraining.content.keys() == {"en", "nl"}
    content = {**config.pretraining.content, "nl": {"train": "0"}}
    changed = replace(config, pretraining=replace(config.pretraining, content=content))
    assert run_id(changed) != run_id(config)
    pretraining = [replace(one, method="pretraining") for one in (config, changed)]
    assert run_id(pretraining[0]) != run_id(pretraining[1])
    published = known(override(Config(), {"task": "ctc", "pretraining.source": "xlsr-53"}), tmp_path / "cache")
    assert published.pretraining.content == {}


def test_content_cannot_be_given_by_hand():
    with pytest.raises(ValueError, match=r"corpus\.content is read from the corpus: leave it out"):
        override(Config(), {"corpus.content": "x"})
