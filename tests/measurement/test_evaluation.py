from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from prune_bench.data.store import FeatureStore
from prune_bench.data.tokenizers import Characters
from prune_bench.decoding.greedy import decode_greedy
from prune_bench.measurement.evaluation import by_split, evaluate, judge, part_of
from prune_bench.models.arch import ConformerArch, TransducerArch
from prune_bench.models.transducer import Transducer

ALPHABET = "ab "


@pytest.fixture(scope="module")
def model() -> Transducer:
    """A small random model that emits tokens on noise."""
    torch.manual_seed(1)
    encoder = ConformerArch.dense(mels=8, subsampling=4, width=16, heads=2, ffn=16, kernel=3, layers=1)
    model = Transducer(TransducerArch(encoder, len(ALPHABET) + 1, "stateless", 8, 1, 8))
    torch.nn.init.normal_(model.joiner.output.weight, std=2.0)
    return model.eval()


def make_store(texts: list[str]) -> FeatureStore:
    rng = np.random.default_rng(2)
    lengths = rng.integers(20, 90, size=len(texts))
    return FeatureStore(
        features=(rng.normal(size=(lengths.sum(), 8)).astype(np.float16),),
        files=np.zeros_like(lengths),
        starts=np.cumsum(lengths) - lengths,
        lengths=lengths,
        ids=[str(number) for number in range(len(texts))],
        texts=texts,
        speakers=["one"] * len(texts),
        seconds=[length / 100 for length in lengths.tolist()],
        skipped={},
    )


@pytest.fixture(scope="module")
def spoken(model) -> list[str]:
    """What the model hears in each of the utterances that `make_store` gives, one by one."""
    store = make_store([""] * 12)
    tokenizer = Characters(ALPHABET)
    tokens = [decode_greedy(model, store[index][None], max_symbols=2)[0] for index in range(len(store))]
    return [tokenizer.decode(one) for one in tokens]


def reader(model):
    return lambda batch: decode_greedy(model, batch.features, batch.lengths, max_symbols=2)


@pytest.mark.parametrize("batch_frames", [100, 1000])
def test_evaluation_meets_every_utterance_in_its_place(model, spoken, batch_frames):
    assert len(set(spoken)) > 6
    store = make_store([text + (" b" if number == 3 else "") for number, text in enumerate(spoken)])
    result = evaluate(model, reader(model), store, Characters(ALPHABET), batch_frames)
    assert result["utterances"]["errors"] == [int(number == 3) for number in range(12)]
    assert result["utterances"]["words"] == [len(text.split()) for text in store.texts]
    assert (result["errors"], result["words"]) == (1, sum(result["utterances"]["words"]))
    assert result["wer"] == 100 / result["words"]
    assert result["low"] <= result["wer"] <= result["high"]


def test_evaluation_reports_progress_and_is_json(model, spoken):
    seen = []
    store, report = make_store(spoken), lambda *counts: seen.append(counts)
    result = evaluate(model, reader(model), store, Characters(ALPHABET), 200, progress=report)
    assert seen[-1] == (12, 12)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert json.loads(json.dumps(result)) == result


def test_results_of_splits_become_columns():
    one = {"wer": 5.0, "low": 4.0, "errors": 1, "utterances": {"errors": [1], "words": [20]}}
    row = by_split({"test-clean": one, "dev-clean": {**one, "wer": 6.0}})
    assert row["utterances"]["test-clean"] == {"errors": [1], "words": [20]}
    assert (row["wer.test-clean"], row["wer.test-clean.low"], row["wer.dev-clean"]) == (5.0, 4.0, 6.0)
    assert "wer.test-clean.utterances" not in row


def test_progress_of_a_part_counts_in_the_whole():
    seen = []
    part_of(lambda done, total: seen.append((done, total)), 30, 100)(5, 40)
    assert seen == [(35, 100)]


def test_one_utterance_has_a_rate_and_no_interval():
    found = judge(["a b c"], ["a b d"])
    assert found["wer"] == pytest.approx(100 / 3)
    assert found["low"] is found["high"] is None
    several = judge(["a b c", "a b"], ["a b d", "a b"])
    assert several["low"] == 0 < several["wer"] < several["high"]
