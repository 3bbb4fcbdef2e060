"""The dense model of a pruned size: what training a small model from the start would have given."""

from __future__ import annotations

from dataclasses import replace

from prune_bench.models.arch import LayerArch, TransducerArch, block_weights
from prune_bench.pruning import Infeasible


def shrink(arch: TransducerArch, sparsity: float) -> TransducerArch:
    """`arch` with every layer equally narrower, so that its blocks hold the fraction 1 - `sparsity` of the weights.

    Depth, stream and kernels stay. Heads and convolution channels keep that fraction, rounded (at least one head);
    FFN channels take what is left of the budget, spread evenly, so that the size is right within one channel.

    Raises:
        Infeasible: what cannot shrink is already larger.
    """
    budget = round((1 - sparsity) * block_weights(arch))
    layers = arch.encoder.layers
    bare = [_narrowed(layer, 1 - sparsity) for layer in layers]
    narrow = replace(arch, encoder=replace(arch.encoder, layers=tuple(bare)))
    channels = (budget - block_weights(narrow)) // (2 * arch.encoder.width)
    if channels < 0:
        raise Infeasible(f"one head a layer and no FFN already exceed a block size of {1 - sparsity:.0%}")
    shares = [channels // (2 * len(layers)) + (i < channels % (2 * len(layers))) for i in range(2 * len(layers))]
    filled = (replace(layer, ffn1=shares[2 * i], ffn2=shares[2 * i + 1]) for i, layer in enumerate(bare))
    return replace(arch, encoder=replace(arch.encoder, layers=tuple(filled)))


def _narrowed(layer: LayerArch, kept: float) -> LayerArch:
    return replace(layer, heads=max(1, round(kept * layer.heads)), conv=round(kept * layer.conv), ffn1=0, ffn2=0)
