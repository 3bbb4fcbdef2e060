"""Token sequences that a beam meets, and the networks' outputs on them, computed once for all hypotheses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from prune_bench.decoding.fusion import Fusion
from prune_bench.models.transducer import BLANK, Transducer
from prune_bench.models.transformer_lm import BORDER

ROOT = 0


class Rows:
    """A tensor that takes more rows; its room doubles when it is full."""

    def __init__(self, first: Tensor):
        self.room, self.count = first, len(first)

    def __getitem__(self, places: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        return self.room[places]

    def append(self, rows: Tensor) -> None:
        needed = self.count + len(rows)
        if needed > len(self.room):
            more = max(needed, 2 * len(self.room)) - self.count
            self.room = torch.cat((self.room[: self.count], rows.new_empty(more, *rows.shape[1:])))
        self.room[self.count : needed] = rows
        self.count = needed


class Memory(Protocol):
    """A network's `outputs` for each node of a tree."""

    outputs: Rows

    def extend(self, tree: PrefixTree, parents: Tensor, tokens: Tensor) -> None:
        """Add those of new nodes, each `parents`' sequence and one of the `tokens`."""


class PrefixTree:
    """Sequences of tokens: each is a node, a child of the sequence without its last token. Node 0 is the empty one."""

    def __init__(self, vocabulary: int, memories: Sequence[Memory], device: torch.device):
        self.vocabulary, self.memories = vocabulary, memories
        root = torch.zeros(1, dtype=torch.long, device=device)
        self.parents, self.tokens, self.lengths = Rows(root), Rows(root.clone()), Rows(root.clone())
        self.children = Rows(self._childless(1))

    def extend(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """The nodes of `nodes`' sequences with one more of `tokens` each, made where there are none yet."""
        missing = self.children[nodes, tokens] == ROOT
        if bool(missing.any()):
            self._add(self.name(nodes, tokens)[missing].unique())
        return self.children[nodes, tokens].long()

    def name(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """A number for each sequence of a node and a token, whether it has a node or not."""
        return nodes * self.vocabulary + tokens

    def names(self, nodes: Tensor) -> Tensor:
        """The number of each node's sequence."""
        return self.name(self.parents[nodes], self.tokens[nodes])

    def paths(self, nodes: Tensor) -> Tensor:
        """(nodes, longest + 2): the nodes from the root to each, then the root again."""
        paths = nodes.new_full((len(nodes), int(self.lengths[nodes].max()) + 2), ROOT)
        rows = torch.arange(len(nodes), device=nodes.device)
        for _ in range(paths.shape[1] - 1):
            paths[rows, self.lengths[nodes]] = nodes
            nodes = self.parents[nodes]
        return paths

    def spell(self, nodes: Tensor) -> list[list[int]]:
        """The tokens of each sequence."""
        lengths = self.lengths[nodes].tolist()
        tokens = self.tokens[self.paths(nodes)].tolist()
        return [row[1 : length + 1] for row, length in zip(tokens, lengths, strict=True)]

    def _add(self, names: Tensor) -> None:
        parents, tokens = names // self.vocabulary, names % self.vocabulary
        for memory in self.memories:
            memory.extend(self, parents, tokens)
        places = torch.arange(self.parents.count, self.parents.count + len(names), device=names.device)
        self.children.room[parents, tokens] = places.int()
        self.children.append(self._childless(len(names)))
        self.lengths.append(self.lengths[parents] + 1)
        self.parents.append(parents)
        self.tokens.append(tokens)

    def _childless(self, count: int) -> Tensor:
        return torch.full((count, self.vocabulary), ROOT, dtype=torch.int32, device=self.parents.room.device)


class PredictorMemory:
    """The joiner's view of the predictor after each sequence."""

    def __init__(self, model: Transducer, like: Tensor):
        self.model = model
        state = model.predictor.initial_state(1, like)
        output, state = model.predictor.step(torch.full((1,), BLANK, device=like.device), state)
        self.outputs, self.state = Rows(model.joiner.predictor(output)), tuple(map(Rows, state))

    def extend(self, tree: PrefixTree, parents: Tensor, tokens: Tensor) -> None:
        output, state = self.model.predictor.step(tokens, tuple(part[parents] for part in self.state))
        self.outputs.append(self.model.joiner.predictor(output))
        for rows, part in zip(self.state, state, strict=True):
            rows.append(part)


class LanguageModelMemory:
    """Weighted log-probabilities of what follows each sequence; the key and the value of each token are kept once."""

    def __init__(self, fusion: Fusion, like: Tensor):
        self.fusion = fusion
        border = torch.full((1,), BORDER, device=like.device)
        scores, written = self._read(border, fusion.model.initial_state(1, like))
        self.outputs, self.written = Rows(scores), tuple(map(Rows, written))

    def extend(self, tree: PrefixTree, parents: Tensor, tokens: Tensor) -> None:
        paths = tree.paths(parents)
        seen = (rows[paths].transpose(1, 2) for rows in self.written)
        scores, written = self._read(tokens, (tree.lengths[parents] + 1, *seen))
        self.outputs.append(scores)
        for rows, part in zip(self.written, written, strict=True):
            rows.append(part)

    def _read(self, tokens: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
        """Scores after the next tokens, and what each of them leaves to those behind it."""
        scores, (lengths, *caches) = self.fusion.step(tokens, state)
        everyone = torch.arange(len(tokens), device=tokens.device)
        return scores, [cache[everyone, :, lengths - 1] for cache in caches]
