"""The peer of the training step: a transducer of equal widths around torchaudio's Conformer and its plain loss."""

from __future__ import annotations

from typing import Any, cast

import torchaudio
from torch import Tensor, nn

from prune_bench.data.batches import Batch
from prune_bench.models.arch import ConformerArch, TransducerArch
from prune_bench.models.conformer import FrontEnd
from prune_bench.tasks.losses import ctc_loss
from prune_bench.tasks.transducer import TransducerTask


class TorchaudioEncoder(nn.Module):
    """Our front end before torchaudio.models.Conformer, which has no relative positions."""

    def __init__(self, arch: ConformerArch, dropout: float):
        super().__init__()
        layer = arch.layers[0]
        self.front_end = FrontEnd(arch.mels, arch.width, arch.width, arch.subsampling)
        self.conformer = torchaudio.models.Conformer(
            arch.width, layer.heads, layer.ffn1, len(arch.layers), arch.kernel, dropout
        )

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        stream, shortened = self.front_end(features, lengths)
        return self.conformer(stream, cast(Tensor, shortened))


class TorchaudioTask(TransducerTask):
    """The same task with the plain `rnnt_loss` over the whole vocabulary."""

    def __init__(self, arch: TransducerArch, *rest: Any, dropout: float, **options: Any):
        super().__init__(arch, *rest, dropout=dropout, **options)
        self.model.encoder = TorchaudioEncoder(arch.encoder, dropout)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        output = self.model(self.augment(batch.features, batch.lengths), batch.lengths, batch.targets)
        tokens = batch.target_lengths.sum()
        transducer = torchaudio.functional.rnnt_loss(
            output.joint.float(),
            batch.targets.int(),
            output.lengths.int(),
            batch.target_lengths.int(),
            blank=0,
            reduction="sum",
        )
        ctc = ctc_loss(output.ctc, batch.targets, output.lengths, batch.target_lengths)
        return (1 - self.ctc_weight) * transducer / tokens + self.ctc_weight * ctc / tokens


class TorchaudioAttention(nn.Module):
    """One layer's self-attention as torchaudio's Conformer runs it."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        x = self.norm(x.transpose(0, 1))
        mixed, _ = self.attention(x, x, x, key_padding_mask=padding, need_weights=False)
        return self.dropout(mixed).transpose(0, 1)
