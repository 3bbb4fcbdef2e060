from __future__ import annotations

from dataclasses import replace

import pytest

from prune_bench.config import Config, from_dict, history, to_dict
from prune_bench.config.history import DEFAULTS, RENAMED, current_defaults, flatten, translate, version_of
from prune_bench.families import FAMILIES
from prune_bench.overrides import flat_keys, override

UNVERSIONED = {"execution", "wandb"}  # no row and no name depends on their defaults
SECTIONS = [name for name, value in to_dict(Config()).items() if isinstance(value, dict) and name not in UNVERSIONED]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_changed_default_raises_its_sections_version(section):
    changed = {
        key: value
        for key, value in flatten(to_dict(Config())[section]).items()
        if value != {} and current_defaults(section).get(key, "missing") != value
    }
    assert not changed, (
        f"config/defaults.json, section {section}: append an entry with {changed}, "
        "or add a new key to the last entry, then run the tests again"
    )


def test_a_later_entry_is_a_later_version(monkeypatch):
    assert version_of("text") == version_of("a section of somebody else's") == 1
    monkeypatch.setitem(DEFAULTS, "text", [*DEFAULTS["text"], {"seed": 1}])
    assert version_of("text") == 2
    assert current_defaults("text")["seed"] == 1
    assert current_defaults("text")["name"] == "espeak"


def test_a_row_without_a_key_has_its_first_default(monkeypatch):
    monkeypatch.setattr(history, "FIRST_DEFAULTS", {**history.FIRST_DEFAULTS, "pretraining.fit.clip": 1.5})
    values = to_dict(Config())
    del values["pretraining"]["fit"]["clip"], values["lm"], values["task"]
    found = from_dict(values)
    assert found.pretraining.fit.clip == 1.5
    assert replace(found, pretraining=Config().pretraining) == Config()


def test_renamed_keys_are_translated_and_removed_ones_forgotten():
    known = flat_keys(Config())
    assert set(RENAMED.values()) <= set(known)
    assert not set(RENAMED) & set(known)
    old = {"text": {"units": "text", "longest": 9}, "pruning": {"sizes": "0.5"}, "lm": {"dense": {"steps": 3}}}
    found = from_dict({**old, "execution": {"heard_gb": 2.5, "slurm": {"partition": "gpu"}}})
    assert (found.text.tokens, found.text.max_tokens, found.pruning.intermediate) == ("text", 9, "0.5")
    assert (found.execution.feature_cache_gb, found.execution.slurm) == (2.5, {"partition": "gpu"})
    assert "dense" not in translate(old)["lm"]


@pytest.mark.parametrize("old", RENAMED)
def test_a_renamed_key_on_the_command_line_names_the_new_one(old):
    with pytest.raises(ValueError, match=rf"^{old} is renamed to {RENAMED[old]}: write {RENAMED[old]}=7$"):
        override(Config(), {old: "7"})


@pytest.mark.parametrize("task", FAMILIES.names)
def test_a_configuration_survives_its_dictionary(task):
    for make in FAMILIES.find(task).presets.values():
        assert from_dict(to_dict(make())) == make()


def test_a_key_of_no_version_is_refused():
    with pytest.raises(ValueError, match="not a run configuration: Key 'stepps' not in 'FitConfig'"):
        from_dict({"dense": {"stepps": 3}})
