"""Conformer-Transducer (Graves, 2012): encoder, predictor over tokens, joiner, and a CTC head beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prune_bench.models.arch import TransducerArch
from prune_bench.models.conformer import Conformer
from prune_bench.pruning.units import CostTerm, Slice, UnitGroup

BLANK = 0
State = tuple[Tensor, ...]


class StatelessPredictor(nn.Module):
    """A stateless predictor: a convolution over the last two tokens (Ghodsi et al., ICASSP 2020)."""

    def __init__(self, vocabulary: int, width: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.conv = nn.Conv1d(width, width, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, tokens) -> (batch, tokens + 1, width), the first for an empty history."""
        return F.relu(self.conv(self.embedding(F.pad(tokens, (2, 0), value=BLANK)).transpose(1, 2)).transpose(1, 2))

    def initial_state(self, batch: int, like: Tensor) -> State:
        """The state before the first token; every tensor of a state has the batch first."""
        return (torch.full((batch, 1), BLANK, device=like.device),)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs (batch, width) after the next tokens (batch,), and the new state."""
        history = torch.cat((state[0], tokens[:, None]), 1)
        return F.relu(self.conv(self.embedding(history).transpose(1, 2)))[..., 0], (tokens[:, None],)


class LSTMPredictor(nn.Module):
    """An LSTM over all tokens so far."""

    def __init__(self, vocabulary: int, width: int, layers: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, tokens) -> (batch, tokens + 1, width), the first for an empty history."""
        return self.lstm(self.embedding(F.pad(tokens, (1, 0), value=BLANK)))[0]

    def initial_state(self, batch: int, like: Tensor) -> State:
        """The state before the first token; every tensor of a state has the batch first."""
        zeros = like.new_zeros(batch, self.lstm.num_layers, self.lstm.hidden_size)
        return zeros, zeros

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs (batch, width) after the next tokens (batch,), and the new state."""
        inner = tuple(part.transpose(0, 1).contiguous() for part in state)
        output, new = self.lstm(self.embedding(tokens[:, None]), inner)
        return output[:, 0], tuple(part.transpose(0, 1) for part in new)


class Joiner(nn.Module):
    """Token scores from one encoder frame and one predictor output."""

    def __init__(self, encoder_width: int, predictor_width: int, width: int, vocabulary: int):
        super().__init__()
        self.encoder = nn.Linear(encoder_width, width)
        self.predictor = nn.Linear(predictor_width, width, bias=False)
        self.output = nn.Linear(width, vocabulary)

    def forward(self, encoded: Tensor, predicted: Tensor) -> Tensor:
        """Logits from the projections `encoder` and `predictor` of shapes that broadcast."""
        return self.output(torch.tanh(encoded + predicted))


class TransducerOutput(NamedTuple):
    """`joint` (batch, frames, tokens + 1, vocabulary), `ctc` (batch, frames, vocabulary) logits, frames of each."""

    joint: Tensor
    ctc: Tensor
    lengths: Tensor | None


class Transducer(nn.Module):
    """Speech recogniser built from an Arch; token 0 is the blank.

    `predictor_dropout` hides whole histories from the joiner in training, so that tokens are read off the speech.
    """

    def __init__(self, arch: TransducerArch, dropout: float = 0.0, predictor_dropout: float = 0.0):
        super().__init__()
        self.arch = arch
        self.encoder = Conformer(arch.encoder, dropout)
        self.predictor = make_predictor(arch)
        self.forget = nn.Dropout1d(predictor_dropout)
        self.joiner = Joiner(arch.encoder.width, arch.predictor_width, arch.joint_width, arch.vocabulary)
        self.ctc = nn.Linear(arch.encoder.width, arch.vocabulary)

    def forward(self, features: Tensor, lengths: Tensor | None, targets: Tensor) -> TransducerOutput:
        """`features` (batch, frames, mels), `lengths` in feature frames (None: no padding), targets (batch, tokens)."""
        hidden, frames = self.encoder(features, lengths)
        encoded = self.joiner.encoder(hidden)[:, :, None]
        predicted = self.joiner.predictor(self.forget(self.predictor(targets)))[:, None]
        return TransducerOutput(self.joiner(encoded, predicted), self.ctc(hidden), frames)

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """All but predictor, joiner and CTC head."""
        return self.encoder.parameters()

    def block_matrices(self) -> list[str]:
        """Names of the weight matrices of the encoder layers: what sparsity is a fraction of."""
        return [f"encoder.{name}" for name in self.encoder.block_matrices()]

    def units(self) -> list[UnitGroup]:
        """The encoder's removable units; those of the stream take the columns that read it here too."""
        groups = [group.prefixed("encoder.") for group in self.encoder.units()]
        readers = (Slice("joiner.encoder.weight", 1), Slice("ctc.weight", 1))
        return [replace(g, inputs=g.inputs + readers) if g.name == "hidden" else g for g in groups]

    def cost_terms(self, quantity: str, frames: int) -> list[CostTerm]:
        """The cost of the encoder layers as a function of kept units; see prune_bench.models.costs."""
        return self.encoder.cost_terms(quantity, frames)


def make_predictor(arch: TransducerArch) -> StatelessPredictor | LSTMPredictor:
    """The predictor an Arch names. ValueError for an unknown one."""
    if arch.predictor == "stateless":
        return StatelessPredictor(arch.vocabulary, arch.predictor_width)
    if arch.predictor == "lstm":
        return LSTMPredictor(arch.vocabulary, arch.predictor_width, arch.predictor_layers)
    raise ValueError(f"model.predictor={arch.predictor!r}: choose stateless or lstm")
