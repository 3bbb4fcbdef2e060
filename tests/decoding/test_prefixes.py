"""Nodes are made once, and know what the networks make of their sequence."""

from __future__ import annotations

import torch

from prune_bench.decoding.fusion import Fusion
from prune_bench.decoding.prefixes import LanguageModelMemory, PredictorMemory, PrefixTree, Rows
from tests.helpers.decoding import language_model, talkative

SEQUENCES = [[], [3], [3, 3], [3, 5, 1, 1], [2, 5, 1, 1], [2, 5, 1, 1, 4, 8, 2], [3]]


def grow(tree, sequences):
    """A node for each sequence, a token at a time for all of them together."""
    nodes = torch.zeros(len(sequences), dtype=torch.long)
    for place in range(max(map(len, sequences))):
        rows = torch.tensor([row for row, tokens in enumerate(sequences) if len(tokens) > place])
        nodes[rows] = tree.extend(nodes[rows], torch.tensor([sequences[row][place] for row in rows.tolist()]))
    return nodes


def test_equal_sequences_are_one_node_and_are_spelled_again():
    tree = PrefixTree(9, (), torch.device("cpu"))
    nodes = grow(tree, SEQUENCES)
    assert tree.spell(nodes) == SEQUENCES
    assert nodes[1] == nodes[6]
    assert tree.parents.count == 1 + len({tuple(one[:end]) for one in SEQUENCES for end in range(1, len(one) + 1)})
    assert torch.equal(grow(tree, SEQUENCES), nodes)
    names = tree.names(nodes)
    assert len(names.unique()) == len(nodes.unique())


@torch.no_grad()
def test_outputs_are_those_of_the_networks_on_whole_sequences():
    for kind in ("stateless", "lstm"):
        model, like = talkative(kind), torch.zeros(())
        fusion = Fusion(language_model(), 0.5)
        predictor, memory = PredictorMemory(model, like), LanguageModelMemory(fusion, like)
        tree = PrefixTree(9, (predictor, memory), torch.device("cpu"))
        for node, tokens in zip(grow(tree, SEQUENCES), SEQUENCES, strict=True):
            history = torch.tensor([tokens], dtype=torch.long)
            predicted = model.joiner.predictor(model.predictor(history))[0, -1]
            torch.testing.assert_close(predictor.outputs[node], predicted, rtol=1e-4, atol=1e-4)
            scores = 0.5 * fusion.model(torch.tensor([[0, *tokens]])).log_softmax(-1)[0, -1]
            torch.testing.assert_close(memory.outputs[node], scores, rtol=1e-4, atol=1e-4)


def test_rows_keep_what_was_appended():
    rows, parts = Rows(torch.zeros(1, 2)), [torch.randn(count, 2) for count in (1, 1, 5, 0, 3, 20)]
    for part in parts:
        rows.append(part)
    assert rows.count == 31
    assert torch.equal(rows[torch.arange(31)], torch.cat((torch.zeros(1, 2), *parts)))
