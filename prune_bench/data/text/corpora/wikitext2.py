"""WikiText-2 (Merity et al., Pointer Sentinel Mixture Models, 2016), as its files are called."""

from __future__ import annotations

from prune_bench.data.text.corpora.source import TextSpec

TEXT = TextSpec(name="wikitext2", files={"train": "train.txt", "dev": "valid.txt", "test": "test.txt"})
