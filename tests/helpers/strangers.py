"""Modules that know nothing of this project, as a user would bring them."""

from __future__ import annotations

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchaudio.models import wav2vec2_model


class Classifier(lightning.LightningModule):
    def __init__(self, rate: float = 1e-2, decay: float = 0.1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 3)
        )
        self.rate, self.decay = rate, decay

    @property
    def watched(self) -> Tensor:
        """A weight that is pruned."""
        return self.layers[2].weight

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.layers(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("zeros", float((self.watched == 0).float().mean()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.rate, weight_decay=self.decay)


class SpeechClassifier(Classifier):
    """A small wav2vec 2.0 encoder with a linear head on its mean output."""

    def __init__(self, rate: float = 1e-3, decay: float = 0.1):
        super().__init__(rate, decay)
        del self.layers
        self.wav2vec2 = wav2vec2_model(
            extractor_mode="group_norm",
            extractor_conv_layer_config=[(16, 10, 5), (16, 8, 4)],
            extractor_conv_bias=False,
            encoder_embed_dim=32,
            encoder_projection_dropout=0.0,
            encoder_pos_conv_kernel=8,
            encoder_pos_conv_groups=4,
            encoder_num_layers=2,
            encoder_num_heads=2,
            encoder_attention_dropout=0.0,
            encoder_ff_interm_features=64,
            encoder_ff_interm_dropout=0.0,
            encoder_dropout=0.0,
            encoder_layer_norm_first=False,
            encoder_layer_drop=0.0,
            aux_num_out=None,
        )
        self.head = nn.Linear(32, 3)

    @property
    def watched(self) -> Tensor:
        return self.wav2vec2.encoder.transformer.layers[0].attention.q_proj.weight

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        hidden, _ = self.wav2vec2(batch[0])
        return nn.functional.cross_entropy(self.head(hidden.mean(1)), batch[1])


def loader(width: int = 10, count: int = 64) -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, width, generator=generator)
    return DataLoader(TensorDataset(inputs, torch.arange(count) % 3), batch_size=8)


def trainer(folder, *callbacks: lightning.Callback, steps: int = 12, **options) -> lightning.Trainer:
    defaults = {
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "max_epochs": -1,
    }
    return lightning.Trainer(
        max_steps=steps, callbacks=list(callbacks), default_root_dir=folder, **{**defaults, **options}
    )


class Graded(Classifier):
    """Logs the loss, or the number of updates where the earliest is the best, and the zeros that evaluation sees."""

    earliest_is_best = False

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        loss = nn.functional.cross_entropy(self.layers(batch[0]), batch[1])
        self.log("loss", float(self.global_step) if self.earliest_is_best else loss)
        self.log("zeros", float((self.watched == 0).float().mean()))

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)


class FirstIsBest(Graded):
    earliest_is_best = True
