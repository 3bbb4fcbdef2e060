from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from prune_bench.registry import Registry, suggest


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """Two records, each in a module that has not been imported."""
    for name in ("first", "second"):
        record = f"class Record:\n    name = {name!r}\n\n\nRECORD = Record()\n"
        (tmp_path / f"registry_{name}.py").write_text(record)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Registry("kind", "RECORD", {"first": "registry_first", "second": "registry_second"}, group="none")
    for name in ("registry_first", "registry_second"):
        sys.modules.pop(name, None)


def test_a_module_is_imported_when_its_record_is_asked_for(registry):
    assert registry.names == ("first", "second")
    assert registry.find("second").name == "second"
    assert "registry_first" not in sys.modules
    assert [record.name for record in registry] == ["first", "second"]
    assert registry.find("first") is registry.find("first")


def test_an_unknown_name_is_one_line_with_the_nearest(registry):
    with pytest.raises(ValueError, match=r"^unknown value for kind: 'frist': did you mean 'first'\?$"):
        registry.find("frist")


def test_installed_packages_add_modules_behind_the_own_ones(registry, monkeypatch):
    point = EntryPoint("third", "registry_third", "there")
    other = EntryPoint("first", "registry_third", "there")
    monkeypatch.setattr("prune_bench.registry.entry_points", lambda group: [point, other] if group == "there" else [])
    installed = Registry("kind", "RECORD", registry.modules, group="there")
    assert installed.names == ("first", "second", "third")
    assert installed.find("first").name == "first"
    with pytest.raises(ValueError, match=r"^registry_third cannot be imported \(ModuleNotFoundError: ") as error:
        installed.find("third")
    assert len(str(error.value).splitlines()) == 1


def test_a_record_of_another_is_held_and_no_name_twice(registry):
    third, another = SimpleNamespace(name="third"), SimpleNamespace(name="first")
    registry.add(third)
    registry.add(third)
    assert registry.names == ("first", "second", "third")
    assert registry.find("third") is third
    with pytest.raises(ValueError, match="kind=first is there already"):
        registry.add(another)


def test_a_module_without_its_record_is_named(registry):
    with pytest.raises(ValueError, match="registry_first has no RECORDS: assign"):
        Registry("kind", "RECORDS", registry.modules, group="none").find("first")


def test_without_a_near_word_all_are_named():
    assert suggest("x", ["first", "second"], "kind") == "unknown kind 'x': choose from first, second"
