from __future__ import annotations

import pytest
import torch

from prune_bench.pruning import Infeasible
from prune_bench.pruning.groups import remove_units


def test_more_than_all_units_hold_is_infeasible():
    scores, costs = {"a": torch.ones(3), "b": torch.ones(2)}, {"a": 4, "b": 2}
    assert not any(mask.any() for mask in remove_units(scores, costs, 17).values())
    with pytest.raises(Infeasible, match="all units together hold 16 of the 18 weights"):
        remove_units(scores, costs, 18)
