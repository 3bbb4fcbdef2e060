from __future__ import annotations

import torch

from prune_bench.pruning.fisher import compensation, fisher_saliency, inverse_fisher


def test_recursion_equals_the_direct_inverse():
    gradients = torch.randn(12, 7, dtype=torch.float64)
    direct = torch.linalg.inv(0.01 * torch.eye(7, dtype=torch.float64) + gradients.T @ gradients / 12)
    torch.testing.assert_close(inverse_fisher(gradients, 0.01), direct, rtol=1e-9, atol=1e-9)


def test_an_isotropic_fisher_ranks_by_magnitude_and_moves_only_what_is_removed():
    weight = torch.tensor([0.3, -2.0, 1.0, -0.1])
    inverse = 5.0 * torch.eye(4)
    assert fisher_saliency(weight, inverse).argsort().tolist() == weight.abs().argsort().tolist()
    removed = torch.tensor([True, False, False, True])
    torch.testing.assert_close(weight + compensation(weight, inverse, removed), torch.tensor([0.0, -2.0, 1.0, 0.0]))


def test_saliency_is_the_loss_increase_on_a_quadratic():
    factor = torch.randn(5, 5, dtype=torch.float64)
    hessian = factor @ factor.T + torch.eye(5, dtype=torch.float64)
    inverse, weight = torch.linalg.inv(hessian), torch.randn(5, dtype=torch.float64)
    saliency = fisher_saliency(weight, inverse)
    for index in range(5):
        removed = torch.zeros(5, dtype=torch.bool)
        removed[index] = True
        change = compensation(weight, inverse, removed)
        torch.testing.assert_close(weight[index] + change[index], torch.zeros((), dtype=torch.float64))
        torch.testing.assert_close(0.5 * change @ hessian @ change, saliency[index])
