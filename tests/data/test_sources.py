"""A corpus owns its options."""

from __future__ import annotations

import pytest

from prune_bench.config import CorpusConfig
from prune_bench.data.corpora import CORPORA, CorpusSpec
from prune_bench.families import preset
from prune_bench.overrides import override
from prune_bench.sweep.runs.dependencies import run_id


@pytest.fixture
def corpus(monkeypatch) -> CorpusSpec:
    spec = CorpusSpec(name="said", source=lambda config, features: None, own={"snr": 20.0, "voice": "low", "takes": 2})
    monkeypatch.setitem(CORPORA._records, "said", spec)
    return spec


def test_options_of_its_own_are_read_in_the_types_of_their_defaults(corpus):
    config = CorpusConfig(name="said", options={"snr": "5", "takes": "3"})
    assert corpus.read_own(config) == {"snr": 5.0, "voice": "low", "takes": 3}
    assert corpus.normalise_own(config) == {"snr": "5.0", "takes": "3"}


def test_options_of_its_own_name_runs_unless_they_have_their_defaults(corpus):
    def name(**options):
        given = {"corpus.name": "said", **{f"corpus.options.{key}": value for key, value in options.items()}}
        return run_id(override(preset("smoke"), given))

    assert name() == name(snr="20") == name(snr="20.0", voice="low")
    assert len({name(), name(snr="5"), name(voice="high"), name(snr="5", voice="high")}) == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"corpus.name": "said", "corpus.options.snt": "5"}, r"corpus\.name=said: unknown option 'snt': did you mean"),
        ({"corpus.name": "said", "corpus.options.takes": "few"}, r"corpus\.options\.takes=few: .*said takes int"),
        ({"corpus.options.snr": "5"}, r"corpus\.options\.snr: corpus\.name=espeak: it has no options of its own"),
        ({"corpus.name": "said", "corpus.root": "x"}, r"corpus\.root: corpus\.name=said does not read it"),
    ],
)
def test_options_that_a_corpus_does_not_have_are_refused(corpus, given, message):
    with pytest.raises(ValueError, match=message):
        override(preset("smoke"), given)
