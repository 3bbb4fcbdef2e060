"""Beam search against greedy search, and against every alignment of every token sequence."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from prune_bench.decoding.beam import search_beam
from prune_bench.decoding.fusion import Fusion
from prune_bench.decoding.greedy import search_greedy
from tests.helpers.decoding import language_model, talkative

LONG = torch.tensor([20, 17, 11, 1, 9])


def hidden(batch=5, frames=20):
    return torch.randn(batch, frames, 32, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def score_plainly(model, encoded, tokens, fusion):
    """Log-probability of all alignments of `tokens` to the frames, by the forward recursion, and its fusion terms."""
    history = torch.tensor([tokens], dtype=torch.long)
    predicted = model.joiner.predictor(model.predictor(history))[0]
    grid = model.joiner(encoded[:, None], predicted[None]).log_softmax(-1)
    total = {(0, 0): 0.0}
    for t, u in itertools.product(range(len(encoded) + 1), range(len(tokens) + 1)):
        ways = [total[t - 1, u] + float(grid[t - 1, u, 0])] if t else []
        if u and t < len(encoded):
            ways.append(total[t, u - 1] + float(grid[t, u - 1, tokens[u - 1]]))
        if (t, u) != (0, 0):
            total[t, u] = float(torch.tensor(ways).logsumexp(0)) if ways else -math.inf
    score = total[len(encoded), len(tokens)]
    if fusion is None:
        return score
    inputs = torch.tensor([[0, *tokens]])
    known = fusion.model(inputs).log_softmax(-1)[0]
    score += fusion.weight * sum(float(known[place, token]) for place, token in enumerate([*tokens, 0]))
    silent = model.joiner(model.joiner.encoder(torch.zeros(32)), predicted)[:, 1:].log_softmax(-1)
    return score - fusion.internal * sum(float(silent[place, token - 1]) for place, token in enumerate(tokens))


@pytest.mark.parametrize("kind", ["stateless", "lstm"])
@pytest.mark.parametrize("max_symbols", [1, 2, 5])
def test_a_beam_of_one_is_greedy_search(kind, max_symbols):
    model, x = talkative(kind), hidden()
    found = [best[0].tokens for best in search_beam(model, x, LONG, 1, max_symbols)]
    assert found == search_greedy(model, x, LONG, max_symbols)
    assert len({len(tokens) for tokens in found}) > 2


@pytest.mark.parametrize("fused", ["alone", "fused", "internal"])
@pytest.mark.parametrize("kind", ["stateless", "lstm"])
def test_a_beam_of_everything_is_exact(kind, fused):
    vocabulary, frames, longest = 3, 3, 3
    model, x = talkative(kind, vocabulary), hidden(2, frames)
    weights = {"fused": (0.7, 0.0), "internal": (0.7, 0.3)}.get(fused)
    fusion = Fusion(language_model(vocabulary), *weights) if weights else None
    lengths = torch.tensor([frames, frames - 1])
    found = search_beam(model, x, lengths, 150, 100, fusion)
    for row, (utterance, length) in enumerate(zip(x, lengths.tolist(), strict=True)):
        encoded = model.joiner.encoder(utterance[:length])
        every = (tokens for n in range(longest + 1) for tokens in itertools.product(range(1, vocabulary), repeat=n))
        expected = {tokens: score_plainly(model, encoded, list(tokens), fusion) for tokens in every}
        ranked = {tuple(one.tokens): one.score for one in found[row] if len(one.tokens) <= longest}
        assert ranked.keys() == expected.keys()
        for tokens, score in expected.items():
            assert ranked[tokens] == pytest.approx(score, abs=2e-4)
        best = max(expected, key=lambda tokens: expected[tokens])
        assert tuple(found[row][0].tokens) == best


@pytest.mark.parametrize("weights", [None, (0.5, 0.0), (0.5, 0.2)])
def test_results_do_not_depend_on_the_batch(weights):
    model, x = talkative(), hidden()
    fusion = Fusion(language_model(), *weights) if weights else None
    together = search_beam(model, x, LONG, 4, 3, fusion)
    for row, length in enumerate(LONG.tolist()):
        (alone,) = search_beam(model, x[row : row + 1, :length], LONG[row : row + 1], 4, 3, fusion)
        assert [one.tokens for one in alone] == [one.tokens for one in together[row]]
        assert [one.score for one in alone] == pytest.approx([one.score for one in together[row]], abs=1e-3)


def test_a_larger_beam_finds_at_least_as_much():
    model, x = talkative(), hidden()
    scores = [[best[0].score for best in search_beam(model, x, LONG, width)] for width in (2, 8, 64)]
    assert all(small <= large + 1e-4 for pair in itertools.pairwise(scores) for small, large in zip(*pair, strict=True))
    assert scores[0] != scores[2]


def test_fusion_follows_the_language_model_when_it_is_loud():
    model, x = talkative(), hidden()
    quiet, loud = (search_beam(model, x, LONG, 8, 3, Fusion(language_model(), weight)) for weight in (0.0, 20.0))
    plain = search_beam(model, x, LONG, 8, 3)
    assert [best[0].tokens for best in quiet] == [best[0].tokens for best in plain]
    assert [best[0].tokens for best in loud] != [best[0].tokens for best in plain]


def test_other_tokens_are_refused():
    model = talkative()
    with pytest.raises(ValueError, match="7 tokens and the transducer 9"):
        search_beam(model, hidden(), LONG, 2, fusion=Fusion(language_model(7), 0.5))
    other = language_model()
    other.arch, model.arch = replace(other.arch, tokenizer="ours"), replace(model.arch, tokenizer="theirs")
    with pytest.raises(ValueError, match="other tokens than the transducer: train it with the same tokenizer"):
        search_beam(model, hidden(), LONG, 2, fusion=Fusion(other, 0.5))
