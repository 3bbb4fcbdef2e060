"""Rounds of pretraining: the first from random weights and cepstra, the next from the encoder before."""

from __future__ import annotations

import pytest
import torch

from prune_bench.presets import preset
from prune_bench.recognizers.pretraining import make_pretraining
from prune_bench.tasks.units import AcousticUnits, HiddenUnits


@pytest.fixture
def speech() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(8000, 1, generator=generator) for _ in range(6)]


def test_a_later_round_goes_on_from_the_encoder_before_and_its_states(tmp_path, speech):
    config = preset("smoke", "ctc")
    first = make_pretraining(config, speech, tmp_path / "first")
    second = make_pretraining(config, speech, tmp_path / "second", first.model)
    assert isinstance(first.units, AcousticUnits)
    assert isinstance(second.units, HiddenUnits)
    assert second.model is not first.model
    for name, weight in second.model.state_dict().items():
        assert torch.equal(weight, first.model.state_dict()[name])
    assert second.units.centres.shape == (config.pretraining.clusters, config.encoder.width)


def test_centres_are_found_once(tmp_path, speech):
    config = preset("smoke", "ctc")
    centres = make_pretraining(config, speech, tmp_path).units.centres
    assert torch.equal(make_pretraining(config, speech[:3], tmp_path).units.centres, centres)
    assert bool(centres.any())
