"""The command line to configurations: single runs, grids, and the lines of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from prune_bench.config import Config, CorpusConfig
from prune_bench.config.data import LANGUAGE
from prune_bench.data.corpora import CORPORA
from prune_bench.families import family_of, preset
from prune_bench.fingerprint import fingerprint
from prune_bench.overrides import adapt, expand_grid, override, parse_overrides
from prune_bench.plugins import load_plugins
from prune_bench.pruning.methods import ALIASES, METHODS
from prune_bench.registry import suggest
from prune_bench.sweep.runs.dependencies import dense_of, normalise, run_id

TRANSDUCER = "transducer"
FLAGS = {"true": True, "false": False}


class Asked(Protocol):
    """A table or figure: the task it is of, and its lines as overrides of a configuration."""

    @property
    def task(self) -> str: ...

    def configurations(self, extended: bool, references: bool) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True)
class Grid:
    """The runs of one command, seed by seed. `table` is the table they make up, None for a grid of one's own."""

    configs: list[Config]
    table: str | None = None

    @property
    def name(self) -> str:
        """The table's name, or one for exactly these runs."""
        return self.table or f"runs-{fingerprint(sorted(run_id(config) for config in self.configs))}"


def read_grid(arguments: Sequence[str], tables: Mapping[str, Asked]) -> Grid:
    """The runs that `key=value` words ask for; comma lists and ranges multiply.

    `tables` holds by name what may be asked for with `table=`.
    Raises ValueError, with a suggestion, for an unknown key or value and for words that contradict each other.
    """
    overrides = parse_overrides(arguments)
    plugins = "+".join(overrides.pop("plugins", []))
    load_plugins(plugins)
    table = _single(overrides, "table", "")
    asked = _table_of(table, tables) if table else None
    task = asked.task if asked else TRANSDUCER
    if asked and overrides.get("task", [task]) != [task]:
        raise ValueError(f"table={table} is of task={task}: leave out task=")
    named = preset(_single(overrides, "preset", "tiny"), _single(overrides, "task", task))
    base = replace(named, plugins=plugins)
    if asked and hasattr(asked, "narrowed"):
        words = {key: overrides.pop(key) for key in ("languages", "sparsity") if key in overrides}
        asked = asked.narrowed(base.preset, words, overrides.get("corpus.name", [base.corpus.name])[0])
    flags = [_flag(overrides, name, needs=table) for name in ("extended", "references")]
    if "method" in overrides:
        overrides["method"] = [_known_method(name) for name in overrides["method"]]
    lines = asked.configurations(*flags) if asked else [{}]
    for key in sorted({key for line in lines for key in line} & set(overrides)):
        raise ValueError(f"table={table} says itself which values of {key} it needs: leave out {key}=")
    combinations = [(config, line) for config in expand_grid(base, overrides) for line in lines]
    configs = [adapt(override(config, line), {*overrides, *line}) for config, line in combinations]
    return Grid(_in_order(configs), table or None)


def _in_order(configs: Sequence[Config]) -> list[Config]:
    """Each run once, seed by seed, its dense model first."""
    _check_folders([config.corpus for config in configs])
    presets, datasets = {config.preset for config in configs}, {family_of(config).dataset(config) for config in configs}
    for key, values in {"preset": presets, "corpus": datasets}.items():
        if len(values) > 1:
            raise ValueError(f"{key}={','.join(sorted(values))}: a table holds one {key}, start one command for each")
    ordered = sorted(configs, key=lambda config: config.seed)
    runs = [normalise(run) for config in ordered for run in (dense_of(config), config)]
    return sorted({run_id(run): run for run in runs}.values(), key=lambda run: run.seed)


def _check_folders(corpora: Sequence[CorpusConfig]) -> None:
    """Refuse a corpus that gives several languages the same speech."""
    languages: dict[str, set[str]] = {}
    for corpus in corpora:
        for language in (corpus.joint or corpus.language).split("+"):
            languages.setdefault(CORPORA.find(corpus.name).place(corpus, language), set()).add(language)
    for place, values in languages.items():
        if len(values) > 1:
            named = ", ".join(sorted(values))
            raise ValueError(f"corpus.root={place}: write {LANGUAGE} where the folders of {named} differ")


def _single(overrides: dict[str, list[str]], key: str, default: str) -> str:
    values = overrides.pop(key, [default])
    if len(values) > 1:
        raise ValueError(f"{key}={','.join(values)}: give one {key}, start one command for each")
    return values[0]


def _flag(overrides: dict[str, list[str]], key: str, needs: str) -> bool:
    value = _single(overrides, key, "false")
    if value not in FLAGS:
        raise ValueError(suggest(value, list(FLAGS), f"value for {key}:"))
    if FLAGS[value] and not needs:
        raise ValueError(f"{key}=true adds lines to a table: name one with table=")
    return FLAGS[value]


def _known_method(name: str) -> str:
    if name not in METHODS and name not in ALIASES:
        raise ValueError(suggest(name, [*METHODS, *ALIASES], "value for method:"))
    return ALIASES.get(name, name)


def _table_of(table: str, tables: Mapping[str, Asked]) -> Asked:
    if table not in tables:
        raise ValueError(suggest(table, list(tables), "value for table:"))
    return tables[table]
