"""How well scores rank units by what their removal costs: against removing each one, by examples a gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional as F

from experiments.benchmarks.results import Goal, Result
from prune_bench.data.grammar import sentences
from prune_bench.models.arch import BlockArch
from prune_bench.models.transformer_lm import LanguageModel, LanguageModelArch
from prune_bench.pruning.criteria import magnitude
from prune_bench.pruning.groups import Groups
from prune_bench.pruning.statistics import GradientSquares
from prune_bench.pruning.structures import Weights
from prune_bench.pruning.targets import find_targets

ROUNDS = 1  # nothing is timed
LENGTH, WIDTH, SENTENCES = 48, 64, 40_000
UPDATES, BATCH = 600, 64
SCORED, HELD = 1_024, 1_024  # examples behind scores, and behind the losses that they are compared with
EXAMPLES = (1, 4, 16, 64, 256)
SAMPLED = 400  # single weights that are removed one by one


def run(
    rounds: int = ROUNDS, device: str = "cpu", updates: int = UPDATES, held: int = HELD, scored: int = SCORED
) -> Result:
    """Spearman's rank correlation of scores with the loss changes of removing units of a small language model."""
    torch.manual_seed(0)
    text = pack(" ".join(sentences("train", SENTENCES, 0))).to(device)
    apart, rows, learned = text[:held], text[held : held + scored], text[held + scored :]
    model = train(learned, updates).eval()
    structures = {kind: Groups(model, find_targets(model), of_kind(model, kind)) for kind in ("heads", "ffn")}
    costs = {kind: removal_costs(model, structure, apart) for kind, structure in structures.items()}
    weights = Weights(find_targets(model))
    places = sample(weights)
    single = weight_costs(model, weights, places, apart)
    result = Result("Rank correlation of scores with the loss change of removal")
    for label, scores in scorings(model, structures, weights, rows):
        row = {"score": label}
        for kind in structures:
            row[kind] = f"{correlation(scores[kind], costs[kind]):.2f}"
        found = gather(scores["weights"], places)
        row["weights"] = f"{float(spearmanr(found, single).statistic):.2f}"
        row["weights, size of change"] = f"{float(spearmanr(found, np.abs(single)).statistic):.2f}"
        result.rows.append(row)
    first, last = result.rows[0], result.rows[len(EXAMPLES) - 1]
    for kind in structures:
        gain, text = float(first[kind]) - float(last[kind]), f"{kind}: one example a gradient over {EXAMPLES[-1]}"
        result.goals.append(Goal(text, gain, 0.0, at_least=True))
    result.notes.append(f"{updates} updates on sentences of the grammar, {LENGTH} characters an example")
    result.notes.append(f"{scored} examples behind scores, {held} behind losses, {SAMPLED} weights removed one by one")
    return result


def pack(text: str) -> Tensor:
    """Rows of characters as tokens above 0."""
    known = {character: number for number, character in enumerate(sorted(set(text)), start=1)}
    tokens = torch.tensor([known[character] for character in text])
    return tokens[: len(tokens) // (LENGTH + 1) * (LENGTH + 1)].view(-1, LENGTH + 1)


def train(text: Tensor, updates: int) -> LanguageModel:
    """A model of two layers after so many updates."""
    arch = LanguageModelArch(int(text.max()) + 1, WIDTH, WIDTH // 4, (BlockArch(4, 2 * WIDTH),) * 2, embeddings=False)
    model = LanguageModel(arch).to(text.device)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.01)
    for step in range(updates):
        optimizer.zero_grad()
        start = step * BATCH % (len(text) - BATCH)
        loss_of(model, text[start : start + BATCH]).backward()
        optimizer.step()
    return model


def loss_of(model: LanguageModel, rows: Tensor) -> Tensor:
    """Mean over rows of the mean over characters."""
    return F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())


def of_kind(model: LanguageModel, kind: str) -> list:
    return [group for group in model.units() if group.kind == kind]


@torch.no_grad()
def removal_costs(model: LanguageModel, structure: Groups, rows: Tensor) -> dict[str, Tensor]:
    """The loss change of removing each unit alone."""
    dense, costs = float(loss_of(model, rows)), {}
    kept = {name: torch.ones(shape, dtype=torch.bool) for name, shape in structure.shapes().items()}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for name, mask in kept.items():
        costs[name] = torch.zeros(len(mask))
        for unit in range(len(mask)):
            one_less = mask.clone()
            one_less[unit] = False
            structure.apply({**kept, name: one_less})
            costs[name][unit] = float(loss_of(model, rows)) - dense
            model.load_state_dict(before)
    return costs


def sample(weights: Weights) -> dict[str, Tensor]:
    """Flat places of a few weights of each tensor."""
    each = max(1, SAMPLED // len(weights.targets))
    return {name: torch.randperm(weight.numel())[:each] for name, weight in weights.targets.items()}


@torch.no_grad()
def weight_costs(model: LanguageModel, weights: Weights, places: Mapping[str, Tensor], rows: Tensor) -> list[float]:
    """The loss change of setting each sampled weight to zero."""
    dense, costs = float(loss_of(model, rows).double()), []
    for name, found in places.items():
        flat = weights.targets[name].data.view(-1)
        for place in found.tolist():
            value = float(flat[place])
            flat[place] = 0.0
            costs.append(float(loss_of(model, rows).double()) - dense)
            flat[place] = value
    return costs


def scorings(
    model: LanguageModel, structures: Mapping[str, Groups], weights: Weights, rows: Tensor
) -> Iterator[tuple[str, dict[str, Mapping[str, Tensor]]]]:
    """Scores by kind: mean squared gate gradients of so many examples each, then magnitudes."""
    owners = {**structures, "weights": weights}
    for examples in EXAMPLES:
        squares = {kind: GradientSquares() for kind in owners}
        for part in rows.split(examples):
            model.zero_grad()
            loss_of(model, part).backward()
            for kind, owner in owners.items():
                squares[kind].add(owner.changes())
        yield f"Taylor, {examples} a gradient", {kind: found.means() for kind, found in squares.items()}
    sizes = {kind: owner.scores(lambda name, weight: magnitude(weight)) for kind, owner in structures.items()}
    yield "magnitude", {**sizes, "weights": {name: weight.abs() for name, weight in weights.targets.items()}}


def gather(scores: Mapping[str, Tensor], places: Mapping[str, Tensor]) -> list[float]:
    return torch.cat([scores[name].detach().flatten()[found] for name, found in places.items()]).tolist()


def correlation(scores: Mapping[str, Tensor], costs: Mapping[str, Tensor]) -> float:
    """Over all units of a kind."""
    pair = (torch.cat([each[name].detach().cpu() for name in costs]).numpy() for each in (scores, costs))
    return float(spearmanr(*pair).statistic)
