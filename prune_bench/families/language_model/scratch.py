"""The dense language model of a pruned size: what training a small model from the start would have given."""

from __future__ import annotations

from dataclasses import replace

from prune_bench.models.arch import BlockArch
from prune_bench.models.transformer_lm import LanguageModelArch
from prune_bench.pruning import Infeasible


def shrink(arch: LanguageModelArch, sparsity: float) -> LanguageModelArch:
    """`arch` with a narrower stream, so that its weight matrices hold the fraction 1 - `sparsity` of the numbers.

    Depth and the number of heads stay; stream and FFN shrink by one factor, the stream to the multiple of the heads
    nearest to it. FFN channels take what is left of the budget, spread evenly, so that the size is right within one.

    Raises:
        Infeasible: the narrowest stream is already larger.
    """
    budget, heads = round((1 - sparsity) * matrix_weights(arch)), arch.layers[0].heads
    shape = [layer.ffn / arch.width for layer in arch.layers]
    for width in range(arch.width // heads * heads, 0, -heads):
        bare = replace(arch, width=width, head_width=width // heads, layers=(BlockArch(heads, 0),) * len(arch.layers))
        channels = (budget - matrix_weights(bare)) // (2 * width)
        if channels >= (width - heads / 2) * sum(shape):
            shares = [channels // len(shape) + (i < channels % len(shape)) for i in range(len(shape))]
            return replace(bare, layers=tuple(BlockArch(heads, share) for share in shares))
    raise Infeasible(f"one dimension a head already exceeds a size of {1 - sparsity:.0%}")


def matrix_weights(arch: LanguageModelArch) -> int:
    """Numbers in the weight matrices that sparsity is a fraction of."""
    inner = (4 * layer.heads * arch.head_width + 2 * layer.ffn for layer in arch.layers)
    embeddings = arch.vocabulary * (2 - arch.tied) if arch.embeddings else 0
    return arch.width * (sum(inner) + embeddings)
