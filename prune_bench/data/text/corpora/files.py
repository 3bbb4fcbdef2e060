"""Files that the configuration names in `text.train`, `text.dev` and `text.test`."""

from __future__ import annotations

from prune_bench.data.text.corpora.source import TextSpec

TEXT = TextSpec(name="files")
