"""Every family's record: its sections exist, its presets are of it, its models are saved and found again."""

from __future__ import annotations

import pytest

from prune_bench.artefacts import load_model
from prune_bench.families import FAMILIES, experiment_of, family_of, preset
from prune_bench.overrides import flat_keys, override


@pytest.mark.parametrize("family", list(FAMILIES), ids=lambda family: family.name)
def test_a_record_names_what_its_configuration_has(family):
    for make in family.presets.values():
        config = make()
        assert type(config) is family.config
        assert family_of(config) is family
        assert {*family.reads, *family.data} <= vars(config).keys()
        assert family.choices.keys() <= flat_keys(config).keys()
        assert type(experiment_of(config)) is family.experiment


def test_names_of_models_and_tasks_are_unique():
    assert len({family.saved_as for family in FAMILIES}) == len(FAMILIES.names) == len(set(FAMILIES.names))
    assert [family.name for family in FAMILIES] == list(FAMILIES.names)


def test_an_unknown_preset_or_task_is_one_line():
    with pytest.raises(ValueError, match="unknown preset 'tyni': did you mean 'tiny'"):
        preset("tyni", "ctc")
    with pytest.raises(ValueError, match="unknown value for task: 'transducre': did you mean 'transducer'"):
        preset("tiny", "transducre")


def test_a_model_of_an_unknown_family_is_named_by_its_file(tmp_path):
    (tmp_path / "arch.json").write_text('{"kind": "wav2vec3"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"arch\.json: unknown kind of model 'wav2vec3': did you mean 'wav2vec2'"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        ("ctc", {"encoder.size": "large", "encoder.heads": 4}, "encoder.size=large needs a multiple of 3"),
        ("transducer", {"model.heads": 5}, "model.width=144 is not a multiple of model.heads=5"),
        ("ctc", {"encoder.heads": 5}, "encoder.width=192 is not a multiple of encoder.heads=5"),
        ("language_model", {"lm.heads": 5}, "lm.width=128 is not a multiple of lm.heads=5"),
        ("language_model", {"measurement.fused": True, "text.tokens": "text"}, "needs text.tokens=speech"),
        ("ctc", {"measurement.fused": True}, "models of task=ctc help no recogniser"),
        ("ctc", {"encoder.size": "huge"}, "unknown value for encoder.size: 'huge'"),
        ("transducer", {"fusion.fit.precision": "16"}, "unknown value for fusion.fit.precision: '16'"),
    ],
)
def test_what_no_model_has_is_refused(task, values, message):
    with pytest.raises(ValueError, match=message):
        override(preset("tiny", task), values)
