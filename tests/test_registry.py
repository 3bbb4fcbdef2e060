from __future__ import annotations

import sys

import pytest

from prune_bench.registry import Registry, suggest


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """Two records, each in a module that has not been imported."""
    for name in ("first", "second"):
        record = f"class Record:\n    name = {name!r}\n\n\nRECORD = Record()\n"
        (tmp_path / f"registry_{name}.py").write_text(record)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Registry("kind", "RECORD", {"first": "registry_first", "second": "registry_second"})
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


def test_without_a_near_word_all_are_named():
    assert suggest("x", ["first", "second"], "kind") == "unknown kind 'x': choose from first, second"
