"""Beam search for transducers, batched over utterances, with or without a language model.

Alignment-length synchronous (Saon et al., ICASSP 2020): each step gives every hypothesis a blank or a token, so that
hypotheses that compete have taken equally many steps. Alignments of one token sequence that meet are summed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from prune_bench.decoding.fusion import Fusion, internal_scores
from prune_bench.decoding.prefixes import LanguageModelMemory, PredictorMemory, PrefixTree
from prune_bench.models.transducer import BLANK, Transducer

NEVER = -math.inf


class Hypothesis(NamedTuple):
    """Tokens of one utterance and their log-probability, fusion included."""

    tokens: list[int]
    score: float


class Beam(NamedTuple):
    """`scores`, `frames` read so far, tokens emitted on the current frame and the node of the sequence of tokens, each
    (batch, beam)."""

    scores: Tensor
    frames: Tensor
    symbols: Tensor
    nodes: Tensor

    @classmethod
    def start(cls, batch: int, width: int, device: torch.device) -> Beam:
        """One empty hypothesis an utterance."""
        scores = torch.full((batch, width), NEVER, device=device)
        scores[:, 0] = 0.0
        zeros = torch.zeros((batch, width), dtype=torch.long, device=device)
        return cls(scores, zeros, zeros, zeros)

    def select(self, places: Tensor) -> Beam:
        """The hypotheses at `places` (batch, beam)."""
        return Beam(*(part.gather(1, places) for part in self))

    def join(self, other: Beam) -> Beam:
        """The hypotheses of both."""
        return Beam(*(torch.cat(parts, 1) for parts in zip(self, other, strict=True)))


@torch.inference_mode()
def search_beam(
    model: Transducer, hidden: Tensor, frames: Tensor, beam: int = 8, max_symbols: int = 5, fusion: Fusion | None = None
) -> list[list[Hypothesis]]:
    """The best hypotheses of each utterance of encoder output (batch, frames, width), best first.

    At most `max_symbols` tokens a frame. A beam of 1 without fusion is `search_greedy`; a beam that holds every
    hypothesis gives exact log-probabilities while `max_symbols` does not bind. With the models in eval mode the result
    does not depend on the batch.
    """
    if fusion:
        fusion.check(model)
    encoded, batch = model.joiner.encoder(hidden), len(hidden)
    predictor, language_model = PredictorMemory(model, hidden), LanguageModelMemory(fusion, hidden) if fusion else None
    memories = (predictor, language_model) if language_model else (predictor,)
    tree = PrefixTree(model.arch.vocabulary, memories, hidden.device)
    alive, done = Beam.start(batch, beam, hidden.device), Beam.start(batch, beam, hidden.device)
    done.scores[:, 0] = NEVER
    while bool((alive.scores > NEVER).any()):
        predicted = predictor.outputs[alive.nodes]
        steps = step_scores(model, encoded, alive.frames, predicted)
        if language_model and fusion:
            steps[..., 1:] += language_model.outputs[alive.nodes][..., 1:]
            if fusion.internal:
                steps -= fusion.internal * internal_scores(model, predicted)
        alive = advance(alive, alive.scores[..., None] + steps, tree, max_symbols)
        ends = language_model.outputs[alive.nodes][..., BLANK] if language_model else torch.zeros_like(alive.scores)
        alive, done = finish(alive, done, alive.frames >= frames[:, None], ends)
    return read_hypotheses(done, tree)


def step_scores(model: Transducer, encoded: Tensor, frames: Tensor, predicted: Tensor) -> Tensor:
    """Log-probabilities (batch, beam, vocabulary) of a blank or a token on the frame that each hypothesis reads."""
    everyone = torch.arange(len(encoded), device=encoded.device)[:, None]
    coming = encoded[everyone, frames.clamp(max=encoded.shape[1] - 1)]
    return model.joiner(coming, predicted).log_softmax(-1)


def advance(alive: Beam, scores: Tensor, tree: PrefixTree, max_symbols: int) -> Beam:
    """The best hypotheses one step on; after `max_symbols` tokens on one frame comes the next."""
    batch, width, vocabulary = scores.shape
    spoken = scores[..., 1:].flatten(1)
    best, places = spoken.topk(min(width, spoken.shape[1]))
    everyone = torch.arange(width, device=scores.device).expand(batch, -1)
    candidates = torch.cat((scores[..., BLANK], best), 1)
    parents = alive.select(torch.cat((everyone, places // (vocabulary - 1)), 1))
    emitted = torch.cat((torch.full_like(everyone, BLANK), places % (vocabulary - 1) + 1), 1)
    speaks = emitted != BLANK
    symbols = torch.where(speaks, parents.symbols + 1, 0)
    full = symbols >= max_symbols
    names = torch.where(speaks, tree.name(parents.nodes, emitted), tree.names(parents.nodes))
    after = Beam(candidates, parents.frames + (~speaks | full), symbols.masked_fill(full, 0), parents.nodes)
    kept, chosen = merge(candidates, names, after.frames).topk(width)
    after, emitted = after.select(chosen), emitted.gather(1, chosen)
    speaks = (emitted != BLANK) & (kept > NEVER)
    after.nodes[speaks] = tree.extend(after.nodes[speaks], emitted[speaks])
    return after._replace(scores=kept)


def merge(scores: Tensor, names: Tensor, frames: Tensor) -> Tensor:
    """Scores with those of equal sequences at one frame summed in the first of them, the others' impossible."""
    keys = torch.stack((names, frames))
    equal = (keys[..., :, None] == keys[..., None, :]).all(0)
    first = equal.to(torch.uint8).argmax(-1) == torch.arange(scores.shape[1], device=scores.device)
    together = torch.where(equal, scores[:, None, :], NEVER).logsumexp(-1)
    return torch.where(first, together, NEVER)


def finish(alive: Beam, done: Beam, ended: Tensor, ends: Tensor) -> tuple[Beam, Beam]:
    """Both beams after those that have `ended` moved from `alive` to `done`.

    What is worse than all finished hypotheses of a full beam is given up: each step costs probability (but for a large
    `internal`).
    """
    finished = alive._replace(scores=torch.where(ended, alive.scores + ends, NEVER))
    both = done.join(finished)
    kept, chosen = both.scores.topk(alive.scores.shape[1])
    gone = ended | (alive.scores < kept[:, -1:])
    return alive._replace(scores=torch.where(gone, NEVER, alive.scores)), both.select(chosen)


def read_hypotheses(beam: Beam, tree: PrefixTree) -> list[list[Hypothesis]]:
    """Those of each utterance that exist, best first."""
    ranked = beam.select(beam.scores.argsort(dim=1, descending=True, stable=True))
    scores, width = ranked.scores.tolist(), ranked.scores.shape[1]
    tokens = tree.spell(ranked.nodes.flatten())
    return [
        [Hypothesis(tokens[width * row + place], score) for place, score in enumerate(each) if score > NEVER]
        for row, each in enumerate(scores)
    ]
