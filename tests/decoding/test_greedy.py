"""Greedy search against a plain search of one utterance, frame by frame."""

from __future__ import annotations

import pytest
import torch

from prune_bench.decoding import greedy
from prune_bench.decoding.greedy import decode_greedy
from prune_bench.models.arch import ConformerArch, TransducerArch
from prune_bench.models.transducer import Transducer

ENCODER = ConformerArch.dense(mels=20, subsampling=2, width=32, heads=2, ffn=48, kernel=5, layers=1)
LENGTHS = torch.tensor([40, 33, 21, 2, 17])


def talkative(kind):
    """A random model that emits often: token biases drawn wide, the blank's chosen in the middle."""
    torch.manual_seed(3)
    model = Transducer(TransducerArch(ENCODER, 9, kind, 16, 2, 24)).eval()
    for parameter in (model.joiner.output.weight, model.joiner.predictor.weight, model.joiner.encoder.weight):
        parameter.data.mul_(6.0)
    model.joiner.output.bias.data[0] += 5.0
    return model, torch.randn(5, 40, 20)


@torch.no_grad()
def search_plainly(model, features, max_symbols):
    hidden, _ = model.encoder(features[None])
    tokens = []
    for frame in hidden[0]:
        for _ in range(max_symbols):
            predicted = model.predictor(torch.tensor([tokens], dtype=torch.long))[0, -1]
            logits = model.joiner(model.joiner.encoder(frame), model.joiner.predictor(predicted))
            token = int(logits.argmax())
            if token == 0:
                break
            tokens.append(token)
    return tokens


@pytest.mark.parametrize("kind", ["stateless", "lstm"])
@pytest.mark.parametrize(("max_symbols", "window"), [(1, 32), (2, 3), (5, 1), (5, 32)])
def test_equals_a_plain_search_of_each_utterance(kind, max_symbols, window, monkeypatch):
    monkeypatch.setattr(greedy, "LONGEST_WINDOW", window)
    model, features = talkative(kind)
    found = decode_greedy(model, features, LENGTHS, max_symbols)
    expected = [search_plainly(model, x[:n], max_symbols) for x, n in zip(features, LENGTHS, strict=True)]
    assert found == expected
    assert len({len(tokens) for tokens in found}) > 2
    assert 10 < sum(map(len, found)) < 0.9 * max_symbols * int((LENGTHS + 1).sum() // 2)


@pytest.mark.parametrize("kind", ["stateless", "lstm"])
def test_result_does_not_depend_on_the_batch(kind):
    model, features = talkative(kind)
    together = decode_greedy(model, features, LENGTHS)
    alone = [decode_greedy(model, x[None, :n])[0] for x, n in zip(features, LENGTHS, strict=True)]
    order = torch.tensor([3, 1, 4, 0, 2])
    shuffled = decode_greedy(model, features[order], LENGTHS[order])
    assert together == alone
    assert [together[i] for i in order] == shuffled


def test_blank_alone_gives_nothing():
    model, features = talkative("stateless")
    model.joiner.output.bias.data[0] = 1e4
    assert decode_greedy(model, features, LENGTHS) == [[]] * 5


def test_never_blank_stops_at_the_limit():
    model, features = talkative("stateless")
    model.joiner.output.bias.data[0] = -1e4
    frames = (LENGTHS - 1) // 2 + 1
    assert [len(tokens) for tokens in decode_greedy(model, features, LENGTHS, max_symbols=3)] == (3 * frames).tolist()
