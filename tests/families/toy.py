"""A family of another's: perceptrons that tell clouds of points apart, found by `plugins=tests.families.toy`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch
from lightning import LightningDataModule
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from prune_bench.config import Config, FitConfig
from prune_bench.families import Experiment, Family
from prune_bench.families.quantities import Quantity
from prune_bench.tasks.training import TrainingTask


@dataclass
class ToyConfig:
    """A perceptron, and points of so many `dimensions` about one centre a class."""

    classes: int = 4
    dimensions: int = 8
    points: int = 200
    hidden: int = 16

    def to_dict(self):
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        return cls(**values)


@dataclass
class ToyRun(Config):
    toy: ToyConfig = field(default_factory=ToyConfig)


class Perceptron(nn.Module):
    def __init__(self, arch):
        super().__init__()
        self.arch = arch
        self.read, self.tell = nn.Linear(arch.dimensions, arch.hidden), nn.Linear(arch.hidden, arch.classes)

    def forward(self, points):
        return self.tell(self.read(points).relu())

    def block_matrices(self):
        return ["read.weight", "tell.weight"]

    def encoder_parameters(self):
        return self.parameters()


class ToyTask(TrainingTask):
    def losses(self, batch):
        points, classes = batch
        return {"loss": F.cross_entropy(self.model(points), classes)}


class ToyExperiment(Experiment):
    def open(self, cache, progress):
        toy, random = self.config.toy, torch.Generator().manual_seed(0)
        centres, sets = torch.randn(toy.classes, toy.dimensions, generator=random), {}
        for split in ("train", "test"):
            classes = torch.randint(toy.classes, (toy.points,), generator=random)
            noise = torch.randn(toy.points, toy.dimensions, generator=random)
            sets[split] = TensorDataset(centres[classes] + noise, classes)
        return sets

    def make_data(self, corpus, fit):
        return LightningDataModule.from_datasets(corpus["train"], batch_size=fit.frames)

    def make_task(self, corpus, fit, folder):
        return ToyTask(Perceptron(self.config.toy), fit, self.config.seed)

    def judge(self, model, corpus, progress):
        points, classes = corpus["test"].tensors
        wrong = (model.eval()(points).argmax(1) != classes).int().tolist()
        return {"points": {"test": {"wrong": wrong}}}

    def example(self, model):
        return (torch.randn(2, model.arch.dimensions, generator=torch.Generator().manual_seed(0)),)


def errors(row, split):
    wrong = row["points"][split]["wrong"]
    return wrong, [1] * len(wrong)


def smoke():
    fits = {"dense": FitConfig(60, 50, learning_rate=0.05), "final": FitConfig(20, 50, learning_rate=0.01)}
    config = ToyRun(preset="smoke", task="toy", **fits)
    config.pruning.structure = "weights"
    return config


FAMILY = Family(
    name="toy",
    model=Perceptron,
    arch=ToyConfig,
    experiment=ToyExperiment,
    presets={"smoke": smoke},
    config=ToyRun,
    reads=("toy",),
    data=("toy",),
    dataset=lambda config: "clouds",
    quantities={"error.*": Quantity(title="errors, %", group="*", splits="points", ratio=errors)},
    columns=("error.test", "size"),
    scores=("error.test",),
)
