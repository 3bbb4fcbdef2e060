from __future__ import annotations

import pytest
import torch

from prune_bench.pruning.masks import MaskSet, Scores, iou, lowest


def test_lowest_marks_exactly_the_smallest_scores():
    scores = [torch.tensor([3.0, 1.0, 2.0]), torch.tensor([[0.5, 4.0]])]
    marked = lowest(scores, 3)
    assert marked[0].tolist() == [False, True, True]
    assert marked[1].tolist() == [[True, False]]


@pytest.mark.parametrize("count", [0, 1, 400, 999, 1000])
def test_lowest_is_exact_when_all_scores_tie(count):
    marked = lowest([torch.full((600,), 2.0), torch.full((20, 20), 2.0)], count)
    assert sum(int(mark.sum()) for mark in marked) == count


@pytest.mark.parametrize("values", [1, 2, 5])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.5, 0.99])
def test_equal_scores_fall_in_order_of_position(values, share):
    generator = torch.Generator().manual_seed(0)
    scores = [torch.randint(values, shape, generator=generator).float() for shape in ((600,), (700, 900), (30, 4, 5))]
    everything = torch.cat([score.flatten() for score in scores])
    count = round(share * len(everything))
    expected = torch.zeros(len(everything), dtype=torch.bool)
    expected[everything.argsort(stable=True)[:count]] = True
    assert torch.equal(torch.cat([mark.flatten() for mark in lowest(scores, count)]), expected)


def test_lowest_is_exact_with_planted_zeros_and_ties():
    scores = torch.rand(5000)
    scores[::3] = 0.0
    scores[1::7] = 0.5
    for count in (10, 1667, 2400, 4990):
        marked = lowest([scores], count)[0]
        assert int(marked.sum()) == count
        assert scores[marked].max() <= scores[~marked].min()


@pytest.mark.parametrize("count", [3, 1_100_000, 2_500_000])
def test_histogram_path_agrees_with_sorting(count):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2_600_000, generator=generator).abs()
    scores[:500_000] = 0.0
    scores[-1] = 1e4
    marked = lowest(list(scores.split(1_000_000)), count)
    assert sum(int(mark.sum()) for mark in marked) == count
    kept = scores[~torch.cat(marked)]
    assert kept.min() >= scores.sort().values[count - 1]


def test_lowest_refuses_nan_and_impossible_counts():
    with pytest.raises(ValueError, match="NaN"):
        lowest([torch.tensor([1.0, float("nan")])], 1)
    with pytest.raises(ValueError, match="cannot select 3 of 2"):
        lowest([torch.zeros(2)], 3)


def test_iou_is_symmetric_one_on_itself_and_p_over_two_minus_p_by_chance():
    generator = torch.Generator().manual_seed(0)
    first = {"w": torch.rand(100_000, generator=generator) < 0.5}
    second = {"w": torch.rand(100_000, generator=generator) < 0.5}
    assert iou(first, first) == 1.0
    assert iou(first, second) == iou(second, first)
    assert iou(first, second) == pytest.approx(0.5 / 1.5, abs=0.01)


def test_mask_of_another_model_is_refused_by_name():
    masks = MaskSet(a=torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match="a is"):
        masks.match({"a": torch.Size([4])})


def test_checksum_depends_on_every_element():
    masks = MaskSet(a=torch.ones(30, dtype=torch.bool))
    before = masks.checksum()
    masks["a"][17] = False
    assert masks.checksum() != before
    assert masks.sparsity == pytest.approx(1 / 30)


def test_scores_made_in_passing_are_ranked_like_scores_held():
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(700, 800, generator=generator).half().float() for _ in range(2)]  # many ties
    gradients = [torch.randn(700, 800, generator=generator).half().float() for _ in range(2)]
    held = lowest([(w * g).square() for w, g in zip(weights, gradients, strict=True)], 400_001)
    passing = [Scores(lambda w, g: (w * g).square(), w, g) for w, g in zip(weights, gradients, strict=True)]
    found = lowest(passing, 400_001)
    assert all(torch.equal(a, b) for a, b in zip(held, found, strict=True))


@pytest.mark.parametrize("count", [3, 700, 1500])
def test_what_is_gone_goes_first(count):
    weight = torch.randn(40, 50, generator=torch.Generator().manual_seed(1))
    kept = torch.rand(40, 50, generator=torch.Generator().manual_seed(2)) > 0.4
    (marked,) = lowest([Scores(torch.abs, weight, kept=kept)], count)
    assert int(marked.sum()) == count
    gone = int((~kept).sum())
    assert int((marked & ~kept).sum()) == min(count, gone)
    if count > gone:
        assert weight[marked & kept].abs().max() < weight[~marked].abs().min()
