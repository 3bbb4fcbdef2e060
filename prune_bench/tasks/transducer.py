"""Training a Conformer-Transducer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from prune_bench.config import FeatureConfig, FitConfig
from prune_bench.data.audio import SpecAugment
from prune_bench.decoding.greedy import decode_greedy
from prune_bench.models.arch import TransducerArch
from prune_bench.models.transducer import Transducer
from prune_bench.tasks.losses import ctc_loss, transducer_loss
from prune_bench.tasks.recognition import Decoder, RecognitionTask

if TYPE_CHECKING:
    from prune_bench.data.batches import Batch


class TransducerTask(RecognitionTask):
    """Transducer loss and a share `ctc_weight` of CTC, both per token of the targets."""

    model: Transducer

    def __init__(
        self,
        arch: TransducerArch,
        fit: FitConfig,
        features: FeatureConfig,
        dropout: float = 0.1,
        predictor_dropout: float = 0.0,
        ctc_weight: float = 0.3,
        seed: int = 0,
        tokenizer: Decoder | None = None,
    ):
        super().__init__(Transducer(arch, dropout, predictor_dropout), fit, seed, tokenizer)
        self.augment = SpecAugment(features)
        self.ctc_weight = ctc_weight

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        output = self.model(self.augment(batch.features, batch.lengths), batch.lengths, batch.targets)
        rest = (batch.targets, output.lengths, batch.target_lengths)
        tokens = batch.target_lengths.sum()
        transducer = transducer_loss(output.joint, *rest) / tokens
        ctc = ctc_loss(output.ctc, *rest) / tokens
        loss = (1 - self.ctc_weight) * transducer + self.ctc_weight * ctc
        return {"loss": loss, "loss/transducer": transducer, "loss/ctc": ctc}

    def recognise(self, batch: Batch) -> list[list[int]]:
        return decode_greedy(self.model, batch.features, batch.lengths)
