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
from prune_bench.families.quantities import Quantity, Ratio
from prune_bench.tasks.training import TrainingTask


@dataclass
class ToyConfig:
    """Points of so many `dimensions` about one centre a class, and how many hidden units tell them apart."""

    classes: int = 4
    dimensions: int = 8
    points: int = 200
    hidden: int = 16


@dataclass
class ToyRun(Config):
    toy: ToyConfig = field(default_factory=ToyConfig)


@dataclass(frozen=True)
class PerceptronArch:
    dimensions: int
    hidden: int
    classes: int

    def to_dict(self):
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        return cls(**values)


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
        toy = self.config.toy
        model = Perceptron(PerceptronArch(toy.dimensions, toy.hidden, toy.classes))
        return ToyTask(model, fit, self.config.seed)

    def judge(self, model, corpus, progress):
        points, classes = corpus["test"].tensors
        wrong = (model.eval()(points).argmax(1) != classes).int().tolist()
        return {"points": {"test": {"wrong": wrong}}}

    def example(self, model):
        return (torch.randn(2, model.arch.dimensions, generator=torch.Generator().manual_seed(0)),)


def errors(row, split):
    wrong = row["points"][split]["wrong"]
    return Ratio(wrong, [1] * len(wrong))


def smoke():
    config = ToyRun(preset="smoke", task="toy", dense=FitConfig(steps=60, frames=50), final=FitConfig(20, 50))
    config.pruning.structure = "weights"
    return config


FAMILY = Family(
    name="toy",
    model=Perceptron,
    arch=PerceptronArch,
    experiment=ToyExperiment,
    presets={"smoke": smoke},
    config=ToyRun,
    reads=("toy",),
    data=("toy",),
    dataset=lambda config: "clouds",
    quantities={"error.*": Quantity(title="errors, %", group="*", ratio=errors)},
    columns=("error.test", "size"),
    scores=("error.test",),
)
