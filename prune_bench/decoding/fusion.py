"""Shallow fusion: a language model's say in what a transducer emits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from prune_bench.models.transducer import BLANK, Transducer
from prune_bench.models.transformer_lm import LanguageModel, State


@dataclass(frozen=True)
class Fusion:
    """A token scores log p(transducer) + `weight` * log p(language model) - `internal` * log p(internal model).

    The internal language model of a transducer is its joiner on silence, an encoder output of zeros, over all tokens
    but the blank (Variani et al., 2020; Meng et al., 2021). Blanks score as without fusion, the end of a sentence by
    the language model alone.

    Raises:
        ValueError: the two models have other tokens.
    """

    model: LanguageModel
    weight: float
    internal: float = 0.0

    def check(self, transducer: Transducer) -> None:
        ours, theirs = self.model.arch, transducer.arch
        if ours.vocabulary != theirs.vocabulary:
            mismatch = f"{ours.vocabulary} tokens and the transducer {theirs.vocabulary}"
            raise ValueError(f"the language model has {mismatch}: train it with the same tokenizer")
        if ours.tokenizer and theirs.tokenizer and ours.tokenizer != theirs.tokenizer:
            raise ValueError(
                "the language model has other tokens than the transducer: train it with the same tokenizer"
            )

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Weighted log-probabilities (rows, vocabulary) of what follows the tokens, and the new state."""
        logits, state = self.model.step(tokens, state)
        return self.weight * logits.log_softmax(-1), state


def internal_scores(model: Transducer, predicted: Tensor) -> Tensor:
    """Log-probabilities (..., vocabulary) of tokens by the internal language model; the blank's is 0."""
    joiner = model.joiner
    silence = joiner.encoder(predicted.new_zeros(joiner.encoder.in_features))
    logits = joiner(silence, predicted)
    logits[..., BLANK] = -float("inf")
    scores = logits.log_softmax(-1)
    scores[..., BLANK] = 0.0
    return scores
