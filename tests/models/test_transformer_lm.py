"""The language model: causal, the same with and without a cache, and the same class at any width and rank."""

from __future__ import annotations

import pytest
import torch

from prune_bench.compaction import compact, largest_difference, with_ranks
from prune_bench.models.arch import BlockArch
from prune_bench.models.low_rank import LowRankLinear
from prune_bench.models.transformer_lm import BORDER, LanguageModel, LanguageModelArch
from prune_bench.pruning.groups import scale_outputs

V, D, W, F, LAYERS = 11, 24, 8, 40, 2
ARCH = LanguageModelArch(V, D, W, (BlockArch(3, F),) * LAYERS)
ARCHES = {
    "tied": ARCH,
    "untied": LanguageModelArch(V, D, W, (BlockArch(3, F),) * LAYERS, tied=False),
    "wide heads": LanguageModelArch(V, D, 2 * W, (BlockArch(3, F),) * LAYERS),
    "uneven": LanguageModelArch(V, D, W, (BlockArch(1, 7), BlockArch(0, 0), BlockArch(2, 5))),
    "factorised": ARCH.with_ranks({"layers.0.ffn.up": 5, "layers.1.attention.query": 4, "head": 6}),
}


def make(arch=ARCH):
    torch.manual_seed(0)
    model = LanguageModel(arch).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def sentences(batch=3, length=40):
    tokens = torch.randint(1, V, (batch, length), generator=torch.Generator().manual_seed(1))
    tokens[:, 0] = BORDER
    return tokens


@pytest.mark.parametrize("name", ARCHES)
def test_steps_with_a_cache_give_what_the_whole_sentence_gives(name):
    model, tokens = make(ARCHES[name]), sentences()
    with torch.no_grad():
        whole, state, steps = model(tokens), model.initial_state(3, torch.zeros(())), []
        for place in range(tokens.shape[1]):
            logits, state = model.step(tokens[:, place], state)
            steps.append(logits)
    torch.testing.assert_close(torch.stack(steps, 1), whole, rtol=1e-4, atol=1e-4)


def walk(model, tokens):
    """The state before the last of (batch, tokens)."""
    state = model.initial_state(len(tokens), torch.zeros(()))
    for place in range(tokens.shape[1] - 1):
        _, state = model.step(tokens[:, place], state)
    return state


@pytest.mark.parametrize("long", [15, 16, 17, 18])
def test_rows_of_a_cache_may_be_of_different_lengths(long):
    model, tokens = make(), sentences(2, 20)
    prefixes = tokens[:1, :long], tokens[1:, :3]
    long_state, short_state = (walk(model, prefix) for prefix in prefixes)
    room = long_state[1].shape[2] - short_state[1].shape[2]
    lengths, *caches = short_state
    short_state = lengths, *(torch.nn.functional.pad(cache, (0, 0, 0, room)) for cache in caches)
    both = tuple(torch.cat(parts) for parts in zip(long_state, short_state, strict=True))
    logits, _ = model.step(torch.cat([prefix[:, -1] for prefix in prefixes]), both)
    alone = torch.cat([model(prefix)[:, -1] for prefix in prefixes])
    torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-4)


def test_nothing_looks_ahead():
    model, tokens = make(), sentences()
    changed = tokens.clone()
    changed[:, 25:] = (changed[:, 25:] % (V - 1)) + 1
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :25], after[:, :25])
    assert not torch.allclose(before[:, 25:], after[:, 25:])


@pytest.mark.parametrize("name", ["tied", "untied", "factorised"])
def test_an_arch_survives_plain_values(name):
    model = make(ARCHES[name])
    again = LanguageModel(LanguageModelArch.from_dict(model.arch.to_dict()))
    again.load_state_dict(model.state_dict())
    assert largest_difference(model, again, sentences()) == 0


def test_tied_embeddings_are_one_matrix():
    sizes = [sum(p.numel() for p in LanguageModel(ARCHES[name]).parameters()) for name in ("untied", "tied")]
    assert sizes[0] - sizes[1] == V * D


def test_embeddings_count_only_where_asked():
    with_them = make().block_matrices()
    without = make(LanguageModelArch(V, D, W, (BlockArch(3, F),) * LAYERS, embeddings=False)).block_matrices()
    assert set(with_them) - set(without) == {"head.weight"}
    assert len(without) == LAYERS * 6


@pytest.mark.parametrize("removed", [["heads"], ["ffn"], ["heads", "ffn"]])
@pytest.mark.parametrize("everything", [False, True])
def test_compact_equals_masked(removed, everything):
    model, masks = make(), {}
    for group in model.units():
        if group.kind in removed:
            keep = torch.rand(group.size, generator=torch.Generator().manual_seed(2)) < 0.6
            masks[group.name] = torch.zeros_like(keep) if everything else keep
    groups = [group for group in model.units() if group.name in masks]
    scale_outputs(dict(model.named_parameters()), groups, masks)
    small = compact(model, masks)
    assert largest_difference(model, small, sentences()) < 1e-4
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())


def test_units_own_all_that_goes_with_them():
    model = make()
    for group in model.units():
        owned = sum(model.get_parameter(place.parameter).numel() for place in (*group.inputs, *group.outputs))
        each = 4 * D * W + 3 * W if group.kind == "heads" else 2 * D + 1
        assert owned == group.size * each


def test_factors_in_a_models_place_are_rebuilt_from_its_arch():
    model = make()
    head = model.head
    model.head = LowRankLinear(D, 6, V, bias=False).eval()
    rebuilt = with_ranks(model, {"head": 6})
    assert isinstance(rebuilt.head, LowRankLinear)
    assert largest_difference(model, rebuilt, sentences()) == 0
    model.head = head
    assert largest_difference(model, rebuilt, sentences()) > 0
