from __future__ import annotations

import torch
from torch.nn.functional import one_hot

from prune_bench.decoding.ctc import collapse


def test_repetitions_merge_before_blanks_go():
    path = torch.tensor([[0, 3, 3, 0, 3, 1, 1, 2, 0, 2], [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]])
    assert collapse(one_hot(path, 4).float()) == [[3, 3, 1, 2, 2], [1]]


def test_padding_is_not_heard():
    path = torch.tensor([[1, 0, 2, 2, 3], [0, 0, 0, 0, 0]])
    assert collapse(one_hot(path, 4).float(), torch.tensor([3, 0])) == [[1, 2], []]
