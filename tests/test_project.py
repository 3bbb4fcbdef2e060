"""What holds for the repository as a whole: pins, commands, layers."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from prune_bench.pruning.methods import METHODS, STAGES

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]

# Lowest first. A package may import those of lower layers, and of its own layer only itself.
LAYERS = [
    {"registry", "files", "fingerprint", "torchaudio_internals", "pruning"},
    {"config"},
    {"families"},
    {"identity"},
    {"models"},
    {"data"},
    {"choices"},
    {"overrides"},
    {"decoding", "distillation", "compaction", "artefacts", "export"},
    {"tasks", "callbacks", "measurement"},
    {"families.*"},
    {"plugins"},
    {"sweep", "reports"},
]
# Of families, what a record is made of; all else in there is what it holds.
RECORD = ("record", "rows", "quantities", "common")
# The rooms of a package that has some, lowest first; what lies beside them may import all.
ROOMS = {"sweep": ["runs", "stages", "launch"], "reports": ["rows", "pages", "figures", "tables", "claims"]}


def pinned() -> list[list[str]]:
    """Words of each entry of requirements.txt: a requirement, then its options."""
    text = (ROOT / "requirements.txt").read_text().replace("\\\n", " ")
    return [line.split(" --") for line in text.splitlines() if line and not line.startswith("#")]


def pins() -> dict[str, Requirement]:
    requirements = [Requirement(entry) for entry, *_ in pinned()]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def pin_of(name: str) -> str:
    (specifier,) = pins()[canonicalize_name(name)].specifier
    return specifier.version


def declared() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]["dev"]
    return [Requirement(text) for text in PROJECT["dependencies"] + extras]


def imports(path: Path) -> set[str]:
    """Every module that a file names in an import, in full."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def run_make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_and_installed(requirement):
    pin = pin_of(requirement.name)
    assert requirement.specifier.contains(pin, prereleases=True)
    assert version(requirement.name).split("+")[0] == pin


def test_pins_are_exact_versions_with_hashes_and_nothing_else():
    for entry, *options in pinned():
        pin = Requirement(entry)
        assert [specifier.operator for specifier in pin.specifier] == ["=="]
        assert pin.url is None
        assert options, f"{entry} has no hash"
        assert [option for option in options if not re.fullmatch(r"hash=sha256:[0-9a-f]{64}\s*", option)] == []
    assert "://" not in (ROOT / "requirements.txt").read_text()


def test_pins_hold_the_build_backend_and_the_last_pair_of_torch_and_torchaudio():
    (backend,) = map(Requirement, SETTINGS["build-system"]["requires"])
    assert backend.specifier.contains(pin_of(backend.name))
    assert pin_of("torch").rpartition(".")[0] == pin_of("torchaudio").rpartition(".")[0] == "2.11"


@pytest.mark.parametrize(("name", "release"), [("lightning", "2.6.2"), ("lightning", "2.6.3"), ("torch", "2.15.0")])
def test_releases_that_are_compromised_or_do_not_work_are_out_of_range(name, release):
    (requirement,) = [requirement for requirement in declared() if requirement.name == name]
    assert not requirement.specifier.contains(release)
    assert requirement.specifier.contains(pin_of(name))


def test_setup_installs_hashed_wheels_alone_and_the_project_offline(tmp_path):
    commands = run_make("--dry-run", "setup", f"PYTHON={sys.executable}", f"VENV={tmp_path / 'venv'}").stdout
    packages, project = [line for line in commands.splitlines() if " pip install " in line]
    assert {"--require-hashes", "--only-binary", ":all:", "requirements.txt"} <= set(packages.split())
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(project.split())


def test_python_range_admits_this_interpreter():
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(sys.version.split()[0])


def test_help_lists_every_target():
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):.* ## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    shown = {line.split()[0] for line in run_make("help").stdout.splitlines()}
    assert {"setup", "test", "table1", "table2", "figure2", "claims", "bench"} <= targets
    assert shown == targets


@pytest.mark.parametrize("python", ["/nonexistent/python3.11", "false"])
def test_setup_without_a_usable_python_says_so_in_one_line(tmp_path, python):
    result = run_make("setup", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}")
    first, *rest = result.stderr.splitlines()
    assert result.returncode != 0
    assert first.startswith("prune-bench needs Python 3.11, 3.12 or 3.13")
    assert all(line.startswith("make") for line in rest)
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_documents_name_real_commands(document):
    text = (ROOT / document).read_text()
    targets = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)\b", "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))))
    named = re.findall(r"\bpython ([\w/]+\.py)|\]\(([^)#:]+)\)", text)
    paths = {path for pair in named for path in pair if path}
    shown = {line.split()[0] for line in run_make("help").stdout.splitlines()}
    assert targets <= shown
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_readme_python_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "asked 90.0%, achieved 90.0%" in result.stdout


def level(package: str) -> int:
    return next(index for index, layer in enumerate(LAYERS) if package in layer)


def package_of(module: str) -> str:
    """The layer that a module stands for: of families, the record lies below all that each of them is made of."""
    _, package, *inner = module.split(".")
    found = {path.stem for path in (ROOT / "prune_bench" / "families").iterdir()} - {"__init__", *RECORD}
    return "families.*" if package == "families" and found.intersection(inner[:1]) else package


def test_packages_import_lower_layers_only():
    source = ROOT / "prune_bench"
    for path in source.rglob("*.py"):
        if path.parent == source and path.stem == "__init__":
            continue
        package = package_of(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
        for name in imports(path):
            if not name.startswith("prune_bench."):
                continue
            imported = package_of(name)
            assert imported == package or level(imported) < level(package), f"{path}: imports {name}"


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_lower_rooms_only(package):
    source, rooms = ROOT / "prune_bench" / package, ROOMS[package]
    assert {path.name for path in source.iterdir() if (path / "__init__.py").exists()} == set(rooms)
    for path in source.rglob("*/*.py"):
        room = path.relative_to(source).parts[0]
        for name in imports(path):
            if name.startswith(f"prune_bench.{package}."):
                assert rooms.index(name.split(".")[2]) <= rooms.index(room), f"{path}: imports {name}"


def test_pruning_theory_needs_torch_alone():
    for path in (ROOT / "prune_bench" / "pruning").rglob("*.py"):
        tops = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names) - {"__future__"}
        assert tops <= {"torch", "prune_bench"}, f"{path}: imports {tops}"
        assert all(name.startswith("prune_bench.pruning") for name in imports(path) if name.startswith("prune_bench"))


DOCUMENTED = {"_exit", "_replace", "_parameters"}  # of os, of named tuples and of modules, in spite of the underscore


def private_names(path: Path) -> set[str]:
    """Names with an underscore that a file takes from elsewhere: imports, and attributes of others than self."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    taken = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    taken |= {node.attr for node in attributes if not (isinstance(node.value, ast.Name) and node.value.id == "self")}
    return {name for name in taken - DOCUMENTED if name.startswith("_") and not name.startswith("__")}


def test_what_others_keep_private_is_reached_in_one_place():
    source = ROOT / "prune_bench"
    found = {path.relative_to(source).as_posix(): private_names(path) for path in sorted(source.rglob("*.py"))}
    assert found.pop("torchaudio_internals.py")
    assert {path: names for path, names in found.items() if names} == {}


def test_no_two_classes_share_a_name():
    classes: dict[str, list[str]] = {}
    for path in sorted((ROOT / "prune_bench").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    assert {name: paths for name, paths in classes.items() if len(paths) > 1} == {}


def test_no_large_files_are_tracked():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert [path.name for path in files if path.is_file() and path.stat().st_size > 500_000] == []


def test_a_callback_comes_without_the_configuration_and_the_data():
    """A stranger's fit imports what it needs of the theory, and neither OmegaConf nor the corpora."""
    script = "import sys, prune_bench.callbacks; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    unwanted = {"omegaconf", "prune_bench.config", "prune_bench.data", "prune_bench.families", "prune_bench.sweep"}
    assert not unwanted & set(loaded.split())


def test_no_method_is_told_by_its_name():
    """What a method does is asked of its row: elsewhere its name is compared with nothing."""
    told = re.compile(r"""(\bmethod|\.method|\["method"\]|\.name)$""")
    names = METHODS.keys() | STAGES.keys()
    for path in sorted((ROOT / "prune_bench").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and told.search(ast.unparse(node.left).replace("'", '"')):
                texts = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                found = {text for text in texts if isinstance(text, str)} & names
                assert not found, f"{path.relative_to(ROOT)}:{node.lineno}: compares with {', '.join(found)}"
