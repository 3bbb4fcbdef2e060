from __future__ import annotations

import sys

import pytest

from prune_bench import plugins
from prune_bench.plugins import load_plugins
from prune_bench.registry import Registry


@pytest.fixture
def registries(tmp_path, monkeypatch):
    """Empty registries, and modules of the current folder that define something, nothing, or fail."""
    kept = (Registry("task", "FAMILY", {}, "none"), Registry("corpus.name", "CORPUS", {}, "none"))
    monkeypatch.setattr(plugins, "REGISTRIES", kept)
    record = "from types import SimpleNamespace\n"
    (tmp_path / "plugin_one.py").write_text(record + "FAMILY = SimpleNamespace(name='one')\n")
    (tmp_path / "plugin_both.py").write_text(
        record + "FAMILY, CORPUS = SimpleNamespace(name='two'), SimpleNamespace(name='said')\n"
    )
    (tmp_path / "plugin_empty.py").write_text("")
    (tmp_path / "plugin_broken.py").write_text("raise RuntimeError('no device\\nbut two lines')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield kept
    for name in ("one", "both", "empty", "broken"):
        sys.modules.pop(f"plugin_{name}", None)


def test_modules_of_the_current_folder_add_what_they_define(registries):
    load_plugins("plugin_one+plugin_both")
    load_plugins("plugin_one")
    assert [registry.names for registry in registries] == [("one", "two"), ("said",)]


def test_no_plugins_are_no_change(registries):
    before = list(sys.path)
    load_plugins("")
    assert [registry.names for registry in registries] == [(), ()]
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plugin_none", r"plugin_none cannot be imported \(ModuleNotFoundError: No module named 'plugin_none'\)"),
        ("plugin_broken", r"plugin_broken cannot be imported \(.*two lines\): correct its name or its code"),
        ("plugin_empty", "plugins=plugin_empty: it defines no FAMILY and no CORPUS"),
    ],
)
def test_what_is_no_plugin_is_one_line(registries, name, message):
    with pytest.raises(ValueError, match=message) as error:
        load_plugins(name)
    assert len(str(error.value).splitlines()) == 1
