"""The fast transducer loss is the plain one, in value and gradient."""

from __future__ import annotations

import pytest
import torch
import torchaudio
from torch.nn import functional as F

from prune_bench.tasks.losses import ctc_loss, transducer_loss

LENGTHS, TOKENS = torch.tensor([11, 9, 4]), torch.tensor([5, 3, 0])


def problem(vocabulary=40, scale=3.0):
    torch.manual_seed(0)
    logits = scale * torch.randn(3, 11, 6, vocabulary)
    targets = torch.randint(1, vocabulary, (3, 5)).masked_fill(torch.arange(5) >= TOKENS[:, None], 0)
    return logits.requires_grad_(), targets


def plain(logits, targets):
    integers = (targets.int(), LENGTHS.int(), TOKENS.int())
    return torchaudio.functional.rnnt_loss(logits, *integers, blank=0, reduction="sum")


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_equals_the_plain_call(scale):
    logits, targets = problem(scale=scale)
    fast, slow = transducer_loss(logits, targets, LENGTHS, TOKENS), plain(logits, targets)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-4)
    (fast_gradient,), (slow_gradient,) = torch.autograd.grad(fast, logits), torch.autograd.grad(slow, logits)
    assert slow_gradient.abs().max() > 0.1
    torch.testing.assert_close(fast_gradient, slow_gradient, rtol=1e-4, atol=2e-5)


def test_gradient_scales_with_the_loss():
    logits, targets = problem()
    (once,) = torch.autograd.grad(transducer_loss(logits, targets, LENGTHS, TOKENS), logits)
    (half,) = torch.autograd.grad(transducer_loss(logits, targets, LENGTHS, TOKENS) / 2, logits)
    torch.testing.assert_close(half, once / 2)


def test_by_hand_for_one_frame():
    logits, targets = problem()
    logits = logits[:1, :1, :3]
    scores = logits[0, 0].log_softmax(-1)
    by_hand = -(scores[0, targets[0, 0]] + scores[1, targets[0, 1]] + scores[2, 0])
    loss = transducer_loss(logits, targets[:1, :2], torch.tensor([1]), torch.tensor([2]))
    torch.testing.assert_close(loss, by_hand)


def test_padding_changes_nothing():
    logits, targets = problem()
    alone = transducer_loss(logits[1:2, :9, :4], targets[1:2, :3], LENGTHS[1:2], TOKENS[1:2])
    first = transducer_loss(logits[:1], targets[:1], LENGTHS[:1], TOKENS[:1])
    both = transducer_loss(logits[:2], targets[:2], LENGTHS[:2], TOKENS[:2])
    torch.testing.assert_close(both, alone + first)


def test_half_precision_logits_give_a_full_precision_loss():
    logits, targets = problem()
    loss = transducer_loss(logits.bfloat16(), targets, LENGTHS, TOKENS)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, transducer_loss(logits.bfloat16().float(), targets, LENGTHS, TOKENS))


def test_ctc_of_a_sure_alignment_is_small_and_impossible_ones_are_zero():
    frames = torch.tensor([0, 3, 3, 0, 3])
    logits = 20.0 * F.one_hot(frames, 5).float()[None]
    sure = ctc_loss(logits, torch.tensor([[3, 3]]), torch.tensor([5]), torch.tensor([2]))
    wrong = ctc_loss(logits, torch.tensor([[3, 4]]), torch.tensor([5]), torch.tensor([2]))
    impossible = ctc_loss(logits, torch.tensor([[3, 4]]), torch.tensor([1]), torch.tensor([2]))
    assert 0 <= sure < 1e-3 < 10 < wrong
    assert impossible == 0
