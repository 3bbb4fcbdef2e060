"""Beam search for transducers, batched over utterances, with or without a language model.

Alignment-length synchronous (Saon et al., ICASSP 2020): each step gives every hypothesis a blank or a unit, so that
hypotheses that compete have taken equally many steps. Alignments of one unit sequence that meet are summed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from prune_bench.decoding.fusion import Fusion, internal_scores
from prune_bench.models.transducer import BLANK, Transducer

State = tuple[Tensor, ...]
NEVER = -math.inf
ROOM = 16
HASH = 6364136223846793005
FLAT = ("scores", "frames", "symbols", "counts", "digests")


class Hypothesis(NamedTuple):
    """Units of one utterance and their log-probability, fusion included."""

    units: list[int]
    score: float


class Memory:
    """What a network keeps of each hypothesis: its last `output` and its `state`, one row each."""

    def __init__(
        self,
        start: tuple[Tensor, State],
        step: Callable[[Tensor, State], tuple[Tensor, State]],
        make_room: Callable[[State], State],
    ):
        self.output, self.state = start
        self.step, self.make_room = step, make_room

    def select(self, rows: Tensor) -> None:
        """Let each hypothesis continue that of row `rows`."""
        self.output, self.state = self.output[rows], tuple(part[rows] for part in self.state)

    def extend(self, rows: Tensor, units: Tensor) -> None:
        """Tell the network the next units of some rows."""
        self.state = self.make_room(self.state)
        self.output[rows], new = self.step(units, tuple(part[rows] for part in self.state))
        for part, values in zip(self.state, new, strict=True):
            part[rows] = values


@dataclass
class Beam:
    """`scores`, `frames` read so far, units emitted on the current frame, counts of units and digests of them, each
    (batch, beam); `units` is (batch, beam, room)."""

    scores: Tensor
    frames: Tensor
    symbols: Tensor
    counts: Tensor
    digests: Tensor
    units: Tensor

    @classmethod
    def start(cls, batch: int, width: int, device: torch.device) -> Beam:
        """One empty hypothesis an utterance."""
        scores = torch.full((batch, width), NEVER, device=device)
        scores[:, 0] = 0.0
        zeros = torch.zeros((batch, width), dtype=torch.long, device=device)
        return cls(scores, zeros, zeros, zeros, zeros, zeros.new_zeros((batch, width, ROOM)))

    def select(self, parents: Tensor) -> Beam:
        """The hypotheses at `parents` (batch, beam)."""
        units = self.units.gather(1, parents[..., None].expand(-1, -1, self.units.shape[2]))
        return Beam(**{name: getattr(self, name).gather(1, parents) for name in FLAT}, units=units)

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Those of each utterance that exist, best first."""
        order = self.scores.argsort(dim=1, descending=True, stable=True)
        ranked = self.select(order)
        lists = zip(ranked.scores.tolist(), ranked.counts.tolist(), ranked.units.tolist(), strict=True)
        return [
            [Hypothesis(row[:count], score) for score, count, row in zip(*each, strict=True) if score > NEVER]
            for each in lists
        ]


@torch.inference_mode()
def search_beam(
    model: Transducer, hidden: Tensor, frames: Tensor, beam: int = 8, max_symbols: int = 5, fusion: Fusion | None = None
) -> list[list[Hypothesis]]:
    """The best hypotheses of each utterance of encoder output (batch, frames, width), best first.

    At most `max_symbols` units a frame. A beam of 1 without fusion is `search_greedy`; a beam that holds every
    hypothesis gives exact log-probabilities while `max_symbols` does not bind. With the models in eval mode the result
    does not depend on the batch.
    """
    if fusion:
        fusion.check(model)
    batch, width = len(hidden), beam
    encoded, rows = model.joiner.encoder(hidden), batch * width
    heard = predictor_memory(model, rows, hidden)
    known = Memory(fusion.start(rows, hidden), fusion.step, fusion.model.make_room) if fusion else None
    alive, done = Beam.start(batch, width, hidden.device), Beam.start(batch, width, hidden.device)
    done.scores[:, 0] = NEVER
    while bool((alive.scores > NEVER).any()):
        scores = step_scores(model, encoded, alive, heard.output, known, fusion)
        alive, parents, emitted = advance(alive, scores, max_symbols)
        source = (parents + width * torch.arange(batch, device=hidden.device)[:, None]).flatten()
        speaks = (emitted.flatten() != BLANK).nonzero()[:, 0]
        for memory in (heard, known) if known else (heard,):
            memory.select(source)
            memory.extend(speaks, emitted.flatten()[speaks])
        ends = known.output[:, BLANK].view(batch, width) if known else torch.zeros_like(alive.scores)
        done = finish(alive, done, alive.frames >= frames[:, None], ends)
    return done.hypotheses()


def predictor_memory(model: Transducer, rows: int, like: Tensor) -> Memory:
    """The joiner's view of the predictor."""

    def step(units: Tensor, state: State) -> tuple[Tensor, State]:
        output, state = model.predictor.step(units, state)
        return model.joiner.predictor(output), state

    state = model.predictor.initial_state(rows, like)
    start = step(torch.full((rows,), BLANK, device=like.device), state)
    return Memory(start, step, lambda state: state)


def step_scores(
    model: Transducer, encoded: Tensor, alive: Beam, predicted: Tensor, known: Memory | None, fusion: Fusion | None
) -> Tensor:
    """Scores (batch, beam, vocabulary) of each hypothesis with a blank or a unit more."""
    everyone = torch.arange(len(encoded), device=encoded.device)[:, None]
    coming = encoded[everyone, alive.frames.clamp(max=encoded.shape[1] - 1)]
    steps = model.joiner(coming, predicted.view(*coming.shape[:2], -1)).log_softmax(-1)
    if known and fusion:
        steps[..., 1:] += known.output.view(steps.shape)[..., 1:]
        if fusion.internal:
            steps -= fusion.internal * internal_scores(model, predicted).view(steps.shape)
    return alive.scores[..., None] + steps


def advance(alive: Beam, scores: Tensor, max_symbols: int) -> tuple[Beam, Tensor, Tensor]:
    """The best hypotheses one step on, the places of those that they continue, and what each emits."""
    batch, width, vocabulary = scores.shape
    spoken = scores[..., 1:].flatten(1)
    best, places = spoken.topk(min(width, spoken.shape[1]))
    everyone = torch.arange(width, device=scores.device).expand(batch, -1)
    candidates = torch.cat((scores[..., BLANK], best), 1)
    parents = torch.cat((everyone, places // (vocabulary - 1)), 1)
    emitted = torch.cat((torch.full_like(everyone, BLANK), places % (vocabulary - 1) + 1), 1)
    emitted = emitted.masked_fill(candidates == NEVER, BLANK)
    continued = append(alive.select(parents), emitted, max_symbols)
    merged = merge(candidates, continued)
    kept, chosen = merged.topk(width)
    beam = continued.select(chosen)
    beam.scores = kept
    return beam, parents.gather(1, chosen), emitted.gather(1, chosen)


def append(beam: Beam, emitted: Tensor, max_symbols: int) -> Beam:
    """Hypotheses after a blank or a unit each; after `max_symbols` units on one frame comes the next."""
    speaks = emitted != BLANK
    symbols = torch.where(speaks, beam.symbols + 1, 0)
    full = symbols >= max_symbols
    if int(beam.counts.max()) == beam.units.shape[2]:
        beam.units = F.pad(beam.units, (0, ROOM))
    places = beam.counts.clamp(max=beam.units.shape[2] - 1)[..., None]
    written = torch.where(speaks[..., None], emitted[..., None], beam.units.gather(2, places))
    return Beam(
        beam.scores,
        frames=beam.frames + (~speaks | full),
        symbols=symbols.masked_fill(full, 0),
        counts=beam.counts + speaks,
        digests=torch.where(speaks, (beam.digests + emitted) * HASH + 1, beam.digests),
        units=beam.units.scatter(2, places, written),
    )


def merge(scores: Tensor, beam: Beam) -> Tensor:
    """Scores with those of equal hypotheses at one frame summed in the first of them, the others' impossible."""
    keys = torch.stack((beam.digests, beam.counts, beam.frames))
    equal = (keys[..., :, None] == keys[..., None, :]).all(0)
    first = equal.to(torch.uint8).argmax(-1) == torch.arange(scores.shape[1], device=scores.device)
    together = torch.where(equal, scores[:, None, :], NEVER).logsumexp(-1)
    return torch.where(first, together, NEVER)


def finish(alive: Beam, done: Beam, ended: Tensor, ends: Tensor) -> Beam:
    """Move hypotheses that have `ended` from `alive`, whose scores change, to `done`, which is returned.

    What is worse than all finished hypotheses of a full beam is given up: each step costs probability (but for a large
    `internal`).
    """
    width = alive.scores.shape[1]
    scores = torch.cat((done.scores, torch.where(ended, alive.scores + ends, NEVER)), 1)
    kept, chosen = scores.topk(width)
    better = join(done, alive).select(chosen)
    better.scores = kept
    alive.scores = torch.where(ended | (alive.scores < kept[:, -1:]), NEVER, alive.scores)
    return better


def join(first: Beam, second: Beam) -> Beam:
    """The hypotheses of both."""
    room = max(first.units.shape[2], second.units.shape[2])
    units = [F.pad(beam.units, (0, room - beam.units.shape[2])) for beam in (first, second)]
    flat = {name: torch.cat((getattr(first, name), getattr(second, name)), 1) for name in FLAT}
    return Beam(**flat, units=torch.cat(units, 1))
